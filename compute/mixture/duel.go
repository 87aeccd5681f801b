package mixture

import (
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// Duel weighs two forecasters by the evidence that either has lower losses. With d the difference
// of two losses, exp(η·d − η²·d²) has a mean of at most 1 when chance favours neither, so that its
// product over rows is large by chance as seldom as a fair bet pays off (de la Peña, "A general
// class of exponential inequalities for martingales and ratios", Annals of Probability 27, 1999;
// for forecasts Henzi and Ziegel, "Valid sequential inference on probability forecast performance",
// Biometrika 109, 2022). It is taken at many rates η at once, in both directions, and so needs no
// rate and no unit: forecasters who are the same but for chance keep about their first weights, and
// a steadily better one takes over once that is more than chance.
//
// Labels that come late tell the same thing as often as labels wait: d² counts as many times,
// which is how much larger the variance of a sum of such losses can be. Differences are forgotten
// over a memory, so that who is better may change.
//
// The zero value is of no use. A Duel is not safe for concurrent use.
type Duel struct {
	memory          float64
	prior           [2]float64
	lead, variation float64 // sums of the second's losses less the first's, and of their squares
	w               [2]float64
}

// Rates are 16, 8 … 2⁻⁹.
const (
	rates      = 14
	fastestLog = 4 // logarithm of the fastest to base 2
)

// NewDuel returns a duel that forgets over so many rows, more as labels come later. prior gives
// the first weights.
func NewDuel(memory float64, prior [2]float64) *Duel {
	m := &Duel{memory: memory}
	m.Reset(prior)
	return m
}

// Reset forgets all losses and sets the weights to the prior, normalised.
func (m *Duel) Reset(prior [2]float64) {
	m.prior, m.lead, m.variation = prior, 0, 0
	normalise(m.prior[:])
	m.weigh()
}

// Weights returns the weights, which sum to 1.
func (m *Duel) Weights() [2]float64 { return m.w }

// Update moves the weights after both losses are known; NaN for either changes nothing. Losses are
// clipped to [0, 1]. late is how many rows their labels came late.
func (m *Duel) Update(first, second, late float64) {
	if math.IsNaN(first) || math.IsNaN(second) {
		return
	}
	rows := 1 + late
	keep := 1 - 1/float64(m.memory*rows)
	d := min(max(second, 0), 1) - min(max(first, 0), 1)
	m.lead = float64(m.lead*keep) + d
	m.variation = float64(m.variation*keep) + float64(float64(d*d)*rows)
	m.weigh()
}

// weigh sums the evidence over the rates.
func (m *Duel) weigh() {
	var exponents [2][rates]float64
	top := math.Inf(-1)
	for k := range rates {
		rate := math.Ldexp(1, fastestLog-k)
		gain, cost := float64(rate*m.lead), float64(float64(rate*rate)*m.variation)
		exponents[0][k], exponents[1][k] = gain-cost, -gain-cost
		top = max(top, gain-cost, -gain-cost)
	}
	m.w = [2]float64{}
	for i := range m.w {
		for _, e := range exponents[i] {
			m.w[i] += float64(m.prior[i] * exact.Exp(e-top))
		}
	}
	normalise(m.w[:])
}

// Save appends the state to a snapshot.
func (m *Duel) Save(w *state.Writer) {
	for _, v := range []float64{m.prior[0], m.prior[1], m.lead, m.variation} {
		w.Float(v)
	}
}

// Load restores it.
func (m *Duel) Load(r *state.Reader) {
	var prior [2]float64
	prior[0], prior[1] = r.Float(), r.Float()
	lead, variation := r.Float(), r.Float()
	if !(prior[0] >= 0 && prior[1] >= 0 && math.Abs(prior[0]+prior[1]-1) < 1e-9 && math.Abs(lead) <= maxSum && variation >= 0 && variation <= maxSum) {
		r.Fail()
		return
	}
	m.prior, m.lead, m.variation = prior, lead, variation
	m.weigh()
}

// maxSum is above every sum that a snapshot can hold: a row adds at most one difference, and its
// square as often as labels wait.
const maxSum = 1 << 53
