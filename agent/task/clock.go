package task

import (
	"time"

	"skerry.dev/sync/spec"
)

// setBack is how far a clock goes back for readings of before to be taken for ones of the future:
// what NTP corrects in steps is less.
const setBack = 5 * time.Minute

// watch notices that a clock which is trusted was set back: tasks that date readings by their
// arrival would wait, for as long as it was ahead, for event time to come to where it was.
func (r *Runtime) watch(now int64) {
	before := r.clock
	if r.clock = now; now >= before-setBack.Microseconds() {
		return
	}
	r.open.Journal = appendRewind(r.open.Journal, now)
	by := time.Duration(before-now) * time.Microsecond
	for _, t := range r.tasks {
		if t.spec.DatesByArrival() {
			r.mark(t, spec.Mark{Op: spec.MarkRewind, At: now, Ahead: t.ahead()})
		}
		if !t.rewind(now) {
			continue
		}
		r.log.Warn("the clock was set back: what was dated by it is given up", "task", t.spec.Name, "by", by)
		r.event("clock_back", t.spec.Name, now, map[string]any{
			"seconds":    int64(by.Seconds()),
			"what_to_do": "rows and predictions of the time that the clock was ahead have wrong times; see that the device gets its time from NTP before the agent starts",
		})
	}
}

// rewind tells a task that the clock was set back.
func (t *running) rewind(now int64) bool {
	t.changed = true
	return t.spec.DatesByArrival() && t.engine.Rewind(now, t.ahead())
}

// ahead is how far beyond the clock times are not those of a clock that was ahead, microseconds.
func (t *running) ahead() int64 { return max(t.spec.Time.MaxFuture.Micros(), setBack.Microseconds()) }
