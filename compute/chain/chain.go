package chain

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/neural"
)

// Op is what a step does. Steps before the model work on columns From to To, To not included;
// steps after it on every output. The numbers stand in files.
type Op uint8

// The steps before a model.
const (
	// |x| <= 1e-35, rounded to float32, becomes NaN: LightGBM's zero_as_missing
	ZeroMissing Op = iota + 1
	// a whole number x becomes Values[x], any other number and what lies outside -1; To is From+1
	Remap
	Affine // (x − Values[2i]) · Values[2i+1] for the i-th column
	// the row's part divided by the sum of magnitudes; left as it is when that is 0
	NormL1
	NormL2  // divided by its Euclidean length; left as it is when that is 0
	NormMax // divided by its largest magnitude; left as it is when that is 0
)

// The steps after a model.
const (
	Exponential  Op = iota + 64 // exp(y)
	Logistic                    // 1/(1+exp(−y))
	SignedSquare                // sign(y) · y²
	Log1pExp                    // log(1+exp(y))
	Step                        // 1 when y > 0, else 0
	// every output divided by the outputs' sum; equal shares when that is 0
	NormSum
	Scale   // Values[2k] + Values[2k+1] · y for output k
	Softmax // softmax over the outputs
)

// Limits of a chain.
const (
	MaxSteps = 16
	MaxTable = 1 << 16 // entries of a Remap
)

// ZeroThreshold is the largest magnitude that ZeroMissing takes for zero: 1e-35 as a float32,
// LightGBM's kZeroThreshold.
const ZeroThreshold = float64(float32(1e-35))

// Stage is one step of a chain.
type Stage struct {
	Op       Op
	From, To int       // columns, for the steps before the model; 0 and 0 after it
	Values   []float64 // Remap's table, the numbers of Affine and Scale
}

// Predictor is a model that a chain may hold: *ensemble.Ensemble, *neural.Network or *linear.Model.
type Predictor interface {
	Inputs() int
	Outputs() int
	PredictInto(dst, x []float64) error
}

// ErrShape means that an input or output slice has the wrong length.
var ErrShape = errors.New("chain: wrong number of inputs or outputs")

// Model runs steps, a model and more steps.
type Model struct {
	before, after []Stage
	inner         Predictor
	scratch       sync.Pool
}

// New checks the steps against the model and copies them.
func New(before []Stage, inner Predictor, after []Stage) (*Model, error) {
	if kindOf(inner) == 0 {
		return nil, fmt.Errorf("chain: a %T cannot stand in a chain, only an ensemble, a network or a linear model", inner)
	}
	if len(before) > MaxSteps || len(after) > MaxSteps {
		return nil, fmt.Errorf("chain: %d steps before and %d after the model, at most %d each", len(before), len(after), MaxSteps)
	}
	m := &Model{inner: inner}
	for i, s := range before {
		if err := s.checkBefore(inner.Inputs()); err != nil {
			return nil, fmt.Errorf("chain: step %d before the model: %w", i, err)
		}
		m.before = append(m.before, s.clone())
	}
	for i, s := range after {
		if err := s.checkAfter(inner.Outputs()); err != nil {
			return nil, fmt.Errorf("chain: step %d after the model: %w", i, err)
		}
		m.after = append(m.after, s.clone())
	}
	m.scratch.New = func() any { s := make([]float64, inner.Inputs()); return &s }
	return m, nil
}

func (s Stage) clone() Stage {
	s.Values = append([]float64(nil), s.Values...)
	return s
}

func (s *Stage) checkBefore(inputs int) error {
	if s.From < 0 || s.To > inputs || s.From >= s.To {
		return fmt.Errorf("columns %d to %d of %d", s.From, s.To, inputs)
	}
	want := 0
	switch s.Op {
	case ZeroMissing, NormL1, NormL2, NormMax:
	case Affine:
		want = 2 * (s.To - s.From)
	case Remap:
		if s.To != s.From+1 || len(s.Values) < 1 || len(s.Values) > MaxTable {
			return fmt.Errorf("a table of %d entries for columns %d to %d, must be 1 to %d for one column", len(s.Values), s.From, s.To, MaxTable)
		}
		want = len(s.Values)
	default:
		return fmt.Errorf("unknown operation %d", s.Op)
	}
	return s.checkValues(want)
}

func (s *Stage) checkAfter(outputs int) error {
	if s.From != 0 || s.To != 0 {
		return fmt.Errorf("columns %d to %d, must be 0 to 0", s.From, s.To)
	}
	want := 0
	switch s.Op {
	case Exponential, Logistic, SignedSquare, Log1pExp, Step:
	case NormSum, Softmax:
		if outputs < 2 {
			return fmt.Errorf("operation %d with %d outputs, needs 2", s.Op, outputs)
		}
	case Scale:
		want = 2 * outputs
	default:
		return fmt.Errorf("unknown operation %d", s.Op)
	}
	return s.checkValues(want)
}

