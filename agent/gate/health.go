package gate

import (
	"math"
	"slices"
	"time"

	"skerry.dev/compute/state"
	"skerry.dev/sync/wire"
)

// When a sensor is suspected. Both rules look for what a series has never done, so they need no
// setting: rain that is 0 for weeks has always been so, and is not stuck.
const (
	stuckRows   = 6       // equal readings in a row at least
	stuckTimes  = 2       // and so many times the longest stretch before
	stuckWarm   = 24      // changes seen before anything is judged
	stuckForget = 0.99985 // per reading, of the longest: half of it in 4,600
	// of all readings: a series that rests so often is never stuck there, as rain at 0
	restShare   = 0.1
	spikeTimes  = 3      // times the farthest that a reading was from those before it
	spikeWarm   = 100    // readings seen before anything is judged
	spikeForget = 0.9998 // per reading, of the farthest: half of it in 3,500
	spikeLearn  = 1.1    // a spike moves the farthest by so much
	recentRows  = 5      // readings whose median the next is held against
	// spikes in a row are a jump: its beginning and its end are reported
	jumpRows  = 3
	newNormal = 24 * time.Hour
	// readings at least, until a jump that lasted newNormal is what is usual from then on
	normalRows = 12
)

// Kinds of events that report a sensor's health.
const (
	EventStuck = "sensor_stuck" // since its first reading of this value
	EventJump  = "sensor_jump"  // since its first reading that is far from all before
	EventWell  = "sensor_well"  // either is over
)

// Change is something to report of a sensor. A fault shows only after some readings.
type Change struct {
	Kind     string // of the event
	What     string // "stuck" or "jump"
	Since    int64  // time of the first reading concerned, microseconds
	Readings int64  // concerned so far
	Value    float64
}

// health reports whether a sensor looks well. Its rules see a series in the order in which it
// comes; what is out of range, not finite, a conflict or from the future is kept from it.
type health struct {
	last  float64
	run   int64 // readings in a row that equal last
	since int64 // time of the first of them
	stuck bool  // it was reported
	// the value of the longest finished run: many series have one at which they stand still, such
	// as 0 or the least that can be measured
	rest     float64
	longest  float64 // the longest finished run at rest, slowly forgotten
	resting  float64 // readings in finished runs at rest
	other    float64 // and at any other value
	changes  int64
	recent   []float64 // the newest readings, oldest first, without those of a jump
	farthest float64   // from the median of the readings before
	readings int64
	jump     jump
}

// jump is a stretch of readings that are farther than limit from base, the median before it. A
// limit of 0 means that there is none.
type jump struct {
	base, limit     float64
	since, readings int64
	newest          []float64
}

// judge returns FlagStuck and FlagSpike as they apply to the next reading. It changes nothing.
func (h *health) judge(v float64) (f wire.Flags) {
	if h.changes >= stuckWarm && v == h.last && h.run+1 >= stuckRows && float64(h.run+1) > stuckTimes*h.usual() {
		f |= wire.FlagStuck
	}
	base, limit := h.jump.base, h.jump.limit
	if limit == 0 && h.readings >= spikeWarm {
		base, limit = h.middle(), spikeTimes*h.farthest
	}
	if limit > 0 && math.Abs(v-base) > limit {
		f |= wire.FlagSpike
	}
	return f
}

// usual is the longest run there was at the present value, or at a value like it.
func (h *health) usual() float64 {
	switch {
	case h.last != h.rest:
		return h.other
	case h.resting > restShare*float64(h.readings):
		return math.Inf(1)
	}
	return h.longest
}

// finish takes the run that has ended for what is usual. One fault is no measure of that, the
// same again and again is.
func (h *health) finish() {
	run, usual := float64(h.run), h.usual()
	if h.changes >= stuckWarm && h.run >= stuckRows && run > stuckTimes*usual {
		run = 2 * usual
	}
	switch {
	case h.last == h.rest:
		h.longest = max(h.longest, run)
		h.resting += run
	case run > h.longest:
		h.other, h.rest, h.longest, h.resting = max(h.other, h.longest), h.last, run, run
	default:
		h.other = max(h.other, run)
	}
	h.changes++
}

