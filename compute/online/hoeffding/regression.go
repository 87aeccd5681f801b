package hoeffding

import (
	"errors"
	"fmt"
	"math"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/internal/target"
	"skerry.dev/compute/state"
)

// regression is what makes a tree one of numbers. A node's counts are then the mean of its
// targets and the sum of their squared deviations; a leaf's statistics are a histogram for each
// input, and its majority and bayes the decayed squared errors of its mean and its linear model.
type regression struct {
	leaf        NumberLeaf
	rate, decay float64
	scale       *scale
}

// numberParts are the counts of a node in a regression tree.
const numberParts = 2

func newRegression(o RegressionOptions, cols *columns, s *scale, p *pool) *tree {
	t := &tree{
		pool:    p,
		Options: o.plain(),
		cols:    cols,
		classes: numberParts,
		subset:  cols.all,
		least:   o.Least,
		numbers: &regression{leaf: o.Leaf, rate: o.Rate, decay: o.Decay, scale: s},
	}
	t.reset()
	return t
}

// predictNumber returns the prediction for a row and its standardised columns.
func (t *tree) predictNumber(row, z []float64) float64 {
	n, seen := t.root.find(row)
	if t.usesLinear(n) {
		return dot(n.leaf.model, z)
	}
	return seen.counts[0]
}

func (t *tree) usesLinear(n *node) bool {
	switch l := n.leaf; {
	case l == nil || t.numbers.leaf == Mean:
		return false
	case t.numbers.leaf == Linear:
		return true
	default:
		return l.bayes <= l.majority
	}
}

// learnNumber takes a clean row.
func (t *tree) learnNumber(row, z []float64, y, w float64) {
	n := t.root
	var up *node
	for n.kind != terminal {
		n.weight += w
		up, n = n, n.branch(row)
	}
	if n.leaf == nil && !n.closed {
		t.openNumber(n, up)
	}
	l := n.leaf
	if l != nil {
		a, b := y-n.counts[0], y-dot(l.model, z)
		l.majority = float64(t.numbers.decay*l.majority) + float64(a*a)
		l.bayes = float64(t.numbers.decay*l.bayes) + float64(b*b)
	}
	m := moments{n.weight, n.counts[0], n.counts[1]}
	m.add(y, w)
	n.weight, n.counts[0], n.counts[1] = m.n, m.mean, m.m2
	if l == nil {
		return
	}
	for i, f := range l.features {
		if x := row[f]; !math.IsNaN(x) {
			if t.cols.categories[f] > 0 {
				addTo(l.stats[i][int(x)*codeSize:], y, w)
			} else {
				see(l.stats[i], x, y, w)
			}
		}
	}
	descend(l.model, z, y, t.numbers.rate, w)
	if n.weight-l.tried >= t.Grace && int(n.depth) < t.MaxDepth {
		l.tried = n.weight
		t.attemptNumber(n)
	}
}

// openNumber lets a leaf learn, from where the leaf that it was split off had come.
func (t *tree) openNumber(n, up *node) {
	l := t.pool.getLeaf(min(max(t.draw, 1), len(t.subset)))
	l.tried, l.features = n.weight, t.features(l)
	size := t.numberLeafBytes(l.features)
	if !t.afford(n, size) {
		t.pool.putLeaf(l)
		t.close(n)
		return
	}
	t.bytes += size
	l.stats = l.stats[:0]
	for _, f := range l.features {
		l.stats = append(l.stats, t.pool.get(t.histogramSize(f)))
	}
	l.model = t.pool.get(t.numbers.scale.width)
	if up != nil && up.past.model != nil {
		copy(l.model, up.past.model)
		l.majority, l.bayes = up.past.majority, up.past.bayes
	}
	n.leaf = l
}

func (t *tree) histogramSize(f int32) int {
	if k := int(t.cols.categories[f]); k > 0 {
		return k * codeSize
	}
	return histSize
}

func (t *tree) numberLeafBytes(features []int32) int {
	b := leafBytes + 8*t.numbers.scale.width + 28*len(features)
	for _, f := range features {
		b += 8 * t.histogramSize(f)
	}
	return b
}

// attemptNumber splits a leaf when the best split lowers the variance so much more than the
// second best that the ratio of the two, a number from 0 to 1, stays below 1 whatever chance did
// within Hoeffding's bound.
func (t *tree) attemptNumber(n *node) {
	best, second := candidate{merit: math.Inf(-1)}, math.Inf(-1)
	for i, f := range n.leaf.features {
		var c candidate
		if k := int(t.cols.categories[f]); k > 0 {
			c = t.bestCode(n.leaf.stats[i], f, k)
		} else {
			c = t.bestNumber(n.leaf.stats[i], f)
		}
		if c.merit > best.merit {
			best, second = c, best.merit
		} else {
			second = max(second, c.merit)
		}
	}
	if !(best.merit > 0) {
		return
	}
	if bound := t.ratioBound(n); second < float64(best.merit*(1-bound)) || bound < t.Tau {
		t.splitNumber(n, best)
	}
}

