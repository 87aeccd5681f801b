package linearfit

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/encode"
	"skerry.dev/compute/linear"
)

// Fitted is a linear model with the steps that make its inputs from a raw row, and the penalties
// it was trained with.
type Fitted struct {
	Model   *linear.Model
	Encoder *encode.Encoder
	L1, L2  float64
}

// penalties that Fit tries, for the sum of the loss over the rows: each is divided by their number.
var penalties = []float64{1000, 300, 100, 30, 10, 3, 1, 0.3, 0.1}

const (
	folds    = 5
	foldRows = 5000 // with more rows one split of a fifth is precise enough
)

// Fit trains a model on a raw table: numbers brought to mean 0 and deviation 1, categories as
// indicator columns; see encode.Fit. When p.L1 and p.L2 are 0 it chooses the penalty by the loss
// on the rows of d.Valid or, when there are none, by cross-validation in five folds (one split of
// a fifth when there are more than 5000 rows), and then trains on all rows of d.Train. Quantiles
// have the penalty 1/rows.
func Fit(ctx context.Context, d encode.Data, p Params) (*Fitted, error) {
	e, err := encode.Fit(d.Table, d.Train, encode.Options{})
	if err != nil {
		return nil, err
	}
	x, err := e.Apply(d.X, p.Threads)
	if err != nil {
		return nil, err
	}
	m := Data{X: x, Cols: e.Width(), Y: d.Y, Weight: d.Weight, Rows: d.Train}
	if err := m.check(); err != nil {
		return nil, err
	}
	if p.L1 == 0 && p.L2 == 0 {
		if err := choose(ctx, &m, d.Valid, &p); err != nil {
			return nil, err
		}
	}
	model, err := Train(ctx, m, p)
	if err != nil {
		return nil, err
	}
	return &Fitted{model, e, p.L1, p.L2}, nil
}

// split is rows to learn from and rows to score.
type split struct{ train, test []int32 }

func splits(rows, valid []int32) []split {
	if len(valid) > 0 {
		return []split{{rows, valid}}
	}
	rows = slices.Clone(rows)
	rng := rand.New(rand.NewPCG(0, 0x6c696e))
	rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	n := min(folds, len(rows))
	var out []split
	for k := range n {
		from, to := k*len(rows)/n, (k+1)*len(rows)/n
		out = append(out, split{slices.Concat(rows[:from], rows[to:]), rows[from:to]})
		if len(rows) > foldRows {
			break
		}
	}
	return out
}

// choose sets the penalty with the smallest loss on rows not learned from.
func choose(ctx context.Context, d *Data, valid []int32, p *Params) error {
	grid := make([]Params, len(penalties))
	for i, v := range penalties {
		grid[i] = *p
		v /= float64(len(d.Rows))
		grid[i].L1, grid[i].L2 = v*p.Mix, max(v*(1-p.Mix), 1e-12) // Train takes 0 for its default
	}
	if p.Objective == Quantile || len(d.Rows) < 2 {
		p.L2 = 1 / float64(len(d.Rows))
		return nil
	}
	loss := make([]float64, len(grid))
	for _, s := range splits(d.Rows, valid) {
		part := *d
		part.Rows = s.test
		if err := part.check(); err != nil {
			return err
		}
		part.Rows = s.train
		if err := part.check(); err != nil {
			return err
		}
		score := squaredPath
		if p.Objective == Logistic || p.Objective == Softmax {
			score = classPath
		}
		if err := score(ctx, &part, s, grid, loss); err != nil {
			return err
		}
	}
	best := 0
	for i := range loss {
		if loss[i] < loss[best] {
			best = i
		}
	}
	p.L1, p.L2 = grid[best].L1, grid[best].L2
	return nil
}

// squaredPath adds the squared error on the test rows of a split to the loss of every penalty.
// Each solution starts from that of the penalty before.
func squaredPath(ctx context.Context, d *Data, s split, grid []Params, loss []float64) error {
	shift := center(d)
	train, test := newMoments(d, s.train, shift), newMoments(d, s.test, shift)
	var beta []float64
	for i, p := range grid {
		var err error
		if p.L1 > 0 {
			beta, err = train.elasticNet(ctx, p, beta)
		} else {
			beta, err = train.ridge(p.L2)
		}
		if err != nil {
			return err
		}
		loss[i] += test.error(beta, train.bias(beta)) * test.total
	}
	return nil
}

func classPath(ctx context.Context, d *Data, s split, grid []Params, loss []float64) error {
	c, err := newClassifier(d, grid[0])
	if err != nil {
		return err
	}
	if _, err := newClassifier(&Data{Y: d.Y, Rows: s.test}, grid[0]); err != nil {
		return err
	}
	c.loose = true
	test := newLogLoss(c, s.test, 0)
	var x []float64
	best, since, last := math.Inf(1), 0, 0.0
	for i, p := range grid {
		if since < 2 { // twice worse: what follows is, too, and takes longest
			if x, err = c.fit(ctx, s.train, p, x); err != nil {
				return err
			}
			last = test.value(x) * test.total
		}
		since++
		if last < best {
			best, since = last, 0
		}
		loss[i] += last
	}
	return nil
}
