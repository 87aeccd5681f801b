package task

import (
	"math"
	"slices"

	"skerry.dev/compute/state"
	"skerry.dev/sync/wire"
)

// When a sensor is suspected. Both rules ask for what a series has never done, so they need no setting: rain that is 0 for weeks has always been so, and is not stuck.
const (
	stuckRows   = 6      // equal readings in a row at least
	stuckTimes  = 2      // and so many times the longest stretch before
	stuckWarm   = 24     // changes seen before anything is judged
	restShare   = 0.1    // of all readings: a series that rests so often is never stuck there, as rain at 0
	spikeTimes  = 3      // times the farthest that a reading was from those before it
	spikeWarm   = 100    // readings seen before anything is judged
	spikeForget = 0.9998 // per reading, of the farthest: half of it in 3,500
	spikeLearn  = 1.1    // a spike moves the farthest by so much, so that a new normal is accepted after a dozen
	recentRows  = 5      // readings whose median the next is held against
)

// health tells whether a sensor looks well. Its rules see values alone, in the order in which they come; what is out of range, not finite, a conflict or from the future is kept from it.
type health struct {
	last     float64
	run      int64   // readings in a row that equal last
	rest     float64 // the value of the longest finished run: many series have one at which they stand still, such as 0 or the least that can be measured
	longest  float64 // the longest finished run at rest
	resting  float64 // readings in finished runs at rest
	other    float64 // and at any other value
	changes  int64
	recent   []float64 // the newest readings, oldest first
	farthest float64   // from the median of the readings before
	readings int64
}

// judge returns FlagStuck and FlagSpike as they apply to the next reading. It changes nothing.
func (h *health) judge(v float64) (f wire.Flags) {
	if h.changes >= stuckWarm && v == h.last && h.run+1 >= stuckRows && float64(h.run+1) > stuckTimes*h.usual() {
		f |= wire.FlagStuck
	}
	if h.readings >= spikeWarm && h.farthest > 0 && math.Abs(v-h.middle()) > spikeTimes*h.farthest {
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

// finish takes the run that has ended for what is usual. One fault is no measure of that, the same again and again is.
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

// add records a reading that was judged f.
func (h *health) add(v float64, f wire.Flags) {
	switch {
	case h.readings == 0:
		h.last, h.run = v, 1
	case v == h.last:
		h.run++
	default:
		h.finish()
		h.last, h.run = v, 1
	}
	if len(h.recent) == recentRows {
		far := math.Abs(v - h.middle())
		if f&wire.FlagSpike != 0 {
			far = h.farthest * spikeLearn
		}
		h.farthest = max(h.farthest*spikeForget, far)
		copy(h.recent, h.recent[1:])
		h.recent = h.recent[:recentRows-1]
	}
	h.recent = append(h.recent, v)
	h.readings++
}

func (h *health) save(w *state.Writer) {
	w.Float(h.last)
	w.Int(h.run)
	w.Float(h.rest)
	w.Float(h.longest)
	w.Float(h.resting)
	w.Float(h.other)
	w.Int(h.changes)
	w.Floats(h.recent)
	w.Float(h.farthest)
	w.Int(h.readings)
}

func (h *health) load(r *state.Reader) {
	h.last, h.run, h.rest, h.longest, h.resting, h.other, h.changes, h.recent, h.farthest, h.readings = r.Float(), r.Int(), r.Float(), r.Float(), r.Float(), r.Float(), r.Int(), r.Floats(), r.Float(), r.Int()
	if len(h.recent) > recentRows {
		r.Fail()
	}
}
