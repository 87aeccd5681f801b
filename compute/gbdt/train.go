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
	// rounds kept: the best one on Valid when there was early stopping
	Rounds int
	Losses []float64 // on Valid after each round run; empty without
}

// trainer holds the state between rounds.
type trainer struct {
	Params
	d      Data
	obj    objective
	k      int         // trees per round
	score  [][]float64 // [output][row]
	packed []int64     // of the tree being grown, by position in rows
	leafOf []uint16
	full   int     // rows in the fullest bin
	weight float64 // largest of a training row
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
	t := &trainer{
		Params: p,
		d:      d,
		rng:    rand.New(rand.NewPCG(p.Seed, 0x67626474)),
		gains:  make([]float64, d.X.Cols()),
		weight: 1,
	}
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
		t.weight = 0
		for _, i := range t.d.Train {
			t.weight = max(t.weight, d.Weight[i])
		}
	}
	t.packed, t.rows, t.leafOf = make([]int64, len(t.d.Train)), make([]int32, 0, len(t.d.Train)), make([]uint16, d.X.N)
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
	m.Ensemble, err = ensemble.Build(ensemble.Spec{
		Inputs: t.d.X.Cols(),
		Link:   t.obj.link(),
		Base:   base,
		Covers: true,
	}, trees[:m.Rounds*t.k])
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
		t.rows = append(t.rows[:0], in...)
		pk, rest := t.pack(t.rows, k), out
		if t.Boosting == GOSS {
			rest = t.sampleByGradient(pk)
		}
		tree := t.grow.tree(t.rows, cols, t.packed[:len(t.rows)], pk, t.unit())
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
		t.update(tree, k, in, rest)
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
		t.obj.pack(t.packed[from:to], &t.d, rows[from:to], k, t.score[k], newPacker(pk))
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

// amplify is what GOSS multiplies the gradients of the sampled rows with, so that they stand for
// all of them.
func (t *trainer) amplify() float64 { return (1 - t.GOSSTop) / t.GOSSOther }

// sampleByGradient keeps the rows with the largest gradients, draws from the others, multiplies
// the gradients of those, and returns the rows that are left out.
func (t *trainer) sampleByGradient(pk packing) (out []int32) {
	n := len(t.rows)
	top, other := max(1, int(t.GOSSTop*float64(n))), max(1, int(t.GOSSOther*float64(n)))
	if top+other >= n {
		return nil
	}
	size := make([]float64, n)
	for k := range size {
		size[k] = math.Abs(float64(pk.gradient(t.packed[k])) * float64(pk.hessian(t.packed[k])))
	}
	limit := nth(slices.Clone(size), n-top)
	ties, f := top, t.amplify() // of the rows at the limit the first are kept
	for _, s := range size {
		if s > limit {
			ties--
		}
	}
	left, at := n-top, 0
	for k, i := range t.rows {
		v, keep := t.packed[k], size[k] > limit
		if size[k] == limit && ties > 0 {
			keep = true
			ties--
		}
		if !keep {
			left--
			if t.rng.IntN(left+1) >= other {
				out = append(out, i)
				continue
			}
			other--
			g, h := round(float64(float64(pk.gradient(v))*f)), round(float64(float64(pk.hessian(v))*f))
			v = g<<pk.shift + h
		}
		t.rows[at], t.packed[at] = i, v
		at++
	}
	t.rows = t.rows[:at]
	return out
}

// values scales the leaves, or sets them from the residuals where the objective requires that.
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
	if _, _, renewed := t.obj.renew(&t.d, tree.rows[:1], t.score[k], nil); renewed && t.Monotone != nil {
		t.order(tree, k)
	}
}

// order moves renewed leaves so that they keep the monotone constraints, which the growing tree
// held for Newton steps only. It does as the grower does: where a constraint divides a node, the
// middle between what the two sides would like best bounds the leaves on both of them.
func (t *trainer) order(tree *grown, k int) {
	// the rows of a node stand together
	from, to := make([]int, len(tree.nodes)), make([]int, len(tree.nodes))
	for _, l := range tree.leaves {
		from[l.node], to[l.node] = l.from, l.to
	}
	lo, hi := make([]float64, len(tree.nodes)), make([]float64, len(tree.nodes))
	lo[0], hi[0] = math.Inf(-1), math.Inf(1)
	for i := len(tree.nodes) - 1; i >= 0; i-- { // children stand after their parents
		if n := &tree.nodes[i]; n.left != 0 {
			from[i], to[i] = min(from[n.left], from[n.right]), max(to[n.left], to[n.right])
		}
	}
	var buf []float64
	best := func(node, bounds int) (v float64) {
		v, buf, _ = t.obj.renew(&t.d, tree.rows[from[node]:to[node]], t.score[k], buf)
		return min(max(v*t.LearningRate, lo[bounds]), hi[bounds])
	}
	for i := range tree.nodes {
		n := &tree.nodes[i]
		if n.left == 0 {
			n.value = min(max(n.value, lo[i]), hi[i])
			continue
		}
		for _, child := range []int{n.left, n.right} {
			lo[child], hi[child] = lo[i], hi[i]
		}
		if sign := t.Monotone[n.feature]; sign != 0 {
			middle := (best(n.left, i) + best(n.right, i)) / 2
			if sign > 0 {
				hi[n.left], lo[n.right] = middle, middle
			} else {
				lo[n.left], hi[n.right] = middle, middle
			}
		}
	}
}

// update adds the tree to the scores: through the partition for the rows it was grown on, which
// are in or some of them, by walking it for all others. The partition's rows are scattered, so
// each first learns its leaf, in a table small enough for the cache, and the scores are then
// passed through in order.
func (t *trainer) update(tree *grown, k int, in, out []int32) {
	score, value := t.score[k], make([]float64, len(tree.leaves))
	for n, l := range tree.leaves {
		value[n] = tree.nodes[l.node].value
	}
	binned.Parallel(t.Threads, len(tree.leaves), func(from, to int) {
		for n := from; n < to; n++ {
			for _, i := range tree.rows[tree.leaves[n].from:tree.leaves[n].to] {
				t.leafOf[i] = uint16(n)
			}
		}
	})
	switch {
	case len(in) == len(score):
		binned.Parallel(t.Threads, len(score), func(from, to int) {
			for i, n := range t.leafOf[from:to] {
				score[from+i] += value[n]
			}
		})
	case len(in) == len(tree.rows):
		binned.Parallel(t.Threads, len(in), func(from, to int) {
			for _, i := range in[from:to] {
				score[i] += value[t.leafOf[i]]
			}
		})
	default: // GOSS left out some of them
		for _, i := range tree.rows {
			score[i] += value[t.leafOf[i]]
		}
	}
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

// scaleDown shares what the new tree corrects with the dropped ones: the new one counts 1/(d+1),
// each of them d/(d+1) of what it did.
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
