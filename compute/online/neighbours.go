package online

import (
	"fmt"
	"math"

	"skerry.dev/compute/state"
)

// NeighbourOptions are those of the nearest-neighbour learners.
type NeighbourOptions struct {
	K      int // neighbours used, 1 to 100; default 5
	Window int // newest rows kept, K to 100 000; default 1000, or as many as MaxBytes lets
	// MaxBytes bounds the rows that are kept, in bytes. Default 64 MiB.
	MaxBytes int
}

// neighbourBytes is the default of NeighbourOptions.MaxBytes.
const neighbourBytes = 64 << 20

func (o *NeighbourOptions) defaults(inputs int) error {
	if o.K == 0 {
		o.K = 5
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = neighbourBytes
	}
	row := 8 * (inputs + 2)
	if o.Window == 0 {
		o.Window = max(min(1000, o.MaxBytes/row), o.K)
	}
	if o.MaxBytes < 0 || o.Window > 0 && o.Window <= 100_000 && int64(o.Window)*int64(row) > int64(o.MaxBytes) {
		return fmt.Errorf("online: a window of %d rows of %d inputs takes %d bytes, allowed are %d: keep fewer rows or allow more bytes", o.Window, inputs, int64(o.Window)*int64(row), o.MaxBytes)
	}
	if o.K < 1 || o.K > 100 || o.Window < o.K || o.Window > 100_000 {
		return fmt.Errorf("online: %d neighbours of a window of %d, must be 1 to 100 of %d to 100000", o.K, o.Window, o.K)
	}
	return nil
}

// window holds the newest rows with their targets. Distances are Euclidean between standardised
// numbers; a category that differs and a value that is missing on one side only count 1.
type window struct {
	s     Schema
	o     NeighbourOptions
	m     moments
	x, y  []float64 // rings
	w     []float64
	n     int
	next  int
	scale []float64 // of the query
	near  []int     // of the query: slots by distance, nearest first
	dist  []float64
}

func newWindow(s Schema, o NeighbourOptions) window {
	d := len(s.Inputs)
	return window{
		s:     s,
		o:     o,
		m:     newMoments(d),
		x:     make([]float64, d*o.Window),
		y:     make([]float64, o.Window),
		w:     make([]float64, o.Window),
		scale: make([]float64, d),
		near:  make([]int, 0, o.K),
		dist:  make([]float64, 0, o.K),
	}
}

// find leaves the nearest rows in near.
func (n *window) find(x []float64) {
	n.near, n.dist = n.near[:0], n.dist[:0]
	d := len(n.s.Inputs)
	for i := range n.scale {
		n.scale[i] = 0
		if sd := n.m.sd(i); sd > 0 {
			n.scale[i] = 1 / sd
		}
	}
	worst := math.Inf(1)
	for k := range n.n {
		row, sum := n.x[k*d:(k+1)*d], 0.0
		for i, v := range x {
			if sum += n.apart(i, v, row[i]); sum >= worst {
				break
			}
		}
		if sum >= worst {
			continue
		}
		if len(n.near) < n.o.K {
			n.near, n.dist = append(n.near, 0), append(n.dist, 0)
		}
		at := len(n.near) - 1
		for ; at > 0 && n.dist[at-1] > sum; at-- {
			n.near[at], n.dist[at] = n.near[at-1], n.dist[at-1]
		}
		n.near[at], n.dist[at] = k, sum
		if len(n.near) == n.o.K {
			worst = n.dist[len(n.dist)-1]
		}
	}
}

// apart is one input's part of the squared distance.
func (n *window) apart(i int, a, b float64) float64 {
	if n.s.Inputs[i].Categories > 0 {
		if a == b || math.IsNaN(a) && math.IsNaN(b) {
			return 0
		}
		return 1
	}
	known := usable(a)
	if known != usable(b) {
		return 1
	}
	if !known {
		return 0
	}
	d := min(float64(math.Abs(a-b)*n.scale[i]), 1e3)
	return float64(d * d)
}

func (n *window) add(x []float64, y, weight float64) {
	d := len(x)
	for i, v := range x {
		if n.s.Inputs[i].Categories == 0 {
			n.m.add(i, v)
		}
	}
	for i, v := range x {
		if usable(v) {
			v = min(max(v, -maxMagnitude), maxMagnitude)
		}
		n.x[n.next*d+i] = v
	}
	n.y[n.next], n.w[n.next] = y, min(weight, maxMagnitude)
	n.next = (n.next + 1) % n.o.Window
	n.n = min(n.n+1, n.o.Window)
}

// Bytes is the size of the window.
func (n *window) Bytes() int { return 8 * (len(n.x) + len(n.y) + len(n.w) + 4*len(n.scale)) }

