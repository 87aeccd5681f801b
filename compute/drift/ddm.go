package drift

import (
	"math"

	"skerry.dev/compute/state"
)

// DDM remembers where the error rate plus its standard deviation was lowest, and reports when it
// has risen by DriftLevel deviations above that. After Gama, Medas, Castillo and Rodrigues,
// "Learning with Drift Detection", SBIA 2004. It takes errors: a value above 0.5 is one. An
// update costs a square root. Use NewDDM.
type DDM struct {
	// MinSamples is the number of values before anything is watched.
	MinSamples int64
	// WarningLevel and DriftLevel are in standard deviations of the lowest rate.
	WarningLevel, DriftLevel float64
	// Semantics River07 watches from one value earlier.
	Semantics Semantics

	ddmState
}

type ddmState struct {
	rate             mean
	pMin, sMin, best float64 // best is their sum, +Inf before there is one
	alarmed, warning bool
}

// NewDDM returns a detector with 30 samples, warning at 2 and drift at 3 deviations.
func NewDDM() *DDM {
	d := &DDM{MinSamples: 30, WarningLevel: 2, DriftLevel: 3}
	d.restart()
	return d
}

func (d *DDM) restart() { d.ddmState = ddmState{best: math.Inf(1)} }

// Update implements Detector.
func (d *DDM) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if d.alarmed {
		d.restart()
	}
	d.rate.add(wrong(x))
	p := d.rate.m
	s := math.Sqrt(float64(p*(1-p)) / d.rate.n)
	if n := int64(d.rate.n); n < d.MinSamples || n == d.MinSamples && d.Semantics == River {
		return false
	}
	if p+s <= d.best {
		d.pMin, d.sMin, d.best = p, s, p+s
	}
	d.alarmed = p+s > d.pMin+float64(d.DriftLevel*d.sMin)
	d.warning = !d.alarmed && p+s > d.pMin+float64(d.WarningLevel*d.sMin)
	return d.alarmed
}

// Warning implements Warner.
func (d *DDM) Warning() bool { return d.warning }

// Save implements Detector.
func (d *DDM) Save(w *state.Writer) {
	d.rate.save(w)
	w.Float(d.pMin)
	w.Float(d.sMin)
	w.Float(d.best)
	w.Bool(d.alarmed)
	w.Bool(d.warning)
}

// Load implements Detector.
func (d *DDM) Load(r *state.Reader) {
	var s ddmState
	s.rate.load(r, 1)
	s.pMin, s.sMin, s.best, s.alarmed, s.warning = r.Float(), r.Float(), r.Float(), r.Bool(), r.Bool()
	need(r, unit(s.rate.m, s.pMin, s.sMin) && s.best >= 0)
	if r.Err() == nil {
		d.ddmState = s
	}
}
