package task

import (
	"encoding/json"
	"runtime"
	"time"

	"skerry.dev/compute/engine"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// What engines take beside readings goes to the hub as marks with their place among the readings,
// in the transaction that stores both, so that the hub can recompute what was predicted.

// place is where among the readings that go to the hub something stands.
type place struct {
	earlier uint64 // readings that runs before this one have stored
	after   uint64 // readings of this run so far
	before  uint64 // and before the message that is being taken
	base    int64  // of the monotonic times of readings, microseconds; 0 before the first message
}

// mark stores a mark of a task, nil for all.
func (r *Runtime) mark(t *running, m spec.Mark) { r.markAt(r.place.after, t, m) }

// markIdle stores that a silence was noticed before the message that is being taken which its arrival
// does not show: the message had waited, or the clock was set.
func (r *Runtime) markIdle(t *running, arrival int64) {
	if t.engine.Settled() && !t.engine.Silent(arrival) {
		r.markAt(r.place.before, t, spec.Mark{Op: spec.MarkIdle})
	}
}

func (r *Runtime) markAt(after uint64, t *running, m spec.Mark) {
	name := ""
	m.After = after
	if t != nil {
		name, m.Settled = t.spec.Name, t.engine.Settled()
	}
	body, err := json.Marshal(m)
	if err != nil { // a value without a form in JSON: what is not known must not look known
		body, _ = json.Marshal(spec.Mark{Op: spec.MarkLost, After: m.After, Why: err.Error()})
	}
	now := time.Now()
	if r.open.began.IsZero() {
		r.open.began = now
	}
	r.open.Batch.Events = append(r.open.Batch.Events, wire.Event{
		Time:   now.UnixMicro(),
		Kind:   spec.MarkKind,
		Task:   name,
		Detail: string(body),
	})
	r.open.records++
}

// markTask says how a task begins or goes on.
func (r *Runtime) markTask(t *running) {
	s := spec.MarkState{
		Hash:         t.spec.Hash,
		Learned:      t.spec.Learned(),
		Anew:         t.anew,
		Recalibrated: t.again,
		Earlier:      r.place.earlier,
		Version:      engine.StateVersion,
		Arch:         runtime.GOARCH,
	}
	if len(t.spec.Source) <= spec.MaxMarkSource {
		s.Source = t.spec.Source
	}
	r.mark(t, spec.Mark{Op: spec.MarkTask, State: &s})
	if t.lost != "" {
		r.mark(t, spec.Mark{Op: spec.MarkLost, Why: t.lost})
	}
	t.anew, t.again, t.lost = false, false, ""
}

// clockStep is how far a clock moves against the monotonic one until that is no drift between two
// readings of both.
const clockStep = 50 * time.Millisecond

// arrived returns the arrival of a message in nanoseconds since the base of the clock, which is
// marked where it is not the one before: the clock was set, or the machine has slept.
func (r *Runtime) arrived(arrival int64, now time.Time) int64 {
	base := now.UnixMicro() - now.Sub(r.start).Microseconds()
	if d := base - r.place.base; d > clockStep.Microseconds() || d < -clockStep.Microseconds() {
		r.place.base = base
		r.mark(nil, spec.Mark{Op: spec.MarkClock, Base: base})
	}
	return (arrival - r.place.base) * 1000
}
