package gate

import "slices"

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

// TimeOf returns the time of the newest row that had an id, by its [source.Key]; series is that of the
// ids. It reports false for one that is not among the ids of the newest rows, as many as the pages of
// a series hold and 100,000 at most. The first call for a series reads its pages.
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
