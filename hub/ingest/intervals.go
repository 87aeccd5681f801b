package ingest

import (
	"context"
	"slices"
	"sync"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// intervals is a sorted list of disjoint, non-touching ranges.
type intervals []wire.Range

// add returns the union with r.
func (s intervals) add(r wire.Range) intervals {
	i, _ := slices.BinarySearchFunc(s, r.From, func(x wire.Range, from uint64) int {
		if x.To+1 < from { // entirely before, not even touching
			return -1
		}
		return 1
	})
	j := i
	for j < len(s) && s[j].From <= r.To+1 {
		r.From, r.To = min(r.From, s[j].From), max(r.To, s[j].To)
		j++
	}
	return slices.Replace(s, i, j, r)
}

// set splits the ranges into the contiguous mark and what lies above it.
func (s intervals) set(run wire.Run, c wire.Class) wire.AppliedSet {
	out := wire.AppliedSet{Run: run, Class: c}
	rest := s
	if len(s) > 0 && s[0].From <= 1 {
		out.Mark, rest = s[0].To, s[1:]
	}
	out.Ranges = slices.Clone([]wire.Range(rest))
	return out
}

type runKey struct {
	device string
	run    wire.Run
}

type setKey struct {
	runKey
	class wire.Class
}

// ledger caches the interval sets of the runs in use. The database is the truth: ranges are added
// here only after their commit.
type ledger struct {
	db   *meta.Store
	mu   sync.Mutex
	runs map[runKey]*[len(wire.Classes) + 1]intervals
}

func (l *ledger) load(ctx context.Context, k runKey) (*[len(wire.Classes) + 1]intervals, error) {
	if sets, ok := l.runs[k]; ok {
		return sets, nil
	}
	rows, err := l.db.Read().Intervals(ctx, k.device, k.run.String())
	if err != nil {
		return nil, err
	}
	sets := new([len(wire.Classes) + 1]intervals)
	for _, r := range rows {
		if c := wire.Class(r.Class); c.Valid() {
			sets[c] = sets[c].add(wire.Range{From: uint64(r.From), To: uint64(r.To)})
		}
	}
	l.runs[k] = sets
	return sets, nil
}

// add notes committed ranges.
func (l *ledger) add(ctx context.Context, k setKey, r wire.Range) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	sets, err := l.load(ctx, k.runKey)
	if err == nil {
		sets[k.class] = sets[k.class].add(r)
	}
	return err
}

// applied returns the sets of the given classes of a run, all classes when none are given.
func (l *ledger) applied(ctx context.Context, k runKey, classes ...wire.Class) ([]wire.AppliedSet, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sets, err := l.load(ctx, k)
	if err != nil {
		return nil, err
	}
	if len(classes) == 0 {
		classes = wire.Classes[:]
	}
	out := make([]wire.AppliedSet, 0, len(classes))
	for _, c := range classes {
		out = append(out, sets[c].set(k.run, c))
	}
	return out, nil
}
