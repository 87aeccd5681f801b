package selection

import (
	"cmp"
	"math"
	"slices"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/binned"
	"skerry.dev/compute/feature"
)

// place is a labelled row: where it stands and what a model should predict there (the change for a
// forecast).
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

// compute evaluates the pipeline at rows with the code that devices run, one row of columns after
// the other.
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
		// Rows that no row in use looks back at are skipped.
		for next = max(next, rows[i].row-pipe.Rows+1); next <= rows[i].row; next++ {
			h.Push(s.Times[next], s.Values[next])
		}
		if err := eval.Into(x[int(i)*width:(int(i)+1)*width], h); err != nil {
			return err
		}
	}
	return nil
}

// table is the data of a search: features of every labelled row, raw for trees and dense for the
// others.
type table struct {
	p      *Problem
	design *design
	rows   []place
	// rows[:search] may be looked at, rows[holdout:] are for the end; between them labels overlap
	// the holdout
	search  int
	holdout int
	y       []float64
	train   int // the encodings are those of a model that learns from rows[:train], see learnFrom
	raw     *view
	dense   *view     // made on demand
	scales  []scaling // of the dense view's columns that the raw one has
	extras  extras    // columns of the dense view that the raw one lacks
	chosen  bool      // the extras are
	threads int
}

// view is the rows as a kind of learner sees them.
type view struct {
	pipe *feature.Pipeline
	x    []float64
	bins *binned.Matrix // made on demand
}

func (v *view) width() int { return v.pipe.Width() }

// holdoutShare is the default of Problem.Holdout.
const holdoutShare = 0.18

// The hold-out of a classification grows to hold so many rows of every class, or the usual share of
// those there are, up to a share of all rows.
const (
	holdoutClass = 20
	holdoutMost  = 0.4
)

// split returns where the search rows end and where the holdout starts: share of the rows, the
// newest, and more where these lack a class of a stream. Classes come in blocks there: a night, a
// weekend.
func (p *Problem) split(rows []place, share float64) (search, holdout int) {
	first := int(float64(len(rows)) * (1 - share))
	if p.Kind == artifact.KindClassification && !p.Independent {
		all, held := make([]float64, len(p.Classes)), make([]float64, len(p.Classes))
		for _, r := range rows {
			all[int(r.y)]++
		}
		for _, r := range rows[first:] {
			held[int(r.y)]++
		}
		lacks := func() bool {
			for k := range all {
				if held[k] < min(holdoutClass, math.Ceil(share*all[k])) {
					return true
				}
			}
			return false
		}
		for least := int(float64(len(rows)) * (1 - max(share, holdoutMost))); first > least && lacks(); {
			first--
			held[int(rows[first].y)]++
		}
	}
	cut := rows[first].time
	return before(rows, cut-p.HorizonUS), before(rows, cut)
}

// before returns how many rows are older than a time.
func before(rows []place, at int64) int {
	n, _ := slices.BinarySearchFunc(rows, at, func(r place, t int64) int { return cmp.Compare(r.time, t) })
	return n
}

// known returns how many rows have a label before the row i.
func (t *table) known(i int) int { return before(t.rows[:i], t.rows[i].time-t.p.HorizonUS) }

// upTo is the table of what may be learned from rows[:search]: bins and scales are theirs. It shares
// the rows with t, whose encodings it may change: of several the one that learns is used.
func (t *table) upTo(search, holdout int) *table {
	o := *t
	o.search, o.holdout, o.train = search, holdout, 0
	o.raw, o.dense, o.scales = &view{pipe: t.raw.pipe, x: t.raw.x}, nil, nil
	return &o
}

