package ensemble

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// Link turns the summed scores into the outputs.
type Link uint8

// The links.
const (
	Identity    Link = iota // outputs are the sums
	Logistic                // each output is 1/(1+exp(-sum))
	Softmax                 // outputs are positive and add up to 1; needs at least two
	Exponential             // each output is exp(sum)
)

// Limits of an ensemble.
const (
	MaxInputs  = 4096
	MaxOutputs = 256
	MaxTrees   = 100_000
	MaxNodes   = 1 << 22
)

// Node is one node of a tree as a trainer describes it. A leaf has Left and Right 0 and carries
// Value, or Values when the ensemble's leaves are vectors. An inner node sends x[Feature] <=
// Threshold to Left, more to Right and NaN to Left when MissingLeft is set; with Categories not
// nil it sends whole numbers whose bit is set to Left, every other number to Right.
type Node struct {
	Feature     int
	Threshold   float64
	MissingLeft bool
	Categories  *[4]uint64 // bit c of word c/64 stands for category c, 0 to 255
	Left, Right int        // indices into the tree's nodes
	Value       float64
	Values      []float64
	Cover       float64 // weight of the training rows that came here; kept when Spec.Covers is set
}

// Tree is a list of nodes; the first is the root.
type Tree []Node

// node is the packed form. left is the index of the first child, whose sibling follows it; 0
// marks a leaf, and bits then holds the value or, with vector leaves, the position of the values.
// An inner node's bits hold the threshold or the position of the category set.
type node struct {
	bits    uint64
	left    uint32
	feature uint16
	flags   uint16
}

const (
	flagMissingLeft = 1 << iota
	flagCategories
)

// Ensemble is a packed set of trees. Tree t adds to output t mod Outputs, or to all of them when
// its leaves are vectors.
type Ensemble struct {
	inputs, outputs int
	link            Link
	vector          bool
	base            []float64
	roots           []uint32
	nodes           []node
	sets            [][4]uint64
	values          []float64
	round32         bool
	covers          []float32 // by node; nil when not kept

	program atomic.Pointer[program] // nil until the first prediction
	plainly atomic.Pointer[program] // the same while compilation is off
	once    sync.Mutex              // held while the program is made
}

// Spec is what an ensemble is beside its trees.
type Spec struct {
	Inputs int
	Link   Link
	Base   []float64 // one score per output
	// every leaf carries Values, one per output; otherwise Value, and the number of trees is a
	// multiple of the number of outputs
	Vector bool
	// inputs are rounded to float32 before they are compared: the model was made for float32 inputs
	Round32 bool
	Covers  bool // keep the nodes' Cover, for explanations
}

// ErrShape means that an input or output slice has the wrong length.
var ErrShape = errors.New("ensemble: wrong number of inputs or outputs")

// New packs trees whose inputs are float64 and whose covers are not kept; see Build.
func New(inputs int, link Link, base []float64, vector bool, trees []Tree) (*Ensemble, error) {
	return Build(Spec{Inputs: inputs, Link: link, Base: base, Vector: vector}, trees)
}

