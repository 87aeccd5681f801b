package online

import (
	"math"
	"slices"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// Spread predicts how large the error of a prediction will be, for intervals: the mean of two
// linear models of the error's logarithm. One takes the size of recent errors, the prediction,
// its distance from the newest label, how far the experts are apart and how much predictions move
// of late; the other takes the row itself as well. Half-widths that follow it need fewer
// corrections than equal ones; with late labels, when recent errors are old, what is known at
// once counts the most.
type Spread struct {
	lean, rich *LinearRegressor
	x          []float64 // scratch
	fast, slow float64   // mean errors of some 20 and 500 rows
	n          float64
	last       float64 // the newest label
	said       float64 // the newest prediction
	moved      float64 // mean step between predictions, of some 8 rows
	steps      float64
}

// SpreadInputs is how many numbers Into writes.
const SpreadInputs = 7

const spreadRate = 0.03

// NewSpread returns a Spread for rows with these inputs that has seen nothing.
func NewSpread(inputs []Input) (*Spread, error) {
	own := make([]Input, SpreadInputs)
	s := &Spread{x: make([]float64, SpreadInputs+len(inputs)), last: math.NaN(), said: math.NaN()}
	var err error
	if s.lean, err = NewLinearRegressor(Schema{Inputs: own}, LinearOptions{Rate: spreadRate}); err != nil {
		return nil, err
	}
	s.rich, err = NewLinearRegressor(Schema{Inputs: slices.Concat(own, inputs)}, LinearOptions{Rate: spreadRate})
	return s, err
}

// Into takes the next prediction and writes what is known when it is made. apart is a measure of
// the experts' disagreement, NaN without one.
func (s *Spread) Into(dst []float64, predicted, apart float64) {
	dst[0], dst[1] = s.log(s.fast), s.log(s.slow)
	dst[2], dst[3], dst[4] = predicted, s.log(math.Abs(predicted-s.last)), s.log(apart)
	if math.Abs(predicted) <= maxMagnitude {
		if !math.IsNaN(s.said) {
			s.steps = min(s.steps+1, 8)
			s.moved += (math.Abs(predicted-s.said) - s.moved) / s.steps
		}
		s.said = predicted
	}
	dst[5], dst[6] = s.log(math.Abs(predicted)), s.log(s.moved)
}

// log is the logarithm, cut below at a thousandth of the mean error.
func (s *Spread) log(v float64) float64 {
	if !usable(v) || !(s.slow > 0) {
		return math.NaN()
	}
	return exact.Log(max(v, s.slow/1000))
}

// Expect returns the error expected of a row, about its geometric mean, between a twentieth and
// twenty times the mean of recent ones; NaN before 30 errors are known. in is what Into wrote,
// row begins with the inputs.
func (s *Spread) Expect(in, row []float64) float64 {
	if s.n < 30 || !(s.slow > 0) {
		return math.NaN()
	}
	log := (s.lean.Predict(in) + s.rich.Predict(s.join(in, row))) / 2
	return min(max(exact.Exp(log), s.slow/20), s.slow*20)
}

// join puts both after each other. It is good until the next call.
func (s *Spread) join(in, row []float64) []float64 {
	copy(s.x[copy(s.x, in):], row)
	return s.x
}

// Learn takes a label and the error of the prediction that in and row belong to.
func (s *Spread) Learn(in, row []float64, label, miss float64) {
	if !usable(miss) || !usable(label) {
		return
	}
	miss = min(math.Abs(miss), maxMagnitude)
	if s.slow > 0 && s.n >= 30 {
		miss = min(miss, 100*s.slow)
		log := exact.Log(max(miss, s.slow/1000))
		s.lean.Learn(in, log, 1)
		s.rich.Learn(s.join(in, row), log, 1)
	}
	s.n++
	s.fast += (miss - s.fast) / min(s.n, 20)
	s.slow += (miss - s.slow) / min(s.n, 500)
	s.last = label
}

// Save appends the state to a snapshot.
func (s *Spread) Save(w *state.Writer) {
	for _, v := range []float64{s.fast, s.slow, s.n, s.last, s.said, s.moved, s.steps} {
		w.Float(v)
	}
	s.lean.Save(w)
	s.rich.Save(w)
}

// Load restores it.
func (s *Spread) Load(r *state.Reader) {
	s.fast, s.slow, s.n, s.last, s.said, s.moved, s.steps = r.Float(), r.Float(), r.Float(), r.Float(), r.Float(), r.Float(), r.Float()
	if !(s.fast >= 0 && s.fast <= 1e290 && s.slow >= 0 && s.slow <= 1e290 && s.n >= 0 && s.moved >= 0 && s.moved <= 1e290 && s.steps >= 0 && s.steps <= 8) || math.IsInf(s.last, 0) || math.Abs(s.said) > maxMagnitude {
		r.Fail()
	}
	s.lean.Load(r)
	s.rich.Load(r)
}