// origins returns the rolling origins of the hold-out: its first row, and where half of the rest is
// left as long as there are rows enough up to the next.
func (t *table) origins() (out []window) {
	n := len(t.rows)
	for from := t.holdout; ; {
		next := n
		if len(out) < maxOrigins-1 {
			next = before(t.rows, t.rows[n-(n-from)/2].time)
		}
		if next-from < minSegment || n-next < minSegment {
			next = n
		}
		out = append(out, window{train: t.known(from), from: from, to: next})
		if from = next; from == n {
			return out
		}
	}
}

func newTable(p *Problem, d *design, rows []place, search, holdout, threads int) (*table, error) {
	t := &table{p: p, design: d, rows: rows, search: search, holdout: holdout, threads: threads}
	x, err := compute(p, d.pipe, rows, threads)
	if err != nil {
		return nil, err
	}
	t.y = make([]float64, len(rows))
	for i, r := range rows {
		t.y[i] = r.y
	}
	t.raw = &view{pipe: d.pipe, x: x}
	return t, t.learnFrom(search)
}

// learnFrom makes the encodings of categories those of a model that learns from rows[:train]: it
// comes before every training and every scoring. What was made of them before is forgotten.
func (t *table) learnFrom(train int) error {
	if t.train == train || len(t.design.encodings) == 0 {
		return nil
	}
	d, err := t.design.encode(t.p, t.raw.x, t.rows, train)
	if err != nil {
		return err
	}
	t.train, t.design = train, d
	t.raw, t.dense, t.scales = &view{pipe: d.pipe, x: t.raw.x}, nil, nil
	return nil
}

// bins fits bins on the search rows and applies them to all.
func (t *table) bins(v *view) (*binned.Matrix, error) {
	if v.bins != nil {
		return v.bins, nil
	}
	m, err := binned.Fit(binned.FromRows(v.x[:t.search*v.width()], v.width()), binned.MaxBins, t.threads)
	if err != nil {
		return nil, err
	}
	v.bins, err = m.Apply(binned.FromRows(v.x, v.width()), t.threads)
	return v.bins, err
}

// window is a train and validation split: rows[:train] against rows[from:to].
type window struct{ train, from, to int }

// windows returns expanding folds over the search rows, the last one last. Training rows whose
// labels reach into the validation rows are left out.
func (t *table) windows() []window {
	var out []window
	shares := [][2]float64{{0.6, 0.8}, {0.8, 1}}
	if t.p.small(t.search) {
		shares = [][2]float64{{0.5, 0.625}, {0.625, 0.75}, {0.75, 0.875}, {0.875, 1}}
	}
	for _, share := range shares {
		from := int(share[0] * float64(t.search))
		out = append(out, window{train: t.known(from), from: from, to: int(share[1] * float64(t.search))})
	}
	return out
}

// rowRange returns the rows from, from+step, … below to.
func rowRange(from, to, step int) []int32 {
	out := make([]int32, 0, (to-from)/step+1)
	for i := from; i < to; i += step {
		out = append(out, int32(i))
	}
	return out
}

// loss is the mean loss of a predictor on rows.
func (t *table) loss(m artifact.Predictor, v *view, from, to int) (float64, error) {
	losses, err := t.losses(m, v, from, to)
	return mean(losses), err
}

// losses are those of a predictor on rows[from:to]: the absolute error, its square where models aim
// at the mean, or log loss. v is the
// view the predictor was trained on.
func (t *table) losses(m artifact.Predictor, v *view, from, to int) ([]float64, error) {
	x, width := v.x, v.width()
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
			} else if losses[i] = math.Abs(t.y[r] - out[0]); t.p.squared() {
				losses[i] *= losses[i]
			}
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return losses, nil
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, w := range v {
		sum += w
	}
	return sum / float64(len(v))
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
	c := &artifact.Constant{N: t.raw.width()}
	switch t.p.Kind {
	case artifact.KindForecast:
		c.Values = []float64{0}
	case artifact.KindRegression:
		if t.p.squared() {
			c.Values = []float64{0}
			for _, y := range t.y[:train] {
				c.Values[0] += y / float64(train)
			}
			break
		}
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
