package gate

// maxIDs is how many ids of a series are known at most: of the newest rows.
const maxIDs = 100_000

// idTimes finds the times of rows by their ids.
type idTimes struct {
	times map[uint64]int64
	keys  []uint64 // in the order in which they came, a ring once there are maxIDs
	next  int
}

func (x *idTimes) put(key uint64, t int64) {
	if old, ok := x.times[key]; ok {
		x.times[key] = max(old, t) // an id that is used again is that of its newest row
		return
	}
	x.times[key] = t
	if len(x.keys) < maxIDs {
		x.keys = append(x.keys, key)
		return
	}
	delete(x.times, x.keys[x.next])
	x.keys[x.next] = key
	x.next = (x.next + 1) % maxIDs
}

// TimeOf returns the time of the newest row that had an id, by its [source.Key]; series is that of the
// ids. It reports false for one that is not among the ids of the newest rows, as many as the pages of
// a series hold and 100,000 at most. The first call for a series reads its pages.
func (g *Gate) TimeOf(series uint32, key uint64) (int64, bool) {
	x := g.ids[series]
	if x == nil {
		x = &idTimes{times: map[uint64]int64{}}
		g.ids[series] = x
		if s := g.series[series]; s != nil {
			g.each(series, s, func(e entry) { x.put(e.value, e.time) })
		}
	}
	t, ok := x.times[key]
	return t, ok
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
