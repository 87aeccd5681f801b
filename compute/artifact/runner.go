package artifact

import (
	"fmt"
	"math"

	"skerry.dev/compute/feature"
)

// Runner predicts with an artifact. It keeps scratch space: each goroutine needs its own.
type Runner struct {
	a                   *Artifact
	eval                *feature.Evaluator
	point, lower, upper Predictor
	x, out, bound       []float64
	classes             []float64
}

// NewRunner checks the artifact and binds to it.
func NewRunner(a *Artifact) (*Runner, error) {
	if err := a.Check(); err != nil {
		return nil, fmt.Errorf("run artifact: %w", err)
	}
	eval, err := feature.NewEvaluator(a.Pipeline)
	if err != nil {
		return nil, fmt.Errorf("run artifact: %w", err)
	}
	r := &Runner{a: a, eval: eval, point: a.Models[Point], lower: a.Models[Lower], upper: a.Models[Upper]}
	r.x, r.out, r.bound = make([]float64, a.Pipeline.Width()), make([]float64, r.point.Outputs()), make([]float64, 1)
	if a.Manifest.Kind == KindClassification {
		r.classes = make([]float64, len(a.Manifest.Output.Classes))
	}
	return r, nil
}

// Artifact returns what it predicts with.
func (r *Runner) Artifact() *Artifact { return r.a }

// Predict computes the row of h that stands back rows before the newest. For a forecast the
// results are changes, to be added to y(t); for a classification point is the index of the most
// probable class and Classes has the probabilities. lower and upper are NaN when the artifact has
// no such models; when they cross they are swapped. An error leaves all three NaN. It does not
// allocate.
func (r *Runner) Predict(h *feature.History, back int) (point, lower, upper float64, err error) {
	nan := math.NaN()
	if err := r.eval.IntoAt(r.x, h, back); err != nil {
		return nan, nan, nan, err
	}
	if err := r.point.PredictInto(r.out, r.x); err != nil {
		return nan, nan, nan, err
	}
	point = r.out[0]
	if r.classes != nil {
		point = r.classify()
	}
	if r.lower == nil {
		return point, nan, nan, nil
	}
	if err := r.lower.PredictInto(r.bound, r.x); err != nil {
		return nan, nan, nan, err
	}
	lower = r.bound[0]
	if err := r.upper.PredictInto(r.bound, r.x); err != nil {
		return nan, nan, nan, err
	}
	upper = r.bound[0]
	if lower > upper {
		lower, upper = upper, lower
	}
	return point, lower, upper, nil
}

// Model is a Runner as an engine calls it: of a classification, point is the last class's
// probability.
type Model struct{ *Runner }

// Predict is that of the Runner but for the point of a classification.
func (m Model) Predict(h *feature.History, back int) (point, lower, upper float64, err error) {
	point, lower, upper, err = m.Runner.Predict(h, back)
	if m.classes != nil && err == nil {
		point = m.classes[len(m.classes)-1]
	}
	return point, lower, upper, err
}

func (r *Runner) classify() float64 {
	if len(r.out) == 1 {
		r.classes[0], r.classes[1] = 1-r.out[0], r.out[0]
	} else {
		copy(r.classes, r.out)
	}
	best := 0
	for k, p := range r.classes {
		if p > r.classes[best] {
			best = k
		}
	}
	return float64(best)
}

// Faults returns how many calls of the pipeline's modules have ended without a result, which made
// their columns missing, and why the first did.
func (r *Runner) Faults() (int, error) { return r.eval.Faults() }

// Classes returns the class probabilities of the last Predict, nil unless the task is a
// classification. The slice changes with the next Predict.
func (r *Runner) Classes() []float64 { return r.classes }

// Features returns the pipeline's columns of the last Predict. The slice changes with the next
// Predict.
func (r *Runner) Features() []float64 { return r.x }

// MakeVectors runs every model over the newest tail rows of the history and returns the vectors
// that SelfTest will hold it to. values has one row of inputs per time, oldest first.
func MakeVectors(a *Artifact, times []int64, values []float64, tail int) (Vectors, error) {
	v := Vectors{Times: times, Values: values, Tail: tail, Want: map[Role][]float64{}}
	eval, err := feature.NewEvaluator(a.Pipeline)
	if err != nil {
		return v, err
	}
	width := len(a.Pipeline.Inputs)
	if tail < 1 || tail > len(times) || len(values) != width*len(times) {
		return v, fmt.Errorf("self-test: %d rows, %d values, %d rows to predict", len(times), len(values), tail)
	}
	h := feature.NewHistory(width, len(times))
	for i, t := range times {
		h.Push(t, values[i*width:(i+1)*width])
	}
	x := make([]float64, a.Pipeline.Width())
	for back := tail - 1; back >= 0; back-- {
		if err := eval.IntoAt(x, h, back); err != nil {
			return v, err
		}
		for role, m := range a.Models {
			out := make([]float64, m.Outputs())
			if err := m.PredictInto(out, x); err != nil {
				return v, fmt.Errorf("self-test: %s model: %w", role, err)
			}
			v.Want[role] = append(v.Want[role], out...)
		}
	}
	return v, nil
}

// SelfTest computes the artifact's vectors on this machine. Trees must give the same bits,
// networks and linear models the same values to 1e-6 of their size (or of 1 for small ones). It
// returns an error that wraps ErrSelfTest when they differ; an artifact without vectors passes.
func (a *Artifact) SelfTest() error {
	if a.Vectors.Tail == 0 {
		return nil
	}
	got, err := MakeVectors(a, a.Vectors.Times, a.Vectors.Values, a.Vectors.Tail)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSelfTest, err)
	}
	for _, role := range roles {
		tolerance := 1e-6
		if kind := ModelKind(a.Models[role]); kind == "trees" || kind == "constant" {
			tolerance = 0
		}
		for i, want := range a.Vectors.Want[role] {
			v := got.Want[role][i]
			if !(math.Abs(v-want) <= tolerance*max(1, math.Abs(want))) {
				return fmt.Errorf("%w: the %s model gives %v at vector %d, the hub got %v", ErrSelfTest, role, v, i, want)
			}
		}
	}
	return nil
}
