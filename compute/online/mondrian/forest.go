package mondrian

import (
	"fmt"
	"math"
	"math/rand/v2"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/internal/target"
	"skerry.dev/compute/state"
)

// outcome is what a row teaches.
type outcome struct {
	class  int
	value  float64
	weight float64
}

// forest is what classifiers and regressors share.
type forest struct {
	o         Options
	d         int
	classes   int // 0 for numbers
	codes     []int
	stride    int // numbers of a node
	maxPages  int // of a tree
	prior     float64
	rng       *rand.PCG
	trees     []tree
	guards    []target.Guard // of the inputs
	low, high []float64      // their ranges
	n         float64        // weight of the rows, and their squared errors
	squares   float64
	guard     target.Guard
	row, p    []float64 // scratch: a clean row, a tree's prediction
}

const nodeBytes = 56

func newForest(s online.Schema, o Options, regression bool) (*forest, error) {
	o = o.withDefaults()
	d := len(s.Inputs)
	f := &forest{
		o:       o,
		d:       d,
		classes: s.Classes,
		codes:   make([]int, d),
		stride:  2*d + max(s.Classes, 1),
		rng:     rand.NewPCG(o.Seed, 0x9e3779b97f4a7c15),
	}
	for i, in := range s.Inputs {
		f.codes[i] = in.Categories
	}
	if err := o.validate(s, regression, max(o.Trees, 1)*f.pageBytes()+f.fixedBytes()); err != nil {
		return nil, err
	}
	f.maxPages = (o.MaxBytes - f.fixedBytes()) / o.Trees / f.pageBytes()
	f.prior = float64(o.Dirichlet * float64(s.Classes))
	f.trees = make([]tree, o.Trees)
	f.low, f.high, f.row = make([]float64, d), make([]float64, d), make([]float64, d)
	for k := range f.low {
		f.low[k], f.high[k] = math.Inf(1), math.Inf(-1)
	}
	f.guards = make([]target.Guard, d)
	f.p = make([]float64, max(s.Classes, 1))
	for i := range f.trees {
		f.trees[i].f = f
		f.trees[i].limit = max(f.maxPages*(i+1)/o.Trees, 1)
		f.trees[i].newNode(-1, 0)
	}
	return f, nil
}

func (f *forest) pageBytes() int { return pageNodes*(nodeBytes+8*f.stride) + 48 }

func (f *forest) fixedBytes() int { return 64*f.d + 16*f.classes + 64*max(f.o.Trees, 1) + 256 }

// clean returns the row with NaN for what counts as missing, good until the next call.
func (f *forest) clean(x []float64) []float64 {
	nan := math.NaN()
	x = x[:f.d]
	for i, v := range x {
		if k := f.codes[i]; !(v >= -maxMagnitude && v <= maxMagnitude) || k > 0 && !(v >= 0 && v < float64(k) && v == math.Floor(v)) {
			v = nan
		}
		f.row[i] = v
	}
	return f.row
}

func (f *forest) uniform() float64 { return float64(f.rng.Uint64()>>11) / (1 << 53) }

// loss is half the squared error in units of the forest's own mean squared error so far: what the
// theory takes for the variance of the noise. So the target's unit does not matter, and there is
// no rate to choose. It is bounded, lest one outlier drown all later losses.
func (f *forest) loss(d float64) float64 {
	if !(f.squares > 0) {
		return 0
	}
	return min(float64(float64(d*d)*f.n)/float64(2*f.squares), maxLoss)
}

const maxLoss = 100

func (f *forest) learn(row []float64, y outcome) {
	for k, v := range row {
		if !math.IsNaN(v) {
			v = f.guards[k].Bound(v, 1) // a fault must not stretch the boxes for good
			row[k], f.low[k], f.high[k] = v, min(f.low[k], v), max(f.high[k], v)
		}
	}
	for i := range f.trees {
		f.trees[i].learn(row, y)
	}
}

// goodWeight reports whether a row counts.
func goodWeight(w float64) bool { return w > 0 && !math.IsInf(w, 1) }

// maxWeight bounds the weight of one row: larger ones would drown all others for good.
const maxWeight = 1e6

