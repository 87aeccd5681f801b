package ingest

import (
	"slices"

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

// meets reports whether r shares a number with the set.
func (s intervals) meets(r wire.Range) bool {
	return slices.ContainsFunc(s, func(x wire.Range) bool { return x.From <= r.To && r.From <= x.To })
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
