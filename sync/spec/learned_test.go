package spec

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const learnedTask = `
task: level
target: {series: y, horizon: 1h}
inputs:
  - {series: y, topic: a, path: $.y, unit: mm}
  - {series: valve, topic: a, path: $.v, categories: [shut, open]}
  - {series: x, topic: a, path: $.x}
rows: {on: y}
adapt: {learners: [linear, knn], detectors: [adwin, page-hinkley]}
`

func read(t *testing.T, text string) *Task {
	t.Helper()
	task, err := ParseTask("t.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// TestLearnedChanges changes one thing of a task file after another: words change nothing, what the
// state is made for is named with both values.
func TestLearnedChanges(t *testing.T) {
	was := read(t, learnedTask).Learned()
	for _, c := range []struct{ from, to, want string }{
		{"task: level", "# a comment\ntask:   level", ""},
		{"path: $.x", "path: $.other", ""},
		{"topic: a, path: $.y", "topic: b, path: $.y, range: [0, 5]", ""},
		{"rows: {on: y}", "rows: {on: y, max_age: 9h, lateness: 5s}\ninterval: 0.8\ntime: {path: $.t}", ""},
		{"[linear, knn]", "[knn, linear]", ""},
		{"[adwin, page-hinkley]", "[page-hinkley, adwin]", ""},
		{"horizon: 1h", "horizon: 60m", ""},
		{"horizon: 1h", "horizon: 2h", "target.horizon was 1h0m0s and is 2h0m0s"},
		{"unit: mm", "unit: cm", "unit of input y was mm and is cm"},
		{"[shut, open]", "[open, shut]", "categories of input valve was shut, open and is open, shut"},
		{"  - {series: x, topic: a, path: $.x}\n", "", "input x is gone"},
		{"rows: {on: y}", "rows: {every: 1m}", "rows.on was y and is not set"},
		{"[linear, knn]", "[linear]", "adapt.learners was knn, linear and is linear"},
		{"adapt: {learners: [linear, knn], detectors: [adwin, page-hinkley]}", "", "adapt.learners was knn, linear and is not set"},
	} {
		now := read(t, strings.Replace(learnedTask, c.from, c.to, 1))
		got := was.Changes(now)
		if (len(got) == 0) != (c.want == "") || c.want != "" && got[0] != c.want {
			t.Errorf("%s: %q, want %q", c.to, got, c.want)
		}
	}
}

// TestInOrder: what is listed in another order is put into that of the state, whichever way the
// state was stored.
func TestInOrder(t *testing.T) {
	was := read(t, learnedTask).Learned()
	b, err := json.Marshal(was)
	if err != nil {
		t.Fatal(err)
	}
	var stored Learned
	if err := json.Unmarshal(b, &stored); err != nil || !reflect.DeepEqual(stored, was) {
		t.Fatalf("%+v, %v after a round, want %+v", stored, err, was)
	}
	lines := strings.Split(learnedTask, "\n")
	lines[4], lines[6] = lines[6], lines[4]
	now := read(t, strings.Replace(strings.Join(lines, "\n"), "[linear, knn]", "[knn, linear]", 1))
	if now.Inputs[0].Series != "x" {
		t.Fatalf("inputs %+v", now.Inputs)
	}
	if c := stored.Changes(now); c != nil {
		t.Fatalf("changes %q", c)
	}
	ordered := now.InOrder(stored)
	if !reflect.DeepEqual(ordered.Learned(), was) || now.Inputs[0].Series != "x" {
		t.Errorf("in order %+v, want %+v, and the task itself as it was", ordered.Learned(), was)
	}
}
