package mondrian

import (
	"math"

	"skerry.dev/compute/internal/exact"
)

// pageNodes is how many nodes are allocated at a time: a page costs two allocations, and little
// of it lies idle.
const pageNodes = 64

// node is a box that rows fell in. The box itself and what the rows were like lie in the page's
// numbers: the least values of the inputs, the greatest (+Inf and -Inf before a value came), then
// the weight of each class or the mean target.
type node struct {
	parent, left, right int32 // left is 0 in a leaf: the root, node 0, is nobody's child
	feature             int32
	threshold           float64
	time                float64 // at which the node came into being, that of its parent's cut
	n                   float64 // weight of its rows
	weight              float64 // logarithm of the node's aggregation weight
	tree                float64 // and of the mixture's over all prunings below it
}

type page struct {
	nodes   []node
	numbers []float64
}

// tree is a Mondrian tree. Nodes never go away, so that an index is for good.
type tree struct {
	f     *forest
	pages []page
	n     int32
	limit int // of pages
}

func (t *tree) at(i int32) *node { return &t.pages[i/pageNodes].nodes[i%pageNodes] }

// numbers returns the box and the outcomes of a node.
func (t *tree) numbers(i int32) (low, high, out []float64) {
	f := t.f
	from := int(i%pageNodes) * f.stride
	s := t.pages[i/pageNodes].numbers[from : from+f.stride]
	return s[:f.d], s[f.d : 2*f.d], s[2*f.d:]
}

// newNode appends an empty node; the caller has seen to it that there is room.
func (t *tree) newNode(parent int32, time float64) int32 {
	i := t.n
	// a tree that started anew finds the pages of its former life
	if int(i)/pageNodes == len(t.pages) {
		t.pages = append(t.pages, page{
			nodes:   make([]node, pageNodes),
			numbers: make([]float64, pageNodes*t.f.stride),
		})
	}
	t.n++
	*t.at(i) = node{parent: parent, time: time}
	low, high, out := t.numbers(i)
	for k := range low {
		low[k], high[k] = math.Inf(1), math.Inf(-1)
	}
	clear(out)
	return i
}

// full reports whether two more nodes could be too many for the pages that the tree may have. The
// first lives of the trees of a forest are of different lengths, so that they do not all start
// anew at once.
func (t *tree) full() bool { return int(t.n)+2 > t.limit*pageNodes }

// restart forgets everything.
func (t *tree) restart() {
	t.n, t.limit = 0, t.f.maxPages
	t.newNode(-1, 0)
}

// find returns the leaf of a row.
func (t *tree) find(row []float64) int32 {
	i := int32(0)
	for {
		n := t.at(i)
		if n.left == 0 {
			return i
		}
		i = t.next(n, row)
	}
}

func (t *tree) next(n *node, row []float64) int32 {
	v := row[n.feature]
	if math.IsNaN(v) {
		if t.at(n.right).n > t.at(n.left).n {
			return n.right
		}
		return n.left
	}
	if v <= n.threshold {
		return n.left
	}
	return n.right
}

// learn takes a row down to its leaf, cutting where chance decides it, and the weights back up.
func (t *tree) learn(row []float64, y outcome) {
	if t.full() && len(t.f.trees) > 1 { // the others suffice until it has grown again
		t.restart()
	}
	if t.at(0).n == 0 {
		t.take(0, row, y, false)
		return
	}
	i := int32(0)
	for {
		if time, sum, cut := t.cut(i, row, y); cut {
			i = t.split(i, row, y, time, sum)
			break
		}
		t.take(i, row, y, true)
		n := t.at(i)
		if n.left == 0 {
			break
		}
		i = t.next(n, row)
	}
	for i >= 0 {
		n := t.at(i)
		if n.tree = n.weight; n.left != 0 {
			n.tree = logMean(n.weight, t.at(n.left).tree+t.at(n.right).tree)
		}
		i = n.parent
	}
}

// logMean is log(½e^a + ½e^b).
func logMean(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	return a - math.Ln2 + exact.Log(1+exact.Exp(b-a))
}

