package gate

import (
	"math"
	"slices"
)

// maxIDs is how many ids of a series are known at most: of the newest rows.
const maxIDs = 100_000

// idTimes finds the times of rows by their ids.
type idTimes struct {
	rows  map[uint64]idRow
	order []idPlace // of all that was put; an id that came again counts where it did last
	stamp uint64
}

type idRow struct {
	time  int64
	stamp uint64
}

type idPlace struct{ key, stamp uint64 }

// put notes the row of an id. Of an id that comes again the newest row is meant.
func (x *idTimes) put(key uint64, t int64) {
	if old, ok := x.rows[key]; ok && t <= old.time {
		return
	}
	x.stamp++
	x.rows[key] = idRow{t, x.stamp}
	x.order = append(x.order, idPlace{key, x.stamp})
	for len(x.rows) > maxIDs {
		if x.holds(x.order[0]) {
			delete(x.rows, x.order[0].key)
		}
		x.order = x.order[1:]
	}
	if len(x.order) > 2*maxIDs {
		x.order = slices.DeleteFunc(slices.Clone(x.order), func(p idPlace) bool { return !x.holds(p) })
	}
}

func (x *idTimes) holds(p idPlace) bool { return x.rows[p.key].stamp == p.stamp }

// TimeOf returns the time of the newest row that had an id, by its [source.Key]; series is that of
// the ids. It reports false for one that is not among the ids of the newest rows, as many as the
// pages of a series hold and 100,000 at most. The first call for a series reads its pages.
func (g *Gate) TimeOf(series uint32, key uint64) (int64, bool) {
	x := g.ids[series]
	if x == nil {
		x = &idTimes{rows: map[uint64]idRow{}}
		g.ids[series] = x
		if s := g.series[series]; s != nil {
			g.each(series, s, func(e entry) { x.put(e.value, e.time) })
		}
	}
	row, ok := x.rows[key]
	return row.time, ok
}

// maxApart is by how many microseconds rows of one time are told apart at most.
const maxApart = 1000

// Apart returns the time of a row that says it is of time t, by its id: t, or the next microsecond
// that is not of a row with another id. taken tells of rows that are not admitted yet. Senders whose
// clocks have whole seconds give several parts one time. It returns t where a thousand are taken.
// series is that of the ids, key the reading's value. It reads the pages that hold these times.
func (g *Gate) Apart(series uint32, key float64, t int64, taken func(int64) bool) int64 {
	known := g.from(series, t)
	for at := t; at < t+maxApart; at++ {
		other := false
		for len(known) > 0 && known[0].time == at {
			if known[0].value == math.Float64bits(key) {
				return at
			}
			other, known = true, known[1:]
		}
		if !other && !taken(at) {
			return at
		}
	}
	return t
}

// from returns what is known of a series of the times from t on, in order, as far as Apart looks.
func (g *Gate) from(series uint32, t int64) (known []entry) {
	s := g.series[series]
	if s == nil || t > s.newest {
		return nil
	}
	for next := t; next <= s.floor && next < t+maxApart; {
		_, entries, _ := g.page(series, s, next)
		i, _ := slices.BinarySearchFunc(entries, entry{time: next}, compareTimes)
		if i == len(entries) {
			break // none of the page, and so none without a gap behind t
		}
		known = append(known, entries[i:]...)
		next = entries[len(entries)-1].time + 1
	}
	i, _ := slices.BinarySearchFunc(s.newestEntries, entry{time: t}, compareTimes)
	return append(known, s.newestEntries[i:]...)
}

// each calls f with what is known of a series, in order of time.
func (g *Gate) each(series uint32, s *seen, f func(entry)) {
	for _, start := range g.starts(series, s) {
		if at, entries, ok := g.page(series, s, start); ok && at == start {
			for _, e := range entries {
				f(e)
			}
		}
	}
	for _, e := range s.newestEntries {
		f(e)
	}
}
