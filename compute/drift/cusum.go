package drift

import "skerry.dev/compute/state"

// CUSUM accumulates how far values lie above (or below) their mean so far, less a tolerance, and
// reports when the sum, which never falls below zero, exceeds Threshold. After Page, "Continuous
// Inspection Schemes", Biometrika 41 (1954), in the form of MOA's CusumDM; MOA detects only rises.
// It costs a few additions. Use NewCUSUM.
type CUSUM struct {
	// MinSamples before the first alarm, Delta the tolerated change and Threshold of the sum,
	// both in units of x.
	MinSamples       int64
	Delta, Threshold float64
	// Mode defines which changes count.
	Mode Mode

	cusumState
}

type cusumState struct {
	n          int64 // values since the restart
	mean       float64
	rise, fall float64
	alarmed    bool
}

// NewCUSUM returns a detector with 30 samples, delta 0.005 and threshold 50 that reports rises.
func NewCUSUM() *CUSUM { return &CUSUM{MinSamples: 30, Delta: 0.005, Threshold: 50} }

// Update implements Detector.
func (c *CUSUM) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if c.alarmed {
		c.cusumState = cusumState{}
	}
	c.n++
	c.mean += (x - c.mean) / float64(c.n)
	c.rise = max(0, c.rise+x-c.mean-c.Delta)
	c.fall = max(0, c.fall-x+c.mean-c.Delta)
	if c.n+1 < c.MinSamples { // the reference counts one ahead
		return false
	}
	c.alarmed = c.Mode != Down && c.rise > c.Threshold || c.Mode != Up && c.fall > c.Threshold
	return c.alarmed
}

// Save implements Detector.
func (c *CUSUM) Save(w *state.Writer) {
	w.Int(c.n)
	w.Float(c.mean)
	w.Float(c.rise)
	w.Float(c.fall)
	w.Bool(c.alarmed)
}

// Load implements Detector.
func (c *CUSUM) Load(r *state.Reader) {
	s := cusumState{n: r.Int(), mean: r.Float(), rise: r.Float(), fall: r.Float(), alarmed: r.Bool()}
	need(r, counted(s.n) && bounded(s.mean, s.rise, s.fall) && s.rise >= 0 && s.fall >= 0)
	if r.Err() == nil {
		c.cusumState = s
	}
}
