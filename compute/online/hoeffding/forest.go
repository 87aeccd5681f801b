package hoeffding

import (
	"fmt"
	"math"

	"skerry.dev/compute/online"
)

// Forest is an adaptive random forest: trees whose leaves observe a few inputs drawn at random,
// that learn each row Poisson(Lambda) times, and each of which is replaced by one that grew in
// the background when ADWIN sees its error change. After Gomes et al., "Adaptive random forests
// for evolving data stream classification", Machine Learning 106 (2017). Use NewForest.
type Forest struct{ *ensemble }

// NewForest returns an empty forest. Defaults that differ from a tree's: Grace 50, Delta 0.01,
// Warning 0.01, Drift 0.001.
func NewForest(s online.Schema, o EnsembleOptions) (*Forest, error) {
	o.Grace, o.Delta = or(o.Grace, 50), or(o.Delta, 0.01)
	o.Warning, o.Drift = or(o.Warning, 0.01), or(o.Drift, 0.001)
	o.Inputs = or(o.Inputs, max(int(math.Sqrt(float64(len(s.Inputs)))+0.5), 1))
	e, err := newEnsemble(s, o, true, (*ensemble).randomTree)
	if err != nil {
		return nil, fmt.Errorf("new adaptive random forest: %w", err)
	}
	return &Forest{e}, nil
}

// randomTree returns a tree whose leaves draw their inputs.
func (e *ensemble) randomTree() *tree {
	t := e.newTree()
	t.draw = e.o.Inputs
	return t
}

// Classify implements online.Classifier.
func (f *Forest) Classify(p, x []float64) { f.vote(p[:f.classes], x) }

// Learn implements online.Classifier.
func (f *Forest) Learn(x []float64, class int, weight float64) {
	if !f.ok(class, weight) {
		return
	}
	row := f.cols.clean(x)
	for i := range f.members {
		m := &f.members[i]
		wrong := m.judge(m.tree.decide(row) == class)
		k := f.repeat.draw(f.rng)
		if k == 0 {
			continue
		}
		k *= bounded(weight)
		if m.background != nil {
			m.background.learn(row, class, k)
		}
		m.tree.learn(row, class, k)
		if m.warning.Update(wrong) {
			m.background.drop()
			m.background = f.randomTree()
			m.warning = newDetector(f.o.Warning)
		}
		if m.drift.Update(wrong) {
			f.replace(m)
		}
	}
}

// replace puts the background's tree, or an empty one, in a member's place.
func (f *Forest) replace(m *member) {
	t := m.background
	if t == nil {
		t = f.randomTree()
	}
	m.tree.drop()
	*m = member{tree: t, warning: newDetector(f.o.Warning), drift: newDetector(f.o.Drift)}
}