func (s *Stage) checkValues(want int) error {
	if len(s.Values) != want {
		return fmt.Errorf("%d values, want %d", len(s.Values), want)
	}
	for _, v := range s.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("a value is not finite")
		}
	}
	return nil
}

// Inputs returns the length of x.
func (m *Model) Inputs() int { return m.inner.Inputs() }

// Outputs returns the length of dst.
func (m *Model) Outputs() int { return m.inner.Outputs() }

// Inner returns the model between the steps.
func (m *Model) Inner() Predictor { return m.inner }

// Before returns the steps before the model. They belong to it.
func (m *Model) Before() []Stage { return m.before }

// After returns the steps after the model. They belong to it.
func (m *Model) After() []Stage { return m.after }

// PredictInto writes the outputs for x into dst. len(x) is Inputs and len(dst) is Outputs, else
// it returns ErrShape; other errors are the model's. x is not changed. It is safe for concurrent
// use and does not allocate in the steady state: scratch space is pooled.
func (m *Model) PredictInto(dst, x []float64) error {
	if len(x) != m.inner.Inputs() || len(dst) != m.inner.Outputs() {
		return ErrShape
	}
	if len(m.before) > 0 {
		s := m.scratch.Get().(*[]float64)
		defer m.scratch.Put(s)
		copy(*s, x)
		x = *s
		for i := range m.before {
			m.before[i].columns(x[m.before[i].From:m.before[i].To])
		}
	}
	if err := m.inner.PredictInto(dst, x); err != nil {
		return err
	}
	for i := range m.after {
		m.after[i].outputs(dst)
	}
	return nil
}

// columns runs a step before the model over its columns, in place.
func (s *Stage) columns(x []float64) {
	switch s.Op {
	case ZeroMissing:
		for i, v := range x {
			if v >= -ZeroThreshold && v <= ZeroThreshold {
				x[i] = math.NaN()
			}
		}
	case Remap:
		x[0] = s.remap(x[0])
	case Affine:
		for i, v := range x {
			x[i] = float64((v - s.Values[2*i]) * s.Values[2*i+1])
		}
	default:
		if n := s.norm(x); n != 0 {
			for i := range x {
				x[i] /= n
			}
		}
	}
}

func (s *Stage) remap(v float64) float64 {
	switch {
	case math.IsNaN(v):
		return v
	case v < 0 || v >= float64(len(s.Values)) || v != math.Trunc(v):
		return -1
	}
	return s.Values[int(v)]
}

func (s *Stage) norm(x []float64) float64 {
	var n float64
	for _, v := range x {
		switch s.Op {
		case NormL1:
			n += math.Abs(v)
		case NormL2:
			n += float64(v * v)
		default:
			n = max(n, math.Abs(v))
		}
	}
	if s.Op == NormL2 {
		n = math.Sqrt(n)
	}
	return n
}

// outputs runs a step after the model, in place.
func (s *Stage) outputs(dst []float64) {
	switch s.Op {
	case Exponential:
		ensemble.Exponential.Apply(dst)
	case Logistic:
		ensemble.Logistic.Apply(dst)
	case Softmax:
		ensemble.Softmax.Apply(dst)
	case NormSum:
		var sum float64
		for _, v := range dst {
			sum += v
		}
		for k := range dst {
			if dst[k] /= sum; sum == 0 {
				dst[k] = 1 / float64(len(dst))
			}
		}
	default:
		for k, v := range dst {
			dst[k] = s.output(k, v)
		}
	}
}

func (s *Stage) output(k int, v float64) float64 {
	switch s.Op {
	case SignedSquare:
		return math.Copysign(float64(v*v), v)
	case Log1pExp:
		return max(v, 0) + math.Log1p(ensemble.Exp(-math.Abs(v))) // no overflow
	case Scale:
		return s.Values[2*k] + float64(s.Values[2*k+1]*v)
	default: // Step
		if v > 0 {
			return 1
		}
		return 0
	}
}

// The kinds of inner models in the encoding.
const (
	innerTrees = iota + 1
	innerNetwork
	innerLinear
)

func kindOf(p Predictor) byte {
	switch p.(type) {
	case *ensemble.Ensemble:
		return innerTrees
	case *neural.Network:
		return innerNetwork
	case *linear.Model:
		return innerLinear
	}
	return 0
}
