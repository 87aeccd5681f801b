package ensemble

import (
	"cmp"
	"math"
	"slices"
	"unsafe"
)

// The walk is the portable kernel. Nodes are small, the two children of a node are neighbours and a leaf is its own child, so a step has no branch: the next node is the
// left child plus the outcome of the comparison. Eight walks are in flight at once, eight trees for one row or eight rows in one tree; a single walk would wait for memory at every
// step. All eight make the same number of steps, that of the deepest tree, in rounds between which a walk that has arrived everywhere ends early.
//
// The inner loops read nodes and columns through unsafe pointers: a bounds check per access costs about a third of the speed. What keeps them inside is checked where
// a walker is made: children lie inside the nodes, columns inside the row, and the row was made by this package with the length the columns need.

// node32 is a node whose threshold and column are float32: 8 bytes. Left child and column share a word.
type node32 struct {
	threshold float32
	next      uint32 // left child << 8 | column
}

// node64 is a node for everything else.
type node64 struct {
	threshold float64
	left      uint32
	column    uint32
}

const (
	maxColumns32 = 256
	maxNodes32   = 1 << 24
	abreast      = 8 // walks in flight
)

// walker is an ensemble for the portable kernel. Exactly one of narrow and wide holds nodes.
type walker struct {
	narrow   []node32
	wide     []node64
	leaf     []float64 // by node: a leaf's value
	vectors  []uint32  // by node, when leaves are vectors: where they begin in values
	values   []float64
	sections []walkSection
	roots    []uint32
	trips    []trip // by group of abreast roots
	steps    []trip // by root
}

// walkSection is the trees of one output, a multiple of abreast, the shallowest first. Trees that fill it up are a leaf of 0.
type walkSection struct {
	output       int
	first, after int // in roots
}

// trip says how many steps a walk makes: rounds of stride steps.
type trip struct{ rounds, stride int32 }

// newTrip plans for trees of a depth. Balanced trees are walked in one go; where most leaves lie far above the deepest, asking now and then whether all have arrived pays.
func newTrip(depth, leaves int) trip {
	if depth <= 4 || 1<<(depth-2) <= leaves {
		return trip{1, int32(depth)}
	}
	const stride = 3
	return trip{int32((depth + stride - 1) / stride), stride}
}

// newWalker lays the trees of e out. round says that rows reach the kernel as float32.
func newWalker(e *Ensemble, c *columns) *walker {
	w := &walker{}
	narrow := e.fits32(c)
	type tree struct{ index, depth, leaves, output int }
	trees := make([]tree, len(e.roots))
	for t := range trees {
		trees[t] = tree{index: t}
		trees[t].depth, trees[t].leaves = e.shape(t)
		if !e.vector {
			trees[t].output = t % e.outputs
		}
	}
	slices.SortStableFunc(trees, func(a, b tree) int {
		return cmp.Or(cmp.Compare(a.output, b.output), cmp.Compare(a.depth, b.depth))
	})
	// Node 0 is the leaf of the trees that fill a section up.
	w.push(narrow, math.Inf(1), 0, 0)
	w.leaf = append(w.leaf, 0)
	for len(trees) > 0 {
		s := walkSection{output: trees[0].output, first: len(w.roots)}
		n := 0
		for n < len(trees) && trees[n].output == s.output {
			t := trees[n]
			w.roots = append(w.roots, w.add(e, c, t.index, narrow))
			w.steps = append(w.steps, newTrip(t.depth, t.leaves))
			n++
			if g := len(w.roots) - s.first; g%abreast == 0 || n == len(trees) || trees[n].output != s.output {
				w.trips = append(w.trips, newTrip(t.depth, t.leaves))
			}
		}
		for (len(w.roots)-s.first)%abreast != 0 {
			w.roots = append(w.roots, 0)
			w.steps = append(w.steps, trip{1, 0})
		}
		s.after = len(w.roots)
		w.sections = append(w.sections, s)
		trees = trees[n:]
	}
	if e.vector {
		w.values = append(e.values[:len(e.values):len(e.values)], make([]float64, e.outputs)...)
		w.vectors = make([]uint32, len(w.leaf))
		for i, v := range w.leaf {
			w.vectors[i] = uint32(v)
		}
		w.vectors[0] = uint32(len(e.values))
		w.leaf = nil
	}
	return w
}

// fits32 reports whether thresholds and columns can be float32: the ensemble rounds its inputs to float32 anyway, or every threshold is one.
func (e *Ensemble) fits32(c *columns) bool {
	if len(c.list) > maxColumns32 || len(e.nodes) >= maxNodes32 {
		return false
	}
	if e.round32 {
		return true
	}
	for _, ts := range c.thresholds {
		for _, t := range ts {
			if float64(float32(t)) != t {
				return false
			}
		}
	}
	return true
}

