package hoeffding

import (
	"math"

	"skerry.dev/compute/state"
)

// save appends the tree, nodes before their children.
func (t *tree) save(w *state.Writer) {
	w.Int(int64(len(t.subset)))
	for _, f := range t.subset {
		w.Int(int64(f))
	}
	t.saveNode(w, t.root)
}

func (t *tree) saveNode(w *state.Writer, n *node) {
	w.Int(int64(n.kind))
	w.Float(n.weight)
	for _, c := range n.counts {
		w.Float(c)
	}
	w.Bool(n.closed)
	w.Bool(n.leaf != nil)
	if l := n.leaf; l != nil {
		w.Float(l.majority)
		w.Float(l.bayes)
		w.Float(l.tried)
		w.Int(int64(len(l.features)))
		for _, f := range l.features {
			w.Int(int64(f))
		}
		for _, s := range l.stats {
			w.Floats(s)
		}
		if t.numbers != nil {
			w.Floats(l.model)
		}
	}
	w.Bool(n.watch != nil)
	if n.watch != nil {
		n.watch.save(w, t)
	}
	if n.kind == terminal {
		return
	}
	w.Int(int64(n.feature))
	w.Float(n.threshold)
	if n.past.model != nil {
		w.Floats(n.past.model)
		w.Float(n.past.majority)
		w.Float(n.past.bayes)
	}
	w.Int(int64(len(n.children)))
	for _, c := range n.children {
		t.saveNode(w, c)
	}
}

// load restores the tree; what it is given may be damaged. A failed load leaves an empty tree.
func (t *tree) load(r *state.Reader) {
	t.bytes, t.nodes, t.closed = 0, 0, 0
	t.root = nil
	if t.subset = t.loadFeatures(r, t.cols.all); r.Err() == nil {
		t.root = t.loadNode(r, 0)
	}
	if r.Err() == nil && t.bytes > t.MaxBytes {
		r.Fail()
	}
	if r.Err() != nil {
		t.root, t.subset = nil, t.cols.all
		t.reset()
	}
}

// loadFeatures reads ascending inputs; it returns full itself when all are there, as trees that
// use all do.
func (t *tree) loadFeatures(r *state.Reader, full []int32) []int32 {
	n := r.Len(8)
	if n == 0 || n > len(full) {
		r.Fail()
		return full
	}
	out := make([]int32, n)
	for i := range out {
		f := r.Int()
		if f < 0 || f >= int64(len(t.cols.all)) || i > 0 && int32(f) <= out[i-1] {
			r.Fail()
			return full
		}
		out[i] = int32(f)
	}
	if n == len(full) {
		return full
	}
	return out
}

func (t *tree) loadNode(r *state.Reader, depth int32) *node {
	if depth > maxDepth || len(r.B) < 8*(t.classes+5) {
		r.Fail()
		return nil
	}
	n := t.newNode(depth)
	n.kind = kind(min(uint64(r.Int()), 255))
	if n.weight = loadWeight(r); n.weight > maxWeight {
		r.Fail()
	}
	for i := range n.counts {
		n.counts[i] = r.Float()
		most := maxWeight
		if t.numbers != nil {
			most = [...]float64{maxMean, maxSquares}[i]
		}
		if !(math.Abs(n.counts[i]) <= most) || n.counts[i] < 0 && (t.numbers == nil || i == 1) {
			r.Fail()
		}
	}
	if n.closed = r.Bool(); n.closed {
		t.closed++
	}
	if r.Bool() {
		t.loadLeaf(r, n)
	}
	if r.Bool() != (n.watch != nil) || t.bytes > t.MaxBytes {
		r.Fail()
	}
	if n.watch != nil && r.Err() == nil {
		n.watch.load(r, t, n)
	}
	if r.Err() != nil || n.kind == terminal {
		return n
	}
	f, threshold := r.Int(), r.Float()
	if t.numbers != nil {
		n.past = past{model: t.loadModel(r), majority: loadWeight(r), bayes: loadWeight(r)}
		t.bytes += t.pastBytes()
	}
	k := r.Len(8)
	if f < 0 || f >= int64(len(t.cols.all)) || !finite(threshold) {
		r.Fail()
		return n
	}
	n.feature, n.threshold = int32(f), threshold
	codes := int(t.cols.categories[f])
	if want := map[kind]int{
		below: 2,
		equal: 2,
		each:  codes,
	}[n.kind]; want < 2 || k != want || (codes > 0) == (n.kind == below) {
		r.Fail()
		return n
	}
	n.children = make([]*node, k)
	t.bytes += childBytes * k
	for i := range n.children {
		if n.children[i] = t.loadNode(r, depth+1); r.Err() != nil {
			return n
		}
	}
	return n
}

