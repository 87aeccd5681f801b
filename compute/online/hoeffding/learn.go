package hoeffding

import (
	"math"
	"math/rand/v2"
)

// tree is a growing tree of any kind; the exported learners decide what goes in and how its
// members vote.
type tree struct {
	Options
	cols       *columns
	classes    int
	subset     []int32   // the inputs that the tree may use
	draw       int       // how many of them each leaf observes, 0 for all
	rng        *rand.PCG // for draws; nil when nothing is drawn
	root       *node
	bytes      int // of nodes and statistics
	nodes      int
	closed     int         // leaves that stopped learning to save memory
	watchDelta float64     // of the detectors of an adaptive tree, 0 in others
	keeps      bool        // splits keep their statistics
	least      float64     // weight of each side of a split of numbers
	numbers    *regression // nil for classes
	v          []float64   // scratch: a number for each class
	s          *splitter   // scratch of split attempts, shared by the members of an ensemble
	pool       *pool       // shared like that
}

func newTree(o Options, cols *columns, classes int, s *splitter, p *pool) *tree {
	t := &tree{
		Options: o,
		cols:    cols,
		classes: classes,
		subset:  cols.all,
		v:       make([]float64, classes),
		s:       s,
		pool:    p,
	}
	t.reset()
	return t
}

// reset forgets all.
func (t *tree) reset() {
	if t.root != nil {
		t.discard(t.root)
	}
	t.bytes, t.nodes, t.closed = 0, 0, 0
	t.root = t.newNode(0)
}

func (t *tree) newNode(depth int32) *node {
	t.nodes++
	t.bytes += nodeBytes + 8*t.classes
	n := t.pool.getNode(t.classes)
	n.depth = depth
	if t.watchDelta > 0 {
		n.watch = newWatch(t.watchDelta)
		t.bytes += watchBytes
	}
	return n
}

// find returns the leaf of a row and the nearest node on the way there, itself included, that has
// seen rows.
func (n *node) find(row []float64) (leaf, seen *node) {
	seen = n
	for n.kind != terminal {
		n = n.branch(row)
		if n.weight > 0 {
			seen = n
		}
	}
	return n, seen
}

// predict writes the probabilities of a leaf for a row.
func (t *tree) predict(p, row []float64) { t.predictBelow(t.root, p, row) }

func (t *tree) predictBelow(n *node, p, row []float64) {
	n, seen := n.find(row)
	if t.usesBayes(n) && t.bayes(n, row, p) >= 0 {
		softmax(p)
		return
	}
	shares(p, seen.counts)
}

func (t *tree) usesBayes(n *node) bool {
	if n.leaf == nil || !(n.weight > 0) || t.Leaf == Majority {
		return false
	}
	return t.Leaf == Bayes || n.leaf.bayes >= n.leaf.majority
}

// decide returns the class that predict gives most to; -1 before anything was learned.
func (t *tree) decide(row []float64) int { return t.decideBelow(t.root, row) }

func (t *tree) decideBelow(n *node, row []float64) int {
	n, seen := n.find(row)
	if t.usesBayes(n) {
		if c := t.bayes(n, row, t.v); c >= 0 {
			return c
		}
	}
	return heaviest(seen.counts)
}

// learn takes a clean row.
func (t *tree) learn(row []float64, class int, w float64) {
	n := t.root
	for n.kind != terminal {
		n.weight += w
		n = n.branch(row)
	}
	t.learnAt(n, row, class, w)
}

func (t *tree) learnAt(n *node, row []float64, class int, w float64) {
	t.observe(n, row, class, w)
	if l := n.leaf; l != nil && n.weight-l.tried >= t.Grace && int(n.depth) < t.MaxDepth {
		l.tried = n.weight
		t.attempt(n)
	}
}

// observe lets a leaf learn a row.
func (t *tree) observe(n *node, row []float64, class int, w float64) {
	if n.leaf == nil && !n.closed {
		t.open(n)
	}
	if l := n.leaf; l != nil && t.Leaf == AdaptiveBayes {
		// Both predict the row before it is learned. A majority of no rows is taken to be right.
		if c := heaviest(n.counts); c < 0 || c == class {
			l.majority += w
		}
		if n.weight > 0 && t.bayes(n, row, t.v) == class {
			l.bayes += w
		}
	}
	t.add(n, row, class, w)
}

// add adds a row to a node's statistics.
func (t *tree) add(n *node, row []float64, class int, w float64) {
	n.weight += w
	n.counts[class] += w
	l := n.leaf
	if l == nil {
		return
	}
	s := l.stats[class]
	if s == nil {
		if s = t.newStats(n, class); s == nil {
			return
		}
	}
	for _, f := range l.features {
		x, width := row[f], t.cols.width[f]
		o := s[:width]
		s = s[width:]
		if math.IsNaN(x) {
			continue
		}
		if t.cols.categories[f] > 0 {
			o[0] += w
			o[int(x)+1] += w
			continue
		}
		if o[0] > minRows && o[2] > 0 {
			if d := x - o[1]; float64(float64(d*d)*o[0]) > float64(maxDeviations*maxDeviations*o[2]) {
				x = outlier(x, o)
			}
		}
		if o[0] == 0 {
			o[1], o[3], o[4] = x, x, x
		} else if x < o[3] {
			o[3] = x
		} else if x > o[4] {
			o[4] = x
		}
		o[0] += w
		d := x - o[1] // West's update of weighted moments
		o[1] += float64(d*w) / o[0]
		o[2] += max(float64(float64(d*w)*(x-o[1])), 0) // rounding of the mean can turn a sign
	}
}

// A number that lies farther than maxDeviations standard deviations from the mean of minRows or
// more of its class counts as one at that bound: a fault must not hide what a leaf has learned of
// the input, and a jump comes through in time.
const (
	minRows       = 30
	maxDeviations = 20
)

func outlier(x float64, o []float64) float64 {
	far := float64(maxDeviations * math.Sqrt(o[2]/o[0]))
	return min(max(x, o[1]-far), o[1]+far)
}

// open lets a leaf learn: it draws what it observes.
func (t *tree) open(n *node) {
	l := t.pool.getLeaf(t.classes)
	l.tried, l.features = n.weight, t.features(l)
	if !t.afford(n, t.leafBytes(l)) {
		t.pool.putLeaf(l)
		t.close(n)
		return
	}
	t.bytes += t.leafBytes(l)
	n.leaf = l
}

// features returns what a new leaf observes.
func (t *tree) features(l *leaf) []int32 {
	if t.draw == 0 || t.draw >= len(t.subset) {
		return t.subset
	}
	l.own = t.sample(l.own, t.draw)
	return l.own
}

// sample draws k of the tree's inputs without replacement, in ascending order, by Knuth's
// selection sampling, and appends them to dst.
func (t *tree) sample(dst []int32, k int) []int32 {
	for i, f := range t.subset {
		if float64(uniform01(t.rng)*float64(len(t.subset)-i)) < float64(k) {
			dst = append(dst, f)
			k--
		}
	}
	return dst
}

// goodWeight reports whether a row counts.
func goodWeight(w float64) bool { return w > 0 && !math.IsInf(w, 1) }

// bounded keeps sums of weights far from where adding another row no longer changes them.
func bounded(w float64) float64 { return min(w, 1e6) }
