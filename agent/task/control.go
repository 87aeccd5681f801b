package task

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/source"
	"skerry.dev/compute/engine"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// apply changes a task's models. Live and replayed controls take the same way.
func (r *Runtime) apply(t *running, o op, digest string) error {
	switch o {
	case opShadow, opInstall:
		m, err := r.opts.Models(digest)
		if err != nil {
			return err
		}
		if o == opShadow {
			return t.engine.Shadow(m)
		}
		return t.engine.Install(m)
	case opActivate:
		return t.engine.Activate(digest)
	case opRevert:
		return t.engine.Revert()
	case opSettle:
		t.engine.Settle()
		return nil
	case opReset:
		t.engine.Reset()
		return nil
	}
	return fmt.Errorf("unknown control %d", o)
}

func (r *Runtime) control(ctx context.Context, task string, o op, digest string) error {
	return r.durably(ctx, func(c *sealed) error {
		t := r.task(task)
		if t == nil {
			return fmt.Errorf("no task %q on this device", task)
		}
		if err := r.apply(t, o, digest); err != nil {
			return err
		}
		t.changed = true
		c.Journal = appendControl(c.Journal, o, task, digest)
		r.mark(t, spec.Mark{Op: markOps[o], Digest: digest})
		r.event("model", task, watermark(t.engine), map[string]any{"op": opNames[o], "digest": digest, "champion": t.engine.Champion()})
		return nil
	})
}

var opNames = map[op]string{
	opShadow:   "shadow",
	opActivate: "activate",
	opRevert:   "revert",
	opSettle:   "settle",
	opInstall:  "install",
	opReset:    "reset",
}

var markOps = map[op]spec.MarkOp{
	opShadow:   spec.MarkShadow,
	opActivate: spec.MarkActivate,
	opRevert:   spec.MarkRevert,
	opSettle:   spec.MarkSettle,
	opInstall:  spec.MarkInstall,
	opReset:    spec.MarkReset,
}

func watermark(e *engine.Engine) int64 { return max(e.Status().Watermark, 0) }

func (r *Runtime) task(name string) *running {
	for _, t := range r.tasks {
		if t.spec.Name == name {
			return t
		}
	}
	return nil
}

// Shadow puts an artifact beside the champion of a task. Like all controls it returns once the
// change is durable.
func (r *Runtime) Shadow(ctx context.Context, task, digest string) error {
	return r.control(ctx, task, opShadow, digest)
}

// Activate makes the artifact in shadow the champion; the previous one stays beside it until
// Settle or Revert.
func (r *Runtime) Activate(ctx context.Context, task, digest string) error {
	return r.control(ctx, task, opActivate, digest)
}

// Revert undoes the last Activate.
func (r *Runtime) Revert(ctx context.Context, task string) error {
	return r.control(ctx, task, opRevert, "")
}

// Settle empties the shadow slot.
func (r *Runtime) Settle(ctx context.Context, task string) error {
	return r.control(ctx, task, opSettle, "")
}

// Install makes an artifact the champion without a trial.
func (r *Runtime) Install(ctx context.Context, task, digest string) error {
	return r.control(ctx, task, opInstall, digest)
}

// Reset sends a task back to its baselines.
func (r *Runtime) Reset(ctx context.Context, task string) error {
	return r.control(ctx, task, opReset, "")
}

// Event stores an event of the device, for example of the updater.
func (r *Runtime) Event(ctx context.Context, kind, task string, at int64, detail map[string]any) error {
	return r.call(ctx, func() { r.event(kind, task, at, detail) })
}

// Alarm stores an alarm.
func (r *Runtime) Alarm(ctx context.Context, kind, task string, detail map[string]any) error {
	return r.call(ctx, func() { r.alarm(kind, task, detail) })
}

// Hosts stores samples of host telemetry.
func (r *Runtime) Hosts(ctx context.Context, hs []wire.Host) error {
	return r.call(ctx, func() {
		r.open.Batch.Hosts = append(r.open.Batch.Hosts, hs...)
		r.open.records += len(hs)
		r.open.touch()
	})
}

// Slots is what a task has loaded.
type Slots struct {
	Champion, Shadow string
	Probation        bool
	Paired           engine.Paired
	Running          bool // a trial or a probation runs
	// predictions since the task began, and of these those whose champion gave no finite value
	Rows, Faulted int64
}

// Slots returns the models of a task and how the running trial stands.
func (r *Runtime) Slots(ctx context.Context, task string) (s Slots, err error) {
	cerr := r.call(ctx, func() {
		t := r.task(task)
		if t == nil {
			err = fmt.Errorf("no task %q on this device", task)
			return
		}
		s.Champion, s.Shadow = t.engine.Champion(), t.engine.ShadowID()
		s.Paired, s.Probation, s.Running = t.engine.Trial()
		st := t.engine.Stats()
		s.Rows, s.Faulted = st.Predictions, st.NonFinite
	})
	if cerr != nil {
		return s, cerr
	}
	return s, err
}

