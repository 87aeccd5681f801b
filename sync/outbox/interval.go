package outbox

import (
	"cmp"
	"slices"

	"skerry.dev/sync/wire"
)

// Set is a set of sequence numbers as disjoint, sorted, non-adjacent ranges.
type Set []wire.Range

// Add includes r.
func (s *Set) Add(r wire.Range) {
	if r.From > r.To {
		return
	}
	i, _ := slices.BinarySearchFunc(*s, r.From, func(x wire.Range, from uint64) int {
		switch {
		case after(x.To) < from:
			return -1
		case x.From > from:
			return 1
		}
		return 0
	})
	j := i
	for j < len(*s) && (*s)[j].From <= after(r.To) {
		r.From, r.To = min(r.From, (*s)[j].From), max(r.To, (*s)[j].To)
		j++
	}
	*s = slices.Replace(*s, i, j, r)
}

// after is the number behind n; there is none behind the last.
func after(n uint64) uint64 { return max(n, n+1) }

// setOf returns the set of ranges in any order. It costs O(n log n).
func setOf(ranges []wire.Range) (s Set) {
	slices.SortFunc(ranges, func(a, b wire.Range) int { return cmp.Compare(a.From, b.From) })
	for _, r := range ranges {
		s.Add(r)
	}
	return s
}

// Contains reports whether all of r is in the set. It costs O(log n).
func (s Set) Contains(r wire.Range) bool {
	i, _ := slices.BinarySearchFunc(s, r.From, func(x wire.Range, from uint64) int {
		if x.To < from {
			return -1
		}
		return 1
	})
	return i < len(s) && s[i].From <= r.From && r.To <= s[i].To
}

// Mark is the largest n such that 1..n are all in the set, 0 when 1 is not.
func (s Set) Mark() uint64 {
	if len(s) > 0 && s[0].From <= 1 {
		return s[0].To
	}
	return 0
}

// Count returns how many numbers are in the set.
func (s Set) Count() (n uint64) {
	for _, x := range s {
		n += x.To - x.From + 1
	}
	return n
}