// mix writes the prediction of a tree to f.p: from the leaf up, each node is mixed with what is
// below it.
func (t *tree) mix(row []float64) {
	f := t.f
	clear(f.p)
	for i := t.find(row); i >= 0; {
		n := t.at(i)
		share := t.share(n)
		_, _, out := t.numbers(i)
		if f.classes == 0 {
			f.p[0] = float64(share*out[0]) + float64((1-share)*f.p[0])
		} else {
			for c, w := range out {
				f.p[c] = float64(share*((w+f.o.Dirichlet)/(n.n+f.prior))) + float64((1-share)*f.p[c])
			}
		}
		if f.o.Leaves {
			return
		}
		i = n.parent
	}
}

// share is what a node's own prediction counts for beside those below it: all in a leaf.
func (t *tree) share(n *node) float64 {
	if n.left == 0 {
		return 1
	}
	return min(float64(0.5*exact.Exp(n.weight-n.tree)), 1) // more than 1 is rounding only
}

// Bytes implements online.Learner.
func (f *forest) Bytes() int {
	b := f.fixedBytes()
	for i := range f.trees {
		b += len(f.trees[i].pages) * f.pageBytes()
	}
	return b
}

// Nodes returns how many nodes the trees have together.
func (f *forest) Nodes() int {
	n := 0
	for i := range f.trees {
		n += int(f.trees[i].n)
	}
	return n
}

// Classifier is an aggregated Mondrian forest that distinguishes classes. A row costs
// O(trees·depth·(inputs + classes)). Use NewClassifier.
type Classifier struct{ *forest }

// NewClassifier returns an empty forest for a schema with classes.
func NewClassifier(s online.Schema, o Options) (*Classifier, error) {
	f, err := newForest(s, o, false)
	if err != nil {
		return nil, fmt.Errorf("new Mondrian forest: %w", err)
	}
	return &Classifier{f}, nil
}

// Classify implements online.Classifier.
func (c *Classifier) Classify(p, x []float64) {
	p = p[:c.classes]
	row := c.clean(x)
	clear(p)
	for i := range c.trees {
		c.trees[i].mix(row)
		for k, v := range c.p {
			p[k] += v
		}
	}
	var sum float64
	for _, v := range p {
		sum += v
	}
	for k := range p {
		p[k] /= sum
	}
}

// Learn implements online.Classifier.
func (c *Classifier) Learn(x []float64, class int, weight float64) {
	if class < 0 || class >= c.classes || !goodWeight(weight) {
		return
	}
	c.learn(c.clean(x), outcome{class: class, weight: min(weight, maxWeight)})
}

// Regressor is an aggregated Mondrian forest that predicts a number; predictions are means of
// targets and never leave their range. Absurd targets, beyond 20 standard deviations of those
// before, count as ones at that bound. Use NewRegressor.
type Regressor struct{ *forest }

// NewRegressor returns an empty forest for a schema without classes.
func NewRegressor(s online.Schema, o Options) (*Regressor, error) {
	f, err := newForest(s, o, true)
	if err != nil {
		return nil, fmt.Errorf("new Mondrian regression forest: %w", err)
	}
	return &Regressor{f}, nil
}

// Predict implements online.Regressor.
func (r *Regressor) Predict(x []float64) float64 {
	row := r.clean(x)
	var sum float64
	for i := range r.trees {
		r.trees[i].mix(row)
		sum += r.p[0]
	}
	return sum / float64(len(r.trees))
}

// Learn implements online.Regressor.
func (r *Regressor) Learn(x []float64, y, weight float64) {
	if math.IsNaN(y) || math.IsInf(y, 0) || !goodWeight(weight) {
		return
	}
	weight = min(weight, maxWeight)
	y = r.guard.Bound(y, weight)
	if r.trees[0].at(0).n > 0 {
		d := y - r.Predict(x)
		r.n += weight
		r.squares += float64(float64(d*d) * weight)
	}
	r.learn(r.clean(x), outcome{value: y, weight: weight})
}

// Save implements online.Learner.
func (f *forest) Save(w *state.Writer) {
	w.PCG(f.rng)
	w.Floats(f.low)
	w.Floats(f.high)
	w.Float(f.n)
	w.Float(f.squares)
	f.guard.Save(w)
	for k := range f.guards {
		f.guards[k].Save(w)
	}
	for i := range f.trees {
		f.trees[i].save(w)
	}
}
