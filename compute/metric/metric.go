// Package metric scores predictions: those of a stream, in totals for a report and an
// exponentially weighted trail for a gauge, and those of a whole table.
package metric

import (
	"math"

	"skerry.dev/compute/state"
)

// Trail is an exponentially weighted mean that starts as a plain mean, so that it is unbiased
// from the first value. Use a Trail with N set, for example Trail{N: 500}: the weight of a value
// falls to 1/e after N more.
type Trail struct {
	N     float64
	n     float64
	value float64
}

// Add takes a value; NaN is ignored.
func (t *Trail) Add(x float64) {
	if math.IsNaN(x) {
		return
	}
	t.n++
	t.value += (x - t.value) / min(t.n, max(t.N, 1))
}

// Mean returns the trail, 0 before the first value.
func (t *Trail) Mean() float64 { return t.value }

// Count returns the number of values taken.
func (t *Trail) Count() int64 { return int64(t.n) }

// Save appends the state to a snapshot.
func (t *Trail) Save(w *state.Writer) {
	w.Float(t.n)
	w.Float(t.value)
}

// Load restores it.
func (t *Trail) Load(r *state.Reader) { t.n, t.value = r.Float(), r.Float() }

// LeastProbability is what [ClassLoss] takes for smaller probabilities.
const LeastProbability = 0.001

// ClassLoss is the log loss of one row from the probability that was given to its class: at most
// -log(LeastProbability), 6.9. The bound keeps single rows from deciding a comparison; for models
// whose probabilities stay above it the score is proper: the true probabilities have the least loss.
// NaN has the greatest.
func ClassLoss(p float64) float64 {
	if !(p > LeastProbability) {
		p = LeastProbability
	}
	return -math.Log(min(p, 1))
}

// IntervalScore is the negatively oriented score of an interval [lo, hi] at nominal coverage
// level for the truth y: its width plus 2/(1-level) times the distance by which y lies outside.
// After Gneiting and Raftery, JASA 102 (2007), eq. 43.
func IntervalScore(lo, hi, y, level float64) float64 {
	s := hi - lo
	if y < lo {
		s += 2 / (1 - level) * (lo - y)
	}
	if y > hi {
		s += 2 / (1 - level) * (y - hi)
	}
	return s
}
