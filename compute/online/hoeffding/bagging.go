package hoeffding

import (
	"fmt"

	"skerry.dev/compute/online"
)

// Bagging is leveraging bagging: trees on all inputs that learn each row Poisson(Lambda) times;
// when ADWIN sees the error of one of them rise, the worst is replaced by an empty one. After
// Bifet, Holmes and Pfahringer, "Leveraging bagging for evolving data streams", ECML PKDD 2010.
// Use NewBagging.
type Bagging struct{ *ensemble }

// NewBagging returns an empty bag. Drift is 0.002 by default; Inputs and Warning have no effect.
func NewBagging(s online.Schema, o EnsembleOptions) (*Bagging, error) {
	o.Inputs, o.Plain = len(s.Inputs), true
	o.Drift = or(o.Drift, 0.002)
	o.Warning = o.Drift
	e, err := newEnsemble(s, o, false, (*ensemble).newTree)
	if err != nil {
		return nil, fmt.Errorf("new leveraging bagging: %w", err)
	}
	return &Bagging{e}, nil
}

// Classify implements online.Classifier.
func (b *Bagging) Classify(p, x []float64) { b.vote(p[:b.classes], x) }

// Learn implements online.Classifier.
func (b *Bagging) Learn(x []float64, class int, weight float64) {
	if !b.ok(class, weight) {
		return
	}
	row := b.cols.clean(x)
	change := false
	for i := range b.members {
		m := &b.members[i]
		if k := b.repeat.draw(b.rng); k > 0 {
			m.tree.learn(row, class, k*bounded(weight))
		}
		before := m.drift.Mean()
		if m.drift.Update(m.judge(m.tree.decide(row) == class)) && m.drift.Mean() > before {
			change = true
		}
	}
	if !change {
		return
	}
	worst := &b.members[0]
	for i := range b.members {
		if m := &b.members[i]; m.drift.Mean() > worst.drift.Mean() {
			worst = m
		}
	}
	worst.tree.drop()
	*worst = member{tree: b.newTree(), warning: worst.warning, drift: newDetector(b.o.Drift)}
}
