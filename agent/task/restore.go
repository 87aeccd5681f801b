package task

import (
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
	for i, t := range r.opts.Tasks {
		run, err := newRunning(t, r.opts.Device)
		if err != nil {
			return err
		}
		from[i] = math.MaxUint64
		if sn, ok := snaps[t.Name]; ok && sn.Hash == t.Hash {
			if err := run.engine.Load(sn.Data, r.opts.Models); err != nil {
				r.alarm("state_lost", t.Name, map[string]any{"problem": err.Error()})
				if run, err = newRunning(t, r.opts.Device); err != nil {
					return err
				}
			} else {
				from[i], run.fresh = sn.Position, false
			}
		}
		r.tasks = append(r.tasks, run)
		delete(snaps, t.Name)
	}
	gateFrom := uint64(0)
	if sn, ok := snaps[gateSnapshot]; ok {
		if err := r.gate.Load(sn.Data); err != nil {
			r.alarm("state_lost", "", map[string]any{"problem": fmt.Sprintf("repeated readings are not known: %v", err)})
			r.gate = gate.New()
		} else {
			gateFrom = sn.Position
		}
		r.position = sn.Position
	}
	delete(snaps, gateSnapshot)
	if r.opts.Keep {
		r.kept = snaps // and the journal is not kept for them
		for _, sn := range snaps {
			sn.Position = cache.Detached
			r.open.Snapshots = append(r.open.Snapshots, sn)
		}
	} else {
		for name := range snaps {
			r.open.Forget = append(r.open.Forget, name)
		}
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
	if entries > 0 {
		r.log.Info("journal replayed", "entries", entries, "ms", time.Since(began).Milliseconds())
	}
	return err
}

// adopt begins a task, with what it had learned when its file could not be read at the start.
func (r *Runtime) adopt(t *spec.Task) (*running, error) {
	sn, ok := r.kept[t.Name]
	delete(r.kept, t.Name)
	if ok && sn.Hash == t.Hash {
		run, err := newRunning(t, r.opts.Device)
		if err != nil {
			return nil, err
		}
		if err = run.engine.Load(sn.Data, r.opts.Models); err == nil {
			return run, nil
		}
		r.alarm("state_lost", t.Name, map[string]any{"problem": err.Error()})
	}
	return newRunning(t, r.opts.Device)
}

// replay offers one journal item to a task; what follows was published and stored before the crash.
func (r *Runtime) replay(t *running, it *item, names map[uint32]string) {
	switch it.kind {
	case itemMessage:
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
	case itemControl:
		if it.task == t.spec.Name {
			if err := r.apply(t, it.op, it.digest); err != nil {
				r.alarm("replay_control", t.spec.Name, map[string]any{"problem": err.Error(), "digest": it.digest})
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
