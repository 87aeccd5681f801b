// Package treeshap computes exact Shapley values of ensembles of trees, for one row at a time: what
// agents publish with a prediction and package explain tabulates.
package treeshap

import (
	"errors"
	"math"
	"sync"

	"skerry.dev/compute/ensemble"
)

// Trees explains an ensemble by TreeSHAP: exact Shapley values of the game in which an input that
// is not in the coalition is averaged over the training rows that came to each node, its covers
// ("path-dependent"). After Lundberg et al., "From local explanations to global understanding
// with explainable AI for trees", Nature Machine Intelligence 2 (2020), algorithm 2. A row costs
// the number of leaves times the square of the depth. It is safe for concurrent use.
type Trees struct {
	inputs, outputs int
	round32         bool
	expected        []float64
	trees           []shapTree
	inverse         []float64 // of small whole numbers: divisions would take most of the time
	scratch         sync.Pool
}

type shapTree struct {
	nodes []shapNode
	depth int
}

// shapNode is a node with the share of its parent's rows that came to it.
type shapNode struct {
	ensemble.Node
	share  float64
	output int       // of a leaf: its first output
	values []float64 // of a leaf: from that output on
}

// ErrShape means that a slice has the wrong length.
var ErrShape = errors.New("treeshap: wrong number of inputs or contributions")

// ErrCovers means that an ensemble was made without covers.
var ErrCovers = errors.New("treeshap: the ensemble does not keep the covers of its nodes")

// New prepares the explanation of an ensemble, which needs covers: ensemble.Spec's Covers.
// Children that no training row reached share their parent's rows equally when neither was
// reached.
func New(e *ensemble.Ensemble) (*Trees, error) {
	s := e.Spec()
	if !s.Covers {
		return nil, ErrCovers
	}
	t := &Trees{
		inputs:   e.Inputs(),
		outputs:  e.Outputs(),
		round32:  s.Round32,
		expected: append([]float64(nil), s.Base...),
	}
	deepest := 0
	for i := range e.Trees() {
		tree := e.Tree(i)
		st := shapTree{nodes: make([]shapNode, len(tree))}
		st.nodes[0].share = 1
		// parents stand before their children
		reach, depth := make([]float64, len(tree)), make([]int, len(tree))
		reach[0] = 1
		for k := range tree {
			n := &st.nodes[k]
			n.Node = tree[k]
			st.depth = max(st.depth, depth[k])
			if n.Left == 0 {
				n.output, n.values = i%t.outputs, []float64{n.Value}
				if s.Vector {
					n.output, n.values = 0, n.Values
				}
				for o, v := range n.values {
					t.expected[n.output+o] += float64(reach[k] * v)
				}
				continue
			}
			left := 0.5
			if a, b := tree[n.Left].Cover, tree[n.Right].Cover; a+b > 0 {
				left = a / (a + b)
			}
			st.nodes[n.Left].share, st.nodes[n.Right].share = left, 1-left
			reach[n.Left], reach[n.Right] = reach[k]*left, reach[k]*(1-left)
			depth[n.Left], depth[n.Right] = depth[k]+1, depth[k]+1
		}
		deepest = max(deepest, st.depth)
		t.trees = append(t.trees, st)
	}
	t.inverse = make([]float64, deepest+3)
	for i := range t.inverse {
		t.inverse[i] = 1 / float64(i)
	}
	// every level of the recursion keeps a copy of its path
	size := (deepest + 2) * (deepest + 3) / 2
	t.scratch.New = func() any { p := make([]pathElement, size); return &p }
	return t, nil
}

// Inputs returns the number of inputs.
func (t *Trees) Inputs() int { return t.inputs }

// Outputs returns the number of outputs.
func (t *Trees) Outputs() int { return t.outputs }

// Expected returns the raw score of each output that contributions start from: its mean over the
// training rows. It belongs to t.
func (t *Trees) Expected() []float64 { return t.expected }

// Into writes the contributions for x into phi: per output Inputs numbers, which with Expected
// add up to the raw score. len(x) is Inputs, missing values NaN; len(phi) is Outputs·Inputs;
// otherwise it returns ErrShape. It does not allocate in the steady state.
func (t *Trees) Into(phi, x []float64) error {
	if len(x) != t.inputs || len(phi) != t.inputs*t.outputs {
		return ErrShape
	}
	clear(phi)
	p := t.scratch.Get().(*[]pathElement)
	w := walker{t: t, x: x, phi: phi}
	for i := range t.trees {
		w.nodes = t.trees[i].nodes
		w.walk(0, *p, 0, 1, 1, -1)
	}
	t.scratch.Put(p)
	return nil
}

