package api

import (
	"math"
	"testing"

	"skerry.dev/hub/meta"
)

// TestCategoryNames: values are named by the inputs of the device's tasks, and not where these
// differ.
func TestCategoryNames(t *testing.T) {
	file := func(categories string) string {
		return "task: line\nkind: anomaly\ninputs:\n  - {series: mode, topic: a/b, path: $.mode, categories: " + categories + "}\n" +
			"  - {series: flow, topic: a/b, path: $.flow}\n  - {series: heat, topic: a/b, path: $.heat}\ntime: {path: $.ts}\nrows: {on: flow, max_age: 1m}\n"
	}
	names := categoryNames{}
	names.add(meta.Task{Name: "one"}, file("[idle, busy]"))
	if names["mode"] == nil {
		t.Fatal("the task file of the test cannot be read")
	}
	names.add(meta.Task{Name: "same"}, file("[idle, busy]"))
	names.add(meta.Task{Name: "broken"}, "categories: [")
	for _, tt := range []struct {
		series string
		value  float64
		want   string
	}{
		{"mode", 0, "idle"},
		{"mode", 1, "busy"},
		{"mode", 2, ""},
		{"mode", -1, ""},
		{"mode", 0.5, ""},
		{"mode", math.NaN(), ""},
		{"mode", math.Inf(1), ""},
		{"flow", 1, ""},
		{"none", 1, ""},
	} {
		if got := names.of(tt.series, tt.value); got != tt.want {
			t.Errorf("of(%s, %v) = %q, want %q", tt.series, tt.value, got, tt.want)
		}
	}
	names.add(meta.Task{Name: "gate"}, "task: gate\nkind: classification\ntarget: {series: ok, topic: a/label, path: $.ok, categories: [bad, good]}\n"+
		"inputs:\n  - {series: flow, topic: a/b, path: $.flow}\ntime: {path: $.ts}\nrows: {on: flow, max_age: 1m}\n")
	if got := names.of("ok", 1); got != "good" {
		t.Errorf("a label by message is called %q", got)
	}
	names.add(meta.Task{Name: "other"}, file("[off, on]"))
	names.add(meta.Task{Name: "third"}, file("[off, on]"))
	if got := names.of("mode", 0); got != "" {
		t.Errorf("tasks differ, yet 0 is %q", got)
	}
}