// Build packs trees. They are not kept. Scores are rounded to multiples of a power of two so
// small that it moves a prediction no more than summing in floating point may, and so large that
// every sum is exact: predictions then do not depend on the order in which a kernel adds.
// Building what Spec and Tree return again gives the same ensemble.
func Build(s Spec, trees []Tree) (*Ensemble, error) {
	e := &Ensemble{
		inputs:  s.Inputs,
		outputs: len(s.Base),
		link:    s.Link,
		vector:  s.Vector,
		round32: s.Round32,
		base:    append([]float64(nil), s.Base...),
	}
	if s.Covers {
		e.covers = []float32{}
	}
	for i, t := range trees {
		if err := e.pack(t); err != nil {
			return nil, fmt.Errorf("ensemble: tree %d: %w", i, err)
		}
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	e.roundScores()
	return e, nil
}

// pack lays a tree out breadth first.
func (e *Ensemble) pack(t Tree) error {
	if len(t) == 0 || len(e.nodes)+len(t) > MaxNodes {
		return fmt.Errorf("%d nodes in it and %d before it", len(t), len(e.nodes))
	}
	first := len(e.nodes)
	e.roots = append(e.roots, uint32(first))
	order := make([]int, 1, len(t))
	for at := 0; at < len(order); at++ {
		n := &t[order[at]]
		if e.covers != nil {
			e.covers = append(e.covers, float32(n.Cover))
		}
		if n.Left == 0 && n.Right == 0 {
			leaf, err := e.leaf(n)
			if err != nil {
				return err
			}
			e.nodes = append(e.nodes, leaf)
			continue
		}
		if n.Left <= 0 || n.Right <= 0 || n.Left >= len(t) || n.Right >= len(t) || len(order)+2 > len(t) {
			return errors.New("children do not form a tree")
		}
		if n.Feature < 0 || n.Feature >= e.inputs {
			return fmt.Errorf("feature %d of %d", n.Feature, e.inputs)
		}
		p := node{
			bits:    math.Float64bits(n.Threshold),
			left:    uint32(first + len(order)),
			feature: uint16(n.Feature),
		}
		if n.MissingLeft {
			p.flags |= flagMissingLeft
		}
		if n.Categories != nil {
			p.flags |= flagCategories
			p.bits = uint64(len(e.sets))
			e.sets = append(e.sets, *n.Categories)
		}
		e.nodes = append(e.nodes, p)
		order = append(order, n.Left, n.Right)
	}
	if len(order) != len(t) {
		return fmt.Errorf("%d of %d nodes have no parent", len(t)-len(order), len(t))
	}
	return nil
}

func (e *Ensemble) leaf(n *Node) (node, error) {
	if !e.vector {
		return node{bits: math.Float64bits(n.Value)}, nil
	}
	if len(n.Values) != e.outputs {
		return node{}, fmt.Errorf("a leaf has %d values for %d outputs", len(n.Values), e.outputs)
	}
	e.values = append(e.values, n.Values...)
	return node{bits: uint64(len(e.values) - e.outputs)}, nil
}

// check holds everything that PredictInto relies on.
func (e *Ensemble) check() error {
	switch {
	case e.inputs < 1 || e.inputs > MaxInputs:
		return fmt.Errorf("ensemble: %d inputs, must be 1 to %d", e.inputs, MaxInputs)
	case e.outputs < 1 || e.outputs > MaxOutputs:
		return fmt.Errorf("ensemble: %d outputs, must be 1 to %d", e.outputs, MaxOutputs)
	case e.link > Exponential || (e.link == Softmax && e.outputs < 2):
		return fmt.Errorf("ensemble: link %d with %d outputs", e.link, e.outputs)
	case len(e.roots) > MaxTrees || len(e.nodes) > MaxNodes:
		return fmt.Errorf("ensemble: %d trees and %d nodes, at most %d and %d", len(e.roots), len(e.nodes), MaxTrees, MaxNodes)
	case !e.vector && len(e.roots)%e.outputs != 0:
		return fmt.Errorf("ensemble: %d trees for %d outputs", len(e.roots), e.outputs)
	case e.covers != nil && len(e.covers) != len(e.nodes):
		return fmt.Errorf("ensemble: %d covers for %d nodes", len(e.covers), len(e.nodes))
	case !finite(e.base) || !finite(e.values):
		return errors.New("ensemble: a score is not finite")
	}
	for t, root := range e.roots {
		end := len(e.nodes)
		if t+1 < len(e.roots) {
			end = int(min(e.roots[t+1], MaxNodes+1))
		}
		if root >= MaxNodes || end > len(e.nodes) || int(root) >= end || (t == 0 && root != 0) {
			return fmt.Errorf("ensemble: tree %d is empty or out of order", t)
		}
		if err := e.checkTree(int(root), end); err != nil {
			return fmt.Errorf("ensemble: tree %d: %w", t, err)
		}
	}
	if len(e.roots) == 0 && len(e.nodes) > 0 {
		return errors.New("ensemble: nodes without a tree")
	}
	return nil
}

// checkTree holds that the nodes from first to end are one breadth-first tree: the k-th inner
// node's children are the next two nodes not yet claimed.
func (e *Ensemble) checkTree(first, end int) error {
	next := first + 1
	for i := first; i < end; i++ {
		if i >= next {
			return errors.New("a node has no parent")
		}
		n := &e.nodes[i]
		if n.left == 0 {
			if e.vector && (n.bits > uint64(len(e.values)) || len(e.values)-int(n.bits) < e.outputs) {
				return errors.New("a leaf points outside the values")
			}
			if !e.vector && !finite([]float64{math.Float64frombits(n.bits)}) {
				return errors.New("a leaf is not finite")
			}
			if n.feature != 0 || n.flags != 0 {
				return errors.New("a leaf has a feature")
			}
			continue
		}
		switch {
		case int(n.left) != next || next+2 > end:
			return errors.New("children do not follow breadth first")
		case int(n.feature) >= e.inputs:
			return fmt.Errorf("feature %d of %d", n.feature, e.inputs)
		case n.flags&^(flagMissingLeft|flagCategories) != 0:
			return errors.New("unknown flags")
		case n.flags&flagCategories != 0 && n.bits >= uint64(len(e.sets)):
			return errors.New("a node points outside the category sets")
		case n.flags&flagCategories == 0 && !finite([]float64{math.Float64frombits(n.bits)}):
			return errors.New("a threshold is not finite")
		}
		next += 2
	}
	if next != end {
		return errors.New("a node has no parent")
	}
	return nil
}

// Inputs returns the length of x.
func (e *Ensemble) Inputs() int { return e.inputs }

// Outputs returns the length of dst.
func (e *Ensemble) Outputs() int { return e.outputs }

// Trees returns the number of trees.
func (e *Ensemble) Trees() int { return len(e.roots) }

// Nodes returns the number of nodes in all trees.
func (e *Ensemble) Nodes() int { return len(e.nodes) }

// Link returns what is applied to the sums.
func (e *Ensemble) Link() Link { return e.link }

// Spec returns what the ensemble is beside its trees. Base belongs to the ensemble.
func (e *Ensemble) Spec() Spec {
	return Spec{
		Inputs:  e.inputs,
		Link:    e.link,
		Base:    e.base,
		Vector:  e.vector,
		Round32: e.round32,
		Covers:  e.covers != nil,
	}
}

// Tree returns tree t as a trainer would describe it, in breadth-first order. Categories and
// Values belong to the ensemble.
func (e *Ensemble) Tree(t int) Tree {
	first, end := int(e.roots[t]), e.end(t)
	out := make(Tree, end-first)
	for i := range out {
		n, o := &e.nodes[first+i], &out[i]
		if e.covers != nil {
			o.Cover = float64(e.covers[first+i])
		}
		switch {
		case n.left == 0 && e.vector:
			o.Values = e.values[n.bits:][:e.outputs:e.outputs]
		case n.left == 0:
			o.Value = math.Float64frombits(n.bits)
		default:
			o.Feature, o.MissingLeft = int(n.feature), n.flags&flagMissingLeft != 0
			o.Left, o.Right = int(n.left)-first, int(n.left)-first+1
			if n.flags&flagCategories != 0 {
				o.Categories = &e.sets[n.bits]
			} else {
				o.Threshold = math.Float64frombits(n.bits)
			}
		}
	}
	return out
}

// plain walks one tree after the other over the nodes as they are encoded, and adds the leaves in
// tree order. It is the definition of a prediction, the way of ensembles whose sums are not
// exact, and what is left when compilation is switched off.
func (e *Ensemble) plain(dst, x []float64) {
	copy(dst, e.base)
	switch {
	case e.vector:
		for _, root := range e.roots {
			addTo(dst, e.values[e.walk(root, x):])
		}
	case e.outputs == 1:
		dst[0] = e.sum(dst[0], x)
	default:
		k := 0
		for _, root := range e.roots {
			dst[k] += math.Float64frombits(e.walk(root, x))
			if k++; k == len(dst) {
				k = 0
			}
		}
	}
}

// sum adds the trees' leaves to s in tree order. It walks several trees at once: the loads of one
// hide the latency of the others.
func (e *Ensemble) sum(s float64, x []float64) float64 {
	roots := e.roots
	for len(roots) >= abreast {
		var at [abreast]*node
		for i := range at {
			at[i] = &e.nodes[roots[i]]
		}
		for busy := true; busy; {
			busy = false
			for i, n := range &at {
				if n.left != 0 {
					at[i], busy = e.step(n, x), true
				}
			}
		}
		for _, n := range &at {
			s += math.Float64frombits(n.bits)
		}
		roots = roots[abreast:]
	}
	for _, root := range roots {
		s += math.Float64frombits(e.walk(root, x))
	}
	return s
}

// walk returns the bits of the leaf that x reaches.
func (e *Ensemble) walk(root uint32, x []float64) uint64 {
	n := &e.nodes[root]
	for n.left != 0 {
		n = e.step(n, x)
	}
	return n.bits
}

func (e *Ensemble) step(n *node, x []float64) *node {
	v := x[n.feature]
	if e.round32 {
		v = float64(float32(v))
	}
	left := v <= math.Float64frombits(n.bits)
	if n.flags != 0 {
		left = e.rare(n, v)
	}
	next := n.left
	if !left {
		next++
	}
	return &e.nodes[next]
}

// rare decides the nodes that are not a plain comparison.
func (e *Ensemble) rare(n *node, v float64) bool {
	switch {
	case v != v:
		return n.flags&flagMissingLeft != 0
	case n.flags&flagCategories == 0:
		return v <= math.Float64frombits(n.bits)
	case v < 0 || v > 255 || v != math.Trunc(v):
		return false
	}
	c := uint8(v)
	return e.sets[n.bits][c/64]>>(c%64)&1 != 0
}

func finite(v []float64) bool {
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}
