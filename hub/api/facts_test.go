package api

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"skerry.dev/hub/meta"
)

// TestTaskFacts holds that the facts of a task follow its file, also one that cannot be read, and
// that a file is parsed once: a thousand tasks that are known take a small part of the first time.
func TestTaskFacts(t *testing.T) {
	var c factCache
	file := func(n int) string {
		return fmt.Sprintf("task: flow\nkind: forecast\ntarget: {series: flow, horizon: %dm}\ninputs:\n  - {series: flow, topic: t, unit: l/s}\nrows: {on: flow}\n", n)
	}
	for _, minutes := range []int{5, 7, 5} {
		if f := c.of(meta.Task{Name: "flow", Spec: file(minutes)}); f.horizon != float64(60*minutes) || f.unit != "l/s" || f.target != "flow" {
			t.Errorf("facts of %d minutes = %+v", minutes, f)
		}
	}
	if f := c.of(meta.Task{Name: "flow", Spec: "kind: [of a later time"}); !reflect.DeepEqual(f, taskFacts{}) {
		t.Errorf("facts of a file that cannot be read = %+v", f)
	}
	pass := func() time.Duration {
		start := time.Now()
		for n := range 1000 {
			c.of(meta.Task{Name: fmt.Sprint("t", n), Spec: file(n + 1)})
		}
		return time.Since(start)
	}
	first, second := pass(), pass()
	if second > first/4 {
		t.Errorf("a thousand known files take %v, parsing them takes %v", second, first)
	}
}
