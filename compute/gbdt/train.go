package gbdt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/ensemble"
)

// Params of a training. The zero value of a field is its documented default.
type Params struct {
	Objective Objective // default Squared
	Alpha     float64   // Quantile: which, in (0, 1); default 0.5
	Delta     float64   // Huber: where the loss becomes linear; default 1
	Classes   int       // Softmax: number of classes

	Rounds       int     // boosting rounds; default 200
	LearningRate float64 // default 0.1
	Leaves       int     // of a tree, at least 2; default 31
	MaxDepth     int     // default 0: no limit
	MinRows      int     // rows of a leaf; default 20. With a weight or a hessian that differs between rows it is estimated from the hessian's share.
	MinHessian   float64 // sum of hessians (weights, for most objectives) of a leaf; default 1e-3
	L2           float64 // added to the sum of hessians; default 0
	MinGain      float64 // a split must gain more; default 0

	RowFraction     float64 // rows drawn for each tree without replacement; default 1
	FeatureFraction float64 // features drawn for each tree; default 1

	EarlyStop int    // rounds without a better loss on Data.Valid after which training ends; default 0: never
	Seed      uint64 // of the draws
	Threads   int    // default 1; does not change the result

	// Progress is called after every round with the loss on Data.Valid, NaN without such rows. Returning false ends the training.
	Progress func(round int, loss float64) bool
}

// Data is what to train on. Train and Valid are rows of X; both may share X so that folds need no copies.
type Data struct {
	X      *binned.Matrix
	Y      []float64 // one per row of X; class indices for Logistic (0, 1) and Softmax
	Weight []float64 // one per row of X, positive; nil means 1
	Train  []int32   // nil means all rows
	Valid  []int32   // scored after each round; nil means none
}

// Model is a trained ensemble.
type Model struct {
	Ensemble   *ensemble.Ensemble
	Importance []float64 // gain by feature, adds up to 1 (or is all 0)
	Rounds     int       // rounds kept: the best one on Valid when there was early stopping
	Losses     []float64 // on Valid after each round run; empty without
}

func (p *Params) defaults() {
	def := func(v *float64, to float64) {
		if *v == 0 {
			*v = to
		}
	}
	defInt := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	if p.Objective == "" {
		p.Objective = Squared
	}
	def(&p.Alpha, 0.5)
	if p.Objective == Absolute {
		p.Alpha = 0.5
	}
	def(&p.Delta, 1)
	defInt(&p.Rounds, 200)
	def(&p.LearningRate, 0.1)
	defInt(&p.Leaves, 31)
	defInt(&p.MinRows, 20)
	def(&p.MinHessian, 1e-3)
	def(&p.RowFraction, 1)
	def(&p.FeatureFraction, 1)
	p.Threads = max(p.Threads, 1)
}

func (p *Params) check() error {
	switch {
	case !(p.Alpha > 0 && p.Alpha < 1), !(p.Delta > 0), !(p.LearningRate > 0), !(p.L2 >= 0), !(p.MinGain >= 0), !(p.MinHessian >= 0):
		return errors.New("gbdt: alpha must lie in (0, 1); delta and learning rate must be positive; l2, min gain and min hessian not negative")
	case p.Rounds < 1 || p.Leaves < 2 || p.Leaves > 1<<15 || p.MinRows < 1 || p.MaxDepth < 0 || p.EarlyStop < 0:
		return errors.New("gbdt: rounds, leaves, min rows, max depth or early stop out of range")
	case !(p.RowFraction > 0 && p.RowFraction <= 1), !(p.FeatureFraction > 0 && p.FeatureFraction <= 1):
		return errors.New("gbdt: fractions must lie in (0, 1]")
	case p.Objective == Softmax && (p.Classes < 2 || p.Classes > ensemble.MaxOutputs):
		return fmt.Errorf("gbdt: %d classes", p.Classes)
	}
	return nil
}

