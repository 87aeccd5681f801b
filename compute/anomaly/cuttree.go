package anomaly

import (
	"math/rand/v2"

	"skerry.dev/compute/state"
)

// cutTree is a robust random cut tree over at most size points of width numbers. Every node holds
// the box around its points, so that points come and go as if the tree had been drawn with them
// or without.
type cutTree struct {
	width int
	root  int32 // -1 for an empty tree
	nodes []cutNode
	boxes []float64 // lowest and highest corner of each node; both are the point for a leaf
	free  []int32
	leaf  []int32 // of each point's slot, -1 for none
}

type cutNode struct {
	parent, left, right int32 // -1 for none; a leaf has no children
	column              int32
	n                   int32   // points
	at                  float64 // points up to it lie left
}

func newCutTree(size, width int) cutTree {
	t := cutTree{
		width: width,
		root:  -1,
		nodes: make([]cutNode, 2*size),
		boxes: make([]float64, 4*size*width),
		free:  make([]int32, 0, 2*size),
		leaf:  make([]int32, size),
	}
	t.reset()
	return t
}

func (t *cutTree) reset() {
	t.root, t.free = -1, t.free[:0]
	for i := len(t.nodes) - 1; i >= 0; i-- {
		t.free = append(t.free, int32(i))
	}
	for i := range t.leaf {
		t.leaf[i] = -1
	}
}

func (t *cutTree) take(n cutNode) int32 {
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.nodes[i] = n
	return i
}

// box returns the corners of a node.
func (t *cutTree) box(i int32) (low, high []float64) {
	b := t.boxes[int(i)*2*t.width:]
	return b[:t.width], b[t.width : 2*t.width]
}

// hang puts a node in the place of another below its parent.
func (t *cutTree) hang(parent, old, now int32) {
	t.nodes[now].parent = parent
	switch {
	case parent < 0:
		t.root = now
	case t.nodes[parent].left == old:
		t.nodes[parent].left = now
	default:
		t.nodes[parent].right = now
	}
}

// insert adds the point p as slot.
func (t *cutTree) insert(slot int, p []float64, rng *rand.Rand) {
	if t.root < 0 {
		t.root = t.newLeaf(p)
		t.leaf[slot] = t.root
		return
	}
	at := t.root
	for {
		low, high := t.box(at)
		span := 0.0
		for j, v := range p {
			span += max(high[j], v) - min(low[j], v)
		}
		if t.nodes[at].left < 0 && span == 0 { // the same point again
			t.nodes[at].n++
			t.leaf[slot] = at
			return
		}
		column, cut := 0, float64(rng.Float64()*span)
		for j, v := range p {
			side := max(high[j], v) - min(low[j], v)
			if side > 0 {
				column = j
				if cut < side {
					break
				}
			}
			cut -= side
		}
		from := min(low[column], p[column])
		cut = min(from+max(cut, 0), max(high[column], p[column]))
		before := p[column] <= cut && cut < low[column]
		after := high[column] <= cut && cut < p[column]
		// rounding put the cut on the wrong side of a leaf
		if t.nodes[at].left < 0 && !before && !after {
			for j, v := range p {
				if v != low[j] {
					column, cut, before = j, min(v, low[j]), v < low[j]
					break
				}
			}
			after = !before
		}
		if before || after {
			leaf := t.newLeaf(p)
			parent := t.nodes[at].parent
			n := t.take(cutNode{
				parent: parent,
				left:   at,
				right:  leaf,
				column: int32(column),
				n:      t.nodes[at].n + 1,
				at:     cut,
			})
			if before {
				t.nodes[n].left, t.nodes[n].right = leaf, at
			}
			t.hang(parent, at, n)
			t.nodes[at].parent, t.nodes[leaf].parent = n, n
			t.join(n)
			t.leaf[slot] = leaf
			return
		}
		for j, v := range p {
			low[j], high[j] = min(low[j], v), max(high[j], v)
		}
		n := &t.nodes[at]
		n.n++
		if at = n.right; p[n.column] <= n.at {
			at = n.left
		}
	}
}

func (t *cutTree) newLeaf(p []float64) int32 {
	i := t.take(cutNode{parent: -1, left: -1, right: -1, n: 1})
	low, high := t.box(i)
	copy(low, p)
	copy(high, p)
	return i
}

