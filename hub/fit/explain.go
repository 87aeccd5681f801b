package fit

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/explain"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/metric"
	"skerry.dev/compute/tabular"
	"skerry.dev/hub/dataset"
)

// Methods of an explanation.
const (
	// exact Shapley values of an ensemble of trees, by the covers of its nodes
	MethodTrees    = "tree-shap"
	MethodLinear   = "linear-shap"  // exact for a linear model
	MethodSampling = "sampled-shap" // estimated, for every other model
)

// ExplainOptions define which artifact's predictions to explain on what.
type ExplainOptions struct {
	Table tabular.Options // how the file is written; Time is that of these options
	Data  string
	// column of the truth; with it features are also shuffled to see what the loss does
	Target      string
	Time        string // column of the event time; required for a forecast
	Class       string // of a classification; default the last
	Rows        int    // at most so many rows, evenly spread; default 1000
	Dependence  string // feature whose partial dependence to compute; "" for none
	Points      int    // of its grid; default 20
	PerRow      bool   // keep the contributions of every row
	Seed        uint64
	Threads     int
	Permutation bool // shuffle features; needs labelled rows
	classes     bool // of a classification
}

// Explanation is what moves an artifact's predictions. Contributions are in the unit of the
// model's raw score: log odds or log shares of a classification by trees or a linear model, else
// what is predicted.
type Explanation struct {
	Digest   string   `json:"digest"`
	Task     string   `json:"task"`
	Kind     string   `json:"kind"`
	Learner  string   `json:"learner"`
	Method   string   `json:"method"`
	Class    string   `json:"class,omitempty"`
	Rows     int      `json:"rows"`
	Expected float64  `json:"expected"` // what contributions start from
	Features []Effect `json:"features"`
	// rise of the loss (log loss, or root mean squared error) when a feature is shuffled
	Permutation []Gain          `json:"permutation,omitempty"`
	Dependence  *DependenceOn   `json:"dependence,omitempty"`
	PerRow      []Contributions `json:"per_row,omitempty"`
}

// Effect is what a feature contributes over the rows.
type Effect struct {
	Feature string  `json:"feature"`
	MeanAbs float64 `json:"mean_abs"`
	Mean    float64 `json:"mean"`
}

// Contributions are those of one row, in the order of Names of the pipeline.
type Contributions struct {
	Row    int                `json:"row"` // of the file, from 0
	Score  float64            `json:"score"`
	Values map[string]float64 `json:"contributions"`
}

// DependenceOn is how the prediction depends on one feature when all others stay as they are.
type DependenceOn struct {
	Feature string    `json:"feature"`
	Grid    []float64 `json:"grid"`
	Mean    []float64 `json:"mean"`
}

const (
	explainRows    = 1000
	backgroundRows = 50
	maxPoints      = 10_000
	permutations   = 4
)

// shapley is what the explainers of package explain have in common.
type shapley interface {
	Expected() []float64
	Into(phi, x []float64) error
}

// Explain reports what moves an artifact's predictions on the rows of a file.
func Explain(ctx context.Context, a *artifact.Artifact, o ExplainOptions) (*Explanation, error) {
	switch {
	case o.Rows < 0:
		return nil, fmt.Errorf("rows %d: must be 1 or more, or 0 for %d", o.Rows, explainRows)
	case o.Points < 0 || o.Points > maxPoints:
		return nil, fmt.Errorf("points %d: must be 1 to %d, or 0 for the default", o.Points, maxPoints)
	case o.Threads < 0 || o.Threads > MaxThreads:
		return nil, fmt.Errorf("threads %d: must be 1 to %d", o.Threads, MaxThreads)
	}
	x, y, at, err := featuresOf(ctx, a, &o)
	if err != nil {
		return nil, err
	}
	m, names := a.Models[artifact.Point], a.Pipeline.Names()
	width, rows := len(names), len(at)
	if rows == 0 {
		return nil, fmt.Errorf("%s: no row", o.Data)
	}
	output, class, err := outputOf(a, o.Class)
	if err != nil {
		return nil, err
	}
	e := &Explanation{
		Digest:  a.Digest,
		Task:    a.Manifest.Task,
		Kind:    a.Manifest.Kind,
		Learner: a.Manifest.Learner,
		Class:   class,
		Rows:    rows,
	}
	var s shapley
	if s, e.Method, err = explainer(m, x, width, o.Seed); err != nil {
		return nil, err
	}
	e.Expected = s.Expected()[output]
	phi := make([]float64, width*m.Outputs())
	e.Features = make([]Effect, width)
	for j, name := range names {
		e.Features[j].Feature = name
	}
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.Into(phi, x[i*width:(i+1)*width]); err != nil {
			return nil, fmt.Errorf("row %d: %w", at[i], err)
		}
		c := Contributions{Row: at[i], Score: e.Expected, Values: map[string]float64{}}
		for j, v := range phi[output*width : (output+1)*width] {
			e.Features[j].Mean += v / float64(rows)
			e.Features[j].MeanAbs += math.Abs(v) / float64(rows)
			c.Score += v
			c.Values[names[j]] = v
		}
		if o.PerRow {
			e.PerRow = append(e.PerRow, c)
		}
	}
	slices.SortStableFunc(e.Features, func(a, b Effect) int { return cmp.Compare(b.MeanAbs, a.MeanAbs) })
	if o.Permutation {
		o.classes = a.Manifest.Kind == artifact.KindClassification
		if e.Permutation, err = shuffled(ctx, m, x, y, names, &o); err != nil {
			return nil, err
		}
	}
	if o.Dependence != "" {
		j := slices.Index(names, o.Dependence)
		if j < 0 {
			return nil, fmt.Errorf("no feature %q: there are %v", o.Dependence, names)
		}
		d, err := explain.PartialDependence(ctx, m, x, j, explain.DependenceOptions{
			Points:  o.Points,
			Threads: o.Threads,
		})
		if err != nil {
			return nil, err
		}
		e.Dependence = &DependenceOn{Feature: o.Dependence, Grid: d.Grid}
		c := a.Pipeline.Columns[j]
		for k := range d.Grid {
			if c.Scale != 0 {
				d.Grid[k] *= c.Scale // as the input was
			}
			d.Grid[k] += c.Center
			e.Dependence.Mean = append(e.Dependence.Mean, d.Mean[k*m.Outputs()+output])
		}
	}
	return e, nil
}