func (d *Data) check(p *Params) error {
	n := d.X.N
	if len(d.Y) != n || (d.Weight != nil && len(d.Weight) != n) || n > math.MaxInt32 {
		return fmt.Errorf("gbdt: %d rows, %d targets, %d weights", n, len(d.Y), len(d.Weight))
	}
	if d.Train == nil {
		d.Train = make([]int32, n)
		for i := range d.Train {
			d.Train[i] = int32(i)
		}
	}
	if len(d.Train) == 0 {
		return errors.New("gbdt: no rows to train on")
	}
	for _, rows := range [][]int32{d.Train, d.Valid} {
		for _, i := range rows {
			if i < 0 || int(i) >= n {
				return fmt.Errorf("gbdt: row %d of %d", i, n)
			}
			y := d.Y[i]
			if math.IsNaN(y) || math.IsInf(y, 0) || (d.Weight != nil && !(d.Weight[i] > 0 && d.Weight[i] <= math.MaxFloat64)) {
				return fmt.Errorf("gbdt: row %d has target %v or a weight that is not positive", i, y)
			}
			if c := p.Objective.classes(p); c > 0 && !(y >= 0 && y < float64(c) && y == math.Trunc(y)) {
				return fmt.Errorf("gbdt: row %d has class %v of %d", i, y, c)
			}
		}
	}
	return nil
}

// trainer holds the state between rounds.
type trainer struct {
	Params
	d      Data
	obj    objective
	k      int         // trees per round
	score  [][]float64 // [output][row]
	g, h   []float64   // by row, of the tree being grown
	packed []int64     // the same, rounded, g<<32 + h
	rng    *rand.Rand
	grow   *grower
	gains  []float64
}

// Train fits a model. It returns ctx's error when ctx ends first.
func Train(ctx context.Context, d Data, p Params) (*Model, error) {
	p.defaults()
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := d.check(&p); err != nil {
		return nil, err
	}
	t := &trainer{Params: p, d: d, rng: rand.New(rand.NewPCG(p.Seed, 0x67626474)), gains: make([]float64, d.X.Cols())}
	var err error
	if t.obj, err = p.Objective.bind(&p); err != nil {
		return nil, err
	}
	base := t.obj.start(&t.d)
	t.k = len(base)
	for _, b := range base {
		s := make([]float64, d.X.N)
		for i := range s {
			s[i] = b
		}
		t.score = append(t.score, s)
	}
	t.g, t.h, t.packed = make([]float64, d.X.N), make([]float64, d.X.N), make([]int64, d.X.N)
	t.grow = newGrower(t.d.X, &t.Params)
	return t.run(ctx, base)
}

func (t *trainer) run(ctx context.Context, base []float64) (*Model, error) {
	m := &Model{}
	var trees []ensemble.Tree
	best, bestAt := math.Inf(1), 0
	for round := 1; round <= t.Rounds; round++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		grown, split := t.round()
		trees = append(trees, grown...)
		loss := math.NaN()
		if len(t.d.Valid) > 0 {
			loss = t.obj.loss(&t.d, t.d.Valid, t.score)
			m.Losses = append(m.Losses, loss)
			if loss < best {
				best, bestAt = loss, round
			}
		}
		if t.Progress != nil && !t.Progress(round, loss) {
			break
		}
		if t.EarlyStop > 0 && len(t.d.Valid) > 0 && round-bestAt >= t.EarlyStop {
			break
		}
		if !split && t.RowFraction == 1 && t.FeatureFraction == 1 {
			break // nothing is left to learn, and no draw will change that
		}
	}
	m.Rounds = len(trees) / t.k
	if t.EarlyStop > 0 && bestAt > 0 {
		m.Rounds = bestAt
	}
	m.Importance = normalised(t.gains)
	var err error
	m.Ensemble, err = ensemble.New(t.d.X.Cols(), t.obj.link(), base, false, trees[:m.Rounds*t.k])
	return m, err
}

func normalised(v []float64) []float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	out := make([]float64, len(v))
	for i, x := range v {
		if sum > 0 {
			out[i] = x / sum
		}
	}
	return out
}