// splitNumber turns a leaf into a split whose children hold the targets that went their way.
func (t *tree) splitNumber(n *node, c candidate) {
	k := 2
	if c.kind == each {
		k = int(t.cols.categories[c.feature])
	}
	l := n.leaf
	t.bytes -= t.usedBy(l) // which is free once the children have what they need of it
	if !t.mayGrow(k) {
		t.bytes += t.usedBy(l)
		return
	}
	var h []float64
	for i, f := range l.features {
		if f == c.feature {
			h = l.stats[i]
		}
	}
	t.branchOut(n, c, k)
	n.past = past{model: l.model, majority: l.majority, bayes: l.bayes}
	t.bytes += t.pastBytes()
	l.model = nil // children start from it
	switch c.kind {
	case each:
		for code := range k {
			n.children[code].begin(load3(h[code*codeSize:]))
		}
	case equal:
		m := load3(h[int(c.threshold)*codeSize:])
		n.children[0].begin(m)
		n.children[1].begin(whole(h, int(t.cols.categories[c.feature])).minus(m))
	case below:
		var left, right moments
		for i := range int(h[0]) {
			if b := bin(h, i); b[0] <= c.threshold {
				left = left.plus(load3(b[1:]))
			} else {
				right = right.plus(load3(b[1:]))
			}
		}
		n.children[0].begin(left)
		n.children[1].begin(right)
	}
	t.pool.putLeaf(l)
	t.reopen()
}

func (t *tree) pastBytes() int { return 48 + 8*t.numbers.scale.width }

// past is what children of a split start from.
type past struct {
	model           []float64
	majority, bayes float64
}

func (n *node) begin(m moments) { n.weight, n.counts[0], n.counts[1] = m.n, m.mean, m.m2 }

// RegressionTree is a Hoeffding tree for numbers: splits lower the variance of the target
// (Ikonomovska, Gama and Džeroski, "Learning model trees from evolving data streams", DMKD 23,
// 2011), leaves predict the mean or a linear model of standardised inputs. Predictions leave the
// range of the targets so far by its width at most; absurd targets, beyond 20 standard deviations
// of those before, count as ones at that bound. Use NewRegressionTree.
type RegressionTree struct {
	t     *tree
	guard target.Guard
	span  span
}

// NewRegressionTree returns an empty tree for a schema without classes. It draws nothing at
// random: Seed has no effect.
func NewRegressionTree(s online.Schema, o RegressionOptions) (*RegressionTree, error) {
	o = o.withDefaults()
	err := errors.Join(s.Check(false), o.validate())
	if err != nil {
		return nil, fmt.Errorf("new regression tree: %w", err)
	}
	cols := newColumns(s)
	sc := newScale(cols)
	p := &pool{}
	r := &RegressionTree{t: newRegression(o, cols, sc, p)}
	least := (sc.bytes() + r.t.leastNumberBytes()) * spare / (spare - 1)
	if err := checkBudget(r.t.MaxBytes, least); err != nil {
		return nil, fmt.Errorf("new regression tree: %w", err)
	}
	r.t.MaxBytes, p.limit = r.t.MaxBytes-r.t.MaxBytes/spare-sc.bytes(), r.t.MaxBytes/spare
	return r, nil
}

func (t *tree) leastNumberBytes() int {
	return 2*(nodeBytes+8*t.classes) + t.numberLeafBytes(t.cols.all)
}

// Predict implements online.Regressor.
func (r *RegressionTree) Predict(x []float64) float64 {
	row := r.t.cols.clean(x)
	return r.span.bound(r.t.predictNumber(row, r.t.numbers.scale.standardise(row)))
}

// Learn implements online.Regressor.
func (r *RegressionTree) Learn(x []float64, y, weight float64) {
	if !finite(y) || !goodWeight(weight) {
		return
	}
	weight = bounded(weight)
	y = r.guard.Bound(y, weight)
	r.span.see(y)
	row, s := r.t.cols.clean(x), r.t.numbers.scale
	s.learn(row)
	r.t.learnNumber(row, s.standardise(row), y, weight)
}

// Nodes returns how many splits and leaves the tree has.
func (r *RegressionTree) Nodes() int { return r.t.nodes }

// Bytes implements online.Learner.
func (r *RegressionTree) Bytes() int { return r.t.bytes + r.t.pool.bytes + r.t.numbers.scale.bytes() }

// Save implements online.Learner.
func (r *RegressionTree) Save(w *state.Writer) {
	r.guard.Save(w)
	r.span.save(w)
	r.t.numbers.scale.save(w)
	r.t.save(w)
}

// Load implements online.Learner.
func (r *RegressionTree) Load(from *state.Reader) {
	r.guard.Load(from)
	r.span.load(from)
	r.t.numbers.scale.load(from)
	r.t.load(from)
}

// span is the range of the targets.
type span struct {
	low, high float64
	any       bool
}

func (s *span) see(y float64) {
	if !s.any {
		s.low, s.high, s.any = y, y, true
	}
	s.low, s.high = min(s.low, y), max(s.high, y)
}

// bound keeps a prediction within the range and as much again on both sides; 0 before the first
// target.
func (s *span) bound(y float64) float64 {
	d := s.high - s.low
	return min(max(y, s.low-d), s.high+d)
}

func (s *span) save(w *state.Writer) {
	w.Float(s.low)
	w.Float(s.high)
	w.Bool(s.any)
}

func (s *span) load(r *state.Reader) {
	s.low, s.high, s.any = r.Float(), r.Float(), r.Bool()
	if !(s.low <= s.high && finite(s.high-s.low)) {
		*s = span{}
		r.Fail()
	}
}
