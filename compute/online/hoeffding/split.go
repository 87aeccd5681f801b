package hoeffding

import (
	"math"

	"skerry.dev/compute/internal/exact"
)

// candidate is a split and what it would gain.
type candidate struct {
	kind      kind
	feature   int32
	threshold float64
	merit     float64 // -Inf for none
}

// splitter is the scratch of split attempts.
type splitter struct {
	total, left, right []float64 // class weights
}

func newSplitter(classes int) *splitter {
	return &splitter{
		total: make([]float64, classes),
		left:  make([]float64, classes),
		right: make([]float64, classes),
	}
}

// attempt splits a leaf when Hoeffding's bound shows that its best split is best.
func (t *tree) attempt(n *node) {
	if !t.impure(n) {
		return
	}
	best, second := t.candidates(n)
	if !(best.merit > 0) {
		return
	}
	if bound := t.bound(n); best.merit-second > bound || bound < t.Tau {
		t.split(n, best)
	}
}

// impure reports whether a leaf has a second class worth a split.
func (t *tree) impure(n *node) bool {
	top, seen := 0.0, 0
	for _, w := range n.counts {
		if w > 0 {
			seen++
		}
		top = max(top, w)
	}
	return seen > 1 && top <= float64(t.MaxShare*n.weight)
}

// bound is Hoeffding's: with probability 1-Delta, the mean of n numbers from a range R is off by
// no more than √(R² ln(1/Delta) / 2n).
func (t *tree) bound(n *node) float64 {
	r := 1.0
	if t.Criterion == InfoGain {
		seen := 0
		for _, w := range n.counts {
			if w > 0 {
				seen++
			}
		}
		r = exact.Log(float64(max(seen, 2))) / math.Ln2
	}
	return math.Sqrt(float64(r*r) * -exact.Log(t.Delta) / float64(2*n.weight))
}

// ratioBound is Hoeffding's for a number from 0 to 1.
func (t *tree) ratioBound(n *node) float64 {
	return math.Sqrt(-exact.Log(t.Delta) / float64(2*n.weight))
}

// candidates returns the best split of a leaf and the merit of the best on another input, -Inf
// when there is none.
func (t *tree) candidates(n *node) (best candidate, second float64) {
	best.merit, second = math.Inf(-1), math.Inf(-1)
	at := 0
	for _, f := range n.leaf.features {
		c := t.bestSplit(n, at, f)
		at += int(t.cols.width[f])
		if c.merit > best.merit {
			best, second = c, best.merit
		} else {
			second = max(second, c.merit)
		}
	}
	return best, second
}

func (t *tree) bestSplit(n *node, at int, f int32) candidate {
	if t.cols.categories[f] > 0 {
		return t.bestCategory(n, at, f)
	}
	return t.bestThreshold(n, at, f)
}

// before is the impurity of the splitter's total before it is parted. A leaf of a tree that
// revises its splits takes the mixture of classes from all that it counts, its parent's promise
// included, as river does, and so splits a little earlier; not while less than half of that has
// come as rows, as the promise is a guess then. Splits are weighed by their own rows alone, of
// which they have many.
func (t *tree) before(n *node) float64 {
	came := sum(t.s.total)
	if all := sum(n.counts); t.keeps && n.kind == terminal && all > 0 && all < 2*came {
		return float64(t.impurity(n.counts) / all * came) // converted, as callers subtract from it
	}
	return t.impurity(t.s.total)
}

// bestThreshold tries thresholds at equal steps between the least and the greatest value.
func (t *tree) bestThreshold(n *node, at int, f int32) candidate {
	l := n.leaf
	best := candidate{kind: below, feature: f, merit: math.Inf(-1)}
	low, high := math.Inf(1), math.Inf(-1)
	for c, s := range l.stats {
		t.s.total[c] = 0
		if s != nil && s[at] > 0 {
			low, high = min(low, s[at+3]), max(high, s[at+4])
			t.s.total[c] = s[at]
		}
	}
	if !(low < high) {
		return best
	}
	step := (high - low) / float64(t.Points+1)
	impurity := t.before(n)
	for i := 1; i <= t.Points; i++ {
		v := low + float64(step*float64(i))
		if !(low < v && v < high) {
			continue
		}
		t.divide(l, at, v)
		if m := t.binaryMerit(impurity); m > best.merit {
			best.threshold, best.merit = v, m
		}
	}
	return best
}

