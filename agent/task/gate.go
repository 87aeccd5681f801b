package task

import (
	"math"

	"skerry.dev/compute/state"
	"skerry.dev/sync/wire"
)

// seenRows is how many readings per series the gate remembers. A broker redelivers at most what it had in flight.
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
}

func newGate() *gate { return &gate{series: map[uint32]*seen{}} }

// check looks a reading up: repeated says that it was accepted before with the same value, conflict with another. It does not remember it.
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

// remember records an accepted reading.
func (g *gate) remember(series uint32, t int64, v float64) {
	s := g.series[series]
	if s == nil {
		s = &seen{newest: math.MinInt64}
		g.series[series] = s
	}
	s.newest = max(s.newest, t)
	if len(s.times) < seenRows {
		s.times, s.values = append(s.times, t), append(s.values, v)
		return
	}
	s.times[s.next], s.values[s.next] = t, v
	s.next = (s.next + 1) % seenRows
}

func (g *gate) save() []byte {
	var w state.Writer
	w.Int(int64(len(g.series)))
	for id, s := range g.series {
		w.Int(int64(id))
		w.Ints(s.times)
		w.Floats(s.values)
		w.Int(int64(s.next))
		w.Int(s.newest)
	}
	return w.B
}

func (g *gate) load(b []byte) error {
	r := &state.Reader{B: b}
	n := r.Len(8 * 5)
	g.series = make(map[uint32]*seen, n)
	for range n {
		id := r.Int()
		s := &seen{times: r.Ints(), values: r.Floats(), next: int(r.Int()), newest: r.Int()}
		if len(s.times) != len(s.values) || len(s.times) > seenRows || s.next < 0 || s.next >= seenRows || id < 0 || id > math.MaxUint32 {
			r.Fail()
		}
		if r.Err() != nil {
			return r.Err()
		}
		g.series[uint32(id)] = s
	}
	return r.Err()
}

// blocked are the flags of readings that are stored and shown to no engine.
const blocked = wire.FlagFuture | wire.FlagConflict

// missing are the flags of readings that engines see as missing.
const missing = wire.FlagRange | wire.FlagNotFinite
