package drift

import (
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// HDDMW is the weighted form of HDDMA: it compares moving averages before and after the point
// where the upper bound of the average was lowest, by McDiarmid's inequality (test W of the same
// paper). It finds abrupt changes sooner; with Lambda 0.05 it cannot see a rise below about 0.3.
// It takes errors or losses in [0, 1]; values outside are clipped. An update costs a few square
// roots. Use NewHDDMW.
type HDDMW struct {
	// DriftConfidence and WarningConfidence are probabilities of a false alarm, DriftConfidence
	// the smaller one.
	DriftConfidence, WarningConfidence float64
	// Lambda is the weight of the newest value.
	Lambda float64
	// TwoSided also reports falls of the mean.
	TwoSided bool
	// Semantics River07 starts the bound of a sample at its first value, River before it.
	Semantics Semantics

	hddmwState
	logs hddmLogs
}

type hddmwState struct {
	all              moving
	rise, fall       halves
	alarmed, warning bool
}

// moving is an exponentially weighted average with the sum of its squared weights.
type moving struct {
	begun         bool
	mean, squares float64
}

// halves are the samples before and after a cut, and the bound that the average had there.
type halves struct {
	before, after moving
	bound         float64
}

// NewHDDMW returns a one-sided detector with confidences 0.001 and 0.005 and lambda 0.05.
func NewHDDMW() *HDDMW {
	d := &HDDMW{DriftConfidence: 0.001, WarningConfidence: 0.005, Lambda: 0.05}
	d.restart()
	return d
}

func (d *HDDMW) restart() {
	fresh := moving{squares: 1}
	d.hddmwState = hddmwState{
		all:  fresh,
		rise: halves{fresh, fresh, math.Inf(1)},
		fall: halves{fresh, fresh, math.Inf(-1)},
	}
}

// Update implements Detector.
func (d *HDDMW) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if d.logs.once == 0 {
		d.logs = hddmLogs{exact.Log(1 / d.DriftConfidence), exact.Log(1 / d.DriftConfidence), exact.Log(1 / d.WarningConfidence)}
	}
	if d.alarmed {
		d.restart()
	}
	x = min(max(x, 0), 1)
	d.add(&d.all, x)
	bound := math.Sqrt(float64(d.all.squares*d.logs.once) / 2)
	if up := d.all.mean + bound; up < d.rise.bound {
		d.rise = halves{d.all, moving{squares: 1}, up}
	} else {
		d.add(&d.rise.after, x)
	}
	if down := d.all.mean - bound; down > d.fall.bound {
		d.fall = halves{d.all, moving{squares: 1}, down}
	} else {
		d.add(&d.fall.after, x)
	}
	d.alarmed = d.rise.differ(1, d.logs.drift)
	d.warning = !d.alarmed && d.rise.differ(1, d.logs.warning)
	if d.TwoSided {
		// As in the reference a fall may leave the warning of a rise standing.
		switch {
		case d.fall.differ(-1, d.logs.drift):
			d.alarmed = true
		case d.fall.differ(-1, d.logs.warning):
			d.warning = true
		}
	}
	return d.alarmed
}

func (d *HDDMW) add(m *moving, x float64) {
	if !m.begun {
		m.begun, m.mean = true, x
		if d.Semantics == River07 {
			return
		}
	} else {
		m.mean += float64(d.Lambda * (x - m.mean))
	}
	keep := 1 - d.Lambda
	m.squares = float64(d.Lambda*d.Lambda) + float64(float64(keep*keep)*m.squares)
}

// differ reports whether the average after the cut lies above (sign 1) or below (-1) that before
// it.
func (h *halves) differ(sign, logConfidence float64) bool {
	if !h.before.begun || !h.after.begun {
		return false
	}
	return float64(sign*(h.after.mean-h.before.mean)) > math.Sqrt(float64((h.before.squares+h.after.squares)*logConfidence)/2)
}

// Warning implements Warner.
func (d *HDDMW) Warning() bool { return d.warning }

// Save implements Detector.
func (d *HDDMW) Save(w *state.Writer) {
	for _, m := range d.averages() {
		w.Bool(m.begun)
		w.Float(m.mean)
		w.Float(m.squares)
	}
	w.Float(d.rise.bound)
	w.Float(d.fall.bound)
	w.Bool(d.alarmed)
	w.Bool(d.warning)
}

// Load implements Detector.
func (d *HDDMW) Load(r *state.Reader) {
	var s hddmwState
	for _, m := range s.averages() {
		m.begun, m.mean, m.squares = r.Bool(), r.Float(), r.Float()
		need(r, unit(m.mean, m.squares))
	}
	s.rise.bound, s.fall.bound, s.alarmed, s.warning = r.Float(), r.Float(), r.Bool(), r.Bool()
	need(r, !math.IsNaN(s.rise.bound) && !math.IsNaN(s.fall.bound))
	if r.Err() == nil {
		d.hddmwState = s
	}
}

func (s *hddmwState) averages() []*moving {
	return []*moving{&s.all, &s.rise.before, &s.rise.after, &s.fall.before, &s.fall.after}
}
