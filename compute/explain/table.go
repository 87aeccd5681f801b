package explain

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/binned"
)

// predict fills dst with the outputs for the rows of x.
func predict(m Predictor, dst, x []float64, threads int) error {
	if b, ok := m.(batcher); ok {
		return b.PredictBatch(dst, x, threads)
	}
	n, out := m.Inputs(), m.Outputs()
	rows := len(x) / n
	errs := make([]error, rows)
	binned.Parallel(threads, rows, func(from, to int) {
		for i := from; i < to; i++ {
			errs[i] = m.PredictInto(dst[i*out:(i+1)*out], x[i*n:(i+1)*n])
		}
	})
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("explain: row %d: %w", i, err)
		}
	}
	return nil
}

// Metric scores predictions: y and weights w (may be nil) have one number per row, p the model's
// outputs. The functions of package metric fit, those with further arguments in a closure.
type Metric func(y, p, w []float64) float64

// PermutationOptions of Permutation. The zero value of a field is its documented default.
type PermutationOptions struct {
	Repeats int // shuffles of every input; default 5
	// inputs that are shuffled together, like the indicators of a category; default each alone
	Groups  [][]int
	Weight  []float64
	Seed    uint64
	Threads int // default 1
}

// Importance is how much the metric changes when an input, or a group of them, is shuffled.
type Importance struct {
	Base float64 // metric as it is
	// of the shuffled metric minus Base over the repeats, by group; for a loss positive where the
	// model relies on the input
	Mean, Std []float64
}

// Permutation measures by how much a metric changes when an input's values are shuffled among the
// rows of x, which the model should not have been trained on: one row of inputs after the other,
// y a truth for each. After Breiman, "Random Forests", Machine Learning 45 (2001), and Fisher,
// Rudin and Dominici, JMLR 20 (2019). Inputs that hold the same share the work and look less
// important than both together. It costs Repeats predictions of the table for every input, and a
// copy of the table for every thread. It returns ctx's error when ctx ends first.
func Permutation(ctx context.Context, m Predictor, x, y []float64, metric Metric, o PermutationOptions) (*Importance, error) {
	n, rows := m.Inputs(), len(y)
	if len(x) != rows*n || rows == 0 || (o.Weight != nil && len(o.Weight) != rows) {
		return nil, fmt.Errorf("%w: %d values, %d targets and %d weights", ErrShape, len(x), rows, len(o.Weight))
	}
	if o.Repeats == 0 {
		o.Repeats = 5
	}
	if o.Groups == nil {
		for j := range n {
			o.Groups = append(o.Groups, []int{j})
		}
	}
	for _, g := range o.Groups {
		for _, j := range g {
			if j < 0 || j >= n {
				return nil, fmt.Errorf("%w: input %d of %d", ErrShape, j, n)
			}
		}
	}
	p := make([]float64, rows*m.Outputs())
	if err := predict(m, p, x, o.Threads); err != nil {
		return nil, err
	}
	im := &Importance{
		Base: metric(y, p, o.Weight),
		Mean: make([]float64, len(o.Groups)),
		Std:  make([]float64, len(o.Groups)),
	}
	errs := make([]error, len(o.Groups))
	binned.Parallel(o.Threads, len(o.Groups), func(from, to int) {
		shuffled, p, order := slices.Clone(x), make([]float64, rows*m.Outputs()), make([]int, rows)
		for g := from; g < to; g++ {
			// Its own stream, so that neither threads nor other inputs matter.
			rng := rand.New(rand.NewPCG(o.Seed, uint64(g)))
			change := make([]float64, o.Repeats)
			for r := range change {
				if errs[g] = ctx.Err(); errs[g] != nil {
					return
				}
				for i := range order {
					order[i] = i
				}
				rng.Shuffle(rows, func(i, j int) { order[i], order[j] = order[j], order[i] })
				for _, j := range o.Groups[g] {
					for i, k := range order {
						shuffled[i*n+j] = x[k*n+j]
					}
				}
				if errs[g] = predict(m, p, shuffled, 1); errs[g] != nil {
					return
				}
				change[r] = metric(y, p, o.Weight) - im.Base
			}
			for _, j := range o.Groups[g] {
				for i := range rows {
					shuffled[i*n+j] = x[i*n+j]
				}
			}
			for _, c := range change {
				im.Mean[g] += c / float64(o.Repeats)
			}
			for _, c := range change {
				im.Std[g] += (c - im.Mean[g]) * (c - im.Mean[g]) / float64(o.Repeats)
			}
			im.Std[g] = math.Sqrt(im.Std[g])
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return im, nil
}

// DependenceOptions of PartialDependence. The zero value of a field is its documented default.
type DependenceOptions struct {
	Points  int       // of the grid at most; default 20
	Grid    []float64 // the grid itself instead, may hold NaN for missing
	Single  bool      // keep the curve of every row
	Threads int       // default 1
}

// Dependence is how outputs depend on one input.
type Dependence struct {
	Grid []float64
	Mean []float64 // per point one number per output
	// when requested: per row what Mean holds, an individual conditional expectation
	Single []float64
}

// PartialDependence sets one input of all rows of x to each point of a grid and averages the
// model's outputs. The grid is evenly spaced quantiles of the input's values, all of its values
// when there are at most Points. After Friedman, "Greedy Function Approximation", Annals of
// Statistics 29 (2001), and Goldstein et al., J. Comput. Graph. Stat. 24 (2015). Where inputs go
// together the rows made this way may be such as do not occur. It costs a prediction of the table
// for every point, and returns ctx's error when ctx ends first.
func PartialDependence(ctx context.Context, m Predictor, x []float64, input int, o DependenceOptions) (*Dependence, error) {
	n, out := m.Inputs(), m.Outputs()
	rows := len(x) / n
	if rows == 0 || len(x) != rows*n || input < 0 || input >= n || o.Points < 0 {
		return nil, fmt.Errorf("%w: %d values, input %d of %d", ErrShape, len(x), input, n)
	}
	d := &Dependence{Grid: o.Grid}
	if d.Grid == nil {
		if o.Points == 0 {
			o.Points = 20
		}
		if d.Grid = grid(x, n, input, o.Points); len(d.Grid) == 0 {
			return nil, fmt.Errorf("explain: input %d has no values", input)
		}
	}
	points := len(d.Grid)
	d.Mean = make([]float64, points*out)
	if o.Single {
		d.Single = make([]float64, rows*points*out)
	}
	set, p := slices.Clone(x), make([]float64, rows*out)
	for g, v := range d.Grid {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i := range rows {
			set[i*n+input] = v
		}
		if err := predict(m, p, set, o.Threads); err != nil {
			return nil, err
		}
		for i := range rows {
			for k, s := range p[i*out : (i+1)*out] {
				d.Mean[g*out+k] += s / float64(rows)
			}
			if o.Single {
				copy(d.Single[(i*points+g)*out:], p[i*out:(i+1)*out])
			}
		}
	}
	return d, nil
}

func grid(x []float64, n, input, points int) []float64 {
	var v []float64
	for i := input; i < len(x); i += n {
		if !math.IsNaN(x[i]) {
			v = append(v, x[i])
		}
	}
	slices.Sort(v)
	if distinct := slices.Compact(slices.Clone(v)); len(distinct) <= points || points < 2 {
		return distinct
	}
	g := make([]float64, points)
	for k := range g {
		g[k] = v[k*(len(v)-1)/(points-1)]
	}
	return slices.Compact(g)
}