// cut draws whether a cut comes above a node before the node's own: the time to it is exponential
// with the distance of the row from the box as its rate. sum is that distance.
func (t *tree) cut(i int32, row []float64, y outcome) (time, sum float64, cut bool) {
	n := t.at(i)
	if t.f.o.KeepPure && t.pure(i, y) || t.full() {
		return 0, 0, false
	}
	low, high, _ := t.numbers(i)
	for k, v := range row {
		sum += t.f.beyond(k, v, low[k], high[k])
	}
	if !(sum > 0) {
		return 0, 0, false
	}
	time = n.time - exact.Log(1-t.f.uniform())/sum
	return time, sum, n.left == 0 || time < t.at(n.left).time
}

// beyond is how far a value lies outside of a range; 0 when either is missing.
func (f *forest) beyond(k int, v, low, high float64) float64 {
	var d float64
	switch {
	case low > high:
		return 0
	case v < low:
		d = low - v
	case v > high:
		d = v - high
	default:
		return 0
	}
	// the row is within, so the range is at least d
	switch width := f.high[k] - f.low[k]; f.o.Unit {
	case RootRange:
		d /= math.Sqrt(width)
	case Range:
		d /= width
	}
	return d
}

// pure reports whether all rows of a node are of the class of y.
func (t *tree) pure(i int32, y outcome) bool {
	if t.f.classes == 0 {
		return false
	}
	_, _, out := t.numbers(i)
	return out[y.class] == t.at(i).n
}

// split cuts a node: what it was becomes one child, the row alone the other. It returns the row's
// leaf.
func (t *tree) split(i int32, row []float64, y outcome, time, sum float64) int32 {
	low, high, _ := t.numbers(i)
	feature, left := -1, float64(t.f.uniform()*sum)
	for k, v := range row {
		if d := t.f.beyond(k, v, low[k], high[k]); d > 0 {
			feature = k
			if left -= d; left < 0 {
				break
			}
		}
	}
	v := row[feature]
	above := v > high[feature]
	from, to := v, low[feature]
	if above {
		from, to = high[feature], v
	}
	threshold := from + float64(t.f.uniform()*(to-from))
	if !(threshold < to) { // rounding must not put both on one side
		threshold = from
	}
	old := t.newNode(i, time)
	fresh := t.newNode(i, time)
	n, o := t.at(i), t.at(old)
	*o = *n
	o.parent, o.time = i, time
	if o.left != 0 {
		t.at(o.left).parent, t.at(o.right).parent = old, old
	}
	t.copyNumbers(old, i)
	n.feature, n.threshold = int32(feature), threshold
	if n.left, n.right = old, fresh; !above {
		n.left, n.right = fresh, old
	}
	t.take(i, row, y, true)
	t.take(fresh, row, y, false)
	return fresh
}

func (t *tree) copyNumbers(to, from int32) {
	s := t.f.stride
	a, b := int(to%pageNodes)*s, int(from%pageNodes)*s
	copy(t.pages[to/pageNodes].numbers[a:a+s], t.pages[from/pageNodes].numbers[b:b+s])
}

// take adds a row to a node; weigh means that the node predicted it and its weight bears the loss.
func (t *tree) take(i int32, row []float64, y outcome, weigh bool) {
	low, high, out := t.numbers(i)
	for k, v := range row {
		if v < low[k] {
			low[k] = v
		}
		if v > high[k] {
			high[k] = v
		}
	}
	n, f := t.at(i), t.f
	n.n += y.weight
	if f.classes > 0 {
		if weigh {
			n.weight += float64(float64(f.o.Step*y.weight) * exact.Log((out[y.class]+f.o.Dirichlet)/(n.n+f.prior)))
		}
		out[y.class] += y.weight
		return
	}
	d := y.value - out[0]
	if weigh {
		n.weight -= float64(float64(f.o.Step*y.weight) * f.loss(d))
	}
	out[0] += float64(d*y.weight) / n.n
}
