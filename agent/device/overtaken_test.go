package device

import (
	"strings"
	"testing"
	"time"

	"skerry.dev/agent/task"
	"skerry.dev/compute/engine"
	"skerry.dev/sync/spec"
)

// TestOvertaken: rows that do not come about are a matter of health, with what to do.
func TestOvertaken(t *testing.T) {
	st := &task.TaskStatus{Spec: &spec.Task{Name: "mix", Rows: spec.Rows{On: "mtemp"}}}
	for n, want := range map[int64]string{
		0: "", 4: "",
		5: "task mix: the last 5 readings of mtemp made no row: the newest came 2s behind the time that another input's readings, or its own, had reached by then",
	} {
		st.Engine.Overtaken = engine.Overtaken{Readings: 9, InARow: n, Behind: 2 * time.Second.Microseconds()}
		if got := overtaken(st); (got == "") != (want == "") || !strings.HasPrefix(got, want) {
			t.Errorf("after %d: %q, want %q", n, got, want)
		}
	}
}

// TestOvertakenForRoom: where so many readings wait that the lateness is not kept, a longer one is
// no remedy, and the number is named.
func TestOvertakenForRoom(t *testing.T) {
	st := &task.TaskStatus{Spec: &spec.Task{Name: "mix", Rows: spec.Rows{On: "mtemp"}}}
	st.Engine.Overtaken = engine.Overtaken{Readings: 9, InARow: 5, Behind: 2e6, Room: 32_768_000}
	if got := overtaken(st); !strings.Contains(got, "32768 readings of a series wait at most, which are those of 32.768s") || strings.Contains(got, "to more than") {
		t.Errorf("health says %q", got)
	}
}
