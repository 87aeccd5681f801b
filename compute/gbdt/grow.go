package gbdt

import (
	"math"
	"math/rand/v2"
	"slices"
	"unsafe"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/ensemble"
)

// treeNode is a node while growing; left 0 marks a leaf.
type treeNode struct {
	split
	left, right int
	gain        float64 // of the split, in units of the loss
	value       float64
	cover       float64
}

// leaf is a leaf that may still split: rows[from:to] are its rows.
type leaf struct {
	node, from, to, depth int
	sum                   sums
	l2                    float64 // of its value, in units of scaleH
	lo, hi                float64 // bounds of its value, in units of scaleG/scaleH
	hist                  histogram
	best                  split
}

// grown is a finished tree on bins.
type grown struct {
	nodes  []treeNode
	leaves []leaf
	rows   []int32
	packed []int64 // by position in rows
}

// grower grows trees on one matrix and keeps histograms for the next one.
type grower struct {
	x      *binned.Matrix
	p      *Params
	rng    *rand.Rand
	pool   []histogram
	found  [2][]split  // by side and column
	parts  []histogram // of the rows of all goroutines but the first
	spare  []int32
	spareG []int64
	// the rows of each leaf side by side, as in grown.rows, and behind them room for as many again
	store []uint8
	cols  []int
	pk    packing
	unit  bool // hessians count rows
	bins  int  // of all columns

	inOrder bool // the rows of the tree's root are read where they stand in the matrix
}

func newGrower(x *binned.Matrix, p *Params, rng *rand.Rand) *grower {
	g := &grower{x: x, p: p, rng: rng}
	for side := range g.found {
		g.found[side] = make([]split, x.Cols())
	}
	for j := range x.Cols() {
		g.bins += x.Bins(j) + 1
	}
	for range p.Threads - 1 {
		g.parts = append(g.parts, newHistogram(x.Cols()))
	}
	return g
}

// parallelWork is the least number of histogram updates or rows that is worth a goroutine.
const parallelWork = 1 << 14

// partitionRows is the least number of rows that is worth a goroutine to divide.
const partitionRows = 1 << 12

// tree grows a tree on rows with these packed gradients, both of which it reorders, looking at
// cols only.
func (g *grower) tree(rows []int32, cols []int, packed []int64, pk packing, unit bool) *grown {
	g.cols, g.pk, g.unit = cols, pk, unit
	if len(g.spare) < len(rows) {
		g.spare, g.spareG = make([]int32, len(rows)), make([]int64, len(rows))
	}
	t := &grown{nodes: make([]treeNode, 1, 2*g.p.Leaves-1), rows: rows, packed: packed}
	if want := 2 * len(rows) * g.x.Stride; len(g.store) < want {
		g.store = make([]uint8, want+binned.Slack)[:want]
	}
	// all from the first to the last: rows ascend
	g.inOrder = int(rows[len(rows)-1])-int(rows[0]) == len(rows)-1
	root := leaf{to: len(rows), hist: g.take(), lo: math.Inf(-1), hi: math.Inf(1), l2: g.p.L2 / pk.scaleH}
	root.sum = g.total(packed)
	g.search(t, &root, nil)
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
		l := &t.leaves[i]
		g.give(l.hist)
		l.hist = nil
		t.nodes[l.node].cover = float64(l.to - l.from)
		if len(t.leaves) == 1 {
			// a constant: the first scores are the best there is, and a class of a few rows has
			// hardly a hessian to divide by
			break
		}
		n := g.node(l)
		t.nodes[l.node].value = n.value(l.sum, l.l2) * pk.scaleG / pk.scaleH
	}
	for i := len(t.nodes) - 1; i >= 0; i-- { // children stand after their parents
		if n := &t.nodes[i]; n.left != 0 {
			n.cover = t.nodes[n.left].cover + t.nodes[n.right].cover
		}
	}
	return t
}

func (g *grower) total(packed []int64) (s sums) {
	parts := max(1, min(g.p.Threads, len(packed)/parallelWork))
	part := make([]sums, parts)
	binned.Parallel(parts, parts, func(from, to int) {
		for k := from; k < to; k++ {
			var s sums
			for _, v := range packed[k*len(packed)/parts : (k+1)*len(packed)/parts] {
				s.g += v >> g.pk.shift
				s.h += v & g.pk.mask
			}
			part[k] = s
		}
	})
	for _, p := range part {
		s.g += p.g
		s.h += p.h
	}
	return s
}