// explainer chooses the exact method where there is one.
func explainer(m artifact.Predictor, x []float64, width int, seed uint64) (shapley, string, error) {
	switch m := m.(type) {
	case *ensemble.Ensemble:
		if m.Spec().Covers {
			t, err := explain.NewTrees(m)
			return t, MethodTrees, err
		}
	case *linear.Model:
		mean := make([]float64, width)
		for i, v := range x {
			mean[i%width] += v * float64(width) / float64(len(x))
		}
		l, err := explain.NewLinear(m, mean)
		return l, MethodLinear, err
	}
	rng := rand.New(rand.NewPCG(seed, 0x736861))
	var background []float64
	for _, i := range rng.Perm(len(x) / width)[:min(backgroundRows, len(x)/width)] {
		background = append(background, x[i*width:(i+1)*width]...)
	}
	s, err := explain.NewSampling(m, background, permutations, seed)
	return s, MethodSampling, err
}

// outputOf finds the output of a class.
func outputOf(a *artifact.Artifact, class string) (int, string, error) {
	classes := a.Manifest.Output.Classes
	if len(classes) == 0 {
		return 0, "", nil
	}
	k := len(classes) - 1
	if class != "" {
		if k = slices.Index(classes, class); k < 0 {
			return 0, "", fmt.Errorf("no class %q: there are %v", class, classes)
		}
	}
	if a.Models[artifact.Point].Outputs() == 1 {
		if k == 0 {
			return 0, "", fmt.Errorf("the model scores %q; that of %q is the opposite", classes[1], classes[0])
		}
		return 0, classes[1], nil
	}
	return k, classes[k], nil
}

// featuresOf computes the pipeline's columns for rows of the file, with their truths (NaN
// without) and their positions.
func featuresOf(ctx context.Context, a *artifact.Artifact, o *ExplainOptions) (x, y []float64, at []int, err error) {
	if o.Rows == 0 {
		o.Rows = explainRows
	}
	sh := &shape{
		kind:    a.Manifest.Kind,
		target:  o.Target,
		unit:    a.Manifest.Output.Unit,
		time:    o.Time,
		inputs:  a.Manifest.Inputs,
		classes: a.Manifest.Output.Classes,
	}
	if !o.Permutation {
		sh.target = ""
	} else if sh.target == "" {
		sh.target = a.Manifest.Output.Series
	}
	f, err := dataset.Read(ctx, o.Data, sh.reading(o.Table))
	if err != nil {
		return nil, nil, nil, err
	}
	if err := sh.fits(f, o.Table.Note); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", o.Data, err)
	}
	rows, err := sh.inputRows(f)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", o.Data, err)
	}
	y = make([]float64, f.Rows)
	if o.Permutation {
		if y, err = sh.targetOf(f); err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %w", o.Data, err)
		}
	}
	eval, err := feature.NewEvaluator(a.Pipeline)
	if err != nil {
		return nil, nil, nil, err
	}
	h := feature.NewHistory(len(a.Manifest.Inputs), max(a.Pipeline.Rows, 1))
	width := a.Pipeline.Width()
	order, err := sh.order(f)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", o.Data, err)
	}
	step := max(1, (len(order)+o.Rows-1)/o.Rows)
	var truth []float64
	for k, i := range order {
		h.Push(rows.times[i], rows.values[i])
		if k%step != 0 || o.Permutation && math.IsNaN(y[i]) {
			continue
		}
		x = append(x, make([]float64, width)...)
		if err := eval.Into(x[len(x)-width:], h); err != nil {
			return nil, nil, nil, err
		}
		truth, at = append(truth, y[i]), append(at, int(i))
	}
	return x, truth, at, nil
}

// shuffled measures features by shuffling them.
func shuffled(ctx context.Context, m artifact.Predictor, x, y []float64, names []string, o *ExplainOptions) ([]Gain, error) {
	loss := metric.RMSE
	if n := m.Outputs(); o.classes {
		loss = func(y, p, w []float64) float64 { return metric.LogLoss(y, p, w, n) }
	}
	im, err := explain.Permutation(ctx, m, x, y, loss, explain.PermutationOptions{
		Seed:    o.Seed,
		Threads: o.Threads,
	})
	if err != nil {
		return nil, err
	}
	var out []Gain
	for j, name := range names {
		out = append(out, Gain{name, im.Mean[j]})
	}
	slices.SortStableFunc(out, func(a, b Gain) int { return cmp.Compare(b.Gain, a.Gain) })
	return out, nil
}
