// Package gate decides what a reading is before any engine sees it: accepted, a repeat, in
// conflict with one before, from the future, out of its range. The live runtime and a replay pass
// their readings through the same gate, so that both show their engines the same.
//
// A gate remembers the readings of every series, as far back as its pages reach, and how each sensor
// behaves. It is not safe for concurrent use.
package gate

import (
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"skerry.dev/agent/source"
	"skerry.dev/compute/state"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// Gate passes readings. Series have stable numbers, which the caller gives.
type Gate struct {
	series     map[uint32]*seen
	ids        map[uint32]*idTimes // of the series that TimeOf was asked for
	past       Past
	pages      int // of a series at most
	generation uint64
	failed     error
}

// Limits are what is declared of a series.
type Limits struct {
	Min, Max  float64 // of its values; values outside are stored and missing
	MaxFuture int64   // microseconds that an event time may be ahead of the arrival
	Number    bool    // not a category: its sensor's health is watched
}

// seen is what is known of a series.
type seen struct {
	newestEntries []entry // those after floor, in order of time
	floor         int64   // time of the newest reading that went into a page
	unsaved       unsaved
	made          int // pages since drop looked
	newest        int64
	health        health
}

func newSeen() *seen { return &seen{newest: math.MinInt64, floor: math.MinInt64} }

// New returns a gate that has seen nothing. past has the pages that TakePages handed out; without
// it they stay in memory. pages are those kept of a series: the oldest readings are forgotten
// beyond; 0 is DefaultPages.
func New(past Past, pages int) *Gate {
	if pages <= 0 {
		pages = DefaultPages
	}
	return &Gate{series: map[uint32]*seen{}, ids: map[uint32]*idTimes{}, past: past, pages: pages}
}

var errPage = errors.New("a page of known readings is damaged")

// LimitsOf returns the limits of a series that the tasks read: the smallest max_future of those
// that use it.
func LimitsOf(s *source.Series, tasks []*spec.Task) Limits {
	lim := Limits{
		Min:       math.Inf(-1),
		Max:       math.Inf(1),
		MaxFuture: math.MaxInt64,
		Number:    len(s.Categories) == 0 && !s.IDs,
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
	if s := g.series[series]; s != nil && m.Retained && !rd.HasTime && !repeated {
		// What a broker has kept comes again at every subscription. Without a time of its own it
		// is a new reading only when it is not the newest that is known.
		repeated, _ = g.check(series, s.newest, rd.Value)
	}
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
	} else if m.ClockOK && rd.Time > m.Arrival+m.Behind+lim.MaxFuture {
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
	if s == nil || t > s.newest {
		return false, false
	}
	e := entry{t, math.Float64bits(v)}
	if t > s.floor {
		return find(s.newestEntries, e)
	}
	_, entries, _ := g.page(series, s, t)
	return find(entries, e)
}

// Usual returns how far apart the newest readings of a series usually lie, the median in
// microseconds; 0 where there are too few to say.
func (g *Gate) Usual(series uint32) int64 {
	s := g.series[series]
	if s == nil {
		return 0
	}
	var gaps []int64
	for i := 1; i < len(s.newestEntries); i++ {
		if gap := s.newestEntries[i].time - s.newestEntries[i-1].time; gap > 0 {
			gaps = append(gaps, gap)
		}
	}
	if len(gaps) < 2 {
		return 0
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2]
}

// Newest returns the newest accepted reading of a series; false where there is none, or several of
// its time contradict each other.
func (g *Gate) Newest(series uint32) (t int64, v float64, ok bool) {
	s := g.series[series]
	if s == nil || len(s.newestEntries) == 0 {
		return 0, 0, false
	}
	e := s.newestEntries[len(s.newestEntries)-1]
	if n := len(s.newestEntries) - 2; n >= 0 && s.newestEntries[n].time == e.time {
		return 0, 0, false
	}
	return e.time, math.Float64frombits(e.value), true
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
		s = newSeen()
		g.series[series] = s
	}
	s.newest = max(s.newest, t)
	if f&unwell == 0 {
		changes = s.health.add(t, v, f)
	}
	g.remember(series, s, entry{t, math.Float64bits(v)})
	return changes
}

// Versions of the state. That of builds before 2026-12 begins with the number of series instead,
// and has the newest readings in the order in which they came.
const stateVersion = -2

// Save returns the state without what TakePages has handed out.
func (g *Gate) Save() []byte {
	var w state.Writer
	w.Int(stateVersion)
	w.Int(int64(len(g.series)))
	for _, id := range slices.Sorted(maps.Keys(g.series)) {
		s := g.series[id]
		w.Int(int64(id))
		w.Int(int64(len(s.newestEntries)))
		for _, e := range s.newestEntries {
			w.Int(e.time)
			w.Int(int64(e.value))
		}
		w.Int(s.floor)
		w.Int(s.newest)
		s.health.save(&w)
	}
	return w.B
}

// Load restores a state, also one of the version before. After an error the gate must not be used.
func (g *Gate) Load(b []byte) error {
	r := &state.Reader{B: b}
	g.series, g.ids = map[uint32]*seen{}, map[uint32]*idTimes{}
	n := int64(0)
	old := true
	if n = r.Int(); n == stateVersion {
		old, n = false, r.Int()
	}
	if n < 0 || n > int64(len(b)/(8*20)) {
		r.Fail()
		return r.Err()
	}
	for range n {
		id := r.Int()
		if id < 0 || id > math.MaxUint32 {
			r.Fail()
			return r.Err()
		}
		s := newSeen()
		var entries []entry
		if old {
			entries = oldEntries(r)
			s.newest = r.Int()
		} else {
			for range r.Len(16) {
				s.newestEntries = append(s.newestEntries, entry{r.Int(), uint64(r.Int())})
			}
			s.floor, s.newest = r.Int(), r.Int()
			if len(s.newestEntries) > newestMax || !slices.IsSortedFunc(s.newestEntries, compareTimes) || len(s.newestEntries) > 0 && s.newestEntries[0].time <= s.floor {
				r.Fail()
			}
		}
		s.health.load(r)
		if r.Err() != nil {
			return r.Err()
		}
		g.series[uint32(id)] = s
		for _, e := range entries {
			g.remember(uint32(id), s, e)
		}
	}
	if len(r.B) != 0 {
		r.Fail() // of another version
	}
	return r.Err()
}

// oldEntries reads the newest readings as builds before 2026-12 kept them, oldest overwritten
// first.
func oldEntries(r *state.Reader) []entry {
	times, values, next := r.Ints(), r.Floats(), r.Int()
	if len(times) != len(values) || next < 0 || next > int64(len(times)) {
		r.Fail()
		return nil
	}
	entries := make([]entry, len(times))
	for i := range times {
		entries[i] = entry{times[i], math.Float64bits(values[i])}
	}
	slices.SortStableFunc(entries, compareTimes)
	return entries
}
