package gbdt

import (
	"math"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/ensemble"
)

// histogram holds, per column and bin, the sum of packed gradients. Bin 0 is missing.
type histogram [][256]int64

// treeNode is a node while growing; left 0 marks a leaf. Rows in bins 1 to bin go left, missing ones where missingLeft says.
type treeNode struct {
	feature, bin int
	missingLeft  bool
	left, right  int
	gain, value  float64
}

// leaf is a leaf that may still split: rows[from:to] are its rows.
type leaf struct {
	node, from, to, depth int
	sum                   int64
	hist                  histogram
	best                  split
}

// split is the best way found to divide a leaf. gain 0 means none.
type split struct {
	gain         float64
	feature, bin int
	missingLeft  bool
	left         int64 // packed sum of the left side
}

// grown is a finished tree on bins.
type grown struct {
	nodes  []treeNode
	leaves []leaf
	rows   []int32
}

// grower grows trees on one matrix and keeps histograms for the next one.
type grower struct {
	x      *binned.Matrix
	p      *Params
	pool   []histogram
	found  []split // by column
	spare  []int32
	packed []int64
	cols   []int

	scaleG, scaleH float64
	exact          bool    // hessians count rows
	perHessian     float64 // otherwise: rows per unit of the packed hessian
}

func newGrower(x *binned.Matrix, p *Params) *grower {
	return &grower{x: x, p: p, found: make([]split, x.Cols())}
}

// parts below this many bytes of histogram work are not worth a goroutine.
const parallelWork = 1 << 15