// shape returns the depth and the number of leaves of tree t.
func (e *Ensemble) shape(t int) (depth, leaves int) {
	first, end := int(e.roots[t]), e.end(t)
	next, level := first+1, first+1 // after the children seen so far; after the current level
	for i := first; i < end; i++ {
		if i == level {
			depth++
			level = next
		}
		if e.nodes[i].left != 0 {
			next += 2
		} else {
			leaves++
		}
	}
	return depth, leaves
}

func (w *walker) push(narrow bool, threshold float64, left, column uint32) {
	if narrow {
		w.narrow = append(w.narrow, node32{floor32(threshold), left<<8 | column})
	} else {
		w.wide = append(w.wide, node64{threshold, left, column})
	}
}

// add appends tree t and returns its root.
func (w *walker) add(e *Ensemble, c *columns, t int, narrow bool) uint32 {
	first, base := e.roots[t], uint32(len(w.leaf))
	for i := first; i < uint32(e.end(t)); i++ {
		n, value := &e.nodes[i], 0.0
		if n.left == 0 {
			if value = math.Float64frombits(n.bits); e.vector {
				value = float64(n.bits)
			}
			w.push(narrow, math.Inf(1), base+i-first, 0)
		} else {
			w.push(narrow, n.threshold(), base+n.left-first, uint32(c.of[i]))
		}
		w.leaf = append(w.leaf, value)
	}
	return base
}

func step32(nodes, row unsafe.Pointer, at uint32) uint32 {
	n := (*node32)(unsafe.Add(nodes, uintptr(at)*8))
	v := *(*float32)(unsafe.Add(row, uintptr(n.next&255)*4))
	return n.next>>8 + above(v, n.threshold)
}

func step64(nodes, row unsafe.Pointer, at uint32) uint32 {
	n := (*node64)(unsafe.Add(nodes, uintptr(at)*16))
	v := *(*float64)(unsafe.Add(row, uintptr(n.column)*8))
	return n.left + above(v, n.threshold)
}

// lane32 and lane64 are steps for row r of a tile, in which abreast rows lie column by column.
func lane32(nodes, tile unsafe.Pointer, r uintptr, at uint32) uint32 {
	n := (*node32)(unsafe.Add(nodes, uintptr(at)*8))
	v := *(*float32)(unsafe.Add(tile, uintptr(n.next&255)*(4*abreast)+4*r))
	return n.next>>8 + above(v, n.threshold)
}

func lane64(nodes, tile unsafe.Pointer, r uintptr, at uint32) uint32 {
	n := (*node64)(unsafe.Add(nodes, uintptr(at)*16))
	v := *(*float64)(unsafe.Add(tile, uintptr(n.column)*(8*abreast)+8*r))
	return n.left + above(v, n.threshold)
}

// trees32 walks abreast trees for one row.
func trees32(nodes, row unsafe.Pointer, at *[abreast]uint32, t trip) {
	a, b, c, d, e, f, g, h := at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]
	for range t.rounds {
		for range t.stride {
			a, b, c, d = step32(nodes, row, a), step32(nodes, row, b), step32(nodes, row, c), step32(nodes, row, d)
			e, f, g, h = step32(nodes, row, e), step32(nodes, row, f), step32(nodes, row, g), step32(nodes, row, h)
		}
		if t.rounds > 1 {
			now := [abreast]uint32{a, b, c, d, e, f, g, h}
			if arrived32(nodes, &now) {
				break
			}
		}
	}
	*at = [abreast]uint32{a, b, c, d, e, f, g, h}
}

func trees64(nodes, row unsafe.Pointer, at *[abreast]uint32, t trip) {
	a, b, c, d, e, f, g, h := at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]
	for range t.rounds {
		for range t.stride {
			a, b, c, d = step64(nodes, row, a), step64(nodes, row, b), step64(nodes, row, c), step64(nodes, row, d)
			e, f, g, h = step64(nodes, row, e), step64(nodes, row, f), step64(nodes, row, g), step64(nodes, row, h)
		}
		if t.rounds > 1 {
			now := [abreast]uint32{a, b, c, d, e, f, g, h}
			if arrived64(nodes, &now) {
				break
			}
		}
	}
	*at = [abreast]uint32{a, b, c, d, e, f, g, h}
}

