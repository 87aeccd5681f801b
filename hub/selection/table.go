package selection

import (
	"cmp"
	"math"
	"slices"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/binned"
	"skerry.dev/compute/feature"
)

// place is a labelled row: where it stands and what a model should say there (the change for a forecast).
type place struct {
	device, row int
	time        int64
	y, base     float64
}

// places returns the labelled rows of all devices in time order.
func (p *Problem) places() []place {
	var rows []place
	for d := range p.Devices {
		s := &p.Devices[d]
		for i, t := range s.Times {
			if p.labelled(s, i) {
				b := p.base(s, i)
				rows = append(rows, place{device: d, row: i, time: t, y: s.Target[i] - b, base: b})
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b place) int { return cmp.Compare(a.time, b.time) })
	return rows
}

// compute evaluates the pipeline at rows with the code that devices run, one row of columns after the other.
func compute(p *Problem, pipe *feature.Pipeline, rows []place, threads int) ([]float64, error) {
	width := pipe.Width()
	x := make([]float64, width*len(rows))
	byDevice := make([][]int32, len(p.Devices)) // positions in rows, ascending in time
	for i, r := range rows {
		byDevice[r.device] = append(byDevice[r.device], int32(i))
	}
	errs := make([]error, len(p.Devices))
	binned.Parallel(threads, len(p.Devices), func(from, to int) {
		for d := from; d < to; d++ {
			errs[d] = computeDevice(x, &p.Devices[d], pipe, rows, byDevice[d])
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return x, nil
}

func computeDevice(x []float64, s *Series, pipe *feature.Pipeline, rows []place, at []int32) error {
	eval, err := feature.NewEvaluator(pipe)
	if err != nil {
		return err
	}
	h := feature.NewHistory(len(pipe.Inputs), pipe.Rows)
	next, width := 0, pipe.Width()
	for _, i := range at {
		// Rows that no wanted row looks back at are skipped.
		for next = max(next, rows[i].row-pipe.Rows+1); next <= rows[i].row; next++ {
			h.Push(s.Times[next], s.Values[next])
		}
		if err := eval.Into(x[int(i)*width:(int(i)+1)*width], h); err != nil {
			return err
		}
	}
	return nil
}

// table is the data of a search: features of every labelled row, raw for trees and scaled for the others.
type table struct {
	p       *Problem
	pipe    *feature.Pipeline
	rows    []place
	search  int // rows[:search] may be looked at, rows[holdout:] are for the end; between them labels overlap the holdout
	holdout int
	x       []float64
	y       []float64
	bins    *binned.Matrix
	scaled  []float64 // made on demand
	steps   []feature.Column
	threads int
}

// holdoutShare is the default of Problem.Holdout.
const holdoutShare = 0.18

// split returns where the search rows end and where the holdout starts.
func split(rows []place, horizon int64, share float64) (search, holdout int) {
	cut := rows[int(float64(len(rows))*(1-share))].time
	holdout, _ = slices.BinarySearchFunc(rows, cut, func(r place, t int64) int { return cmp.Compare(r.time, t) })
	search, _ = slices.BinarySearchFunc(rows, cut-horizon, func(r place, t int64) int { return cmp.Compare(r.time, t) })
	return search, holdout
}

func newTable(p *Problem, pipe *feature.Pipeline, rows []place, search, holdout, threads int) (*table, error) {
	t := &table{p: p, pipe: pipe, rows: rows, search: search, holdout: holdout, threads: threads}
	var err error
	if t.x, err = compute(p, pipe, rows, threads); err != nil {
		return nil, err
	}
	t.y = make([]float64, len(rows))
	for i, r := range rows {
		t.y[i] = r.y
	}
	t.bins, err = t.bin(t.x)
	return t, err
}

// bin fits bins on the search rows and applies them to all.
func (t *table) bin(x []float64) (*binned.Matrix, error) {
	m, err := binned.Fit(binned.FromRows(x[:t.search*t.pipe.Width()], t.pipe.Width()), binned.MaxBins, t.threads)
	if err != nil {
		return nil, err
	}
	return m.Apply(binned.FromRows(x, t.pipe.Width()), t.threads)
}

// scale fills in missing values by the median of the search rows and brings columns to mean 0 and deviation 1, with the very
// arithmetic of feature.Column.
func (t *table) rescale() {
	if t.scaled != nil {
		return
	}
	width := t.pipe.Width()
	t.scaled, t.steps = make([]float64, len(t.x)), make([]feature.Column, width)
	binned.Parallel(t.threads, width, func(from, to int) {
		for j := from; j < to; j++ {
			c := t.pipe.Columns[j]
			impute, center, scale := columnScale(t.x[:t.search*width], j, width)
			c.Impute, c.Center, c.Scale = &impute, center, scale
			t.steps[j] = c
			for i := j; i < len(t.x); i += width {
				v := t.x[i]
				if v != v {
					v = impute
				}
				t.scaled[i] = (v - center) / scale
			}
		}
	})
}

func columnScale(x []float64, j, width int) (impute, center, scale float64) {
	var v []float64
	for i := j; i < len(x); i += width {
		if w := x[i]; w == w && !math.IsInf(w, 0) {
			v = append(v, w)
		}
	}
	if len(v) == 0 {
		return 0, 0, 1
	}
	sum := 0.0
	for _, w := range v {
		sum += w
	}
	center = sum / float64(len(v))
	ss := 0.0
	for _, w := range v {
		ss += (w - center) * (w - center)
	}
	slices.Sort(v)
	impute, scale = v[len(v)/2], math.Sqrt(ss/float64(len(v)))
	if !(scale > 1e-12*math.Abs(center)) || math.IsInf(scale, 0) {
		scale = 1
	}
	return impute, center, scale
}

// window is a train and validation split: rows[:train] against rows[from:to].
type window struct{ train, from, to int }

// windows returns expanding folds over the search rows, the last one last. Training rows whose labels reach into the validation rows are left out.
func (t *table) windows() []window {
	var out []window
	for _, share := range [][2]float64{{0.6, 0.8}, {0.8, 1}} {
		from := int(share[0] * float64(t.search))
		to := int(share[1] * float64(t.search))
		train, _ := slices.BinarySearchFunc(t.rows[:from], t.rows[from].time-t.p.HorizonUS, func(r place, at int64) int { return cmp.Compare(r.time, at) })
		out = append(out, window{train: train, from: from, to: to})
	}
	return out
}

// span returns the rows from, from+step, … below to.
func rowRange(from, to, step int) []int32 {
	out := make([]int32, 0, (to-from)/step+1)
	for i := from; i < to; i += step {
		out = append(out, int32(i))
	}
	return out
}

// loss is the mean loss of a predictor on rows: absolute error, or log loss. x is the matrix the predictor was trained on.
func (t *table) loss(m artifact.Predictor, x []float64, from, to int) (float64, error) {
	width := t.pipe.Width()
	losses := make([]float64, to-from)
	errs := make([]error, to-from)
	binned.Parallel(t.threads, to-from, func(a, b int) {
		out := make([]float64, m.Outputs())
		for i := a; i < b; i++ {
			r := from + i
			if errs[i] = m.PredictInto(out, x[r*width:(r+1)*width]); errs[i] != nil {
				return
			}
			if t.p.Kind == artifact.KindClassification {
				losses[i] = -math.Log(max(probability(out, int(t.y[r])), 1e-15))
			} else {
				losses[i] = math.Abs(t.y[r] - out[0])
			}
		}
	})
	sum := 0.0
	for i, l := range losses {
		if errs[i] != nil {
			return 0, errs[i]
		}
		sum += l
	}
	return sum / float64(len(losses)), nil
}

// probability returns a class's probability; one output is the probability of class 1 of two.
func probability(out []float64, class int) float64 {
	if len(out) > 1 {
		return out[class]
	}
	if class == 1 {
		return out[0]
	}
	return 1 - out[0]
}

// baseline is the best constant on the training rows; a forecast's is 0, the last value.
func (t *table) baseline(train int) *artifact.Constant {
	c := &artifact.Constant{N: t.pipe.Width()}
	switch t.p.Kind {
	case artifact.KindForecast:
		c.Values = []float64{0}
	case artifact.KindRegression:
		v := slices.Clone(t.y[:train])
		slices.Sort(v)
		c.Values = []float64{v[len(v)/2]}
	default:
		c.Values = make([]float64, len(t.p.Classes))
		for _, y := range t.y[:train] {
			c.Values[int(y)] += 1 / float64(train)
		}
	}
	return c
}