func (g *grower) take() histogram {
	if n := len(g.pool); n > 0 {
		h := g.pool[n-1]
		g.pool = g.pool[:n-1]
		return h
	}
	return newHistogram(g.x.Cols())
}

func (g *grower) give(h histogram) {
	if h != nil {
		g.pool = append(g.pool, h)
	}
}

// node prepares the search of a leaf.
func (g *grower) node(l *leaf) node {
	n := node{sum: l.sum, rows: 1, l2: g.p.L2 / g.pk.scaleH, l1: g.p.L1 / g.pk.scaleG, lo: l.lo, hi: l.hi}
	least := g.p.MinHessian / g.pk.scaleH
	if g.unit {
		least = max(least, float64(g.p.MinRows))
	} else {
		n.rows = float64(l.to-l.from) / max(float64(l.sum.h), 1)
		least = max(least, (float64(g.p.MinRows)-0.5)/n.rows, 1)
	}
	n.least = int64(min(math.Ceil(least), 1<<62))
	if g.p.Monotone != nil {
		n.gain = n.at(l.sum, n.value(l.sum, n.l2), n.l2)
	} else {
		n.gain = n.term(l.sum, n.l2)
	}
	n.floor = max(math.Abs(n.gain)*1e-10, 2*g.p.MinGain*g.pk.scaleH/(g.pk.scaleG*g.pk.scaleG))
	return n
}

// divide splits leaf at into two, the left one in its place and the right one at the end.
func (g *grower) divide(t *grown, at int) {
	l := t.leaves[at]
	b := l.best
	leftFirst := 2*b.left.h >= l.sum.h // the larger side, by its hessian, stays in front
	mid := g.partition(t, &l, leftFirst) + l.from
	li, ri := len(t.nodes), len(t.nodes)+1
	t.nodes = append(t.nodes, treeNode{}, treeNode{})
	t.nodes[l.node] = treeNode{
		split: b,
		left:  li,
		right: ri,
		gain:  b.gain * g.pk.scaleG * g.pk.scaleG / g.pk.scaleH / 2,
	}
	left := leaf{
		node:  li,
		from:  l.from,
		to:    mid,
		depth: l.depth + 1,
		sum:   b.left,
		lo:    l.lo,
		hi:    l.hi,
		l2:    max(b.l2, g.p.L2/g.pk.scaleH),
	}
	right := left
	right.node, right.from, right.to, right.sum = ri, mid, l.to, l.sum.minus(b.left)
	if !leftFirst {
		left.from, left.to, right.from, right.to = mid, l.to, l.from, mid
	}
	if g.p.Monotone != nil && !b.categories && g.p.Monotone[b.feature] != 0 {
		n := g.node(&l)
		middle := (n.value(left.sum, left.l2) + n.value(right.sum, right.l2)) / 2
		if g.p.Monotone[b.feature] > 0 {
			left.hi, right.lo = middle, middle
		} else {
			left.lo, right.hi = middle, middle
		}
	}
	small, large := &left, &right
	if left.to-left.from > right.to-right.from {
		small, large = large, small
	}
	// Children too small or too deep to split again need no histogram, and the sibling's is the
	// difference.
	if len(t.leaves)+1 < g.p.Leaves && g.splittable(large) {
		small.hist, large.hist = g.take(), l.hist
		l.hist = nil
		g.search(t, small, large)
	}
	g.give(l.hist)
	t.leaves[at] = left
	t.leaves = append(t.leaves, right)
}

func (g *grower) splittable(l *leaf) bool {
	return l.to-l.from >= 2*g.p.MinRows && (g.p.MaxDepth == 0 || l.depth < g.p.MaxDepth)
}

