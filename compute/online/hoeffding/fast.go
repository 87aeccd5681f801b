package hoeffding

import (
	"fmt"

	"skerry.dev/compute/online"
	"skerry.dev/compute/state"
)

// FastOptions tune a Fast tree. The zero value holds the defaults.
type FastOptions struct {
	Options
	// Revise is the weight of rows that a split takes between two looks at whether it is still
	// best, 1 to 1e9. Default 20.
	Revise float64
}

// Fast is an extremely fast decision tree (EFDT, also Hoeffding anytime tree): a leaf is split as
// soon as its best split is better than none, and a split is replaced when another input turns
// out better. After Manapragada, Webb and Salehi, "Extremely fast decision tree", KDD 2018.
// Splits keep their statistics, as long as the budget lets them. Use NewFast.
type Fast struct {
	t *tree
	o FastOptions
}

// NewFast returns an empty tree. It draws nothing at random: Seed has no effect.
func NewFast(s online.Schema, o FastOptions) (*Fast, error) {
	o.Revise = or(o.Revise, 20)
	if !(o.Revise >= 1 && o.Revise <= 1e9) {
		return nil, fmt.Errorf("new extremely fast decision tree: Revise is %v, allowed is 1 to 1e9", o.Revise)
	}
	t, err := plainTree(s, o.Options)
	if err != nil {
		return nil, fmt.Errorf("new extremely fast decision tree: %w", err)
	}
	t.keeps = true
	return &Fast{t: t, o: o}, nil
}

// Classify implements online.Classifier.
func (f *Fast) Classify(p, x []float64) { f.t.predict(p[:f.t.classes], f.t.cols.clean(x)) }

// Learn implements online.Classifier.
func (f *Fast) Learn(x []float64, class int, weight float64) {
	if class < 0 || class >= f.t.classes || !goodWeight(weight) {
		return
	}
	t, row, w := f.t, f.t.cols.clean(x), bounded(weight)
	n := t.root
	for n.kind != terminal {
		if n.leaf == nil {
			n.weight += w
		} else {
			t.add(n, row, class, w)
			if n.leaf != nil && n.weight-n.leaf.tried >= f.o.Revise {
				n.leaf.tried = n.weight
				f.revise(n)
			}
		}
		if n.kind == terminal {
			return // the split was for nothing; the row has been learned
		}
		n = n.branch(row)
	}
	t.observe(n, row, class, w)
	if l := n.leaf; l != nil && n.weight-l.tried >= t.Grace && int(n.depth) < t.MaxDepth {
		l.tried = n.weight
		f.attempt(n)
	}
}

// attempt splits a leaf when its best split is better than none.
func (f *Fast) attempt(n *node) {
	if !f.t.impure(n) {
		return
	}
	best, _ := f.t.candidates(n)
	if !(best.merit > 0) {
		return
	}
	if bound := f.t.bound(n); best.merit > bound || bound < f.t.Tau {
		f.t.split(n, best)
	}
}

// revise replaces a split when one on another input is better, and undoes it when none is better
// than nothing.
func (f *Fast) revise(n *node) {
	t := f.t
	best, current := candidate{}, 0.0 // no split gains nothing
	at := 0
	for _, feature := range n.leaf.features {
		c := t.bestSplit(n, at, feature)
		at += int(t.cols.width[feature])
		if feature == n.feature {
			current = max(c.merit, 0)
		}
		if c.merit > best.merit {
			best = c
		}
	}
	bound, ahead := t.bound(n), best.merit-current
	if best.kind != terminal && best.feature == n.feature {
		// what the branches have learned stays mostly right
		if best.kind == n.kind && bound < t.Tau {
			n.threshold = best.threshold
		}
		return
	}
	if !(ahead > bound || bound < t.Tau) {
		return
	}
	for _, c := range n.children {
		t.discard(c)
	}
	t.bytes -= childBytes * len(n.children)
	n.children, n.kind = n.children[:0], terminal
	n.leaf.majority, n.leaf.bayes = 0, 0
	if best.kind != terminal {
		t.split(n, best)
	}
}

// Nodes returns how many splits and leaves the tree has.
func (f *Fast) Nodes() int { return f.t.nodes }

// Bytes implements online.Learner.
func (f *Fast) Bytes() int { return f.t.bytes + f.t.pool.bytes }

// Save implements online.Learner.
func (f *Fast) Save(w *state.Writer) { f.t.save(w) }

// Load implements online.Learner.
func (f *Fast) Load(r *state.Reader) { f.t.load(r) }
