// Package forest trains random forests (Breiman 2001) and extremely randomised trees (Geurts et al. 2006) on binned data.
//
// Every tree has its own random stream, so the forest is the same for every number of threads. Numbers are predicted by the mean of the leaves, classes
// by the mean of their class shares; both split where the squared error, for classes the Gini impurity, falls most.
package forest

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
	Classes   int     // 0 for numbers, else classes 0 to Classes-1
	Extra     bool    // extremely randomised: one random threshold per feature, no bootstrap
	Trees     int     // default 100
	Leaves    int     // of a tree at most; default 1024
	MinRows   int     // rows of a leaf; default 5 for numbers, 1 for classes
	Features  float64 // share of the features looked at per split; default a third for numbers, the square root of their number for classes
	MaxDepth  int     // default 32
	RowsShare float64 // rows drawn per tree as a share of the training rows; default 1
	Seed      uint64
	Threads   int // default 1; does not change the result
}

// Data is what to train on: the rows of X at Train (nil: all).
type Data struct {
	X     *binned.Matrix
	Y     []float64
	Train []int32
}

// Model is a trained forest.
type Model struct {
	Ensemble   *ensemble.Ensemble
	OutOfBag   float64   // mean absolute error, or log loss of classes, of rows by the trees that did not see them; NaN for Extra
	Importance []float64 // impurity decrease by feature, adds up to 1 (or is all 0)
}

func (p *Params) defaults(cols int) error {
	p.Threads = max(p.Threads, 1)
	for _, v := range []struct {
		p  *int
		to int
	}{{&p.Trees, 100}, {&p.Leaves, 1024}, {&p.MaxDepth, 32}} {
		if *v.p == 0 {
			*v.p = v.to
		}
	}
	if p.MinRows == 0 {
		p.MinRows = 5
		if p.Classes > 0 {
			p.MinRows = 1
		}
	}
	if p.Features == 0 {
		p.Features = 1.0 / 3
		if p.Classes > 0 {
			p.Features = math.Sqrt(float64(cols)) / float64(cols)
		}
	}
	if p.RowsShare == 0 {
		p.RowsShare = 1
	}
	if p.Trees < 1 || p.Leaves < 2 || p.MaxDepth < 1 || p.MinRows < 1 || !(p.Features > 0 && p.Features <= 1) || !(p.RowsShare > 0 && p.RowsShare <= 1) ||
		p.Classes == 1 || p.Classes < 0 || p.Classes > ensemble.MaxOutputs {
		return errors.New("forest: a parameter is out of range")
	}
	return nil
}

