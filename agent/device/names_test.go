package device

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skerry.dev/agent/source"
	"skerry.dev/sync/spec"
	"skerry.dev/test/extreme"
)

// named is a task file whose series temp comes on a topic.
func named(t *testing.T, path, task, topic string) *spec.Task {
	t.Helper()
	text := fmt.Sprintf(`
task: %s
kind: forecast
target: {series: temp, horizon: 1h}
inputs: [{series: temp, topic: %s, path: $.temp}, {series: wind, topic: yard, path: $.wind}]
features: [{name: feels, expr: temp - wind}]
rows: {on: temp}
`, task, topic)
	one, err := spec.ParseTask(path, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return one
}

// show lists each task's series of its sensor.
func show(tasks []*spec.Task) (out []string) {
	for _, t := range tasks {
		out = append(out, t.Name+"="+t.Inputs[0].Series)
	}
	return out
}

// TestNamesOfTheirOwn: tasks that read different things under one name run beside each other. Those
// that were there keep the name, whatever the others' files are called and over restarts; tasks that
// read the same share it, and what was once a task's own stays so.
func TestNamesOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	names, err := openNames(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string, files []*spec.Task, series ...string) []*spec.Task {
		t.Helper()
		tasks, plan, err := Plan(files, names)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := show(tasks); !slices.Equal(got, series) {
			t.Errorf("%s: %v, want %v", what, got, series)
		}
		for _, one := range tasks {
			if i, ok := plan.Index(one.Inputs[0].Series); !ok || plan.Series()[i].Topic != one.Inputs[0].Topic {
				t.Errorf("%s: %s does not read %s", what, one.Name, one.Inputs[0].Topic)
			}
		}
		if err := names.store(); err != nil {
			t.Fatal(err)
		}
		if names, err = openNames(dir); err != nil {
			t.Fatal(err)
		}
		return tasks
	}
	m, a, z, same := named(t, "m.yaml", "middle", "hall"), named(t, "a.yaml", "attic", "roof"), named(t, "z.yaml", "zone-2", "cellar"), named(t, "n.yaml", "next", "hall")
	want("alone", []*spec.Task{m}, "middle=temp")
	tasks := want("with two more", []*spec.Task{a, m, same, z}, "attic=temp_attic", "middle=temp", "next=temp", "zone-2=temp_zone_2")
	if got := tasks[0]; got.Target.Series != "temp_attic" || got.Rows.On != "temp_attic" || got.Features[0].Expr != "temp_attic - wind" || got.Inputs[1].Series != "wind" {
		t.Errorf("target, rows and features are %s, %s, %s; the shared series is %s", got.Target.Series, got.Rows.On, got.Features[0].Expr, got.Inputs[1].Series)
	}
	if notes := names.Notes([]*spec.Task{a, m, same, z}); len(notes) != 2 || !strings.Contains(notes[0], "temp_attic") {
		t.Errorf("notes %q", notes)
	}
	want("after a restart", []*spec.Task{a, m, same, z}, "attic=temp_attic", "middle=temp", "next=temp", "zone-2=temp_zone_2")
	want("the first alone again", []*spec.Task{a}, "attic=temp_attic")

	// nothing known of them: the first by its path keeps the name
	fresh, _ := openNames(t.TempDir())
	if tasks, _, err := Plan([]*spec.Task{a, m}, fresh); err != nil || !slices.Equal(show(tasks), []string{"attic=temp", "middle=temp_middle"}) {
		t.Errorf("both new: %v, %v", show(tasks), err)
	}
}

