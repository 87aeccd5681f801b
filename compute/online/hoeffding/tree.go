package hoeffding

import (
	"fmt"

	"skerry.dev/compute/online"
	"skerry.dev/compute/state"
)

// Tree is a Hoeffding tree that distinguishes classes. Learning a row costs O(depth +
// inputs·classes), a split attempt, once per Grace rows of a leaf, O(inputs·classes·Points). Use
// NewTree.
type Tree struct{ t *tree }

// NewTree returns an empty tree. It draws nothing at random: Seed has no effect.
func NewTree(s online.Schema, o Options) (*Tree, error) {
	t, err := plainTree(s, o)
	if err != nil {
		return nil, fmt.Errorf("new Hoeffding tree: %w", err)
	}
	return &Tree{t: t}, nil
}

func plainTree(s online.Schema, o Options) (*tree, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := s.Check(true); err != nil {
		return nil, err
	}
	p := &pool{limit: o.MaxBytes / spare}
	t := newTree(o, newColumns(s), s.Classes, newSplitter(s.Classes), p)
	if err := checkBudget(o.MaxBytes, t.leastBytes()*spare/(spare-1)+1); err != nil {
		return nil, err
	}
	t.MaxBytes -= p.limit
	return t, nil
}

func checkBudget(got, least int) error {
	if got < least {
		return fmt.Errorf("MaxBytes is %d, this schema needs %d at least", got, least)
	}
	return nil
}

// Classify implements online.Classifier.
func (h *Tree) Classify(p, x []float64) { h.t.predict(p[:h.t.classes], h.t.cols.clean(x)) }

// Learn implements online.Classifier.
func (h *Tree) Learn(x []float64, class int, weight float64) {
	if class < 0 || class >= h.t.classes || !goodWeight(weight) {
		return
	}
	h.t.learn(h.t.cols.clean(x), class, bounded(weight))
}

// Nodes returns how many splits and leaves the tree has.
func (h *Tree) Nodes() int { return h.t.nodes }

// Bytes implements online.Learner.
func (h *Tree) Bytes() int { return h.t.bytes + h.t.pool.bytes }

// Save implements online.Learner.
func (h *Tree) Save(w *state.Writer) { h.t.save(w) }

// Load implements online.Learner.
func (h *Tree) Load(r *state.Reader) { h.t.load(r) }