// tree grows a tree on rows, which it reorders, looking at cols only.
func (g *grower) tree(rows []int32, cols []int, packed []int64, scaleG, scaleH float64, exact bool) *grown {
	g.packed, g.cols, g.scaleG, g.scaleH, g.exact = packed, cols, scaleG, scaleH, exact
	t := &grown{nodes: make([]treeNode, 1, 2*g.p.Leaves-1), rows: rows}
	root := leaf{to: len(rows), hist: g.take()}
	for _, i := range rows {
		root.sum += packed[i]
	}
	g.perHessian = float64(len(rows)) / max(float64(uint32(root.sum)), 1)
	g.build(root.hist, rows)
	g.search(&root)
	t.leaves = append(t.leaves, root)
	for len(t.leaves) < g.p.Leaves {
		at := -1
		for i := range t.leaves {
			if b := t.leaves[i].best.gain; b > 0 && (at < 0 || b > t.leaves[at].best.gain) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		g.divide(t, at)
	}
	for i := range t.leaves {
		g.give(t.leaves[i].hist)
		t.leaves[i].hist = nil
	}
	return t
}

func (g *grower) take() histogram {
	if n := len(g.pool); n > 0 {
		h := g.pool[n-1]
		g.pool = g.pool[:n-1]
		return h
	}
	return make(histogram, g.x.Cols())
}

func (g *grower) give(h histogram) {
	if h != nil {
		g.pool = append(g.pool, h)
	}
}

func (g *grower) threads(rows int) int {
	if rows*len(g.cols) < parallelWork {
		return 1
	}
	return g.p.Threads
}

// build fills h for rows. Every thread owns a range of columns.
func (g *grower) build(h histogram, rows []int32) {
	stride := g.x.Cols()
	all := len(g.cols) == stride
	binned.Parallel(g.threads(len(rows)), len(g.cols), func(from, to int) {
		if !all {
			g.buildSome(h, rows, g.cols[from:to])
			return
		}
		part := h[from:to]
		clear(part)
		for _, i := range rows {
			v := g.packed[i]
			at := int(i) * stride
			bins := g.x.Rows[at+from : at+to]
			part := part[:len(bins)]
			for j, b := range bins {
				part[j][b] += v
			}
		}
	})
}

func (g *grower) buildSome(h histogram, rows []int32, cols []int) {
	stride := g.x.Cols()
	for _, j := range cols {
		clear(h[j][:])
	}
	for _, i := range rows {
		v := g.packed[i]
		bins := g.x.Rows[int(i)*stride:][:stride]
		for _, j := range cols {
			h[j][bins[j]] += v
		}
	}
}

// divide splits leaf at into two, the left one in its place and the right one at the end.
func (g *grower) divide(t *grown, at int) {
	l := t.leaves[at]
	b := l.best
	mid := g.partition(t.rows[l.from:l.to], b) + l.from
	li, ri := len(t.nodes), len(t.nodes)+1
	t.nodes = append(t.nodes, treeNode{}, treeNode{})
	t.nodes[l.node] = treeNode{feature: b.feature, bin: b.bin, missingLeft: b.missingLeft, left: li, right: ri, gain: b.gain}
	left := leaf{node: li, from: l.from, to: mid, depth: l.depth + 1, sum: b.left}
	right := leaf{node: ri, from: mid, to: l.to, depth: l.depth + 1, sum: l.sum - b.left}
	if len(t.leaves)+1 < g.p.Leaves && (g.p.MaxDepth == 0 || left.depth < g.p.MaxDepth) {
		small, large := &left, &right
		if left.to-left.from > right.to-right.from {
			small, large = large, small
		}
		// Children too small to split again need no histogram, and the sibling's is the difference.
		if large.to-large.from >= 2*g.p.MinRows {
			small.hist, large.hist = g.take(), l.hist
			g.build(small.hist, t.rows[small.from:small.to])
			g.subtract(large.hist, small.hist)
			g.search(small)
			g.search(large)
			l.hist = nil
		}
	}
	g.give(l.hist)
	t.leaves[at] = left
	t.leaves = append(t.leaves, right)
}

func (g *grower) subtract(h, other histogram) {
	for _, j := range g.cols {
		a, b := &h[j], &other[j]
		for k := range a {
			a[k] -= b[k]
		}
	}
}

// partition moves the rows that go left to the front, keeping the order on both sides, and returns their number.
func (g *grower) partition(rows []int32, s split) int {
	if cap(g.spare) < len(rows) {
		g.spare = make([]int32, len(rows))
	}
	spare, col := g.spare[:len(rows)], g.x.Col[s.feature]
	first := uint8(1) // bins first to s.bin go left; bin 0 joins them when missing values go left
	if s.missingLeft {
		first = 0
	}
	span := uint8(s.bin) - first
	n, m := 0, 0
	for _, i := range rows {
		// One comparison for both ends: what is below first wraps around.
		if col[i]-first <= span {
			rows[n] = i
			n++
		} else {
			spare[m] = i
			m++
		}
	}
	copy(rows[n:], spare[:m])
	return n
}

// search finds the best split of a leaf.
func (g *grower) search(l *leaf) {
	if l.to-l.from < 2*g.p.MinRows || (g.p.MaxDepth > 0 && l.depth >= g.p.MaxDepth) {
		return
	}
	threads := g.p.Threads
	if len(g.cols) < 32 {
		threads = 1
	}
	parent := g.term(l.sum)
	binned.Parallel(threads, len(g.cols), func(from, to int) {
		for _, j := range g.cols[from:to] {
			g.found[j] = g.column(j, &l.hist[j], l.sum, parent)
		}
	})
	for _, j := range g.cols {
		if s := g.found[j]; s.gain > l.best.gain {
			l.best = s
		}
	}
}

// term is G²/(H+λ), twice what the best leaf value gains over 0.
func (g *grower) term(sum int64) float64 {
	a := float64(float64(sum>>32) * g.scaleG)
	return float64(a*a) / (float64(float64(uint32(sum))*g.scaleH) + g.p.L2)
}

// column scans one column's bins from the smallest values up, with missing values on either side.
func (g *grower) column(j int, h *[256]int64, sum int64, parent float64) (best split) {
	bins, missing := g.x.Bins(j), h[0]
	least := max(parent*1e-10, g.p.MinGain) // less is rounding
	try := func(left int64, bin int, missingLeft bool) {
		right := sum - left
		if !g.allowed(left) || !g.allowed(right) {
			return
		}
		if gain := g.term(left) + g.term(right) - parent; gain > least && gain > best.gain {
			best = split{gain: gain, feature: j, bin: bin, missingLeft: missingLeft, left: left}
		}
	}
	var acc int64
	for b := 1; b < bins; b++ {
		if h[b] == 0 {
			continue // the same rows left and right as one bin before
		}
		acc += h[b]
		if missing == 0 {
			// No row says where missing values belong: they follow the larger side.
			try(acc, b, uint32(acc) > uint32(sum-acc))
			continue
		}
		try(acc, b, false)
		try(acc+missing, b, true)
	}
	if missing != 0 {
		try(sum-missing, bins, false) // present against missing
	}
	return best
}

// allowed reports whether a side has enough rows and hessian.
func (g *grower) allowed(side int64) bool {
	h := float64(uint32(side))
	if g.exact {
		return h >= float64(g.p.MinRows) && float64(h*g.scaleH) >= g.p.MinHessian
	}
	return h > 0 && float64(h*g.perHessian)+0.5 >= float64(g.p.MinRows) && float64(h*g.scaleH) >= g.p.MinHessian
}

// predict walks the tree with the bins of row i.
func (t *grown) predict(x *binned.Matrix, i int) float64 {
	bins := x.Rows[i*x.Cols():][:x.Cols()]
	n := &t.nodes[0]
	for n.left != 0 {
		b := int(bins[n.feature])
		if (b != 0 && b <= n.bin) || (b == 0 && n.missingLeft) {
			n = &t.nodes[n.left]
		} else {
			n = &t.nodes[n.right]
		}
	}
	return n.value
}

// export replaces bins by thresholds.
func (t *grown) export(m *binned.Mapper) ensemble.Tree {
	out := make(ensemble.Tree, len(t.nodes))
	for i, n := range t.nodes {
		if n.left == 0 {
			out[i].Value = n.value
			continue
		}
		threshold := math.MaxFloat64 // present against missing
		if n.bin < m.Bins(n.feature) {
			threshold = m.Threshold(n.feature, n.bin)
		}
		out[i] = ensemble.Node{Feature: n.feature, Threshold: threshold, MissingLeft: n.missingLeft, Left: n.left, Right: n.right}
	}
	return out
}