// TestNamesThatDoNotHelp: what no other name mends is an error of that file, and the others run.
func TestNamesThatDoNotHelp(t *testing.T) {
	names, _ := openNames(t.TempDir())
	m := named(t, "m.yaml", "middle", "hall")
	// its own name would be one that a third has
	taken := named(t, "n.yaml", "next", "roof")
	third, err := spec.ParseTask("b.yaml", strings.NewReader("task: third\ntarget: {series: temp_next, horizon: 1h}\ninputs: [{series: temp_next, topic: cellar, path: $.t}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := names.Scope([]*spec.Task{third, m, taken})
	if err == nil || !strings.Contains(err.Error(), "n.yaml") || !slices.Equal(show(tasks), []string{"third=temp_next", "middle=temp"}) {
		t.Errorf("Scope = %v, %v, want the others and an error that names the file", show(tasks), err)
	}
	if _, err := source.Compile(tasks); err != nil {
		t.Error(err)
	}
}

// TestDamagedNames: a damaged file of names is set aside and one that cannot be read is left alone.
func TestDamagedNames(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "series.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadNames(dir); err == nil {
		t.Error("a damaged file is no error")
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("reading it touched it: %v", err)
	}
	if _, err := openNames(dir); err == nil || !strings.Contains(err.Error(), "read the names of series") {
		t.Errorf("a damaged file: %v", err)
	}
	if b, err := os.ReadFile(path + ".damaged"); err != nil || string(b) != "{" {
		t.Errorf("it is not set aside: %q, %v", b, err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // cannot be read
		t.Fatal(err)
	}
	names, err := openNames(dir)
	if err == nil {
		t.Error("a file that cannot be read is no error")
	}
	if _, _, err := Plan([]*spec.Task{named(t, "m.yaml", "middle", "hall")}, names); err != nil || names.store() != nil {
		t.Errorf("Plan without known names: %v", err)
	}
}

// TestFirstStart: the first start makes the state directory before it keeps anything in it, and
// warns of nothing but that it is not enrolled.
func TestFirstStart(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "tasks"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tasks", "a.yaml"), []byte(named(t, "a.yaml", "hall", "hall").Source), 0o600); err != nil {
		t.Fatal(err)
	}
	var log extreme.Log
	d, err := Open(Options{Config: config(t, dir, "", "127.0.0.1:0"), Version: "test", Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "state", "series.json")); err != nil {
		t.Error("the names of series are not kept:", err)
	}
	if said := log.Since(0); strings.Count(said, "\n") != 1 || !strings.Contains(said, "not enrolled") {
		t.Errorf("the first start warns of %s", said)
	}
}

// TestDevicesAlike: devices whose names differ in a space or a sign alone get tasks and series of
// their own, in the order in which they were seen.
func TestDevicesAlike(t *testing.T) {
	template, err := spec.ParseTask("room.yaml", strings.NewReader(`
task: room
target: {series: temp, horizon: 1h}
inputs: [{series: temp, topic: "zz/{name}", path: $.temp}]
`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := openCaptures(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c.known["room"] = [][]string{{"living_room"}, {"Living Room"}, {"living-room"}, {"LIVING_ROOM"}}
	tasks := c.expand([]*spec.Task{template})
	if _, err := source.Compile(append(slices.Clone(tasks), template)); err != nil {
		t.Fatal(err)
	}
	want := []string{"room-living_room=temp_living_room", "room-living-room-2=temp_living_room_2", "room-living-room-3=temp_living_room_3", "room-living_room-4=temp_living_room_4"}
	if got := show(tasks); !slices.Equal(got, want) || len(c.reasons()) > 0 {
		t.Errorf("tasks %v, want %v; without a task: %v", got, want, c.reasons())
	}
}

// TestOdd: what can be and may not be meant is told of each task.
func TestOdd(t *testing.T) {
	read := func(text string) *spec.Task {
		t.Helper()
		task, err := spec.ParseTask("t.yaml", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	const rest = "inputs: [{series: a, topic: x/y, path: $.a}]\n"
	files := []*spec.Task{
		read("task: wide\ntarget: {series: a, horizon: 10m, tolerance: 1h}\n" + rest),
		read("task: one\ntarget: {series: a, horizon: 10m}\npublish: {topic: out}\n" + rest),
		read("task: two\ntarget: {series: a, horizon: 20m}\npublish: {topic: out}\n" + rest),
	}
	notes := Odd(files)
	if len(notes) != 2 || !strings.Contains(notes[0], "task wide has a tolerance of 1h0m0s and a horizon of 10m0s") || !strings.Contains(notes[1], "the tasks one, two publish on one topic, out") {
		t.Errorf("notes %q", notes)
	}
	if notes = Odd(files[1:2]); len(notes) > 0 {
		t.Errorf("notes %q of a task that is plain", notes)
	}
}
