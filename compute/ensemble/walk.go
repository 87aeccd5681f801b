package ensemble

import (
	"cmp"
	"math"
	"slices"
	"unsafe"
)

// The walk is the portable kernel. Nodes are small, the two children of a node are neighbours and
// a leaf is its own child, so a step has no branch: the next node is the left child plus the
// outcome of the comparison. Eight walks are in flight at once, eight trees for one row or eight
// rows in one tree; a single walk would wait for memory at every step. All eight make the same
// number of steps, that of the deepest tree, in rounds between which a walk that has arrived
// everywhere ends early.
//
// The inner loops read nodes and columns through unsafe pointers: a bounds check per access costs
// about a third of the speed. What keeps them inside is checked where a walker is made: children
// lie inside the nodes, columns inside the row, and the row was made by this package with the
// length the columns need.

// node32 is a node whose threshold and values are float32, in one word: the threshold's key, then
// 20 bits of left child, 8 of column and 3 of zero, the column's distance in a row of int64 keys.
// A value's key stands as high in its word, so that value minus node has the sign of value minus
// threshold, whatever lies below; being shifted by 31 and not 32 it cannot overflow.
type node32 int64

const (
	keyShift     = 31
	leftShift    = 11
	columnMask   = 0x7f8
	maxColumns32 = 256
	maxNodes32   = 1 << (keyShift - leftShift)
)

// key maps float32 other than NaN to integers of the same order; the two zeros are one.
func key(f float32) int64 {
	b := int32(math.Float32bits(f + 0))
	return int64(b^b>>31&math.MaxInt32) << keyShift
}

// node64 is a node for everything else.
type node64 struct {
	threshold float64
	left      uint32
	column    uint32
}

const abreast = 8 // walks in flight

// leafOffset is how many nodes behind a leaf, where a pair of children ends or right after, its
// score lies: in the memory that the walk has just touched. A node32 is then the score's bits,
// and the threshold of a node64 is the score.
const leafOffset = 2

// walker is an ensemble for the portable kernel. Exactly one of narrow and wide holds nodes.
type walker struct {
	narrow   []node32
	wide     []node64
	values   []float64 // when leaves are vectors; a leaf's bits are then where they begin
	ordered  bool      // add the scores one by one
	sections []walkSection
	roots    []uint32
	trips    []trip // by group of abreast roots
	steps    []trip // by root, but for the first step
}

// walkSection is the trees of one output, a multiple of abreast, the shallowest first. Trees that
// fill it up are a leaf of 0.
type walkSection struct {
	output       int
	first, after int // in roots
}

// trip describes how many steps a walk makes: rounds of stride steps.
type trip struct{ rounds, stride int32 }

// newTrip plans for trees of a depth. Balanced trees are walked in one go; where most leaves lie
// far above the deepest, asking now and then whether all have arrived pays.
func newTrip(depth, leaves int) trip {
	if depth <= 4 || 1<<(depth-2) <= leaves {
		return trip{1, int32(max(depth, 0))}
	}
	const stride = 3
	return trip{int32((depth + stride - 1) / stride), stride}
}