// middle is the median of the recent readings.
func (h *health) middle() float64 {
	var s [recentRows]float64
	n := copy(s[:], h.recent)
	slices.Sort(s[:n])
	return s[n/2]
}

// add records a reading that was judged f and returns what is to be reported.
func (h *health) add(t int64, v float64, f wire.Flags) (changes []Change) {
	switch {
	case h.readings == 0:
		h.last, h.run, h.since = v, 1, t
	case v == h.last:
		h.run++
	default:
		if h.stuck {
			changes = append(changes, Change{EventWell, "stuck", h.since, h.run, h.last})
		}
		h.finish()
		h.last, h.run, h.since, h.stuck = v, 1, t, false
	}
	if f&wire.FlagStuck != 0 && !h.stuck {
		h.stuck = true
		changes = append(changes, Change{EventStuck, "stuck", h.since, h.run, v})
	}
	h.readings++
	h.longest, h.other = h.longest*stuckForget, h.other*stuckForget
	if f&wire.FlagSpike != 0 {
		return append(changes, h.away(t, v)...)
	}
	if h.jump.readings >= jumpRows {
		changes = append(changes, Change{EventWell, "jump", h.jump.since, h.jump.readings, v})
	}
	h.jump.limit, h.jump.readings, h.jump.newest = 0, 0, h.jump.newest[:0]
	if len(h.recent) == recentRows {
		h.farthest = max(h.farthest*spikeForget, math.Abs(v-h.middle()))
	}
	h.recent = push(h.recent, v)
	return changes
}

// away records a spike. The first begins what may be a jump; one that lasts is the new normal in
// the end.
func (h *health) away(t int64, v float64) (changes []Change) {
	j := &h.jump
	if j.limit == 0 {
		j.base, j.limit, j.since = h.middle(), spikeTimes*h.farthest, t
		h.farthest *= spikeLearn
	}
	j.readings++
	j.newest = push(j.newest, v)
	switch {
	case j.readings == jumpRows:
		changes = append(changes, Change{EventJump, "jump", j.since, j.readings, v})
	case j.readings >= normalRows && t-j.since >= newNormal.Microseconds():
		changes = append(changes, Change{EventWell, "jump", j.since, j.readings, v})
		h.recent = append(h.recent[:0], j.newest...)
		j.limit, j.readings, j.newest = 0, 0, j.newest[:0]
	}
	return changes
}

// push appends a reading to the newest few.
func push(s []float64, v float64) []float64 {
	if len(s) == recentRows {
		copy(s, s[1:])
		s = s[:recentRows-1]
	}
	return append(s, v)
}

func (h *health) save(w *state.Writer) {
	w.Float(h.last)
	w.Int(h.run)
	w.Int(h.since)
	w.Bool(h.stuck)
	w.Float(h.rest)
	w.Float(h.longest)
	w.Float(h.resting)
	w.Float(h.other)
	w.Int(h.changes)
	w.Floats(h.recent)
	w.Float(h.farthest)
	w.Int(h.readings)
	w.Float(h.jump.base)
	w.Float(h.jump.limit)
	w.Int(h.jump.since)
	w.Int(h.jump.readings)
	w.Floats(h.jump.newest)
}

func (h *health) load(r *state.Reader) {
	h.last, h.run, h.since, h.stuck = r.Float(), r.Int(), r.Int(), r.Bool()
	h.rest, h.longest, h.resting, h.other, h.changes = r.Float(), r.Float(), r.Float(), r.Float(), r.Int()
	h.recent, h.farthest, h.readings = r.Floats(), r.Float(), r.Int()
	h.jump = jump{base: r.Float(), limit: r.Float(), since: r.Int(), readings: r.Int(), newest: r.Floats()}
	if len(h.recent) > recentRows || len(h.jump.newest) > recentRows {
		r.Fail()
	}
}
