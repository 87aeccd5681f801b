package hoeffding

import (
	"math"

	"skerry.dev/compute/internal/exact"
)

// multiwayMerit is what a branch for each of k codes would gain; -Inf when less than two get
// their share of the rows. before is the impurity of all rows.
func (t *tree) multiwayMerit(l *leaf, at, k int, before float64) float64 {
	all := sum(t.s.total)
	if !(all > 0) {
		return math.Inf(-1)
	}
	after, enough := 0.0, 0
	for code := range k {
		t.multiway(l, at, code)
		n := sum(t.s.left)
		if n > float64(t.MinBranch*all) {
			enough++
		}
		after += t.impurity(t.s.left)
	}
	if enough < 2 {
		return math.Inf(-1)
	}
	return (before - after) / all
}

// binaryMerit is what parting the rows into the splitter's left and right would gain; -Inf when
// one gets too few of them.
func (t *tree) binaryMerit(before float64) float64 {
	a, b := sum(t.s.left), sum(t.s.right)
	least := float64(t.MinBranch * (a + b))
	if !(a > least && b > least) {
		return math.Inf(-1)
	}
	return (before - t.impurity(t.s.left) - t.impurity(t.s.right)) / (a + b)
}

// impurity is the entropy in bits or Gini's impurity of class weights, times their sum.
func (t *tree) impurity(d []float64) float64 {
	all := sum(d)
	if !(all > 0) {
		return 0
	}
	if t.Criterion == Gini {
		var squares float64
		for _, w := range d {
			squares += float64(w * w)
		}
		return all - squares/all
	}
	h := float64(all * exact.Log(all))
	for _, w := range d {
		if w > 0 {
			h -= float64(w * exact.Log(w))
		}
	}
	return max(h, 0) / math.Ln2
}

func sum(d []float64) float64 {
	var s float64
	for _, w := range d {
		s += w
	}
	return s
}