// newWalker lays the trees of e out. With ordered set they, and so their scores, keep their order.
func newWalker(e *Ensemble, c *columns, ordered bool) *walker {
	w := &walker{ordered: ordered}
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
		if a.output != b.output || ordered {
			return cmp.Compare(a.output, b.output)
		}
		return cmp.Compare(a.depth, b.depth)
	})
	// Node 0 is the leaf of the trees that fill a section up.
	w.grow(narrow, leafOffset+1)
	w.setLeaf(0, 0)
	for len(trees) > 0 {
		s := walkSection{output: trees[0].output, first: len(w.roots)}
		n, deepest := 0, tree{}
		for n < len(trees) && trees[n].output == s.output {
			t := trees[n]
			w.roots = append(w.roots, w.add(e, c, t.index, narrow))
			w.steps = append(w.steps, newTrip(t.depth-1, t.leaves))
			n++
			if t.depth > deepest.depth {
				deepest = t
			}
			if (len(w.roots)-s.first)%abreast == 0 || n == len(trees) || trees[n].output != s.output {
				w.trips = append(w.trips, newTrip(deepest.depth, deepest.leaves))
				deepest = tree{}
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
		w.values = e.values
	}
	return w
}

// fits32 reports whether thresholds and columns can be float32: the ensemble rounds its inputs to
// float32 anyway, or every threshold is one.
func (e *Ensemble) fits32(c *columns) bool {
	if len(c.list) > maxColumns32 || 2*len(e.nodes)+leafOffset >= maxNodes32 {
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

// grow appends n nodes and returns the first.
func (w *walker) grow(narrow bool, n int) uint32 {
	if narrow {
		w.narrow = append(w.narrow, make([]node32, n)...)
		return uint32(len(w.narrow) - n)
	}
	w.wide = append(w.wide, make([]node64, n)...)
	return uint32(len(w.wide) - n)
}

func (w *walker) set(at uint32, threshold float64, left, column uint32) {
	if w.narrow != nil {
		w.narrow[at] = node32(key(floor32(threshold)) | int64(left)<<leftShift | int64(column)<<3)
	} else {
		w.wide[at] = node64{threshold, left, column}
	}
}

// setLeaf makes a node its own left child, whose threshold nothing exceeds.
func (w *walker) setLeaf(at uint32, bits uint64) {
	w.set(at, math.Inf(1), at, 0)
	if w.narrow != nil {
		w.narrow[at+leafOffset] = node32(bits)
	} else {
		w.wide[at+leafOffset].threshold = math.Float64frombits(bits)
	}
}

// add appends tree t and returns its root. Behind a pair of children of which one is a leaf there
// is room for the pair's scores.
func (w *walker) add(e *Ensemble, c *columns, t int, narrow bool) uint32 {
	first, end := e.roots[t], uint32(e.end(t))
	at := make([]uint32, end-first)
	size := uint32(1)
	if e.nodes[first].left == 0 {
		size += leafOffset
	}
	for i := first; i < end; i++ {
		if l := e.nodes[i].left; l != 0 {
			at[l-first], at[l-first+1] = size, size+1
			if size += 2; e.nodes[l].left == 0 || e.nodes[l+1].left == 0 {
				size += leafOffset
			}
		}
	}
	root := w.grow(narrow, int(size))
	for i := first; i < end; i++ {
		if n := &e.nodes[i]; n.left == 0 {
			w.setLeaf(root+at[i-first], n.bits)
		} else {
			w.set(root+at[i-first], n.threshold(), root+at[n.left-first], uint32(c.of[i]))
		}
	}
	return root
}

func step32(nodes, row unsafe.Pointer, at uint64) uint64 {
	n := *(*int64)(unsafe.Add(nodes, at*8))
	v := *(*int64)(unsafe.Add(row, n&columnMask))
	return uint64(n)>>leftShift&(maxNodes32-1) + uint64(n-v)>>63
}

func step64(nodes, row unsafe.Pointer, at uint64) uint64 {
	n := (*node64)(unsafe.Add(nodes, at*16))
	v := *(*float64)(unsafe.Add(row, uintptr(n.column)*8))
	return uint64(n.left + above(v, n.threshold))
}

// lane32 and lane64 are steps for row r of a tile, in which abreast rows lie column by column.
func lane32(nodes, tile unsafe.Pointer, r uintptr, at uint64) uint64 {
	n := *(*int64)(unsafe.Add(nodes, at*8))
	v := *(*int64)(unsafe.Add(tile, n&columnMask*abreast+8*int64(r)))
	return uint64(n)>>leftShift&(maxNodes32-1) + uint64(n-v)>>63
}

func lane64(nodes, tile unsafe.Pointer, r uintptr, at uint64) uint64 {
	n := (*node64)(unsafe.Add(nodes, at*16))
	v := *(*float64)(unsafe.Add(tile, uintptr(n.column)*(8*abreast)+8*r))
	return uint64(n.left + above(v, n.threshold))
}

// trees32 walks some trees for one row.
func trees32(nodes, row unsafe.Pointer, at *[abreast]uint64, t trip) {
	for range t.rounds {
		for range t.stride {
			at[0] = step32(nodes, row, at[0])
			at[1] = step32(nodes, row, at[1])
			at[2] = step32(nodes, row, at[2])
			at[3] = step32(nodes, row, at[3])
			at[4] = step32(nodes, row, at[4])
			at[5] = step32(nodes, row, at[5])
			at[6] = step32(nodes, row, at[6])
			at[7] = step32(nodes, row, at[7])
		}
		if t.rounds > 1 && arrived32(nodes, at) {
			return
		}
	}
}

func trees64(nodes, row unsafe.Pointer, at *[abreast]uint64, t trip) {
	for range t.rounds {
		for range t.stride {
			at[0] = step64(nodes, row, at[0])
			at[1] = step64(nodes, row, at[1])
			at[2] = step64(nodes, row, at[2])
			at[3] = step64(nodes, row, at[3])
			at[4] = step64(nodes, row, at[4])
			at[5] = step64(nodes, row, at[5])
			at[6] = step64(nodes, row, at[6])
			at[7] = step64(nodes, row, at[7])
		}
		if t.rounds > 1 && arrived64(nodes, at) {
			return
		}
	}
}

// rows32 walks one tree for the rows of a tile.
func rows32(nodes, tile unsafe.Pointer, root uint64, t trip, at *[abreast]uint64) {
	n := *(*int64)(unsafe.Add(nodes, root*8)) // all rows begin here
	left, column := uint64(n)>>leftShift&(maxNodes32-1), unsafe.Add(tile, n&columnMask*abreast)
	at[0] = left + uint64(n-*(*int64)(unsafe.Add(column, 0)))>>63
	at[1] = left + uint64(n-*(*int64)(unsafe.Add(column, 8)))>>63
	at[2] = left + uint64(n-*(*int64)(unsafe.Add(column, 16)))>>63
	at[3] = left + uint64(n-*(*int64)(unsafe.Add(column, 24)))>>63
	at[4] = left + uint64(n-*(*int64)(unsafe.Add(column, 32)))>>63
	at[5] = left + uint64(n-*(*int64)(unsafe.Add(column, 40)))>>63
	at[6] = left + uint64(n-*(*int64)(unsafe.Add(column, 48)))>>63
	at[7] = left + uint64(n-*(*int64)(unsafe.Add(column, 56)))>>63
	for range t.rounds {
		for range t.stride {
			at[0] = lane32(nodes, tile, 0, at[0])
			at[1] = lane32(nodes, tile, 1, at[1])
			at[2] = lane32(nodes, tile, 2, at[2])
			at[3] = lane32(nodes, tile, 3, at[3])
			at[4] = lane32(nodes, tile, 4, at[4])
			at[5] = lane32(nodes, tile, 5, at[5])
			at[6] = lane32(nodes, tile, 6, at[6])
			at[7] = lane32(nodes, tile, 7, at[7])
		}
		if t.rounds > 1 && arrived32(nodes, at) {
			return
		}
	}
}

func rows64(nodes, tile unsafe.Pointer, root uint64, t trip, at *[abreast]uint64) {
	at[0] = lane64(nodes, tile, 0, root)
	at[1] = lane64(nodes, tile, 1, root)
	at[2] = lane64(nodes, tile, 2, root)
	at[3] = lane64(nodes, tile, 3, root)
	at[4] = lane64(nodes, tile, 4, root)
	at[5] = lane64(nodes, tile, 5, root)
	at[6] = lane64(nodes, tile, 6, root)
	at[7] = lane64(nodes, tile, 7, root)
	for range t.rounds {
		for range t.stride {
			at[0] = lane64(nodes, tile, 0, at[0])
			at[1] = lane64(nodes, tile, 1, at[1])
			at[2] = lane64(nodes, tile, 2, at[2])
			at[3] = lane64(nodes, tile, 3, at[3])
			at[4] = lane64(nodes, tile, 4, at[4])
			at[5] = lane64(nodes, tile, 5, at[5])
			at[6] = lane64(nodes, tile, 6, at[6])
			at[7] = lane64(nodes, tile, 7, at[7])
		}
		if t.rounds > 1 && arrived64(nodes, at) {
			return
		}
	}
}

// arrived32 and arrived64 report whether all walks are at leaves, which are their own left
// children.
func arrived32(nodes unsafe.Pointer, at *[abreast]uint64) bool {
	open := moved32(nodes, at[0]) | moved32(nodes, at[1]) | moved32(nodes, at[2]) | moved32(nodes, at[3])
	return open|moved32(nodes, at[4])|moved32(nodes, at[5])|moved32(nodes, at[6])|moved32(nodes, at[7]) == 0
}

func moved32(nodes unsafe.Pointer, at uint64) uint64 {
	return *(*uint64)(unsafe.Add(nodes, at*8))>>leftShift&(maxNodes32-1) ^ at
}

func arrived64(nodes unsafe.Pointer, at *[abreast]uint64) bool {
	open := moved64(nodes, at[0]) | moved64(nodes, at[1]) | moved64(nodes, at[2]) | moved64(nodes, at[3])
	return open|moved64(nodes, at[4])|moved64(nodes, at[5])|moved64(nodes, at[6])|moved64(nodes, at[7]) == 0
}

func moved64(nodes unsafe.Pointer, at uint64) uint64 {
	return uint64((*node64)(unsafe.Add(nodes, at*16)).left) ^ at
}

// bits returns the score of a leaf, or where its scores begin.
func (w *walker) bits(at uint64) uint64 {
	if w.narrow != nil {
		return uint64(w.narrow[at+leafOffset])
	}
	return math.Float64bits(w.wide[at+leafOffset].threshold)
}

func leaf32(nodes unsafe.Pointer, at uint64) float64 {
	return *(*float64)(unsafe.Add(nodes, (at+leafOffset)*8))
}

func leaf64(nodes unsafe.Pointer, at uint64) float64 {
	return *(*float64)(unsafe.Add(nodes, (at+leafOffset)*16))
}

// row adds the trees' scores for one row, made ready in s, to dst.
func (w *walker) row(dst []float64, s *scratch) {
	var at [abreast]uint64
	g := 0
	for _, sec := range w.sections {
		var sum float64
		for i := sec.first; i < sec.after; i += abreast {
			for k, root := range w.roots[i : i+abreast] {
				at[k] = uint64(root)
			}
			one := w.values == nil && !w.ordered
			if w.narrow != nil {
				n := unsafe.Pointer(&w.narrow[0])
				trees32(n, unsafe.Pointer(&s.row32[0]), &at, w.trips[g])
				if one {
					sum += (leaf32(n, at[0]) + leaf32(n, at[1])) + (leaf32(n, at[2]) + leaf32(n, at[3])) + ((leaf32(n, at[4]) + leaf32(n, at[5])) + (leaf32(n, at[6]) + leaf32(n, at[7])))
				}
			} else {
				n := unsafe.Pointer(&w.wide[0])
				trees64(n, unsafe.Pointer(&s.row64[0]), &at, w.trips[g])
				if one {
					sum += (leaf64(n, at[0]) + leaf64(n, at[1])) + (leaf64(n, at[2]) + leaf64(n, at[3])) + ((leaf64(n, at[4]) + leaf64(n, at[5])) + (leaf64(n, at[6]) + leaf64(n, at[7])))
				}
			}
			g++
			if one {
				continue
			}
			for k, n := range at {
				switch {
				case w.roots[i+k] == 0: // fills the section up
				case w.values == nil:
					dst[sec.output] += math.Float64frombits(w.bits(n))
				default:
					addTo(dst, w.values[w.bits(n):])
				}
			}
		}
		if sum != 0 {
			dst[sec.output] += sum
		}
	}
}

// rows adds the trees' scores for n rows, a multiple of abreast, to acc: one row of outputs after
// the other.
func (w *walker) rows(acc []float64, outputs int, s *scratch, n int) {
	var at [abreast]uint64
	for _, sec := range w.sections {
		for i := sec.first; i < sec.after; i++ {
			root, t := uint64(w.roots[i]), w.steps[i]
			if root == 0 {
				continue // fills the section up
			}
			for r := 0; r < n; r += abreast {
				if w.narrow != nil {
					rows32(unsafe.Pointer(&w.narrow[0]), unsafe.Pointer(&s.row32[r*s.columns]), root, t, &at)
				} else {
					rows64(unsafe.Pointer(&w.wide[0]), unsafe.Pointer(&s.row64[r*s.columns]), root, t, &at)
				}
				switch {
				case w.values != nil:
					for k, n := range at {
						addTo(acc[(r+k)*outputs:][:outputs], w.values[w.bits(n):])
					}
				case outputs == 1 && w.narrow != nil:
					o, n := (*[abreast]float64)(acc[r:]), unsafe.Pointer(&w.narrow[0])
					for k := range o {
						o[k] += leaf32(n, at[k])
					}
				default:
					o := acc[r*outputs+sec.output:]
					for k, n := range at {
						o[k*outputs] += math.Float64frombits(w.bits(n))
					}
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
