package gbdt

import (
	"cmp"
	"math"
	"slices"
)

// split is the best way found to divide a leaf. gain 0 means none. A split of numbers sends bins
// 1 to bin left; one of categories sends the bins in set left and everything else right.
type split struct {
	gain         float64 // decrease of the loss, twice, in units of scaleG²/scaleH
	feature, bin int
	missingLeft  bool
	categories   bool
	set          [4]uint64
	l2           float64 // of the children's values
	left         sums
}

// sums are those of the packed gradients of some rows, taken apart.
type sums struct{ g, h int64 }

func (s sums) minus(o sums) sums { return sums{s.g - o.g, s.h - o.h} }

// table holds by bin which rows go left: 1 or 0.
func (s *split) table() (t [histBins]uint8) {
	if s.missingLeft {
		t[0] = 1
	}
	for b := 1; b < histBins; b++ {
		if s.categories && s.set[b/64]>>(b%64)&1 != 0 || !s.categories && b <= s.bin {
			t[b] = 1
		}
	}
	return t
}

// node is the leaf that is searched: its sums, what its sides must have, and the bounds of their
// values.
type node struct {
	sum    sums
	least  int64   // smallest sum of hessians of a side
	rows   float64 // per unit of the hessians
	l2     float64 // Params.L2 in units of scaleH
	l1     float64 // Params.L1 in units of scaleG
	gain   float64 // of the whole: what splits must exceed
	floor  float64 // splits that gain less are rounding, or less than MinGain
	lo, hi float64 // bounds of values in units of scaleG/scaleH, for monotone columns
}

// term is twice the decrease of the loss by the best value of s.
func (n *node) term(s sums, l2 float64) float64 {
	g := float64(s.g)
	if n.l1 != 0 {
		g = shrink(g, n.l1)
	}
	return float64(g*g) / (float64(s.h) + l2)
}

func shrink(g, by float64) float64 { return math.Copysign(max(math.Abs(g)-by, 0), g) }

// value is the best value of s within the bounds; without any hessian there is none but 0.
func (n *node) value(s sums, l2 float64) float64 {
	if s.h == 0 {
		return min(max(0, n.lo), n.hi)
	}
	return min(max(-shrink(float64(s.g), n.l1)/(float64(s.h)+l2), n.lo), n.hi)
}

// at is twice the decrease of the loss by the value w.
func (n *node) at(s sums, w, l2 float64) float64 {
	g := shrink(float64(s.g), n.l1)
	return -(float64(2*g*w) + float64((float64(s.h)+l2)*float64(w*w)))
}

// numbers finds the best split of a column of numbers: bins from the smallest values up, with
// missing values on either side.
func (g *grower) numbers(n *node, j int, h *[histBins]int64) (best split) {
	if g.p.Monotone != nil {
		return g.bounded(n, j, h)
	}
	bins := g.x.Bins(j)
	missing := sums{g.pk.gradient(h[0]), g.pk.hessian(h[0])}
	top := n.floor + n.gain
	var acc sums
	if h[0] == 0 {
		at := 0
		for b, v := range h[1:bins] {
			if v == 0 {
				continue // the same rows left and right as one bin before
			}
			acc.g += v >> g.pk.shift
			acc.h += v & g.pk.mask
			right := n.sum.minus(acc)
			if acc.h < n.least {
				continue
			}
			if right.h < n.least {
				break
			}
			if gain := n.term(acc, n.l2) + n.term(right, n.l2); gain > top {
				top, at, best.left = gain, b+1, acc
			}
		}
		if at > 0 {
			// No row decides where missing values belong: they follow the larger side.
			best.gain, best.feature, best.bin, best.missingLeft = top-n.gain, j, at, 2*best.left.h > n.sum.h
		}
		return best
	}
	try := func(left sums, bin int, missingLeft bool) {
		right := n.sum.minus(left)
		if left.h < n.least || right.h < n.least {
			return
		}
		if gain := n.term(left, n.l2) + n.term(right, n.l2); gain > top {
			top = gain
			best = split{gain: gain - n.gain, feature: j, bin: bin, missingLeft: missingLeft, left: left}
		}
	}
	for b, v := range h[1:bins] {
		if v == 0 {
			continue
		}
		acc.g += v >> g.pk.shift
		acc.h += v & g.pk.mask
		try(acc, b+1, false)
		try(sums{acc.g + missing.g, acc.h + missing.h}, b+1, true)
	}
	try(n.sum.minus(missing), bins, false) // present against missing
	return best
}

