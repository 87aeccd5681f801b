package task

import (
	"maps"
	"math"
	"slices"

	"skerry.dev/compute/state"
	"skerry.dev/sync/wire"
)

// seenRows is how many readings per series the gate remembers. A broker redelivers at most what
// it had in flight.
const seenRows = 256

// gate decides what a reading is before any engine sees it.
type gate struct {
	series map[uint32]*seen
}

// seen remembers the newest readings of a series, oldest overwritten first.
type seen struct {
	times  []int64
	values []float64
	next   int
	newest int64
	health health
}

func newGate() *gate { return &gate{series: map[uint32]*seen{}} }

// check looks a reading up: repeated says that it was accepted before with the same value,
// conflict with another. It does not remember it.
func (g *gate) check(series uint32, t int64, v float64) (repeated, conflict bool) {
	s := g.series[series]
	if s == nil || len(s.times) == 0 || t > s.newest {
		return false, false
	}
	for i := len(s.times) - 1; i >= 0; i-- {
		if s.times[i] == t {
			if math.Float64bits(s.values[i]) == math.Float64bits(v) {
				return true, false
			}
			conflict = true
		}
	}
	return false, conflict
}

// unwell are the flags of readings that say nothing about what is usual of a series.
const unwell = blocked | missing

// judge looks at an accepted reading of a number as a sign of its sensor's health and returns
// FlagStuck and FlagSpike as they apply. It does not remember it.
func (g *gate) judge(series uint32, v float64, f wire.Flags) wire.Flags {
	if s := g.series[series]; s != nil && f&unwell == 0 {
		return s.health.judge(v)
	}
	return 0
}

// remember records an accepted reading with its flags and returns what people are to be told of
// the sensor.
func (g *gate) remember(series uint32, t int64, v float64, f wire.Flags) (tell []change) {
	s := g.series[series]
	if s == nil {
		s = &seen{newest: math.MinInt64}
		g.series[series] = s
	}
	s.newest = max(s.newest, t)
	if f&unwell == 0 {
		tell = s.health.add(t, v, f)
	}
	if len(s.times) < seenRows {
		s.times, s.values = append(s.times, t), append(s.values, v)
		return tell
	}
	s.times[s.next], s.values[s.next] = t, v
	s.next = (s.next + 1) % seenRows
	return tell
}

func (g *gate) save() []byte {
	var w state.Writer
	w.Int(int64(len(g.series)))
	for _, id := range slices.Sorted(maps.Keys(g.series)) {
		s := g.series[id]
		w.Int(int64(id))
		w.Ints(s.times)
		w.Floats(s.values)
		w.Int(int64(s.next))
		w.Int(s.newest)
		s.health.save(&w)
	}
	return w.B
}

func (g *gate) load(b []byte) error {
	r := &state.Reader{B: b}
	n := r.Len(8 * 22)
	g.series = make(map[uint32]*seen, n)
	for range n {
		id := r.Int()
		s := &seen{times: r.Ints(), values: r.Floats(), next: int(r.Int()), newest: r.Int()}
		s.health.load(r)
		if len(s.times) != len(s.values) || len(s.times) > seenRows || s.next < 0 || s.next >= seenRows || id < 0 || id > math.MaxUint32 {
			r.Fail()
		}
		if r.Err() != nil {
			return r.Err()
		}
		g.series[uint32(id)] = s
	}
	if len(r.B) != 0 {
		r.Fail() // of another version
	}
	return r.Err()
}

// blocked are the flags of readings that are stored and shown to no engine.
const blocked = wire.FlagFuture | wire.FlagConflict

// missing are the flags of readings that engines see as missing.
const missing = wire.FlagRange | wire.FlagNotFinite