// divide estimates how the rows of each class lie about a threshold.
func (t *tree) divide(l *leaf, at int, v float64) {
	for c, s := range l.stats {
		t.s.left[c], t.s.right[c] = 0, 0
		if s == nil || s[at] == 0 {
			continue
		}
		switch o := s[at : at+gaussian]; {
		case v < o[3]:
			t.s.right[c] = o[0]
		case v >= o[4]:
			t.s.left[c] = o[0]
		default:
			variance := o[2] / o[0]
			if o[0] > 1 {
				variance = o[2] / (o[0] - 1)
			}
			share := normal((v - o[1]) / math.Sqrt(variance))
			if !(share >= 0) { // all values are the same but for rounding
				share = 0.5
			}
			t.s.left[c] = float64(o[0] * share)
			t.s.right[c] = o[0] - t.s.left[c]
		}
	}
}

// bestCategory tries each code against the others and, unless splits are to be binary, a branch
// for each.
func (t *tree) bestCategory(n *node, at int, f int32) candidate {
	l := n.leaf
	best := candidate{kind: equal, feature: f, merit: math.Inf(-1)}
	k := int(t.cols.categories[f])
	for c, s := range l.stats {
		t.s.total[c] = 0
		if s != nil {
			t.s.total[c] = s[at]
		}
	}
	impurity := t.before(n)
	if !t.BinaryOnly {
		if m := t.multiwayMerit(l, at, k, impurity); m > best.merit {
			best.kind, best.merit = each, m
		}
	}
	for code := range k {
		t.single(l, at, code)
		if m := t.binaryMerit(impurity); m > best.merit {
			best.kind, best.threshold, best.merit = equal, float64(code), m
		}
	}
	return best
}

// single puts the rows of one code to the left and the others to the right.
func (t *tree) single(l *leaf, at, code int) {
	for c, s := range l.stats {
		t.s.left[c], t.s.right[c] = 0, 0
		if s != nil {
			t.s.left[c] = s[at+1+code]
			t.s.right[c] = max(s[at]-s[at+1+code], 0)
		}
	}
}

// multiway writes the classes of one code to the left.
func (t *tree) multiway(l *leaf, at, code int) {
	for c, s := range l.stats {
		t.s.left[c] = 0
		if s != nil {
			t.s.left[c] = s[at+1+code]
		}
	}
}

// split turns a leaf into a split. Its children start with the class weights that its statistics
// promise them.
func (t *tree) split(n *node, c candidate) {
	k := 2
	if c.kind == each {
		k = int(t.cols.categories[c.feature])
	}
	l, at := n.leaf, 0
	for _, f := range l.features {
		if f == c.feature {
			break
		}
		at += int(t.cols.width[f])
	}
	t.bytes -= t.usedBy(l) // which is free once the children have what they need of it
	if !t.mayGrow(k) {
		t.bytes += t.usedBy(l)
		return
	}
	t.branchOut(n, c, k)
	switch c.kind {
	case each:
		for code := range k {
			t.multiway(l, at, code)
			n.children[code].start(t.s.left)
		}
	case below:
		t.divide(l, at, c.threshold)
		n.children[0].start(t.s.left)
		n.children[1].start(t.s.right)
	case equal:
		t.single(l, at, int(c.threshold))
		n.children[0].start(t.s.left)
		n.children[1].start(t.s.right)
	}
	if t.keeps && t.bytes+t.usedBy(l) <= t.MaxBytes/4*3 {
		t.bytes += t.usedBy(l)
		n.leaf = l
		return
	}
	t.pool.putLeaf(l)
	t.reopen()
}

// branchOut turns a leaf into a split with k empty children.
func (t *tree) branchOut(n *node, c candidate, k int) {
	n.leaf = nil
	n.kind, n.feature, n.threshold = c.kind, c.feature, c.threshold
	t.bytes += childBytes * k
	for range k {
		n.children = append(n.children, t.newNode(n.depth+1))
	}
}

func (n *node) start(counts []float64) {
	copy(n.counts, counts)
	n.weight = sum(counts)
}