// pathElement is an input on the way to a node: the share of coalitions' rows that go on when it
// is not in the coalition, and when it is (0 or 1), and the weight of all coalitions of as many
// inputs as its place defines.
type pathElement struct {
	feature           int
	zero, one, weight float64
}

type walker struct {
	t      *Trees
	x, phi []float64
	nodes  []shapNode
}

// walk visits node at with the path above it in path[:depth], to which the split that led here is
// added.
func (w *walker) walk(at int, path []pathElement, depth int, zero, one float64, feature int) {
	w.extend(path, depth, zero, one, feature)
	n := &w.nodes[at]
	if n.Left == 0 {
		for i := 1; i <= depth; i++ {
			e := &path[i]
			s := w.unwoundSum(path, depth, i) * (e.one - e.zero)
			for o, v := range n.values {
				w.phi[(n.output+o)*w.t.inputs+e.feature] += s * v
			}
		}
		return
	}
	hot, cold := n.Left, n.Right
	if !w.left(&n.Node) {
		hot, cold = cold, hot
	}
	zero, one = 1, 1
	for i := 1; i <= depth; i++ {
		if path[i].feature == n.Feature { // met above: both splits count as one
			zero, one = path[i].zero, path[i].one
			w.unwind(path, depth, i)
			depth--
			break
		}
	}
	next := path[depth+1:]
	for _, c := range [2]struct {
		at  int
		one float64
	}{{hot, one}, {cold, 0}} {
		z := zero * w.nodes[c.at].share
		if z == 0 && c.one == 0 {
			continue // no coalition comes here
		}
		copy(next, path[:depth+1])
		w.walk(c.at, next, depth+1, z, c.one, n.Feature)
	}
}

// left is the decision of a node, as the ensemble takes it.
func (w *walker) left(n *ensemble.Node) bool {
	v := w.x[n.Feature]
	if w.t.round32 {
		v = float64(float32(v))
	}
	switch {
	case math.IsNaN(v):
		return n.MissingLeft
	case n.Categories == nil:
		return v <= n.Threshold
	case v < 0 || v > 255 || v != math.Trunc(v):
		return false
	}
	return n.Categories[uint8(v)/64]>>(uint8(v)%64)&1 != 0
}

// extend adds an element to a path of depth elements and updates the weights of the coalitions.
func (w *walker) extend(path []pathElement, depth int, zero, one float64, feature int) {
	path[depth] = pathElement{feature: feature, zero: zero, one: one}
	if depth == 0 {
		path[0].weight = 1
	}
	d := w.t.inverse[depth+1]
	for i := depth - 1; i >= 0; i-- {
		v := path[i].weight * d
		path[i+1].weight += one * v * float64(i+1)
		path[i].weight = zero * v * float64(depth-i)
	}
}

// unwind removes element at from a path that ends with element depth: extend backwards.
func (w *walker) unwind(path []pathElement, depth, at int) {
	e, d, inverse := path[at], float64(depth+1), w.t.inverse
	next := path[depth].weight
	for i := depth - 1; i >= 0; i-- {
		if e.one != 0 {
			old := path[i].weight
			path[i].weight = next * d * inverse[i+1] // one is 1
			next = old - path[i].weight*e.zero*float64(depth-i)*inverse[depth+1]
		} else {
			path[i].weight *= d / e.zero * inverse[depth-i]
		}
	}
	for i := at; i < depth; i++ {
		path[i].feature, path[i].zero, path[i].one = path[i+1].feature, path[i+1].zero, path[i+1].one
	}
}

// unwoundSum is the sum of the weights that unwind would leave.
func (w *walker) unwoundSum(path []pathElement, depth, at int) float64 {
	e, d, inverse := path[at], float64(depth+1), w.t.inverse
	sum := 0.0
	if e.one == 0 {
		for i := depth - 1; i >= 0; i-- {
			sum += path[i].weight * inverse[depth-i]
		}
		return sum * d / e.zero
	}
	next := path[depth].weight
	for i := depth - 1; i >= 0; i-- {
		v := next * inverse[i+1]
		sum += v
		next = path[i].weight - v*e.zero*float64(depth-i)
	}
	return sum * d
}
