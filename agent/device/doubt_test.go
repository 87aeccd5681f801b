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
