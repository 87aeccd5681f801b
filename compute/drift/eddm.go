package drift

import (
	"math"

	"skerry.dev/compute/state"
)

// EDDM watches the distance between errors, in values: it reports when the mean distance plus two
// standard deviations has fallen below DriftLevel of its highest. After Baena-García, del
// Campo-Ávila, Fidalgo, Bifet, Gavaldà and Morales-Bueno, "Early Drift Detection Method", 2006.
// It finds slow changes early and alarms often where nothing changes. It takes errors: a value
// above 0.5 is one. An update costs a counter, at an error a square root. Use NewEDDM.
type EDDM struct {
	// MinErrors is the number of errors, and of values, before an alarm.
	MinErrors int64
	// WarningLevel and DriftLevel are shares of the highest distance, DriftLevel the smaller one.
	WarningLevel, DriftLevel float64
	// Semantics River07 takes the variance as of a whole population, watches from two values
	// earlier and ends a warning at every error that does not renew it.
	Semantics Semantics

	eddmState
}

type eddmState struct {
	n, last          int64 // values, and the position of the last error
	distance         mean
	squares          float64 // sum of squared deviations of the distances
	highest          float64
	alarmed, warning bool
}

// NewEDDM returns a detector with 30 errors, warning at 0.95 and drift at 0.9.
func NewEDDM() *EDDM {
	d := &EDDM{MinErrors: 30, WarningLevel: 0.95, DriftLevel: 0.9}
	d.restart()
	return d
}

func (d *EDDM) restart() { d.eddmState = eddmState{highest: -1} }

// Update implements Detector.
func (d *EDDM) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if d.alarmed {
		d.restart()
	}
	d.n++
	if wrong(x) == 0 {
		return false
	}
	gap, before := float64(d.n-d.last), d.distance.m
	d.distance.add(gap)
	d.squares += float64((gap - before) * (gap - d.distance.m))
	d.last = d.n
	n, first := d.distance.n, d.MinErrors
	if d.Semantics == River07 {
		first -= 2
		d.warning = false
	} else {
		n-- // the variance of a sample
	}
	if d.n <= first {
		return false
	}
	spread := 0.0
	if n > 0 {
		spread = math.Sqrt(d.squares / n)
	}
	switch level := d.distance.m + 2*spread; {
	case level > d.highest:
		d.highest = level
	case d.distance.n > float64(d.MinErrors):
		// The reference leaves a warning standing when an alarm follows it, and where a new
		// highest is found.
		share := level / d.highest
		d.alarmed = share < d.DriftLevel
		if !d.alarmed {
			d.warning = share < d.WarningLevel
		}
	}
	return d.alarmed
}

// Warning implements Warner. It stands until an error ends it; a drift that follows a warning
// leaves it standing for that value.
func (d *EDDM) Warning() bool { return d.warning }

// Save implements Detector.
func (d *EDDM) Save(w *state.Writer) {
	w.Int(d.n)
	w.Int(d.last)
	d.distance.save(w)
	w.Float(d.squares)
	w.Float(d.highest)
	w.Bool(d.alarmed)
	w.Bool(d.warning)
}

// Load implements Detector.
func (d *EDDM) Load(r *state.Reader) {
	var s eddmState
	s.n, s.last = r.Int(), r.Int()
	s.distance.load(r, 1<<53)
	s.squares, s.highest, s.alarmed, s.warning = r.Float(), r.Float(), r.Bool(), r.Bool()
	need(r, counted(s.n, s.last) && s.last <= s.n && bounded(s.squares, s.highest) && s.squares >= 0)
	if r.Err() == nil {
		d.eddmState = s
	}
}