// round grows one tree per output and reports whether any of them split.
func (t *trainer) round() (trees []ensemble.Tree, split bool) {
	rows, out := t.drawRows()
	cols := t.drawCols()
	t.obj.prepare(&t.d, rows, t.score, t.Threads)
	for k := range t.k {
		t.obj.gradients(&t.d, rows, k, t.score[k], t.g, t.h, t.Threads)
		scaleG, scaleH := t.pack(rows)
		tree := t.grow.tree(rows, cols, t.packed, scaleG, scaleH, t.obj.constant() && t.d.Weight == nil)
		t.values(tree, k)
		for _, n := range tree.nodes {
			if n.left != 0 {
				t.gains[n.feature] += n.gain
				split = true
			}
		}
		t.update(tree, k, out)
		trees = append(trees, tree.export(t.d.X.Mapper))
	}
	return trees, split
}

// drawRows returns the rows of the next tree and the training rows that are not among them.
func (t *trainer) drawRows() (in, out []int32) {
	if t.RowFraction == 1 {
		return slices.Clone(t.d.Train), nil
	}
	want := max(1, int(math.Round(t.RowFraction*float64(len(t.d.Train)))))
	in, out = make([]int32, 0, want), make([]int32, 0, len(t.d.Train)-want)
	for i, row := range t.d.Train { // selection sampling keeps the order (Knuth, TAOCP 2, 3.4.2 S)
		if t.rng.IntN(len(t.d.Train)-i) < want-len(in) {
			in = append(in, row)
		} else {
			out = append(out, row)
		}
	}
	return in, out
}

func (t *trainer) drawCols() []int {
	all := t.d.X.Cols()
	if t.FeatureFraction == 1 {
		cols := make([]int, all)
		for j := range cols {
			cols[j] = j
		}
		return cols
	}
	cols := t.rng.Perm(all)[:max(1, int(math.Ceil(t.FeatureFraction*float64(all))))]
	slices.Sort(cols)
	return cols
}

// pack rounds the gradients and hessians of rows to integers, so small that no sum of them overflows its half of an int64.
func (t *trainer) pack(rows []int32) (scaleG, scaleH float64) {
	var topG, topH float64
	for _, i := range rows {
		topG, topH = max(topG, math.Abs(t.g[i])), max(topH, t.h[i])
	}
	levels := float64(min((1<<31-1)/len(rows), 1<<24))
	if levels < 1 {
		levels = 1
	}
	scaleG, scaleH = topG/levels, topH/levels
	if t.obj.constant() && t.d.Weight == nil {
		scaleH = topH // a row counts 1: the histogram knows exact numbers of rows
	}
	if scaleG == 0 {
		scaleG = 1
	}
	if scaleH == 0 {
		scaleH = 1
	}
	binned.Parallel(t.Threads, len(rows), func(from, to int) {
		for _, i := range rows[from:to] {
			t.packed[i] = int64(math.RoundToEven(t.g[i]/scaleG))<<32 + int64(math.RoundToEven(t.h[i]/scaleH))
		}
	})
	return scaleG, scaleH
}

// values sets the leaves from the unrounded gradients, or from the residuals where the objective wants that.
func (t *trainer) values(tree *grown, k int) {
	binned.Parallel(t.Threads, len(tree.leaves), func(from, to int) {
		var buf []float64
		for _, l := range tree.leaves[from:to] {
			rows := tree.rows[l.from:l.to]
			v, done := 0.0, false
			if v, buf, done = t.obj.renew(&t.d, rows, t.score[k], buf); !done {
				var g, h float64
				for _, i := range rows {
					g += t.g[i]
					h += t.h[i]
				}
				if h+t.L2 > 0 {
					v = -g / (h + t.L2)
				}
			}
			tree.nodes[l.node].value = t.LearningRate * v
		}
	})
}

// update adds the tree to the scores: through the partition for the rows it was grown on, by walking it for all others.
func (t *trainer) update(tree *grown, k int, out []int32) {
	score := t.score[k]
	for _, l := range tree.leaves {
		v := tree.nodes[l.node].value
		for _, i := range tree.rows[l.from:l.to] {
			score[i] += v
		}
	}
	for _, rows := range [][]int32{out, t.d.Valid} {
		binned.Parallel(t.Threads, len(rows), func(from, to int) {
			for _, i := range rows[from:to] {
				score[i] += tree.predict(t.d.X, int(i))
			}
		})
	}
}