// Replace takes over changed task files without losing a reading. What a task has learned goes on
// unless its meaning changed, see [spec.Learned]; the other tasks go on in any case. A failure
// leaves everything as it was. all tells that these are all the tasks there are: what others have
// learned, whose files are gone, is kept for a while then.
func (r *Runtime) Replace(ctx context.Context, tasks []*spec.Task, plan *source.Plan, all bool) error {
	return r.durably(ctx, func(c *sealed) error {
		var next []*running
		old := map[string]*running{}
		for _, t := range r.tasks {
			old[t.spec.Name] = t
		}
		before := maps.Clone(old)
		var resets []reset
		for _, t := range tasks {
			run := old[t.Name]
			if run == nil || run.spec.Hash != t.Hash {
				var why []string
				var err error
				if run, why, err = r.succeed(t, run); err != nil {
					return err
				}
				if why != nil {
					resets = append(resets, reset{t.Name, why})
				}
			}
			next = append(next, run)
		}
		for _, t := range next {
			delete(r.kept, t.spec.Name)
		}
		for _, t := range r.tasks {
			if !contains(tasks, t.spec.Name) {
				r.end(t)
			}
		}
		if all {
			r.expire(time.Now())
		}
		for _, x := range resets {
			r.tellReset(x)
		}
		r.tasks = next
		for _, t := range next {
			if before[t.spec.Name] != t {
				r.markTask(t)
				r.explain(t)
			}
		}
		r.withdraw(old)
		r.plans = nil
		r.route(plan)
		for _, t := range next {
			if old[t.spec.Name] == nil && t.engine.Status().Rows == 0 {
				r.acquaint(t)
			}
		}
		c.touch()
		return nil
	})
}

// Usual returns how far apart readings of a series usually came, 0 where that is not known. It is
// to be called before Run.
func (r *Runtime) Usual(series string) time.Duration {
	id, ok := r.ids[series]
	if !ok {
		return 0
	}
	return time.Duration(r.gate.Usual(id)) * time.Microsecond
}

// withdraw takes what tasks have left at the broker back, which goes on serving it to every new
// subscriber, where their topic is no task's any more.
func (r *Runtime) withdraw(old map[string]*running) {
	for _, name := range slices.Sorted(maps.Keys(old)) {
		gone := old[name]
		if gone.spec.Retains() && gone.engine.Status().Predictions > 0 && !slices.ContainsFunc(r.tasks, func(t *running) bool { return t.topic == gone.topic }) {
			r.opts.Publish(gone.topic, nil, true)
		}
	}
}

// acquaint shows a new task the newest reading that is known of each of its inputs, but for the one
// whose readings are its rows: another task may read it, or the template that the task is made of.
func (r *Runtime) acquaint(t *running) {
	now := time.Now().UnixMicro()
	r.scratch = r.scratch[:0]
	for i := range t.spec.Inputs {
		in := &t.spec.Inputs[i]
		if in.Series == t.spec.Rows.On {
			continue
		}
		at, v, ok := r.gate.Newest(r.ids[in.Series])
		if !ok || at > now+t.spec.Time.MaxFuture.Micros() || at < now-t.spec.Rows.MaxAge.Micros() || in.Range != nil && (v < in.Range[0] || v > in.Range[1]) {
			continue
		}
		r.scratch = append(r.scratch, engine.Reading{Series: i, Time: at, Value: v})
	}
	if len(r.scratch) == 0 {
		return
	}
	slices.SortStableFunc(r.scratch, func(a, b engine.Reading) int { return cmp.Compare(a.Time, b.Time) })
	known := make([]spec.KnownReading, len(r.scratch))
	for i, x := range r.scratch {
		known[i] = spec.KnownReading{Series: t.spec.Inputs[x.Series].Series, Time: x.Time, Value: x.Value}
	}
	r.mark(t, spec.Mark{Op: spec.MarkKnown, At: now, Known: known})
	r.emit(t, t.engine.Ingest(now, r.scratch), now)
}

// succeed returns a task as its file is now, with what it had learned; why tells why it could not
// be kept. before is the task as it runs, nil when it does not.
func (r *Runtime) succeed(t *spec.Task, before *running) (run *running, why []string, err error) {
	if before == nil {
		return r.adopt(t)
	}
	run, why, err = r.with(t, cache.Snapshot{Of: before.learned, Data: before.engine.Save(nil)})
	if err != nil || why != nil {
		return run, why, err
	}
	// its place in the journal is that of the one before, whose snapshot goes on to hold
	run.fresh, run.changed, run.rows, run.saved = before.fresh, before.changed, before.rows, before.saved
	run.published, run.last, run.versions = before.published, before.last, before.versions
	return run, nil, nil
}

// reset is a task that begins anew, and why.
type reset struct {
	task string
	why  []string
}

func (r *Runtime) tellReset(x reset) {
	r.log.Warn("what the task has learned cannot go on: it starts anew", "task", x.task, "why", strings.Join(x.why, "; "))
	r.event("task_reset", x.task, time.Now().UnixMicro(), map[string]any{"why": x.why})
}

func contains(tasks []*spec.Task, name string) bool {
	for _, t := range tasks {
		if t.Name == name {
			return true
		}
	}
	return false
}

// Version sets the name that stands for a digest.
func (r *Runtime) Version(ctx context.Context, task, digest, version string) error {
	return r.call(ctx, func() {
		if t := r.task(task); t != nil {
			t.versions[digest] = version
		}
	})
}
