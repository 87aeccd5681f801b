package task

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"skerry.dev/agent/cache"
	"skerry.dev/sync/spec"
)

// What a task has learned outlives its file by keepGone, as far as the states of all such tasks take
// one part in goneShare of the cache's cap: a file may be moved away and come back.
const (
	keepGone  = 7 * 24 * time.Hour
	goneShare = 16
)

// keptState is the stored state of a task that does not run.
type keptState struct {
	since int64 // microseconds
	bytes int64
}

// leave keeps the state of a task that does not run; no journal is kept for it.
func (r *Runtime) leave(sn cache.Snapshot) {
	if sn.Gone == 0 || sn.Position != cache.Detached {
		sn.Gone, sn.Position = cmp.Or(sn.Gone, time.Now().UnixMicro()), cache.Detached
		r.open.Snapshots = append(r.open.Snapshots, sn)
	}
	r.kept[sn.Name] = keptState{sn.Gone, int64(len(sn.Data))}
}

// end takes a task that runs away.
func (r *Runtime) end(t *running) {
	st := t.engine.Status()
	if st.Rows == 0 { // nothing was learned
		r.open.Forget = append(r.open.Forget, t.spec.Name)
		return
	}
	r.mark(t, spec.Mark{Op: spec.MarkGone})
	r.leave(cache.Snapshot{Name: t.spec.Name, Of: t.learned, Data: t.engine.Save(nil)})
	r.log.Info("a task is in no file any more: what it has learned is kept for a while", "task", t.spec.Name, "rows", st.Rows, "for", keepGone)
	r.event("task_gone", t.spec.Name, time.Now().UnixMicro(), map[string]any{
		"rows":       st.Rows,
		"what_to_do": fmt.Sprintf("to go on with what it has learned, put its file back within %d days", int(keepGone.Hours()/24)),
	})
}

// expire drops what is kept for too long, or takes too much room, the oldest first.
func (r *Runtime) expire(now time.Time) {
	newest := slices.SortedFunc(maps.Keys(r.kept), func(a, b string) int {
		if c := r.kept[b].since - r.kept[a].since; c != 0 {
			return int(min(max(c, -1), 1))
		}
		return strings.Compare(a, b)
	})
	room := int64(r.opts.MaxBytes) / goneShare
	for _, name := range newest {
		k := r.kept[name]
		room -= k.bytes
		if room >= 0 && now.Sub(time.UnixMicro(k.since)) < keepGone {
			continue
		}
		delete(r.kept, name)
		r.open.Forget = append(r.open.Forget, name)
		r.log.Warn("what a task has learned is dropped: it has been in no file for long, or others that are take the room", "task", name, "since", time.UnixMicro(k.since).UTC().Format(time.RFC3339))
	}
}

// adopt begins a task, with what it had learned before it was taken away, or its file could not be
// read.
func (r *Runtime) adopt(t *spec.Task) (*running, []string, error) {
	if _, ok := r.kept[t.Name]; !ok {
		run, err := newRunning(t, r.opts.Device)
		return run, nil, err
	}
	sn, ok, err := r.opts.Store.Snapshot(t.Name)
	if err != nil || !ok {
		run, newErr := newRunning(t, r.opts.Device)
		return run, []string{fmt.Sprintf("what was kept of it cannot be read: %v", err)}, newErr
	}
	run, why, err := r.with(t, sn)
	if err == nil {
		run.fresh = true // the journal was not kept for it
	}
	return run, why, err
}
