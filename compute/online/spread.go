package online

import (
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// Spread foretells how large the error of a prediction will be, for intervals: a linear model of the error's logarithm by the size of recent errors, the prediction, its distance from the newest label and how far the experts are apart. Half-widths
// that follow it need fewer corrections than equal ones.
type Spread struct {
	l          *LinearRegressor
	fast, slow float64 // mean errors of some 20 and 500 rows
	n          float64
	last       float64 // the newest label
}

// SpreadInputs is how many numbers Into writes.
const SpreadInputs = 5

// NewSpread returns a Spread that has seen nothing.
func NewSpread() *Spread {
	l, err := NewLinearRegressor(Schema{Inputs: make([]Input, SpreadInputs)}, LinearOptions{Rate: 0.03})
	if err != nil {
		panic("online: " + err.Error()) // five numbers are a good schema
	}
	return &Spread{l: l, last: math.NaN()}
}

// Into writes what is known when a prediction is made. apart is a measure of the experts' disagreement, NaN without one.
func (s *Spread) Into(dst []float64, predicted, apart float64) {
	dst[0], dst[1] = s.log(s.fast), s.log(s.slow)
	dst[2], dst[3], dst[4] = predicted, s.log(math.Abs(predicted-s.last)), s.log(apart)
}

// log is the logarithm, cut below at a thousandth of the mean error.
func (s *Spread) log(v float64) float64 {
	if !usable(v) || !(s.slow > 0) {
		return math.NaN()
	}
	return exact.Log(max(v, s.slow/1000))
}

// Expect returns the error expected, about its geometric mean, between a twentieth and twenty times the mean of recent ones; NaN before 30 errors are known.
func (s *Spread) Expect(in []float64) float64 {
	if s.n < 30 || !(s.slow > 0) {
		return math.NaN()
	}
	return min(max(exact.Exp(s.l.Predict(in)), s.slow/20), s.slow*20)
}

// Learn takes a label and the error of the prediction that in belongs to.
func (s *Spread) Learn(in []float64, label, miss float64) {
	if !usable(miss) || !usable(label) {
		return
	}
	miss = min(math.Abs(miss), largest)
	if s.slow > 0 && s.n >= 30 {
		miss = min(miss, 100*s.slow)
		s.l.Learn(in, exact.Log(max(miss, s.slow/1000)), 1)
	}
	s.n++
	s.fast += (miss - s.fast) / min(s.n, 20)
	s.slow += (miss - s.slow) / min(s.n, 500)
	s.last = label
}

// Save appends the state to a snapshot.
func (s *Spread) Save(w *state.Writer) {
	for _, v := range []float64{s.fast, s.slow, s.n, s.last} {
		w.Float(v)
	}
	s.l.Save(w)
}

// Load restores it.
func (s *Spread) Load(r *state.Reader) {
	s.fast, s.slow, s.n, s.last = r.Float(), r.Float(), r.Float(), r.Float()
	if !(s.fast >= 0 && s.fast <= 1e290 && s.slow >= 0 && s.slow <= 1e290 && s.n >= 0) || math.IsInf(s.last, 0) {
		r.Fail()
	}
	s.l.Load(r)
}