// Train fits a forest. It returns ctx's error when ctx ends first.
func Train(ctx context.Context, d Data, p Params) (*Model, error) {
	if err := p.defaults(d.X.Cols()); err != nil {
		return nil, err
	}
	if d.Train == nil {
		d.Train = make([]int32, d.X.N)
		for i := range d.Train {
			d.Train[i] = int32(i)
		}
	}
	if len(d.Train) == 0 || len(d.Y) != d.X.N {
		return nil, fmt.Errorf("forest: %d rows, %d targets, %d rows to train on", d.X.N, len(d.Y), len(d.Train))
	}
	for _, i := range d.Train {
		if i < 0 || int(i) >= d.X.N || math.IsNaN(d.Y[i]) || math.IsInf(d.Y[i], 0) ||
			(p.Classes > 0 && !(d.Y[i] >= 0 && d.Y[i] < float64(p.Classes) && d.Y[i] == math.Trunc(d.Y[i]))) {
			return nil, fmt.Errorf("forest: row %d of %d is not there or has no usable target", i, d.X.N)
		}
	}
	trees := make([]*tree, p.Trees)
	binned.Parallel(p.Threads, p.Trees, func(from, to int) {
		for k := from; k < to && ctx.Err() == nil; k++ {
			trees[k] = grow(&d, &p, uint64(k))
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return assemble(&d, &p, trees)
}

// assemble packs the trees, with leaves divided by their number, and scores the rows that trees left out.
func assemble(d *Data, p *Params, trees []*tree) (*Model, error) {
	width := max(p.Classes, 1)
	m := &Model{Importance: make([]float64, d.X.Cols()), OutOfBag: math.NaN()}
	packed := make([]ensemble.Tree, len(trees))
	votes, seen := make([]float64, width*d.X.N), make([]float64, d.X.N)
	total := 0.0
	for k, t := range trees {
		packed[k] = t.export(d.X.Mapper, 1/float64(len(trees)), p.Classes > 0)
		for _, n := range t.nodes {
			if n.left != 0 {
				m.Importance[n.feature] += n.gain
				total += n.gain
			}
		}
		for _, i := range t.out {
			seen[i]++
			for c, v := range t.leaf(d.X, int(i)) {
				votes[int(i)*width+c] += v
			}
		}
	}
	if total > 0 {
		for j := range m.Importance {
			m.Importance[j] /= total
		}
	}
	sum, n := 0.0, 0.0
	for _, i := range d.Train {
		if seen[i] == 0 {
			continue
		}
		v := votes[int(i)*width : (int(i)+1)*width]
		if n++; p.Classes > 0 {
			sum -= math.Log(max(v[int(d.Y[i])]/seen[i], 1e-15))
		} else {
			sum += math.Abs(d.Y[i] - v[0]/seen[i])
		}
	}
	if n > 0 {
		m.OutOfBag = sum / n
	}
	var err error
	m.Ensemble, err = ensemble.New(d.X.Cols(), ensemble.Identity, make([]float64, width), p.Classes > 0, packed)
	return m, err
}

type node struct {
	feature, bin int // bins 1 to bin go left
	missingLeft  bool
	left, right  int // 0 for a leaf
	gain         float64
	mean         []float64
}

type tree struct {
	nodes []node
	out   []int32 // training rows it did not see
}

// span is a node whose rows are rows[from:to].
type span struct{ node, from, to, depth int }

type grower struct {
	d     *Data
	p     *Params
	rng   *rand.Rand
	k     int // sums per bin: 1, or the classes
	rows  []int32
	spare []int32
	hist  []float64 // by bin: k sums, then the count
	cols  []int
	acc   []float64
	all   []float64 // sums over the rows of the node
}

func grow(d *Data, p *Params, index uint64) *tree {
	g := &grower{d: d, p: p, rng: rand.New(rand.NewPCG(p.Seed, index+1)), k: max(p.Classes, 1)}
	t := &tree{nodes: make([]node, 1)}
	g.draw(t)
	g.spare, g.hist, g.acc = make([]int32, len(g.rows)), make([]float64, 256*(g.k+1)), make([]float64, g.k+1)
	g.all = make([]float64, g.k)
	g.cols = make([]int, d.X.Cols())
	for j := range g.cols {
		g.cols[j] = j
	}
	queue, leaves := []span{{to: len(g.rows)}}, 1 // breadth first, so that a cap on leaves costs detail everywhere alike
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		rows := g.rows[s.from:s.to]
		n := &t.nodes[s.node]
		n.mean = g.mean(rows)
		if leaves >= p.Leaves || s.depth >= p.MaxDepth || len(rows) < 2*p.MinRows {
			continue
		}
		best := g.best(rows, n.mean)
		if !(best.gain > 0) {
			continue
		}
		mid := s.from + g.partition(rows, best)
		best.mean, best.left, best.right = n.mean, len(t.nodes), len(t.nodes)+1
		t.nodes[s.node] = best
		t.nodes = append(t.nodes, node{}, node{})
		queue = append(queue, span{best.left, s.from, mid, s.depth + 1}, span{best.right, mid, s.to, s.depth + 1})
		leaves++
	}
	return t
}

// draw takes a bootstrap sample, sorted so that memory is read in order.
func (g *grower) draw(t *tree) {
	all := g.d.Train
	want := max(1, int(math.Round(g.p.RowsShare*float64(len(all)))))
	if g.p.Extra {
		g.rows = slices.Clone(all)
		return
	}
	count := make([]uint8, len(all))
	for range want {
		if i := g.rng.IntN(len(all)); count[i] < 255 {
			count[i]++
		}
	}
	for i, c := range count {
		if c == 0 {
			t.out = append(t.out, all[i])
		}
		for range c {
			g.rows = append(g.rows, all[i])
		}
	}
}

// add counts a row into sums followed by their count.
func (g *grower) add(sums []float64, i int32) {
	if g.p.Classes > 0 {
		sums[int(g.d.Y[i])]++
	} else {
		sums[0] += g.d.Y[i]
	}
	sums[g.k]++
}

func (g *grower) mean(rows []int32) []float64 {
	sums := make([]float64, g.k+1)
	for _, i := range rows {
		g.add(sums, i)
	}
	for c := range g.k {
		sums[c] /= sums[g.k]
	}
	return sums[:g.k]
}

// best looks at a random set of features. A feature without a choice does not count towards the set.
func (g *grower) best(rows []int32, mean []float64) node {
	var best node
	parent := 0.0
	for _, v := range mean {
		parent += float64(v * v)
	}
	parent *= float64(len(rows))
	want := max(1, int(math.Round(g.p.Features*float64(len(g.cols)))))
	for k := 0; k < len(g.cols) && want > 0; k++ {
		r := k + g.rng.IntN(len(g.cols)-k)
		g.cols[k], g.cols[r] = g.cols[r], g.cols[k]
		n, usable := g.column(g.cols[k], rows, parent)
		if usable {
			want--
		}
		if n.gain > best.gain {
			best = n
		}
	}
	return best
}

// column finds the best split of one feature, or for extremely randomised trees tries one.
func (g *grower) column(j int, rows []int32, parent float64) (best node, usable bool) {
	bins, stride, col := g.d.X.Bins(j), g.k+1, g.d.X.Col[j]
	hist := g.hist[:(bins+1)*stride]
	clear(hist)
	lo, hi := 255, 0
	for _, i := range rows {
		b := int(col[i])
		g.add(hist[b*stride:(b+1)*stride], i)
		lo, hi = min(lo, b), max(hi, b)
	}
	if lo == hi {
		return node{}, false
	}
	from, to := 1, bins-1
	if g.p.Extra {
		from = max(lo, 1)
		if from < hi {
			from += g.rng.IntN(hi - from)
		}
		to = from
	}
	least := 1e-10 * parent // less is rounding
	acc, next := g.acc, 1
	clear(acc)
	missing, all := hist[:stride], g.all
	clear(all)
	for at := 0; at < len(hist); at += stride {
		for c, v := range hist[at : at+g.k] {
			all[c] += v
		}
	}
	for b := from; b <= to; b++ {
		for ; next <= b; next++ {
			for c, v := range hist[next*stride : (next+1)*stride] {
				acc[c] += v
			}
		}
		for _, missingLeft := range []bool{false, true} {
			if missingLeft && missing[g.k] == 0 {
				continue
			}
			if gain := g.gain(acc, missing, missingLeft, float64(len(rows)), parent); gain > max(best.gain, least) {
				best = node{feature: j, bin: b, missingLeft: missingLeft || (missing[g.k] == 0 && 2*acc[g.k] > float64(len(rows))), gain: gain}
			}
		}
	}
	return best, true
}

// gain is the decrease of the summed squared error when acc (and the missing rows) go left.
func (g *grower) gain(acc, missing []float64, missingLeft bool, rows, parent float64) float64 {
	n := acc[g.k]
	if missingLeft {
		n += missing[g.k]
	}
	m := rows - n
	if n < float64(g.p.MinRows) || m < float64(g.p.MinRows) {
		return 0
	}
	var left, right float64
	for c := range g.k {
		l := acc[c]
		if missingLeft {
			l += missing[c]
		}
		left += float64(l * l)
		right += float64((g.all[c] - l) * (g.all[c] - l))
	}
	return left/n + right/m - parent
}

// partition moves the rows that go left to the front and returns their number.
func (g *grower) partition(rows []int32, s node) int {
	col, n, m := g.d.X.Col[s.feature], 0, 0
	for _, i := range rows {
		if b := int(col[i]); (b != 0 && b <= s.bin) || (b == 0 && s.missingLeft) {
			rows[n] = i
			n++
		} else {
			g.spare[m] = i
			m++
		}
	}
	copy(rows[n:], g.spare[:m])
	return n
}

// leaf returns the mean of the leaf that a row reaches.
func (t *tree) leaf(x *binned.Matrix, i int) []float64 {
	n := &t.nodes[0]
	for n.left != 0 {
		if b := int(x.Col[n.feature][i]); (b != 0 && b <= n.bin) || (b == 0 && n.missingLeft) {
			n = &t.nodes[n.left]
		} else {
			n = &t.nodes[n.right]
		}
	}
	return n.mean
}

func (t *tree) export(m *binned.Mapper, share float64, vector bool) ensemble.Tree {
	out := make(ensemble.Tree, len(t.nodes))
	for i, n := range t.nodes {
		switch {
		case n.left != 0:
			threshold := math.MaxFloat64 // present against missing
			if n.bin < m.Bins(n.feature) {
				threshold = m.Threshold(n.feature, n.bin)
			}
			out[i] = ensemble.Node{Feature: n.feature, Threshold: threshold, MissingLeft: n.missingLeft, Left: n.left, Right: n.right}
		case vector:
			v := make([]float64, len(n.mean))
			for c := range v {
				v[c] = n.mean[c] * share
			}
			out[i].Values = v
		default:
			out[i].Value = n.mean[0] * share
		}
	}
	return out
}
