package device

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/test/wait"
)

const roomFile = `
task: room
target: {series: temp, horizon: 1h}
inputs: [{series: temp, topic: "zz/{name}", path: $.y}]
time: {path: $.ts, format: unix, max_past: 36500d}
rows: {on: temp}
`

// ingest sends a reading of an hour by HTTP, once the agent listens.
func ingest(t *testing.T, addr, topic string, hour int) {
	t.Helper()
	wait.For(t, "the reading is taken", func() bool {
		res, err := http.Post("http://"+addr+"/v1/ingest/"+topic, "", strings.NewReader(fmt.Sprintf(`{"ts":%d,"y":%d}`, hour*3600, 40+hour%5)))
		if err != nil {
			return false
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode >= 300 {
			t.Fatalf("POST %s = %d %s, %v", topic, res.StatusCode, b, err)
		}
		return true
	})
}

// rooms makes the directories of a device with the template room.
func rooms(t *testing.T) (dir, state string) {
	t.Helper()
	dir = t.TempDir()
	state = filepath.Join(dir, "state")
	for _, d := range []string{state, filepath.Join(dir, "tasks")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "tasks", "room.yaml"), []byte(roomFile), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, state
}

// TestFilesAreWrittenLater: a file of the state directory that cannot be written when a device or a
// task is first seen is written by itself once it can be.
func TestFilesAreWrittenLater(t *testing.T) {
	dir, state := rooms(t)
	addr := freeAddr(t)
	d, stop := begin(t, config(t, dir, "", addr))
	defer stop()
	ingest(t, addr, "zz/a", 40)
	names := []string{"devices.json", "series.json", "files.json"}
	for _, name := range names { // a directory that holds something is in the way
		path := filepath.Join(state, name)
		if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "full"), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	other := strings.NewReplacer("task: room", "task: shed", "zz/", "yy/").Replace(roomFile)
	if err := os.WriteFile(filepath.Join(dir, "tasks", "shed.yaml"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	ingest(t, addr, "zz/b", 40)
	wait.For(t, "the other file is in force", func() bool {
		return len(*d.files.Load()) == 2
	})
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(state, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"devices.json": `"b"`, "series.json": "shed", "files.json": "shed.yaml"} {
		wait.For(t, name+" is written", func() bool {
			b, err := os.ReadFile(filepath.Join(state, name))
			return err == nil && strings.Contains(string(b), want)
		})
	}
}

// TestStatesOutliveTheFiles: files of the state directory that are gone, devices.json and
// series.json, cost no task what it has learned: devices that are found anew go on with it, and of
// tasks that declare one name differently each keeps the one that it had, whatever its file is
// called.
func TestStatesOutliveTheFiles(t *testing.T) {
	dir, state := rooms(t)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "tasks", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wind := func(text, topic string) string { // a series that all tasks of a template share
		return strings.Replace(text, "path: $.y}]", "path: $.y}, {series: wind, topic: "+topic+", path: $.w}]", 1)
	}
	write("room.yaml", wind(roomFile, "yard"))
	shed := wind(strings.NewReplacer("task: room", "task: shed", "zz/", "yy/").Replace(roomFile), "garden")
	hall := strings.NewReplacer("task: room", "task: hall", "zz/{name}", "hall").Replace(roomFile)
	attic := strings.NewReplacer("task: room", "task: attic", "zz/{name}", "attic").Replace(roomFile)
	addr := freeAddr(t)
	cfg := config(t, dir, "", addr)
	names := map[string]string{"hall": "temp", "attic": "temp_attic", "room-a": "wind", "shed-c": "wind_shed"}
	topics := []string{"zz/a", "yy/c", "hall", "attic"}
	check := func(d *Device, rows int64) {
		t.Helper()
		wait.For(t, fmt.Sprintf("%d rows of each", rows), func() bool {
			have := d.Reported().Tasks
			for name := range names {
				if have[name].Rows != rows {
					return false
				}
			}
			return true
		})
		for _, one := range d.Tasks() {
			if got := one.Inputs[len(one.Inputs)-1].Series; got != names[one.Name] {
				t.Errorf("task %s reads %s, want %s", one.Name, got, names[one.Name])
			}
		}
	}
	d, stop := begin(t, cfg)
	for _, f := range [][2]string{{"a-shed.yaml", shed}, {"hall.yaml", hall}, {"attic.yaml", attic}} {
		n := len(*d.files.Load())
		write(f[0], f[1])
		wait.For(t, f[0]+" is taken over", func() bool { return len(*d.files.Load()) > n })
	}
	for hour := range 2 {
		for _, topic := range topics {
			ingest(t, addr, topic, 40+hour)
		}
	}
	check(d, 2)
	stop()
	for _, name := range []string{"devices.json", "series.json", "files.json"} {
		if err := os.Remove(filepath.Join(state, name)); err != nil {
			t.Fatal(err)
		}
	}
	d, stop = begin(t, cfg)
	if !d.captures.doubt {
		t.Error("a missing file of devices is no doubt beside what their tasks have learned")
	}
	for _, topic := range topics {
		ingest(t, addr, topic, 42)
	}
	check(d, 3)
	stop()
}
