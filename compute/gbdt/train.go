package gbdt

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/ensemble"
)

// Model is a trained ensemble.
type Model struct {
	Ensemble   *ensemble.Ensemble // with covers
	Importance []float64          // gain by feature, adds up to 1 (or is all 0)
	Rounds     int                // rounds kept: the best one on Valid when there was early stopping
	Losses     []float64          // on Valid after each round run; empty without
}

// trainer holds the state between rounds.
type trainer struct {
	Params
	d      Data
	obj    objective
	k      int         // trees per round
	score  [][]float64 // [output][row]
	packed []int64
	full   int     // rows in the fullest bin
	weight float64 // largest
	rng    *rand.Rand
	grow   *grower
	gains  []float64
	rows   []int32 // of the tree being grown
	kept   []*grown
	scale  []float64 // by tree: DART's
}

// Train fits a model. It returns ctx's error when ctx ends first.
func Train(ctx context.Context, d Data, p Params) (*Model, error) {
	p.defaults()
	if err := p.check(d.X); err != nil {
		return nil, err
	}
	if err := d.check(&p); err != nil {
		return nil, err
	}
	t := &trainer{Params: p, d: d, rng: rand.New(rand.NewPCG(p.Seed, 0x67626474)), gains: make([]float64, d.X.Cols()), weight: 1}
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
	if d.Weight != nil {
		t.weight = slices.Max(d.Weight)
	}
	t.packed, t.rows = make([]int64, d.X.N), make([]int32, 0, len(t.d.Train))
	t.full = min(fullest(d.X, p.Threads), len(t.d.Train))
	t.grow = newGrower(t.d.X, &t.Params, t.rng)
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
		if !split && t.RowFraction == 1 && t.FeatureFraction == 1 && t.SplitFraction == 1 && t.Boosting == Gradient {
			break // nothing is left to learn, and no draw will change that
		}
	}
	m.Rounds = len(trees) / t.k
	if t.EarlyStop > 0 && bestAt > 0 {
		m.Rounds = bestAt
	}
	for i, s := range t.scale {
		for n := range trees[i] {
			trees[i][n].Value *= s
		}
	}
	m.Importance = normalised(t.gains)
	var err error
	m.Ensemble, err = ensemble.Build(ensemble.Spec{Inputs: t.d.X.Cols(), Link: t.obj.link(), Base: base, Covers: true}, trees[:m.Rounds*t.k])
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
	dropped := t.drop()
	in, out := t.drawRows()
	cols := t.drawCols()
	t.obj.prepare(&t.d, in, t.score, t.Threads)
	for k := range t.k {
		rows, rest := in, out
		pk := t.pack(rows, k)
		if t.Boosting == GOSS {
			rows, rest = t.sampleByGradient(in, pk)
		}
		t.rows = append(t.rows[:0], rows...)
		tree := t.grow.tree(t.rows, cols, t.packed, pk, t.unit())
		t.values(tree, k)
		for i := range tree.nodes {
			if n := &tree.nodes[i]; n.left != 0 {
				t.gains[n.feature] += n.gain
				split = true
			}
		}
		if t.Boosting == DART {
			t.scaleDown(tree, k, dropped)
		}
		t.update(tree, k, rest)
		trees = append(trees, tree.export(t.d.X.Mapper))
	}
	return trees, split
}

// unit reports whether every row's hessian is 1.
func (t *trainer) unit() bool { return t.obj.constant() && t.d.Weight == nil && t.Boosting != GOSS }

// pack computes the packed gradients of an output.
func (t *trainer) pack(rows []int32, k int) packing {
	g, h := t.obj.bound(&t.d, rows, t.score[k], t.Threads)
	g, h = g*t.weight, h*t.weight
	if t.Boosting == GOSS {
		f := t.amplify()
		g, h = g*f, h*f
	}
	pk := newPacking(g, h, t.full, t.unit())
	binned.Parallel(t.Threads, len(rows), func(from, to int) {
		t.obj.pack(t.packed, &t.d, rows[from:to], k, t.score[k], newPacker(pk))
	})
	return pk
}

