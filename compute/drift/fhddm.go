package drift

import (
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// FHDDM compares the share of ones in a sliding window with the highest (or lowest) share it has
// had, by Hoeffding's inequality. After Pesaranghader and Viktor, "Fast Hoeffding Drift Detection
// Method for Evolving Data Streams", ECML-PKDD 2016, and with Short above 0 the stacking form of
// the same authors, which looks at the newest values of the window too. The paper counts right
// predictions and reports when their share falls, and so does river: that is Mode Down. Mode Up
// takes errors and reports when they rise, with the same figures. A value above 0.5 is a one. An
// update costs a few operations and memory of Window bytes. Use NewFHDDM and set fields before
// the first value.
type FHDDM struct {
	// Window and Short are numbers of values; Short is 0 for none, else at most Window.
	Window, Short int64
	// Confidence is the probability of a false alarm at one look.
	Confidence float64
	// Mode is Down for right predictions, as in the reference, and Up for errors.
	Mode Mode

	fhddmState
	ring                []byte
	margin, shortMargin float64 // by how much a share must have fallen
}

type fhddmState struct {
	n, next     int64 // values in the ring, and where the next goes
	ones, newer int64 // ones in the window, and in its newest part
	best, short float64
	alarmed     bool
}

// NewFHDDM returns a detector with a window of 100 values and confidence 1e-6 for right
// predictions.
func NewFHDDM() *FHDDM { return &FHDDM{Window: 100, Confidence: 1e-6, Mode: Down} }

// Update implements Detector.
func (d *FHDDM) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if d.ring == nil {
		d.ring = make([]byte, d.Window)
	}
	if d.margin == 0 {
		log := exact.Log(1 / d.Confidence)
		d.margin, d.shortMargin = math.Sqrt(log/float64(2*d.Window)), math.Sqrt(log/float64(2*max(d.Short, 1)))
	}
	if d.alarmed {
		d.fhddmState = fhddmState{}
	}
	one := int64(wrong(x))
	if d.Mode == Up {
		one = 1 - one
	}
	if d.n == d.Window {
		d.ones -= int64(d.ring[d.next])
	} else {
		d.n++
	}
	if d.Short > 0 {
		if d.n > d.Short {
			d.newer -= int64(d.ring[(d.next+d.Window-d.Short)%d.Window])
		}
		d.newer += one
	}
	d.ones += one
	d.ring[d.next] = byte(one)
	if d.next++; d.next == d.Window {
		d.next = 0
	}
	if d.n < d.Window {
		return false
	}
	d.alarmed = fell(&d.best, d.ones, d.Window, d.margin)
	if d.Short > 0 && fell(&d.short, d.newer, d.Short, d.shortMargin) {
		d.alarmed = true
	}
	return d.alarmed
}

// fell reports whether a share lies below the best it has had by more than margin, and keeps the
// best.
func fell(best *float64, ones, n int64, margin float64) bool {
	share := float64(ones) / float64(n)
	*best = max(*best, share)
	return *best-share > margin
}

// Save implements Detector.
func (d *FHDDM) Save(w *state.Writer) {
	for _, v := range []int64{d.n, d.next, d.ones, d.newer} {
		w.Int(v)
	}
	w.Float(d.best)
	w.Float(d.short)
	w.Bool(d.alarmed)
	w.String(string(d.ring))
}

// Load implements Detector.
func (d *FHDDM) Load(r *state.Reader) {
	s := fhddmState{
		n:       r.Int(),
		next:    r.Int(),
		ones:    r.Int(),
		newer:   r.Int(),
		best:    r.Float(),
		short:   r.Float(),
		alarmed: r.Bool(),
	}
	ring := []byte(r.String())
	need(r, len(ring) == 0 && s == fhddmState{} || int64(len(ring)) == d.Window)
	need(r, s.n >= 0 && s.n <= d.Window && s.next >= 0 && s.next < d.Window && s.ones >= 0 && s.ones <= s.n && s.newer >= 0 && s.newer <= s.n && unit(s.best, s.short))
	for _, b := range ring {
		need(r, b <= 1)
	}
	if r.Err() != nil {
		return
	}
	d.fhddmState, d.ring = s, nil
	if len(ring) > 0 {
		d.ring = ring
	}
}