// bounded is numbers for values that must lie within bounds and, where the column is monotone, in
// order.
func (g *grower) bounded(n *node, j int, h *[histBins]int64) (best split) {
	bins, missing := g.x.Bins(j), sums{g.pk.gradient(h[0]), g.pk.hessian(h[0])}
	sign := g.p.Monotone[j]
	top := n.floor + n.gain
	try := func(left sums, bin int, missingLeft bool) {
		right := n.sum.minus(left)
		if left.h < n.least || right.h < n.least {
			return
		}
		a, b := n.value(left, n.l2), n.value(right, n.l2)
		if sign > 0 && a > b || sign < 0 && a < b {
			return
		}
		if gain := n.at(left, a, n.l2) + n.at(right, b, n.l2); gain > top {
			top = gain
			best = split{gain: gain - n.gain, feature: j, bin: bin, missingLeft: missingLeft, left: left}
		}
	}
	var acc sums
	for b, v := range h[1:bins] {
		if v == 0 {
			continue
		}
		acc.g += g.pk.gradient(v)
		acc.h += g.pk.hessian(v)
		if h[0] == 0 {
			try(acc, b+1, 2*acc.h > n.sum.h)
			continue
		}
		try(acc, b+1, false)
		try(sums{acc.g + missing.g, acc.h + missing.h}, b+1, true)
	}
	if h[0] != 0 && sign == 0 {
		try(n.sum.minus(missing), bins, false)
	}
	return best
}

// category is a bin of a column of categories.
type category struct {
	bin   int
	sum   sums
	order float64
}

// categories finds the best split of a column of categories. With few of them each is tried
// against the rest; otherwise they are sorted by their smoothed mean gradient, and prefixes from
// both ends are tried (Fisher 1958; as LightGBM does it). Missing values and rare categories go
// right.
func (g *grower) categories(n *node, j int, h *[histBins]int64) (best split) {
	last := g.x.Bins(j) // the bin of all other categories
	var room [histBins]category
	cats := room[:0]
	present := 0
	for b, v := range h[1:last] {
		if v != 0 {
			present++
			cats = append(cats, category{bin: b + 1, sum: sums{g.pk.gradient(v), g.pk.hessian(v)}})
		}
	}
	if h[0] != 0 || h[last] != 0 {
		present++
	}
	top, l2 := n.floor+n.gain, n.l2
	try := func(left sums, l2 float64) bool {
		right := n.sum.minus(left)
		if left.h < n.least || right.h < n.least {
			return false
		}
		var gain float64
		if g.p.Monotone != nil {
			gain = n.at(left, n.value(left, l2), l2) + n.at(right, n.value(right, l2), l2)
		} else {
			gain = n.term(left, l2) + n.term(right, l2)
		}
		if gain <= top {
			return false
		}
		top = gain
		best = split{gain: gain - n.gain, feature: j, categories: true, left: left, l2: l2}
		return true
	}
	if present <= g.p.OneHotCategories {
		for _, c := range cats {
			if try(c.sum, l2) {
				best.set[c.bin/64] |= 1 << (c.bin % 64)
			}
		}
		return best
	}
	l2 += g.p.CategoryL2 / g.pk.scaleH
	smooth := g.p.CategorySmooth / n.rows
	kept := cats[:0]
	for _, c := range cats {
		if float64(c.sum.h) >= g.p.CategoryRows/n.rows {
			c.order = float64(c.sum.g) / (float64(c.sum.h) + smooth)
			kept = append(kept, c)
		}
	}
	slices.SortFunc(kept, func(a, b category) int {
		if c := cmp.Compare(a.order, b.order); c != 0 {
			return c
		}
		return a.bin - b.bin
	})
	most := min(g.p.CategoriesPerSplit, (len(kept)+1)/2)
	way, size := 0, 0
	for _, up := range []bool{true, false} {
		var acc sums
		group := int64(0)
		for k := range most {
			c := &kept[k]
			if !up {
				c = &kept[len(kept)-1-k]
			}
			acc.g += c.sum.g
			acc.h += c.sum.h
			if group += c.sum.h; float64(group) < g.p.CategoryGroup/n.rows {
				continue
			}
			group = 0
			if try(acc, l2) {
				if way, size = -1, k+1; up {
					way = 1
				}
			}
		}
	}
	for k := range size {
		c := &kept[k]
		if way < 0 {
			c = &kept[len(kept)-1-k]
		}
		best.set[c.bin/64] |= 1 << (c.bin % 64)
	}
	return best
}