// search builds the histogram of a leaf from its rows, subtracts it from that of its sibling,
// which holds the parent's, and finds the best split of both. sibling may be nil. First each
// goroutine counts its share of the rows, then it finishes its share of the columns.
func (g *grower) search(t *grown, l, sibling *leaf) {
	rows := t.rows[l.from:l.to]
	draw := g.drawColumns()
	pair := [2]*leaf{l, sibling}
	var nodes [2]node
	var want [2]bool
	for side, l := range pair {
		if l != nil && g.splittable(l) {
			nodes[side], want[side] = g.node(l), true
		}
	}
	counters := max(1, min(g.p.Threads, len(rows)*len(g.cols)/(4*g.bins+parallelWork)))
	binned.Parallel(counters, counters, func(from, to int) {
		for k := from; k < to; k++ {
			h := l.hist
			if k > 0 {
				h = g.parts[k-1]
			}
			g.count(h, t, l, l.from+k*len(rows)/counters, l.from+(k+1)*len(rows)/counters)
		}
	})
	threads := g.p.Threads
	if g.bins < parallelWork/4 {
		threads = 1
	}
	binned.Parallel(threads, len(g.cols), func(from, to int) {
		for _, j := range g.cols[from:to] {
			h := l.hist.column(j)[:g.x.Bins(j)+1]
			for _, part := range g.parts[:counters-1] {
				for b, v := range part.column(j)[:len(h)] {
					h[b] += v
				}
			}
			if sibling != nil {
				other := sibling.hist.column(j)[:len(h)]
				for b, v := range h {
					other[b] -= v
				}
			}
			for side, l := range pair {
				if want[side] {
					g.found[side][j] = g.column(&nodes[side], j, l.hist.column(j), draw)
				}
			}
		}
	})
	for side, l := range pair {
		if !want[side] {
			continue
		}
		for _, j := range g.cols {
			if s := &g.found[side][j]; s.gain > l.best.gain {
				l.best = *s
			}
		}
	}
}

// count fills h with the sums over the rows of a leaf at from to to-1, for the columns of the
// tree. Rows of a leaf lie scattered over a matrix larger than the caches, so that to fetch one
// costs more than to count it: the first split copies them to stand side by side (drawn rows: the
// first count does), and partition keeps them so.
func (g *grower) count(h histogram, t *grown, l *leaf, from, to int) {
	for _, j := range g.cols {
		clear(h.column(j)[:g.x.Bins(j)+1])
	}
	stride := g.x.Stride
	tally := func(rows []uint8, packed []int64) {
		if len(g.cols) == g.x.Cols() {
			count(h, rows, stride, packed, 0, len(g.cols))
		} else {
			countSome(h, rows, stride, packed, g.cols)
		}
	}
	switch {
	case l.node > 0:
		tally(g.store[from*stride:], t.packed[from:to])
	case g.inOrder:
		tally(g.x.Rows[int(t.rows[from])*stride:], t.packed[from:to])
	default:
		for ; from < to; from += gatherRows {
			end := min(from+gatherRows, to)
			gather(g.store[from*stride:], g.x.Rows, stride/8, t.rows[from:end])
			tally(g.store[from*stride:], t.packed[from:end])
		}
	}
}

// drawColumns draws the columns that the next splits look at; nil means all.
func (g *grower) drawColumns() []bool {
	if g.p.SplitFraction == 1 {
		return nil
	}
	draw := make([]bool, g.x.Cols())
	want := max(1, int(math.Ceil(g.p.SplitFraction*float64(len(g.cols)))))
	for k, j := range g.cols { // selection sampling (Knuth, TAOCP 2, 3.4.2 S)
		if g.rng.IntN(len(g.cols)-k) < want {
			draw[j] = true
			want--
		}
	}
	return draw
}

func (g *grower) column(n *node, j int, h *[histBins]int64, draw []bool) split {
	if draw != nil && !draw[j] {
		return split{}
	}
	if g.x.Categorical(j) {
		return g.categories(n, j, h)
	}
	return g.numbers(n, j, h)
}

