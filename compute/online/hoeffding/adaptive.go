package hoeffding

import (
	"errors"
	"fmt"
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/online"
	"skerry.dev/compute/state"
)

// AdaptiveOptions tune an Adaptive tree. The zero value holds the defaults.
type AdaptiveOptions struct {
	Options
	// Drift is the delta of the detectors at the nodes, in (0, 1). Default 0.002.
	Drift float64
	// Window is how many rows both a branch and its alternate must have seen before they are
	// compared. Default 300.
	Window int
	// Significance is the probability that a worse alternate is taken for a better one, in (0,
	// 1). Default 0.05.
	Significance float64
	// NoBootstrap learns each row once; otherwise a leaf learns it as often as a Poisson number
	// of mean 1, at least once.
	NoBootstrap bool
}

// Adaptive is a Hoeffding adaptive tree (HAT): ADWIN watches the error at each split; where it
// grows, an alternate branch starts, and takes the place of the old one when it is significantly
// better. Until then both predict, weighted by the inverse squares of their errors. After Bifet
// and Gavaldà, "Adaptive learning from evolving data streams", IDA 2009. Use NewAdaptive.
type Adaptive struct {
	t      *tree
	o      AdaptiveOptions
	repeat poisson
	p      []float64 // scratch: the prediction of one leaf
}

// NewAdaptive returns an empty tree.
func NewAdaptive(s online.Schema, o AdaptiveOptions) (*Adaptive, error) {
	o.Drift, o.Window, o.Significance = or(o.Drift, 0.002), or(o.Window, 300), or(o.Significance, 0.05)
	var errs []error
	check := func(ok bool, name string, v any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is %v, allowed is %s", name, v, allowed))
		}
	}
	check(o.Drift > 0 && o.Drift < 1, "Drift", o.Drift, "a probability between 0 and 1")
	check(o.Window >= 1 && o.Window <= 1e9, "Window", o.Window, "1 to 1e9")
	check(o.Significance > 0 && o.Significance < 1, "Significance", o.Significance, "a probability between 0 and 1")
	t, err := plainTree(s, o.Options)
	if err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("new adaptive Hoeffding tree: %w", err)
	}
	t.watchDelta, t.rng = o.Drift, newSource(o.Seed)
	t.root = nil
	t.reset()
	if err := checkBudget(o.withDefaults().MaxBytes, (t.leastBytes()+2*watchBytes)*spare/(spare-1)+1); err != nil {
		return nil, fmt.Errorf("new adaptive Hoeffding tree: %w", err)
	}
	return &Adaptive{t: t, o: o, repeat: newPoisson(1), p: make([]float64, s.Classes)}, nil
}

// Classify implements online.Classifier.
func (a *Adaptive) Classify(p, x []float64) {
	p = p[:a.t.classes]
	row := a.t.cols.clean(x)
	if clear(p); a.vote(a.t.root, p, row) == 0 {
		uniform(p)
		return
	}
	all := sum(p)
	for c := range p {
		p[c] /= all
	}
}

// vote adds the predictions of the leaf below n and of those of the alternates on the way, and
// returns how many there were.
func (a *Adaptive) vote(n *node, p, row []float64) int {
	voters := 0
	from := n
	for n.kind != terminal {
		if other := n.watch.other; other != nil {
			voters += a.vote(other, p, row)
		}
		n = n.branch(row)
	}
	if _, seen := from.find(row); !(seen.weight > 0) {
		return voters
	}
	a.t.predictBelow(from, a.p, row)
	w := max(n.watch.mean, 0.01)
	for c, v := range a.p {
		p[c] += v / float64(w*w)
	}
	return voters + 1
}

// Learn implements online.Classifier.
func (a *Adaptive) Learn(x []float64, class int, weight float64) {
	if class < 0 || class >= a.t.classes || !goodWeight(weight) {
		return
	}
	weight = bounded(weight)
	a.learn(&a.t.root, a.t.cols.clean(x), class, weight)
}

// learn takes a row down a branch, and down the alternates on the way.
func (a *Adaptive) learn(at **node, row []float64, class int, w float64) {
	wrong := 1.0 // for all nodes on the way to the leaf
	if a.t.decideBelow(*at, row) == class {
		wrong = 0
	}
	for n := *at; n.kind != terminal; n = *at {
		n.weight += w
		n.counts[class] += w
		if a.judge(at, wrong) {
			a.learn(at, row, class, w) // the alternate has taken over
			return
		}
		if n.watch.other != nil {
			a.learn(&n.watch.other, row, class, w)
		}
		at = &n.children[n.index(row)]
	}
	n := *at
	n.watch.update(wrong)
	if !a.o.NoBootstrap {
		w *= max(a.repeat.draw(a.t.rng), 1)
	}
	a.t.learnAt(n, row, class, w)
	if n.kind != terminal {
		n.watch = newWatch(a.o.Drift) // the leaf's errors are not the split's
	}
}

// judge takes an error at a split: it starts an alternate when errors have grown, and ends one
// when it is significantly better or worse. It reports whether the alternate took the place of
// the split.
func (a *Adaptive) judge(at **node, wrong float64) bool {
	n := *at
	w := n.watch
	if w.update(wrong) {
		if w.other != nil {
			a.t.discard(w.other)
		}
		w.mean, w.n, w.other = 0, 0, nil
		if a.t.mayGrow(1) {
			w.other = a.t.newNode(n.depth)
		}
		return false
	}
	if w.other == nil || w.n <= float64(a.o.Window) || w.other.watch.n <= float64(a.o.Window) {
		return false
	}
	old, other := w.mean, w.other.watch.mean
	bound := math.Sqrt(float64(2*old*(1-old)) * exact.Log(2/a.o.Significance) * (1/w.n + 1/w.other.watch.n))
	switch {
	case bound < old-other:
		*at, w.other = w.other, nil
		a.t.discard(n)
		return true
	case bound < other-old:
		a.t.discard(w.other)
		w.other = nil
	}
	return false
}

// Nodes returns how many splits and leaves the tree has, those of alternates included.
func (a *Adaptive) Nodes() int { return a.t.nodes }

// Bytes implements online.Learner.
func (a *Adaptive) Bytes() int { return a.t.bytes + a.t.pool.bytes }

// Save implements online.Learner.
func (a *Adaptive) Save(w *state.Writer) {
	w.PCG(a.t.rng)
	a.t.save(w)
}

// Load implements online.Learner.
func (a *Adaptive) Load(r *state.Reader) {
	r.PCG(a.t.rng)
	a.t.load(r)
}