// join lays the box of an inner node around its children.
func (t *cutTree) join(i int32) {
	low, high := t.box(i)
	l0, h0 := t.box(t.nodes[i].left)
	l1, h1 := t.box(t.nodes[i].right)
	for j := range low {
		low[j], high[j] = min(l0[j], l1[j]), max(h0[j], h1[j])
	}
}

// remove forgets the point of a slot.
func (t *cutTree) remove(slot int) {
	leaf := t.leaf[slot]
	if leaf < 0 {
		return
	}
	t.leaf[slot] = -1
	up := t.nodes[leaf].parent
	if t.nodes[leaf].n > 1 {
		t.nodes[leaf].n--
	} else {
		t.free = append(t.free, leaf)
		if up < 0 {
			t.root = -1
			return
		}
		other := t.nodes[up].left
		if other == leaf {
			other = t.nodes[up].right
		}
		top := t.nodes[up].parent
		t.hang(top, up, other)
		t.free = append(t.free, up)
		up = top
		for i := up; i >= 0; i = t.nodes[i].parent {
			t.join(i)
		}
	}
	for ; up >= 0; up = t.nodes[up].parent {
		t.nodes[up].n--
	}
}

// displacement is the collusive displacement of a slot's point: the largest number of other
// points that move up, for each that goes with it, when the point and those near it are left out.
func (t *cutTree) displacement(slot int) float64 {
	most := 0.0
	for i := t.leaf[slot]; ; {
		up := t.nodes[i].parent
		if up < 0 {
			return most
		}
		most = max(most, float64(t.nodes[up].n-t.nodes[i].n)/float64(t.nodes[i].n))
		i = up
	}
}

// save writes the nodes in the order of a walk: for a cut its column and place, for a leaf its
// slots.
func (t *cutTree) save(w *state.Writer) {
	w.Bool(t.root >= 0)
	if t.root >= 0 {
		t.saveNode(w, t.root)
	}
}

func (t *cutTree) saveNode(w *state.Writer, i int32) {
	n := &t.nodes[i]
	if n.left < 0 {
		w.Int(-1)
		w.Int(int64(n.n))
		for slot, l := range t.leaf {
			if l == i {
				w.Int(int64(slot))
			}
		}
		return
	}
	w.Int(int64(n.column))
	w.Float(n.at)
	t.saveNode(w, n.left)
	t.saveNode(w, n.right)
}

// load reads what save wrote; points are where the slots' coordinates lie, of which used are taken.
func (t *cutTree) load(r *state.Reader, points []float64, used int) {
	t.reset()
	if r.Bool() {
		t.root = t.loadNode(r, -1, points, used)
	}
	held := 0
	for _, l := range t.leaf {
		if l >= 0 {
			held++
		}
	}
	if held != used {
		r.Fail()
	}
	if r.Err() != nil {
		t.reset()
	}
}

func (t *cutTree) loadNode(r *state.Reader, parent int32, points []float64, used int) int32 {
	column := r.Int()
	if r.Err() != nil || len(t.free) == 0 || column < -1 || column >= int64(t.width) {
		r.Fail()
		return -1
	}
	i := t.take(cutNode{parent: parent, left: -1, right: -1})
	if column < 0 {
		n := r.Len(8)
		low, high := t.box(i)
		for k := range n {
			slot := r.Int()
			if slot < 0 || slot >= int64(used) || t.leaf[slot] >= 0 {
				r.Fail()
				return -1
			}
			p := points[int(slot)*t.width : (int(slot)+1)*t.width]
			for j, v := range p {
				if k > 0 && low[j] != v {
					r.Fail()
				}
			}
			copy(low, p)
			copy(high, p)
			t.leaf[slot] = i
		}
		if t.nodes[i].n = int32(n); n == 0 {
			r.Fail()
		}
		return i
	}
	at := r.Float()
	left := t.loadNode(r, i, points, used)
	if r.Err() != nil {
		return -1
	}
	right := t.loadNode(r, i, points, used)
	if r.Err() != nil {
		return -1
	}
	t.nodes[i] = cutNode{
		parent: parent,
		left:   left,
		right:  right,
		column: int32(column),
		n:      t.nodes[left].n + t.nodes[right].n,
		at:     at,
	}
	t.join(i)
	if _, h := t.box(left); !(h[column] <= at) {
		r.Fail()
	}
	if l, _ := t.box(right); !(l[column] > at) {
		r.Fail()
	}
	return i
}