// partition moves the rows of a leaf that go to one side of its split, left or else right, to the
// front, keeping the order on both sides, and returns their number.
func (g *grower) partition(t *grown, l *leaf, left bool) int {
	rows, packed, stride := t.rows[l.from:l.to], t.packed[l.from:l.to], g.x.Stride
	front, spare := l.from*stride, len(t.rows)*stride // in store
	src := g.store[front:]
	if l.node == 0 && g.inOrder {
		src = g.x.Rows[int(rows[0])*stride:]
	}
	side := l.best.table()
	if !left {
		for b := range side {
			side[b] ^= 1
		}
	}
	parts := max(1, min(g.p.Threads, len(rows)/partitionRows))
	moved := make([]int, parts)
	cut := func(k int) int { return k * len(rows) / parts }
	binned.Parallel(parts, parts, func(from, to int) {
		for k := from; k < to; k++ {
			a, b := cut(k), cut(k+1)
			moved[k] = halve(rows[a:b], g.spare[a:b], packed[a:b], g.spareG[a:b], src[a*stride:], g.store, front+a*stride, spare+a*stride, stride/8, l.best.feature, &side)
		}
	})
	n := moved[0]
	for k := 1; k < parts; k++ {
		copy(rows[n:], rows[cut(k):cut(k)+moved[k]])
		copy(packed[n:], packed[cut(k):cut(k)+moved[k]])
		copy(g.store[front+n*stride:], g.store[front+cut(k)*stride:][:moved[k]*stride])
		n += moved[k]
	}
	binned.Parallel(parts, parts, func(from, to int) {
		for k := from; k < to; k++ {
			at, m := n+cut(k), cut(k+1)-cut(k)-moved[k]
			for _, first := range moved[:k] {
				at -= first
			}
			copy(rows[at:], g.spare[cut(k):cut(k)+m])
			copy(packed[at:], g.spareG[cut(k):cut(k)+m])
			copy(g.store[front+at*stride:], g.store[spare+cut(k)*stride:][:m*stride])
		}
	})
	return n
}

// halve moves rows, their gradients and their bins: those with side 1 to the front of rows and
// packed and to store[front:], the others to spare, spareG and store[back:]. There is no branch
// to predict: rows and gradients are written to both places, of which one advances, bins to a
// place that is computed. src, where the bins are, may be store[front:].
func halve(rows, spare []int32, packed, spareG []int64, src, store []uint8, front, back, words, feature int, side *[histBins]uint8) int {
	if hasVectors && len(rows) > 0 && (words == 2 || words == 4 || words == 8) {
		return halveVector(rows, spare, packed, spareG, src, store, front, back, words, feature, side)
	}
	spare, packed, spareG = spare[:len(rows)], packed[:len(rows)], spareG[:len(rows)]
	n := 0
	from, base := unsafe.Pointer(unsafe.SliceData(src)), unsafe.Pointer(unsafe.SliceData(store))
	for k, i := range rows {
		v, c := packed[k], int(side[*(*uint8)(unsafe.Add(from, feature))])
		rows[n], packed[n] = i, v
		spare[k-n], spareG[k-n] = i, v
		n += c
		to := unsafe.Add(base, back^(front^back)&-c)
		for w := range words {
			*(*uint64)(unsafe.Add(to, 8*w)) = *(*uint64)(unsafe.Add(from, 8*w))
		}
		front += 8 * words * c
		back += 8 * words * (1 - c)
		from = unsafe.Add(from, 8*words)
	}
	return n
}

// leaf returns the leaf that row i reaches.
func (t *grown) leaf(x *binned.Matrix, i int) int {
	bins := x.Rows[i*x.Stride:][:x.Stride]
	at := 0
	for n := &t.nodes[0]; n.left != 0; n = &t.nodes[at] {
		b := int(bins[n.feature])
		left := b <= n.bin
		switch {
		case b == 0:
			left = n.missingLeft
		case n.categories:
			left = n.set[b/64]>>(b%64)&1 != 0
		}
		if at = n.right; left {
			at = n.left
		}
	}
	return at
}

// predict returns the value of the leaf that row i reaches.
func (t *grown) predict(x *binned.Matrix, i int) float64 { return t.nodes[t.leaf(x, i)].value }

// export replaces bins by thresholds and codes.
func (t *grown) export(m *binned.Mapper) ensemble.Tree {
	out := make(ensemble.Tree, len(t.nodes))
	for i := range t.nodes {
		n := &t.nodes[i]
		out[i].Cover = n.cover
		if n.left == 0 {
			out[i].Value = n.value
			continue
		}
		out[i].Feature, out[i].MissingLeft, out[i].Left, out[i].Right = n.feature, n.missingLeft, n.left, n.right
		if n.categories {
			out[i].Categories = m.Set(n.feature, &n.set)
			continue
		}
		out[i].Threshold = math.MaxFloat64 // present against missing
		if n.bin < m.Bins(n.feature) {
			out[i].Threshold = m.Threshold(n.feature, n.bin)
		}
	}
	return out
}

// clone copies what a tree needs to predict.
func (t *grown) clone() *grown { return &grown{nodes: slices.Clone(t.nodes)} }
