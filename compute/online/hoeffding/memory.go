package hoeffding

import "slices"

// What the parts of a tree take, in bytes, with the slices' headers.
const (
	nodeBytes  = 160
	childBytes = 8
	leafBytes  = 144
)

func (t *tree) leafBytes(l *leaf) int {
	b := leafBytes + 24*t.classes
	if len(l.features) < len(t.subset) {
		b += 4 * len(l.features)
	}
	return b
}

// stride is the length of a class's statistics.
func (t *tree) stride(features []int32) int {
	n := 0
	for _, f := range features {
		n += int(t.cols.width[f])
	}
	return n
}

// widest is the most that a class's statistics can take in a leaf: of all inputs of the tree, or
// of as many of the widest as a leaf draws.
func (t *tree) widest() int {
	if t.draw == 0 || t.draw >= len(t.subset) {
		return t.stride(t.subset)
	}
	widths := make([]int32, 0, len(t.subset))
	for _, f := range t.subset {
		widths = append(widths, t.cols.width[f])
	}
	slices.Sort(widths)
	n := 0
	for _, w := range widths[len(widths)-t.draw:] {
		n += int(w)
	}
	return n
}

// newStats makes room for a class in a leaf; nil when there is none, and then the leaf has
// stopped learning.
func (t *tree) newStats(n *node, class int) []float64 {
	size := t.stride(n.leaf.features)
	if !t.afford(n, 8*size) {
		t.close(n)
		return nil
	}
	t.bytes += 8 * size
	n.leaf.stats[class] = t.pool.get(size)
	return n.leaf.stats[class]
}

// close stops a leaf from learning. It goes on to count classes.
func (t *tree) close(n *node) {
	t.release(n)
	if n.kind != terminal {
		return // a split goes on without
	}
	n.closed = true
	t.closed++
}

// release drops what a leaf learned from.
func (t *tree) release(n *node) {
	if n.leaf == nil {
		return
	}
	t.bytes -= t.usedBy(n.leaf)
	t.pool.putLeaf(n.leaf)
	n.leaf = nil
}

// usedBy is what a leaf takes.
func (t *tree) usedBy(l *leaf) int {
	if t.numbers != nil {
		return t.numberLeafBytes(l.features)
	}
	b := t.leafBytes(l)
	for _, s := range l.stats {
		b += 8 * len(s)
	}
	return b
}

// discard takes a subtree out of the books.
func (t *tree) discard(n *node) {
	t.release(n)
	if n.closed {
		t.closed--
	}
	t.nodes--
	t.bytes -= nodeBytes + 8*t.classes + childBytes*len(n.children)
	if n.past.model != nil {
		t.bytes -= t.pastBytes()
		t.pool.put(n.past.model)
	}
	for _, c := range n.children {
		t.discard(c)
	}
	if n.watch != nil {
		t.bytes -= watchBytes
		if n.watch.other != nil {
			t.discard(n.watch.other)
		}
	}
	t.pool.putNode(n)
}

// drop gives all of a tree that is no longer needed, if there is one, to the pool.
func (t *tree) drop() {
	if t != nil {
		t.discard(t.root)
		t.root = nil
	}
}

// promise is the weight of the rows that the majority class gets wrong, or the sum of the squared
// errors of the mean: what a split could gain at most.
func (t *tree) promise(n *node) float64 {
	if t.numbers != nil {
		return n.counts[1]
	}
	top := 0.0
	for _, w := range n.counts {
		top = max(top, w)
	}
	return n.weight - top
}

// afford makes room for more bytes at a leaf by closing leaves that promise less, the least
// first, and reports whether there is room now.
func (t *tree) afford(n *node, more int) bool {
	for t.bytes+more > t.MaxBytes {
		var victim *node
		least := t.promise(n)
		t.root.leaves(func(c *node) {
			if c != n && c.leaf != nil {
				if p := t.promise(c); p < least {
					victim, least = c, p
				}
			}
		})
		if victim == nil {
			return false
		}
		t.close(victim)
	}
	return true
}

// reopen lets the closed leaf that promises most learn again when a split has left room for it.
func (t *tree) reopen() {
	if t.closed == 0 {
		return
	}
	var best *node
	top := -1.0
	t.root.leaves(func(c *node) {
		if c.closed {
			if p := t.promise(c); p > top {
				best, top = c, p
			}
		}
	})
	if best != nil && t.bytes+t.fullLeaf() <= t.MaxBytes {
		best.closed = false
		t.closed--
	}
}

// fullLeaf is what a leaf that has seen everything takes.
func (t *tree) fullLeaf() int {
	if t.numbers != nil {
		return t.numberLeafBytes(t.subset)
	}
	return leafBytes + t.classes*(24+8*t.widest())
}

// mayGrow reports whether there is room for a split in k branches: nodes, which most trees never
// give back, may take three quarters of the budget at most.
func (t *tree) mayGrow(k int) bool {
	size := nodeBytes + 8*t.classes + childBytes
	if t.watchDelta > 0 {
		size += watchBytes
	}
	past := 0
	if t.numbers != nil {
		past = t.pastBytes()
	}
	return (t.nodes+k)*(size+past) <= t.MaxBytes/4*3 && t.bytes+k*size+past <= t.MaxBytes
}

// leastBytes is the smallest budget that a tree can start with: a root that learns.
func (t *tree) leastBytes() int {
	return 2*(nodeBytes+8*t.classes+leafBytes+24*t.classes+4*len(t.subset)) + 8*t.classes*t.widest()
}
