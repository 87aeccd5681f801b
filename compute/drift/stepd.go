package drift

import (
	"math"

	"skerry.dev/compute/drift/internal/normal"
	"skerry.dev/compute/state"
)

// STEPD compares the share of errors in the newest Window values with that of all before them, by
// a test of equal proportions. After Nishida and Yamauchi, "Detecting Concept Drift Using
// Statistical Testing", Discovery Science
// 2007. It takes errors: a value above 0.5 is one. An update costs a square root and memory of
// Window bytes. Use NewSTEPD and set fields before the first value.
//
// The statistic is the difference less a correction for small samples. Where the difference is
// smaller than its correction the proportions are as equal as can be; MOA takes the magnitude of
// the negative rest instead, and so alarms on a stream without any error. MOA true does as it
// does.
type STEPD struct {
	// Window is the number of recent values.
	Window int64
	// DriftAlpha and WarningAlpha are two-sided significance levels, DriftAlpha the smaller one.
	DriftAlpha, WarningAlpha float64
	// Mode defines which changes count; in the paper both do.
	Mode Mode
	MOA  bool

	stepdState
	ring             []byte
	driftZ, warningZ float64 // quantiles of the levels
}

type stepdState struct {
	n, next          int64 // values in the ring, and where the next goes
	recent           int64 // errors in it
	old, oldErrors   int64
	alarmed, warning bool
}

// NewSTEPD returns a detector with a window of 30 values and levels 0.003 and 0.05, two-sided.
func NewSTEPD() *STEPD { return &STEPD{Window: 30, DriftAlpha: 0.003, WarningAlpha: 0.05, Mode: Both} }

// Update implements Detector.
func (d *STEPD) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if d.ring == nil {
		d.ring = make([]byte, d.Window)
	}
	if d.driftZ == 0 {
		d.driftZ, d.warningZ = quantile(d.DriftAlpha), quantile(d.WarningAlpha)
	}
	if d.alarmed {
		d.stepdState = stepdState{}
	}
	if d.n == d.Window {
		leaving := int64(d.ring[d.next])
		d.old++
		d.oldErrors += leaving
		d.recent -= leaving
	} else {
		d.n++
	}
	e := wrong(x)
	d.ring[d.next] = byte(e)
	d.recent += int64(e)
	if d.next++; d.next == d.Window {
		d.next = 0
	}
	d.warning = false
	if d.old < d.Window {
		return false
	}
	z := d.statistic()
	d.alarmed = z > d.driftZ
	d.warning = !d.alarmed && z > d.warningZ
	return d.alarmed
}

// statistic is the test's, 0 for a change that does not count.
func (d *STEPD) statistic() float64 {
	old, recent := float64(d.old), float64(d.n)
	right, wasRight := recent-float64(d.recent), old-float64(d.oldErrors)
	change := wasRight/old - right/recent // above 0 when errors have become more frequent
	if d.Mode == Up && change < 0 || d.Mode == Down && change > 0 {
		return 0
	}
	weight := 1/old + 1/recent
	p := (wasRight + right) / (old + recent)
	rest := math.Abs(change) - float64(weight/2)
	if d.MOA {
		rest = math.Abs(rest)
	}
	if rest <= 0 {
		return 0
	}
	return rest / math.Sqrt(float64(float64(p*(1-p))*weight))
}

// quantile is the value that the magnitude of a standard normal variable exceeds with probability
// alpha.
func quantile(alpha float64) float64 {
	low, high := 0.0, 40.0
	for range 60 {
		if mid := (low + high) / 2; 2*normal.Tail(mid) > alpha {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// Warning implements Warner.
func (d *STEPD) Warning() bool { return d.warning }

// Save implements Detector.
func (d *STEPD) Save(w *state.Writer) {
	for _, v := range []int64{d.n, d.next, d.recent, d.old, d.oldErrors} {
		w.Int(v)
	}
	w.Bool(d.alarmed)
	w.Bool(d.warning)
	w.String(string(d.ring))
}

// Load implements Detector.
func (d *STEPD) Load(r *state.Reader) {
	s := stepdState{
		n:         r.Int(),
		next:      r.Int(),
		recent:    r.Int(),
		old:       r.Int(),
		oldErrors: r.Int(),
		alarmed:   r.Bool(),
		warning:   r.Bool(),
	}
	ring := []byte(r.String())
	need(r, len(ring) == 0 && s == stepdState{} || int64(len(ring)) == d.Window)
	need(r, s.n >= 0 && s.n <= d.Window && s.next >= 0 && s.next < d.Window && s.recent >= 0 && s.recent <= s.n && counted(s.old, s.oldErrors) && s.oldErrors <= s.old)
	for _, b := range ring {
		need(r, b <= 1)
	}
	if r.Err() != nil {
		return
	}
	d.stepdState, d.ring = s, nil
	if len(ring) > 0 {
		d.ring = ring
	}
}
