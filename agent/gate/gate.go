// Package gate decides what a reading is before any engine sees it: accepted, a repeat, in
// conflict with one before, from the future, out of its range. The live runtime and a replay pass
// their readings through the same gate, so that both show their engines the same.
//
// A gate remembers the newest readings of every series and how its sensor behaves. It is not safe
// for concurrent use.
package gate

import (
	"maps"
	"math"
	"slices"
	"time"

	"skerry.dev/agent/source"
	"skerry.dev/compute/state"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// seenRows is how many readings per series the gate remembers. A broker redelivers at most what
// it had in flight.
const seenRows = 256

// Gate passes readings. Series have stable numbers, which the caller gives.
type Gate struct {
	series map[uint32]*seen
}

// Limits are what is declared of a series.
type Limits struct {
	Min, Max  float64 // of its values; values outside are stored and missing
	MaxFuture int64   // microseconds that an event time may be ahead of the arrival
	Number    bool    // not a category: its sensor's health is watched
}

// seen remembers the newest readings of a series, oldest overwritten first.
type seen struct {
	times  []int64
	values []float64
	next   int
	newest int64
	health health
}

// New returns a gate that has seen nothing.
func New() *Gate { return &Gate{series: map[uint32]*seen{}} }

// LimitsOf returns the limits of a series that the tasks read: the smallest max_future of those
// that use it.
func LimitsOf(s *source.Series, tasks []*spec.Task) Limits {
	lim := Limits{
		Min:       math.Inf(-1),
		Max:       math.Inf(1),
		MaxFuture: math.MaxInt64,
		Number:    len(s.Categories) == 0,
	}
	if s.Range != nil {
		lim.Min, lim.Max = s.Range[0], s.Range[1]
	}
	for _, t := range tasks {
		if _, ok := t.EngineSeries(s.Name); ok {
			lim.MaxFuture = min(lim.MaxFuture, t.Time.MaxFuture.Micros())
		}
	}
	if lim.MaxFuture == math.MaxInt64 {
		lim.MaxFuture = 5 * time.Minute.Microseconds()
	}
	return lim
}

// Admit decides on a reading of a message. A repeat of one that was accepted is to be ignored and
// changes nothing; any other is remembered, and its flags define which engines may see it
// (wire.Blocked, wire.Missing). changes are what is to be reported of the sensor.
func (g *Gate) Admit(series uint32, m *source.Message, rd source.Reading, lim Limits) (f wire.Flags, repeated bool, changes []Change) {
	repeated, conflict := g.check(series, rd.Time, rd.Value)
	if repeated {
		return 0, true, nil
	}
	f = flags(m, rd, lim)
	if conflict {
		f |= wire.FlagConflict
	}
	if lim.Number {
		f |= g.judge(series, rd.Value, f)
	}
	return f, false, g.Remember(series, rd.Time, rd.Value, f)
}

// flags are what a reading's message and its value show by themselves.
func flags(m *source.Message, rd source.Reading, lim Limits) (f wire.Flags) {
	if !rd.HasTime {
		f |= wire.FlagArrival
		if !m.ClockOK {
			f |= wire.FlagNoClock
		}
	} else if m.ClockOK && rd.Time > m.Arrival+lim.MaxFuture {
		f |= wire.FlagFuture
	}
	if m.Dup {
		f |= wire.FlagDup
	}
	switch {
	case math.IsNaN(rd.Value) || math.IsInf(rd.Value, 0):
		f |= wire.FlagNotFinite
	case rd.Value < lim.Min || rd.Value > lim.Max:
		f |= wire.FlagRange
	}
	return f
}

// check looks a reading up: repeated reports that it was accepted before with the same value,
// conflict with another. It does not remember it.
func (g *Gate) check(series uint32, t int64, v float64) (repeated, conflict bool) {
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

// unwell are the flags of readings that carry no information about what is usual of a series.
const unwell = wire.Blocked | wire.Missing

// judge looks at an accepted reading of a number as a sign of its sensor's health and returns
// FlagStuck and FlagSpike as they apply. It does not remember it.
func (g *Gate) judge(series uint32, v float64, f wire.Flags) wire.Flags {
	if s := g.series[series]; s != nil && f&unwell == 0 {
		return s.health.judge(v)
	}
	return 0
}

// Remember records an accepted reading with its flags, as Admit does, and returns what is
// to be reported of the sensor.
func (g *Gate) Remember(series uint32, t int64, v float64, f wire.Flags) (changes []Change) {
	s := g.series[series]
	if s == nil {
		s = &seen{newest: math.MinInt64}
		g.series[series] = s
	}
	s.newest = max(s.newest, t)
	if f&unwell == 0 {
		changes = s.health.add(t, v, f)
	}
	if len(s.times) < seenRows {
		s.times, s.values = append(s.times, t), append(s.values, v)
		return changes
	}
	s.times[s.next], s.values[s.next] = t, v
	s.next = (s.next + 1) % seenRows
	return changes
}

// Save returns the state.
func (g *Gate) Save() []byte {
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

// Load restores a state. After an error the gate must not be used.
func (g *Gate) Load(b []byte) error {
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
