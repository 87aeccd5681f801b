package hoeffding

import (
	"math"

	"skerry.dev/compute/online"
)

// columns is what a tree has recorded of its rows.
type columns struct {
	categories []int32 // of each input, 0 for a number
	width      []int32 // of each input's statistics for one class
	all        []int32 // the inputs in order
	row        []float64
}

// gaussian is the width of a number's statistics: weight, mean, sum of squared deviations, least
// and greatest value. A category has its weight, then that of each code.
const gaussian = 5

func newColumns(s online.Schema) *columns {
	d := len(s.Inputs)
	c := &columns{
		categories: make([]int32, d),
		width:      make([]int32, d),
		all:        make([]int32, d),
		row:        make([]float64, d),
	}
	for i, in := range s.Inputs {
		c.all[i], c.categories[i], c.width[i] = int32(i), int32(in.Categories), gaussian
		if in.Categories > 0 {
			c.width[i] = int32(in.Categories) + 1
		}
	}
	return c
}

// clean returns the row with NaN for everything that counts as missing. It is good until the next
// call.
func (c *columns) clean(x []float64) []float64 {
	nan := math.NaN()
	x = x[:len(c.row)]
	for i, v := range x {
		if k := c.categories[i]; k == 0 {
			if !(v >= -maxMagnitude && v <= maxMagnitude) {
				v = nan
			}
		} else if !(v >= 0 && v < float64(k) && v == math.Floor(v)) {
			v = nan
		}
		c.row[i] = v
	}
	return c.row
}

// kind is how a node sends rows on.
type kind uint8

const (
	terminal kind = iota // a leaf
	below                // a number: up to threshold to the first child, above to the second
	equal                // a category: code threshold to the first child, others to the second
	each                 // a category: code k to child k
)

// node is a leaf or a split.
type node struct {
	kind      kind
	feature   int32
	depth     int32
	threshold float64
	children  []*node
	weight    float64   // of the rows that came by, with what the parent's statistics promised
	counts    []float64 // weight of each class when the node was a leaf last
	// what a leaf learns from; nil for splits and for leaves that stopped learning
	leaf   *leaf
	closed bool   // the leaf stopped learning to save memory
	watch  *watch // in adaptive trees
	past   past   // in splits of regression trees
}

// leaf holds the statistics that splits and naive Bayes need.
type leaf struct {
	features []int32 // that are observed
	own      []int32 // where they are kept when they were drawn
	// of each class, the features' one after the other; nil until a row of the class came
	stats    [][]float64
	majority float64   // weight of rows that the majority class would have got right
	bayes    float64   // and naive Bayes
	tried    float64   // weight of the node at the last attempt to split
	model    []float64 // the linear model in regression trees
}

// branch returns the child that row goes to.
func (n *node) branch(row []float64) *node { return n.children[n.index(row)] }

// index is the number of the child that row goes to, the one that most rows took where the value
// is missing.
func (n *node) index(row []float64) int {
	switch v := row[n.feature]; {
	case math.IsNaN(v):
		return n.usual()
	case n.kind == each:
		return int(v)
	case n.kind == below && v <= n.threshold, n.kind == equal && v == n.threshold:
		return 0
	}
	return 1
}

// usual is the number of the child that most rows took.
func (n *node) usual() int {
	best := 0
	for i, c := range n.children {
		if c.weight > n.children[best].weight {
			best = i
		}
	}
	return best
}

// heaviest returns the class with the largest weight, the first of equals; -1 when all are 0.
func heaviest(counts []float64) int {
	best, top := -1, 0.0
	for c, w := range counts {
		if w > top {
			best, top = c, w
		}
	}
	return best
}

// leaves calls f with every leaf below n, left to right.
func (n *node) leaves(f func(*node)) {
	if n.kind == terminal {
		f(n)
	}
	for _, c := range n.children {
		c.leaves(f)
	}
	if n.watch != nil && n.watch.other != nil {
		n.watch.other.leaves(f)
	}
}
