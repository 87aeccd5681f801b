// Package online learns from one labelled row at a time, on the device.
package online

import (
	"math"

	"skerry.dev/compute/state"
)

// Linear is a linear model learned online for absolute error: inputs are standardised by running moments, steps follow AdaGrad (Duchi et al., JMLR 12, 2011), and both the
// step and the prediction are bounded, so that an outlier or a jump of scale cannot make it diverge. Missing inputs count as their mean.
// It does not allocate after New and is not safe for concurrent use.
type Linear struct {
	rate, limit float64
	w, g2       []float64 // weights and sums of squared gradients; the last entry is the bias
	mean, m2    []float64 // running moments of the inputs
	n           float64
	z           []float64 // scratch: the standardised row
}

// NewLinear returns a model of d inputs that predicts 0 until it has learned. rate is the AdaGrad step (0.02 when 0) in units of the target's scale; predictions are
// bounded to ±limit (3 when 0).
func NewLinear(d int, rate, limit float64) *Linear {
	if rate == 0 {
		rate = 0.02
	}
	if limit == 0 {
		limit = 3
	}
	return &Linear{rate: rate, limit: limit, w: make([]float64, d+1), g2: make([]float64, d+1), mean: make([]float64, d), m2: make([]float64, d), z: make([]float64, d+1)}
}

// Inputs returns d.
func (l *Linear) Inputs() int { return len(l.mean) }

// Predict returns the prediction for x in units of the target's scale, 0 before the model has seen 10 rows.
func (l *Linear) Predict(x []float64) float64 {
	if l.n < 10 {
		return 0
	}
	l.standardise(x)
	var s float64
	for i, z := range l.z {
		s += float64(l.w[i] * z)
	}
	return min(max(s, -l.limit), l.limit)
}

// Learn takes the truth y (same units as Predict) for x and moves the weights against the gradient of |y - ŷ|, smoothed within ±0.1.
func (l *Linear) Learn(x []float64, y float64) {
	if y != y || math.IsInf(y, 0) {
		return
	}
	y = min(max(y, -l.limit), l.limit)
	l.n++
	for i, v := range x {
		if v != v || math.IsInf(v, 0) {
			continue
		}
		d := v - l.mean[i]
		l.mean[i] += d / l.n
		l.m2[i] += float64(d * (v - l.mean[i]))
	}
	l.standardise(x)
	var s float64
	for i, z := range l.z {
		s += float64(l.w[i] * z)
	}
	step := min(max((s-y)/0.1, -1), 1)
	for i, z := range l.z {
		g := float64(step * z)
		l.g2[i] += float64(g * g)
		if l.g2[i] > 0 {
			l.w[i] -= float64(l.rate * g / math.Sqrt(l.g2[i]+1))
		}
	}
}

func (l *Linear) standardise(x []float64) {
	for i, v := range x {
		z := 0.0
		if sd := math.Sqrt(l.m2[i] / max(l.n, 1)); v == v && sd > 0 {
			z = min(max((v-l.mean[i])/sd, -5), 5)
		}
		l.z[i] = z
	}
	l.z[len(x)] = 1
}

// Reset forgets the weights and keeps the moments of the inputs, for a new target on the same inputs.
func (l *Linear) Reset() {
	clear(l.w)
	clear(l.g2)
}

// Save appends the state to a snapshot.
func (l *Linear) Save(w *state.Writer) {
	w.Floats(l.w)
	w.Floats(l.g2)
	w.Floats(l.mean)
	w.Floats(l.m2)
	w.Float(l.n)
}

// Load restores it.
func (l *Linear) Load(r *state.Reader) {
	r.FloatsInto(l.w)
	r.FloatsInto(l.g2)
	r.FloatsInto(l.mean)
	r.FloatsInto(l.m2)
	l.n = r.Float()
}
