package explain

import (
	"fmt"

	"skerry.dev/compute/linear"
)

// Linear explains a linear model exactly: an input contributes its weight times its distance from
// its mean, which is its Shapley value when inputs are independent. It is safe for concurrent
// use.
type Linear struct {
	m        *linear.Model
	mean     []float64
	expected []float64
}

// NewLinear explains a model by inputs whose means over the training rows are given.
func NewLinear(m *linear.Model, mean []float64) (*Linear, error) {
	if len(mean) != m.Inputs() {
		return nil, fmt.Errorf("%w: %d means for %d inputs", ErrShape, len(mean), m.Inputs())
	}
	l := &Linear{m: m, mean: append([]float64(nil), mean...), expected: append([]float64(nil), m.Bias()...)}
	for k := range l.expected {
		for j, w := range m.Weights(k) {
			l.expected[k] += float64(w * mean[j])
		}
	}
	return l, nil
}

// Expected returns the sum of each output, before the link, at the means. It belongs to l.
func (l *Linear) Expected() []float64 { return l.expected }

// Into writes the contributions for x into phi: per output Inputs numbers, which with Expected
// add up to the output's sum before the link. It returns ErrShape for other lengths and does not
// allocate.
func (l *Linear) Into(phi, x []float64) error {
	n := l.m.Inputs()
	if len(x) != n || len(phi) != n*l.m.Outputs() {
		return ErrShape
	}
	for k := range l.m.Outputs() {
		for j, w := range l.m.Weights(k) {
			phi[k*n+j] = w * (x[j] - l.mean[j])
		}
	}
	return nil
}