// drawRows returns the rows of the next trees and the training rows that are not among them.
func (t *trainer) drawRows() (in, out []int32) {
	if t.RowFraction == 1 {
		return t.d.Train, nil
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

// amplify is what GOSS multiplies the gradients of the sampled rows with, so that they stand for all of them.
func (t *trainer) amplify() float64 { return (1 - t.GOSSTop) / t.GOSSOther }

// sampleByGradient keeps the rows with the largest gradients, draws from the others and multiplies the gradients of those.
func (t *trainer) sampleByGradient(rows []int32, pk packing) (in, out []int32) {
	top, other := max(1, int(t.GOSSTop*float64(len(rows)))), max(1, int(t.GOSSOther*float64(len(rows))))
	if top+other >= len(rows) {
		return rows, nil
	}
	size := make([]float64, len(rows))
	for k, i := range rows {
		size[k] = math.Abs(float64(pk.gradient(t.packed[i])) * float64(pk.hessian(t.packed[i])))
	}
	limit := nth(slices.Clone(size), len(rows)-top)
	large := 0
	for _, s := range size {
		if s > limit {
			large++
		}
	}
	ties, f := top-large, t.amplify() // of the rows at the limit the first are kept
	left := len(rows) - top
	for k, i := range rows {
		keep := size[k] > limit
		if size[k] == limit && ties > 0 {
			keep = true
			ties--
		}
		if keep {
			in = append(in, i)
			continue
		}
		if t.rng.IntN(left) < other {
			other--
			in = append(in, i)
			g, h := round(float64(float64(pk.gradient(t.packed[i]))*f)), round(float64(float64(pk.hessian(t.packed[i]))*f))
			t.packed[i] = g<<pk.shift + h
		} else {
			out = append(out, i)
		}
		left--
	}
	return in, out
}

// values scales the leaves, or sets them from the residuals where the objective wants that.
func (t *trainer) values(tree *grown, k int) {
	binned.Parallel(t.Threads, len(tree.leaves), func(from, to int) {
		var buf []float64
		for _, l := range tree.leaves[from:to] {
			n := &tree.nodes[l.node]
			if v, b, done := t.obj.renew(&t.d, tree.rows[l.from:l.to], t.score[k], buf); done {
				n.value, buf = v, b
			}
			n.value *= t.LearningRate
		}
	})
}

// update adds the tree to the scores: through the partition for the rows it was grown on, by walking it for all others.
func (t *trainer) update(tree *grown, k int, out []int32) {
	score := t.score[k]
	binned.Parallel(t.Threads, len(tree.leaves), func(from, to int) {
		for _, l := range tree.leaves[from:to] {
			v := tree.nodes[l.node].value
			for _, i := range tree.rows[l.from:l.to] {
				score[i] += v
			}
		}
	})
	t.add(tree, k, 1, out)
	t.add(tree, k, 1, t.d.Valid)
}

// add adds factor times a tree to the scores of rows.
func (t *trainer) add(tree *grown, k int, factor float64, rows []int32) {
	score := t.score[k]
	binned.Parallel(t.Threads, len(rows), func(from, to int) {
		for _, i := range rows[from:to] {
			score[i] += float64(factor * tree.predict(t.d.X, int(i)))
		}
	})
}

// drop takes some earlier rounds out of the scores and returns them.
func (t *trainer) drop() (rounds []int) {
	if t.Boosting != DART || len(t.kept) == 0 || t.rng.Float64() < t.DropSkip {
		return nil
	}
	for r := range len(t.kept) / t.k {
		if len(rounds) < t.DropMost && t.rng.Float64() < t.DropRate {
			rounds = append(rounds, r)
		}
	}
	for _, r := range rounds {
		for k := range t.k {
			at := r*t.k + k
			for _, rows := range [][]int32{t.d.Train, t.d.Valid} {
				t.add(t.kept[at], k, -t.scale[at], rows)
			}
		}
	}
	return rounds
}

// scaleDown shares what the new tree corrects with the dropped ones: the new one counts 1/(d+1), each of them d/(d+1) of what it did.
func (t *trainer) scaleDown(tree *grown, k int, dropped []int) {
	d := float64(len(dropped))
	for _, r := range dropped {
		at := r*t.k + k
		t.scale[at] *= d / (d + 1)
		for _, rows := range [][]int32{t.d.Train, t.d.Valid} {
			t.add(t.kept[at], k, t.scale[at], rows)
		}
	}
	for i := range tree.nodes {
		tree.nodes[i].value /= d + 1
	}
	t.kept, t.scale = append(t.kept, tree.clone()), append(t.scale, 1)
}
