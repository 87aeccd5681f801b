package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/gate"
	"skerry.dev/compute/engine"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

const gateSnapshot = ".gate"

// restore loads snapshots and feeds the journal entries behind them.
func (r *Runtime) restore() error {
	snaps, err := r.opts.Store.Snapshots()
	if err != nil {
		return err
	}
	from := make([]uint64, len(r.opts.Tasks))
	var resets []reset
	for i, t := range r.opts.Tasks {
		from[i] = math.MaxUint64
		sn, ok := snaps[t.Name]
		run, err := newRunning(t, r.opts.Device)
		if ok && err == nil {
			var why []string
			if run, why, err = r.with(t, sn); why != nil {
				resets = append(resets, reset{t.Name, why})
			} else if err == nil && !run.fresh {
				from[i] = sn.Position
			}
		}
		if err != nil {
			return err
		}
		r.tasks = append(r.tasks, run)
		delete(snaps, t.Name)
	}
	gateFrom := uint64(0)
	r.gate = gate.New(r.opts.Store, r.seenPages())
	if sn, ok := snaps[gateSnapshot]; ok {
		if err := r.gate.Load(sn.Data); err != nil {
			r.alarm("state_lost", "", map[string]any{"problem": fmt.Sprintf("repeated readings are not known: %v", err)})
			r.gate = gate.New(r.opts.Store, r.seenPages())
		} else {
			gateFrom, r.gateSaved = sn.Position, time.Now()
		}
		r.position = sn.Position
	}
	delete(snaps, gateSnapshot)
	for _, sn := range snaps {
		r.leave(sn)
	}
	if !r.opts.Keep {
		r.expire(time.Now())
	}
	names := make(map[uint32]string, len(r.ids))
	for n, id := range r.ids {
		names[id] = n
	}
	began, entries := time.Now(), 0
	err = r.opts.Store.Journal(func(pos uint64, entry []byte) error {
		r.position = max(r.position, pos)
		entries++
		return eachItem(entry, func(it *item) error {
			if pos > gateFrom && it.kind == itemMessage {
				for _, in := range it.inputs {
					r.gate.Remember(in.series, in.time, in.value, in.flags)
				}
			}
			for i, t := range r.tasks {
				if pos > from[i] {
					r.replay(t, it, names)
				}
			}
			return nil
		})
	})
	for _, x := range resets {
		r.tellReset(x)
	}
	for _, t := range r.tasks {
		if at := t.engine.Arrived(); at != engine.NoArrival {
			r.clock = max(r.clock, at)
		}
	}
	if entries > 0 {
		r.log.Info("journal replayed", "entries", entries, "ms", time.Since(began).Milliseconds())
	}
	return err
}

// with begins a task with a stored state, as far as that fits: why tells why it begins anew.
func (r *Runtime) with(t *spec.Task, sn cache.Snapshot) (run *running, why []string, err error) {
	l := t.Learned()
	switch {
	case sn.Of != nil:
		l = spec.Learned{}
		if err := json.Unmarshal(sn.Of, &l); err != nil {
			return nil, nil, fmt.Errorf("what the state of task %q was made for: %w", t.Name, err)
		}
		why = l.Changes(t)
	case sn.Hash != t.Hash:
		why = []string{"its file changed while the program did, whose builds before 2026-12 compare texts"}
	}
	if why != nil {
		run, err = newRunning(t, r.opts.Device)
		return run, why, err
	}
	if run, err = newRunning(t.InOrder(l), r.opts.Device); err != nil {
		return nil, nil, err
	}
	var gone *engine.ModelGoneError
	switch err = run.engine.Load(sn.Data, r.opts.Models); {
	case errors.As(err, &gone):
		r.alarm("model_gone", t.Name, map[string]any{"problem": err.Error(), "digest": gone.ID})
		run.lost = err.Error()
	case err != nil:
		r.alarm("state_lost", t.Name, map[string]any{"problem": err.Error()})
		run, err = newRunning(t, r.opts.Device)
		return run, nil, err
	}
	if l.Interval != t.Interval {
		run.engine.Recalibrate()
		run.again = true
	}
	run.fresh, run.anew = false, false
	return run, nil, nil
}

// seenPages is how many pages of known readings may be kept of a series: all of them take a share
// of the cache at most.
func (r *Runtime) seenPages() int {
	pages := int64(r.opts.MaxBytes) / seenShare / pageBytes / int64(max(len(r.ids), 1))
	return int(min(pages, gate.DefaultPages))
}

const (
	seenShare = 16
	pageBytes = 1 << 10 // of a page with the room around it
)

// replay offers one journal item to a task; what follows was published and stored before the crash.
func (r *Runtime) replay(t *running, it *item, names map[uint32]string) {
	switch it.kind {
	case itemMessage:
		t.changed = true
		r.scratch = r.scratch[:0]
		for _, in := range it.inputs {
			if k, ok := t.spec.EngineSeries(names[in.series]); ok && in.flags&wire.Blocked == 0 {
				r.scratch = append(r.scratch, engineReading(k, in))
			}
		}
		if len(r.scratch) > 0 {
			r.note(t, t.engine.Ingest(it.arrival, r.scratch))
		}
	case itemIdle:
		r.note(t, t.engine.Idle(it.arrival))
	case itemRewind:
		t.rewind(it.arrival)
	case itemControl:
		if it.task == t.spec.Name {
			if err := r.apply(t, it.op, it.digest); err != nil {
				r.alarm("replay_control", t.spec.Name, map[string]any{"problem": err.Error(), "digest": it.digest})
				t.lost = err.Error()
			}
		}
	}
}

func engineReading(series int, in input) engine.Reading {
	v := in.value
	if in.flags&wire.Missing != 0 {
		v = math.NaN()
	}
	return engine.Reading{Series: series, Time: in.time, Value: v}
}
