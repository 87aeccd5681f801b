package online

import (
	"math"

	"skerry.dev/compute/state"
)

// NewCorrectorClassifier returns a logistic regression that starts from another model's
// probabilities, which stand in a row from position at on, one for each class: it learns by what
// to multiply their odds. Where they are missing (NaN) it starts from equal ones.
func NewCorrectorClassifier(s Schema, at int, o LinearOptions) (*LinearClassifier, error) {
	l, err := NewLinearClassifier(s, o)
	if err != nil {
		return nil, err
	}
	l.at = at
	return l, nil
}

// CorrectorRegressor learns the error of another model, whose prediction stands in a row at a
// position, as a linear function of the row, and predicts that model's prediction plus the error
// expected. Where the prediction is missing it predicts NaN and learns nothing.
type CorrectorRegressor struct {
	l  *LinearRegressor
	at int
}

// NewCorrectorRegressor returns a corrector for rows of the schema that have the other model's
// prediction at position at.
func NewCorrectorRegressor(s Schema, at int, o LinearOptions) (*CorrectorRegressor, error) {
	l, err := NewLinearRegressor(s, o)
	if err != nil {
		return nil, err
	}
	return &CorrectorRegressor{l, at}, nil
}

// Predict implements Regressor, but for a missing prediction.
func (c *CorrectorRegressor) Predict(x []float64) float64 {
	if !usable(x[c.at]) {
		return math.NaN()
	}
	return x[c.at] + c.l.Predict(x)
}

// Learn implements Regressor.
func (c *CorrectorRegressor) Learn(x []float64, y, weight float64) {
	if usable(x[c.at]) {
		c.l.Learn(x, y-x[c.at], weight)
	}
}

// Reset forgets what was learned about the other model.
func (c *CorrectorRegressor) Reset() { c.l.Reset() }

// Bytes implements Learner.
func (c *CorrectorRegressor) Bytes() int { return c.l.Bytes() }

// Save implements Learner.
func (c *CorrectorRegressor) Save(w *state.Writer) { c.l.Save(w) }

// Load implements Learner.
func (c *CorrectorRegressor) Load(r *state.Reader) { c.l.Load(r) }
