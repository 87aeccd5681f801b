package drift

import (
	"math"

	"skerry.dev/compute/state"
)

// EWMA is the chart ECDD: it reports when a moving average of errors exceeds the error rate so
// far by a multiple of its standard deviation, a multiple chosen so that false alarms have the
// same mean distance at every rate. After Ross, Adams, Tasoulis and Hand, "Exponentially Weighted
// Moving Average Charts for Detecting Concept Drift", Pattern Recognition Letters 33 (2012), in
// the form of MOA's EWMAChartDM. It takes errors: a value above 0.5 is one. An update costs a
// square root. Use NewEWMA.
type EWMA struct {
	// MinSamples is the number of values before anything is watched, Lambda the weight of the
	// newest value.
	MinSamples int64
	Lambda     float64
	// RunLength is the mean number of values between false alarms: 100 or 400, for which the
	// paper has the multiple, made for Lambda 0.2. Its polynomial for 1000 is misprinted (it
	// falls below that for 100) and left out.
	RunLength int64
	// WarningShare is the part of the multiple at which the warning zone begins.
	WarningShare float64

	ewmaState
}

type ewmaState struct {
	n, errors        int64
	average          float64
	decay            float64 // (1-Lambda) to the power 2n
	alarmed, warning bool
}

// NewEWMA returns a detector with 30 samples, lambda 0.2, 400 values between false alarms and
// warnings at half the multiple.
func NewEWMA() *EWMA {
	return &EWMA{
		MinSamples:   30,
		Lambda:       0.2,
		RunLength:    400,
		WarningShare: 0.5,
		ewmaState:    ewmaState{decay: 1},
	}
}

// Update implements Detector.
func (d *EWMA) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if d.alarmed {
		d.ewmaState = ewmaState{decay: 1}
	}
	e := wrong(x)
	d.n++
	d.errors += int64(e)
	d.decay = float64(d.decay * float64((1-d.Lambda)*(1-d.Lambda)))
	d.average += float64(d.Lambda * (e - d.average))
	if d.n < d.MinSamples-1 { // the reference counts one ahead
		return false
	}
	p := float64(d.errors) / float64(d.n)
	s := math.Sqrt(float64(float64(float64(p*(1-p))*d.Lambda)*(1-d.decay)) / (2 - d.Lambda))
	margin := float64(d.multiple(p) * s)
	d.alarmed = d.n >= d.MinSamples && d.average > p+margin
	d.warning = !d.alarmed && d.average > p+float64(d.WarningShare*margin)
	return d.alarmed
}

// multiple is the paper's fit of the control limit as a function of the error rate, in standard
// deviations.
func (d *EWMA) multiple(p float64) float64 {
	c := [5]float64{3.97, -6.56, 48.73, -330.13, 848.18}
	if d.RunLength == 100 {
		c = [5]float64{2.76, -6.23, 18.12, -312.45, 1002.18}
	}
	q := float64(p * p)
	return c[0] + float64(p*(c[1]+float64(q*(c[2]+float64(q*(c[3]+float64(q*c[4])))))))
}

// Warning implements Warner.
func (d *EWMA) Warning() bool { return d.warning }

// Save implements Detector.
func (d *EWMA) Save(w *state.Writer) {
	w.Int(d.n)
	w.Int(d.errors)
	w.Float(d.average)
	w.Float(d.decay)
	w.Bool(d.alarmed)
	w.Bool(d.warning)
}

// Load implements Detector.
func (d *EWMA) Load(r *state.Reader) {
	s := ewmaState{
		n:       r.Int(),
		errors:  r.Int(),
		average: r.Float(),
		decay:   r.Float(),
		alarmed: r.Bool(),
		warning: r.Bool(),
	}
	need(r, counted(s.n, s.errors) && s.errors <= s.n && unit(s.average, s.decay))
	if r.Err() == nil {
		d.ewmaState = s
	}
}