func (t *tree) loadLeaf(r *state.Reader, n *node) {
	l := &leaf{majority: loadWeight(r), bayes: loadWeight(r), tried: loadWeight(r)}
	l.features = t.loadFeatures(r, t.subset)
	if r.Err() != nil {
		return
	}
	n.leaf = l
	if t.numbers != nil {
		t.loadHistograms(r, l)
		return
	}
	l.stats = make([][]float64, t.classes)
	t.bytes += t.leafBytes(l)
	size := t.stride(l.features)
	for c := range l.stats {
		k := r.Len(8)
		if k == 0 {
			continue
		}
		if k != size {
			r.Fail()
			return
		}
		l.stats[c] = make([]float64, size)
		t.bytes += 8 * size
		s := l.stats[c]
		for i := range s {
			s[i] = r.Float()
		}
		for _, f := range l.features {
			o := s[:t.cols.width[f]]
			s = s[t.cols.width[f]:]
			for i, v := range o {
				most, signed := maxWeight, false
				if t.cols.categories[f] == 0 {
					most = [gaussian]float64{maxWeight, maxMean, maxSquares, maxMean, maxMean}[i]
					signed = i != 0 && i != 2
				}
				if !(math.Abs(v) <= most) || v < 0 && !signed {
					r.Fail()
					return
				}
			}
		}
	}
}

func finite(v float64) bool { return v-v == 0 }

// What a state may hold, so that no sum or product overflows: weights, means and values, and sums
// of squares.
const (
	maxWeight  = 1e50
	maxMean    = 2 * maxMagnitude
	maxSquares = 1e250
)

// loadWeight reads a sum of weights, or of squares.
func loadWeight(r *state.Reader) float64 {
	v := r.Float()
	if !(v >= 0 && v <= maxSquares) {
		r.Fail()
		return 0
	}
	return v
}

// loadHistograms reads what a leaf of a regression tree learns from.
func (t *tree) loadHistograms(r *state.Reader, l *leaf) {
	t.bytes += t.numberLeafBytes(l.features)
	l.stats = make([][]float64, len(l.features))
	for i, f := range l.features {
		s := r.Floats()
		l.stats[i] = s
		k := int(t.cols.categories[f])
		if len(s) != t.histogramSize(f) || k == 0 && !(s[0] >= 0 && s[0] <= bins && s[0] == math.Floor(s[0])) {
			r.Fail()
			return
		}
		for j, v := range s {
			part := j%codeSize + 1 // of a bin, whose value stands before its targets
			if k == 0 {
				if j == 0 {
					continue
				}
				part = (j - 1) % binWidth
			}
			most := [binWidth]float64{maxMean, maxWeight, maxMean, maxSquares}[part]
			ok := math.Abs(v) <= most && (v >= 0 || part == 0 || part == 2)
			if !ok || k == 0 && part == 1 && v == 0 && (j-1)/binWidth < int(s[0]) {
				r.Fail()
				return
			}
		}
	}
	l.model = t.loadModel(r)
}

func (t *tree) loadModel(r *state.Reader) []float64 {
	m := r.Floats()
	if len(m) != t.numbers.scale.width {
		r.Fail()
		return nil
	}
	for _, v := range m {
		if !(math.Abs(v) <= 1e150) {
			r.Fail()
		}
	}
	return m
}