// rows32 walks one tree for the rows of a tile.
func rows32(nodes, tile unsafe.Pointer, root uint32, t trip, at *[abreast]uint32) {
	a, b, c, d, e, f, g, h := root, root, root, root, root, root, root, root
	for range t.rounds {
		for range t.stride {
			a, b, c, d = lane32(nodes, tile, 0, a), lane32(nodes, tile, 1, b), lane32(nodes, tile, 2, c), lane32(nodes, tile, 3, d)
			e, f, g, h = lane32(nodes, tile, 4, e), lane32(nodes, tile, 5, f), lane32(nodes, tile, 6, g), lane32(nodes, tile, 7, h)
		}
		if t.rounds > 1 {
			now := [abreast]uint32{a, b, c, d, e, f, g, h}
			if arrived32(nodes, &now) {
				break
			}
		}
	}
	*at = [abreast]uint32{a, b, c, d, e, f, g, h}
}

func rows64(nodes, tile unsafe.Pointer, root uint32, t trip, at *[abreast]uint32) {
	a, b, c, d, e, f, g, h := root, root, root, root, root, root, root, root
	for range t.rounds {
		for range t.stride {
			a, b, c, d = lane64(nodes, tile, 0, a), lane64(nodes, tile, 1, b), lane64(nodes, tile, 2, c), lane64(nodes, tile, 3, d)
			e, f, g, h = lane64(nodes, tile, 4, e), lane64(nodes, tile, 5, f), lane64(nodes, tile, 6, g), lane64(nodes, tile, 7, h)
		}
		if t.rounds > 1 {
			now := [abreast]uint32{a, b, c, d, e, f, g, h}
			if arrived64(nodes, &now) {
				break
			}
		}
	}
	*at = [abreast]uint32{a, b, c, d, e, f, g, h}
}

// arrived32 and arrived64 report whether all walks are at leaves, which are their own left children.
func arrived32(nodes unsafe.Pointer, at *[abreast]uint32) bool {
	var open uint32
	for _, i := range at {
		open |= (*node32)(unsafe.Add(nodes, uintptr(i)*8)).next>>8 ^ i
	}
	return open == 0
}

func arrived64(nodes unsafe.Pointer, at *[abreast]uint32) bool {
	var open uint32
	for _, i := range at {
		open |= (*node64)(unsafe.Add(nodes, uintptr(i)*16)).left ^ i
	}
	return open == 0
}

// row adds the trees' scores for one row, made ready in s, to dst.
func (w *walker) row(dst []float64, s *scratch) {
	var at [abreast]uint32
	g := 0
	for _, sec := range w.sections {
		var sum float64
		for i := sec.first; i < sec.after; i += abreast {
			at = [abreast]uint32(w.roots[i:])
			if w.narrow != nil {
				trees32(unsafe.Pointer(&w.narrow[0]), unsafe.Pointer(&s.row32[0]), &at, w.trips[g])
			} else {
				trees64(unsafe.Pointer(&w.wide[0]), unsafe.Pointer(&s.row64[0]), &at, w.trips[g])
			}
			g++
			if w.vectors != nil {
				for _, n := range at {
					addTo(dst, w.values[w.vectors[n]:])
				}
				continue
			}
			l := w.leaf
			sum += l[at[0]] + l[at[1]] + l[at[2]] + l[at[3]] + l[at[4]] + l[at[5]] + l[at[6]] + l[at[7]]
		}
		if w.vectors == nil {
			dst[sec.output] += sum
		}
	}
}

// rows adds the trees' scores for n rows, a multiple of abreast, to acc: one row of outputs after the other.
func (w *walker) rows(acc []float64, outputs int, s *scratch, n int) {
	var at [abreast]uint32
	for _, sec := range w.sections {
		for i := sec.first; i < sec.after; i++ {
			root, t := w.roots[i], w.steps[i]
			if root == 0 {
				continue // fills the section up
			}
			for r := 0; r < n; r += abreast {
				if w.narrow != nil {
					rows32(unsafe.Pointer(&w.narrow[0]), unsafe.Pointer(&s.row32[r*s.columns]), root, t, &at)
				} else {
					rows64(unsafe.Pointer(&w.wide[0]), unsafe.Pointer(&s.row64[r*s.columns]), root, t, &at)
				}
				if w.vectors != nil {
					for k, n := range at {
						addTo(acc[(r+k)*outputs:][:outputs], w.values[w.vectors[n]:])
					}
					continue
				}
				o := acc[r*outputs+sec.output:]
				for k, n := range at {
					o[k*outputs] += w.leaf[n]
				}
			}
		}
	}
}

func addTo(dst, v []float64) {
	v = v[:len(dst)]
	for k := range dst {
		dst[k] += v[k]
	}
}
