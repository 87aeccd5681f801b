package explain

import (
	"fmt"
	"math/rand/v2"

	"skerry.dev/compute/binned"
)

// Sampling estimates the contributions to a prediction of any model: Shapley values of the game
// in which inputs outside the coalition are taken from background rows. For every background row
// it draws permutations, moves the inputs from the background to the row in that order and
// backwards, and books each change of the outputs on the input that was moved. After Štrumbelj
// and Kononenko, "Explaining prediction models and individual predictions with feature
// contributions", Knowledge and Information Systems 41 (2014), with antithetic pairs as in
// Mitchell et al., JMLR 23 (2022).
//
// The contributions always add up to the prediction minus the mean prediction of the background;
// each is approximate, with an error that falls with the root of background rows times
// permutations. For a model without interactions they are exact. A row costs
// 2·permutations·background·inputs predictions. It is safe for concurrent use.
type Sampling struct {
	m            Predictor
	background   []float64
	rows         int
	permutations int
	seed         uint64
	expected     []float64
}

// NewSampling explains m against background rows, one after the other; some dozens that look like
// the training rows are usual. permutations is how many pairs are drawn for each of them, 0 for 1.
func NewSampling(m Predictor, background []float64, permutations int, seed uint64) (*Sampling, error) {
	n := m.Inputs()
	if len(background) == 0 || len(background)%n != 0 || permutations < 0 {
		return nil, fmt.Errorf("%w: %d background values for %d inputs and %d permutations", ErrShape, len(background), n, permutations)
	}
	s := &Sampling{
		m:            m,
		background:   background,
		rows:         len(background) / n,
		permutations: max(1, permutations),
		seed:         seed,
		expected:     make([]float64, m.Outputs()),
	}
	out := make([]float64, m.Outputs())
	for b := range s.rows {
		if err := m.PredictInto(out, background[b*n:(b+1)*n]); err != nil {
			return nil, fmt.Errorf("explain: background row %d: %w", b, err)
		}
		for k, v := range out {
			s.expected[k] += v / float64(s.rows)
		}
	}
	return s, nil
}

// Expected returns the mean prediction of the background rows. It belongs to s.
func (s *Sampling) Expected() []float64 { return s.expected }

// Into writes the contributions for x into phi: per output Inputs numbers. It returns ErrShape
// for other lengths, and the model's error when it cannot predict a mixture of the rows.
func (s *Sampling) Into(phi, x []float64) error {
	n, outputs := s.m.Inputs(), s.m.Outputs()
	if len(x) != n || len(phi) != n*outputs {
		return ErrShape
	}
	clear(phi)
	rng := rand.New(rand.NewPCG(s.seed, 0x73686170))
	order, mixed := make([]int, n), make([]float64, n)
	for j := range order {
		order[j] = j
	}
	before, after := make([]float64, outputs), make([]float64, outputs)
	share := 1 / float64(2*s.rows*s.permutations)
	for b := range s.rows {
		from := s.background[b*n : (b+1)*n]
		for range s.permutations {
			rng.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
			for range 2 {
				copy(mixed, from)
				if err := s.m.PredictInto(before, mixed); err != nil {
					return err
				}
				for _, j := range order {
					if mixed[j] == x[j] {
						continue // nothing changes
					}
					mixed[j] = x[j]
					if err := s.m.PredictInto(after, mixed); err != nil {
						return err
					}
					for k, v := range after {
						phi[k*n+j] += share * (v - before[k])
					}
					before, after = after, before
				}
				for i := range n / 2 {
					order[i], order[n-1-i] = order[n-1-i], order[i]
				}
			}
		}
	}
	return nil
}

// Batch is Into for rows, one after the other in x and phi, on up to threads goroutines.
func (s *Sampling) Batch(phi, x []float64, threads int) error {
	n := s.m.Inputs()
	rows, width := len(x)/n, n*s.m.Outputs()
	if len(x) != rows*n || len(phi) != rows*width {
		return ErrShape
	}
	errs := make([]error, rows)
	binned.Parallel(threads, rows, func(from, to int) {
		for i := from; i < to; i++ {
			errs[i] = s.Into(phi[i*width:(i+1)*width], x[i*n:(i+1)*n])
		}
	})
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("explain: row %d: %w", i, err)
		}
	}
	return nil
}
