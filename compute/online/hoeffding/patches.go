package hoeffding

import (
	"fmt"

	"skerry.dev/compute/online"
)

// Patches is the method of streaming random patches: trees that see some of the inputs each and
// learn each row Poisson(Lambda) times; ADWIN replaces them by trees on other inputs that grew in
// the background. After Gomes, Read and Bifet, "Streaming random patches for evolving data stream
// classification", ICDM 2019. Use NewPatches.
type Patches struct{ *ensemble }

// NewPatches returns empty patches. Defaults that differ from a tree's: Grace 50, Delta 0.01,
// Warning 1e-4, Drift 1e-5.
func NewPatches(s online.Schema, o EnsembleOptions) (*Patches, error) {
	o.Grace, o.Delta = or(o.Grace, 50), or(o.Delta, 0.01)
	o.Warning, o.Drift = or(o.Warning, 1e-4), or(o.Drift, 1e-5)
	d := len(s.Inputs)
	o.Inputs = or(o.Inputs, min(max((6*d+5)/10, 2), max(d, 1)))
	e, err := newEnsemble(s, o, true, (*ensemble).patchTree)
	if err != nil {
		return nil, fmt.Errorf("new streaming random patches: %w", err)
	}
	return &Patches{e}, nil
}

// patchTree returns a tree that sees a part of the inputs.
func (e *ensemble) patchTree() *tree {
	t := e.newTree()
	if e.o.Inputs < len(t.subset) {
		t.subset = t.sample(nil, e.o.Inputs)
	}
	return t
}

// Classify implements online.Classifier.
func (e *Patches) Classify(p, x []float64) { e.vote(p[:e.classes], x) }

// Learn implements online.Classifier.
func (e *Patches) Learn(x []float64, class int, weight float64) {
	if !e.ok(class, weight) {
		return
	}
	row := e.cols.clean(x)
	for i := range e.members {
		m := &e.members[i]
		m.judge(m.tree.decide(row) == class)
		k := e.repeat.draw(e.rng)
		if k == 0 {
			continue
		}
		k *= bounded(weight)
		m.tree.learn(row, class, k)
		if m.background != nil {
			m.background.learn(row, class, k)
		}
		// what the tree gets wrong after it has learned the row: members that cannot learn are
		// replaced
		wrong := 1.0
		if m.tree.decide(row) == class {
			wrong = 0
		}
		if m.warning.Update(wrong) {
			m.background.drop()
			m.background = e.patchTree()
			m.warning = newDetector(e.o.Warning)
		}
		if m.drift.Update(wrong) {
			t := m.background
			if t == nil {
				t = e.patchTree()
			}
			m.tree.drop()
			*m = member{tree: t, warning: newDetector(e.o.Warning), drift: newDetector(e.o.Drift)}
		}
	}
}