// Save implements Learner.
func (n *window) Save(w *state.Writer) {
	n.m.save(w)
	w.Int(int64(n.n))
	w.Int(int64(n.next))
	d := len(n.s.Inputs)
	w.Floats(n.x[:n.n*d])
	w.Floats(n.y[:n.n])
	w.Floats(n.w[:n.n])
}

// Load implements Learner.
func (n *window) Load(r *state.Reader) {
	n.m.load(r)
	rows, next := r.Int(), r.Int()
	if rows < 0 || rows > int64(n.o.Window) || next < 0 || next >= int64(n.o.Window) || rows < int64(n.o.Window) && next != rows {
		r.Fail()
		return
	}
	n.n, n.next = int(rows), int(next)
	r.FloatsInto(n.x[:n.n*len(n.s.Inputs)])
	r.FloatsInto(n.y[:n.n])
	r.FloatsInto(n.w[:n.n])
	for k := range n.n {
		if !(math.Abs(n.y[k]) <= maxMagnitude) || !goodWeight(n.w[k]) || n.s.Classes > 0 && !(n.y[k] >= 0 && n.y[k] < float64(n.s.Classes)) {
			r.Fail()
		}
	}
	if r.Err() != nil {
		n.n, n.next = 0, 0 // what was read is of no use
	}
}

// NeighbourClassifier counts the classes of the k nearest of the newest rows. It costs the window
// times the inputs per prediction.
type NeighbourClassifier struct{ window }

// NewNeighbourClassifier returns a classifier for a schema with classes.
func NewNeighbourClassifier(s Schema, o NeighbourOptions) (*NeighbourClassifier, error) {
	if err := s.Check(true); err != nil {
		return nil, err
	}
	if err := o.defaults(len(s.Inputs)); err != nil {
		return nil, err
	}
	return &NeighbourClassifier{newWindow(s, o)}, nil
}

// Classify implements Classifier: the classes' shares of the neighbours' weights, with a
// hundredth of a neighbour spread over all.
func (n *NeighbourClassifier) Classify(p, x []float64) {
	if n.n == 0 {
		uniform(p)
		return
	}
	n.find(x)
	top, sum := 0.0, 0.0
	for _, k := range n.near {
		top = max(top, n.w[k])
	}
	for c := range p {
		p[c] = 0.01 / float64(len(p))
	}
	for _, k := range n.near {
		p[int(n.y[k])] += n.w[k] / top
	}
	for _, v := range p {
		sum += v
	}
	for c := range p {
		p[c] /= sum
	}
}

// Learn implements Classifier.
func (n *NeighbourClassifier) Learn(x []float64, class int, weight float64) {
	if class >= 0 && class < n.s.Classes && goodWeight(weight) {
		n.add(x, float64(class), weight)
	}
}

// NeighbourRegressor is the weighted mean of the k nearest of the newest rows.
type NeighbourRegressor struct {
	window
	t target
}

// NewNeighbourRegressor returns a regressor for a schema without classes.
func NewNeighbourRegressor(s Schema, o NeighbourOptions) (*NeighbourRegressor, error) {
	if err := s.Check(false); err != nil {
		return nil, err
	}
	if err := o.defaults(len(s.Inputs)); err != nil {
		return nil, err
	}
	return &NeighbourRegressor{newWindow(s, o), newTarget()}, nil
}

// Predict implements Regressor.
func (n *NeighbourRegressor) Predict(x []float64) float64 {
	if n.n == 0 {
		return 0
	}
	n.find(x)
	top, sum, mean := 0.0, 0.0, 0.0
	for _, k := range n.near {
		top = max(top, n.w[k])
	}
	for _, k := range n.near { // a running mean: sums of large numbers would overflow
		w := n.w[k] / top
		if w == 0 { // beside the others it does not count
			continue
		}
		sum += w
		mean += float64((n.y[k] - mean) * (w / sum))
	}
	return mean
}

// Learn implements Regressor. A target far out is kept as the farthest that is believed.
func (n *NeighbourRegressor) Learn(x []float64, y, weight float64) {
	if usable(y) && goodWeight(weight) {
		if n.t.m.n[0] >= warmRows {
			if sd := n.t.m.sd(0); sd > 0 {
				y = min(max(y, n.t.m.mean[0]-float64(outlierDeviations*sd)), n.t.m.mean[0]+float64(outlierDeviations*sd))
			}
		}
		n.t.m.add(0, y)
		n.add(x, min(max(y, -maxMagnitude), maxMagnitude), weight)
	}
}

// Save implements Learner.
func (n *NeighbourRegressor) Save(w *state.Writer) {
	n.t.m.save(w)
	n.window.Save(w)
}

// Load implements Learner.
func (n *NeighbourRegressor) Load(r *state.Reader) {
	n.t.m.load(r)
	n.window.Load(r)
}
