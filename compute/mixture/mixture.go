// Package mixture combines the predictions of several experts so that the result is never much
// worse than the best sequence of experts in hindsight: the fixed-share forecaster of Herbster
// and Warmuth, "Tracking the Best Expert", Machine Learning 32 (1998), and, for two that chance
// alone must not part, a duel.
//
// An expert may abstain (NaN), for example a model that was not there yet; the others then share
// the prediction and only their weights move, as in the specialists of Freund et al. (STOC 1997).
package mixture

import (
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// FixedShare holds the weights. Losses must lie in [0, 1]. It does not allocate after New and is
// not safe for concurrent use.
type FixedShare struct {
	rate, share float64
	w           []float64
}

// New returns a mixture of n experts. rate is the learning rate η (2 suits losses of which most
// are well below 1), share the probability α that the best expert changes at a step. prior gives
// the first weights, nil means equal.
func New(n int, rate, share float64, prior []float64) *FixedShare {
	m := &FixedShare{rate: rate, share: share, w: make([]float64, n)}
	m.Reset(prior)
	return m
}

// Reset sets the weights to the prior, normalised; nil means equal.
func (m *FixedShare) Reset(prior []float64) {
	for i := range m.w {
		m.w[i] = 1
		if prior != nil {
			m.w[i] = prior[i]
		}
	}
	normalise(m.w)
}

// Weights returns the weights, which sum to 1. The slice belongs to the mixture.
func (m *FixedShare) Weights() []float64 { return m.w }

// Predict returns the weighted mean of the experts that do not abstain, NaN when all do. len(p)
// is the number of experts.
func (m *FixedShare) Predict(p []float64) float64 {
	anchor := math.NaN() // differences are averaged, so that experts who agree are repeated exactly
	var sum, total float64
	for i, v := range p {
		if math.IsNaN(v) {
			continue
		}
		if math.IsNaN(anchor) {
			anchor = v
		}
		sum += float64(m.w[i] * (v - anchor))
		total += m.w[i]
	}
	if total <= 0 {
		return math.NaN()
	}
	return anchor + sum/total
}

// Update moves the weights after the losses are known, NaN for an expert that abstained. Losses
// are clipped to [0, 1].
func (m *FixedShare) Update(loss []float64) {
	var before, after float64
	for i, l := range loss {
		if !math.IsNaN(l) {
			before += m.w[i]
		}
	}
	if before <= 0 {
		return
	}
	for i, l := range loss {
		if !math.IsNaN(l) {
			m.w[i] = float64(m.w[i] * exact.Exp(-float64(m.rate*min(max(l, 0), 1))))
			after += m.w[i]
		}
	}
	awake := 0
	for _, l := range loss {
		if !math.IsNaN(l) {
			awake++
		}
	}
	for i, l := range loss {
		if !math.IsNaN(l) { // those awake keep their common mass and share a part of it among themselves
			m.w[i] = float64((1-m.share)*float64(m.w[i]*(before/after))) + float64(m.share*before)/float64(awake)
		}
	}
	normalise(m.w)
}

// normalise makes weights sum to 1.
func normalise(w []float64) {
	var sum float64
	for _, v := range w {
		sum += v
	}
	for i := range w {
		w[i] /= sum
	}
}

// Save appends the weights to a snapshot.
func (m *FixedShare) Save(w *state.Writer) { w.Floats(m.w) }

// Load restores them.
func (m *FixedShare) Load(r *state.Reader) {
	r.FloatsInto(m.w)
	for _, w := range m.w {
		if !(w >= 0 && w <= 1) {
			r.Fail()
		}
	}
}
