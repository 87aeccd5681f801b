package hoeffding

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/drift"
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/internal/target"
	"skerry.dev/compute/state"
)

// RegressionForestOptions tune a forest of regression trees.
type RegressionForestOptions struct {
	// RegressionOptions are those of the trees; defaults that differ: Grace 50, Delta 0.01.
	RegressionOptions
	// Trees, Inputs, Lambda, Warning and Drift are as in EnsembleOptions, with the defaults of a
	// Forest.
	Trees, Inputs          int
	Lambda, Warning, Drift float64
}

// RegressionForest is an adaptive random forest for numbers, whose prediction is the median of
// its trees'. ADWIN watches each tree's error, as a number from 0 to 1 for three standard
// deviations either way. After Gomes, Barddal, Boiko and Bifet, "Adaptive random forests for data
// stream regression", ESANN 2018, with Hoeffding trees. Predictions and targets are bounded as in
// a RegressionTree. Use NewRegressionForest.
type RegressionForest struct {
	o       RegressionForestOptions
	cols    *columns
	scale   *scale
	rng     *rand.PCG
	repeat  poisson
	members []numberMember
	budget  int
	pool    *pool
	guard   target.Guard
	span    span
	votes   []float64
}

type numberMember struct {
	tree, background *tree
	warning, drift   *drift.ADWIN
	errors           moments
}

// NewRegressionForest returns an empty forest for a schema without classes.
func NewRegressionForest(s online.Schema, o RegressionForestOptions) (*RegressionForest, error) {
	o.Grace, o.Delta = or(o.Grace, 50), or(o.Delta, 0.01)
	o.RegressionOptions = o.RegressionOptions.withDefaults()
	o.MaxBytes = or(o.MaxBytes, defaultBudget)
	shared := EnsembleOptions{
		Options: o.plain(),
		Trees:   o.Trees,
		Inputs:  or(o.Inputs, max(int(math.Sqrt(float64(len(s.Inputs)))+0.5), 1)),
		Lambda:  o.Lambda,
		Warning: or(o.Warning, 0.01),
		Drift:   or(o.Drift, 0.001),
	}.withDefaults()
	o.Trees, o.Inputs, o.Lambda, o.Warning, o.Drift = shared.Trees, shared.Inputs, shared.Lambda, shared.Warning, shared.Drift
	if err := errors.Join(s.Check(false), o.RegressionOptions.validate(), shared.validate(len(s.Inputs))); err != nil {
		return nil, fmt.Errorf("new regression forest: %w", err)
	}
	cols := newColumns(s)
	f := &RegressionForest{
		o:       o,
		cols:    cols,
		scale:   newScale(cols),
		rng:     newSource(o.Seed),
		repeat:  newPoisson(o.Lambda),
		members: make([]numberMember, o.Trees),
		votes:   make([]float64, o.Trees),
		pool:    &pool{limit: o.MaxBytes / spare},
	}
	fixed := f.scale.bytes() + o.Trees*(memberBytes+8)
	f.budget = (o.MaxBytes - o.MaxBytes/spare - fixed) / (2 * o.Trees)
	if least := newRegression(o.RegressionOptions, cols, f.scale, f.pool).leastNumberBytes(); f.budget < least {
		return nil, fmt.Errorf("new regression forest: %w", checkBudget(o.MaxBytes, (2*o.Trees*least+fixed)*spare/(spare-1)+1))
	}
	for i := range f.members {
		f.members[i] = f.newMember(f.newTree())
	}
	return f, nil
}

func (f *RegressionForest) newTree() *tree {
	t := newRegression(f.o.RegressionOptions, f.cols, f.scale, f.pool)
	t.MaxBytes, t.rng, t.draw = f.budget, f.rng, f.o.Inputs
	return t
}

func (f *RegressionForest) newMember(t *tree) numberMember {
	return numberMember{tree: t, warning: newDetector(f.o.Warning), drift: newDetector(f.o.Drift)}
}

// Predict implements online.Regressor.
func (f *RegressionForest) Predict(x []float64) float64 {
	row := f.cols.clean(x)
	z := f.scale.standardise(row)
	for i := range f.members {
		f.votes[i] = f.span.bound(f.members[i].tree.predictNumber(row, z))
	}
	slices.Sort(f.votes)
	n := len(f.votes)
	return f.votes[(n-1)/2] + (f.votes[n/2]-f.votes[(n-1)/2])/2
}

// Learn implements online.Regressor.
func (f *RegressionForest) Learn(x []float64, y, weight float64) {
	if !finite(y) || !goodWeight(weight) {
		return
	}
	weight = bounded(weight)
	y = f.guard.Bound(y, weight)
	f.span.see(y)
	row := f.cols.clean(x)
	f.scale.learn(row)
	z := f.scale.standardise(row)
	for i := range f.members {
		m := &f.members[i]
		e := y - f.span.bound(m.tree.predictNumber(row, z))
		k := f.repeat.draw(f.rng) * weight
		if k == 0 {
			continue
		}
		if m.background != nil {
			m.background.learnNumber(row, z, y, k)
		}
		m.tree.learnNumber(row, z, y, k)
		e = m.unit(e)
		if m.warning.Update(e) {
			m.background.drop()
			m.background = f.newTree()
			m.warning = newDetector(f.o.Warning)
		}
		if m.drift.Update(e) {
			t := m.background
			if t == nil {
				t = f.newTree()
			}
			m.tree.drop()
			*m = f.newMember(t)
		}
	}
}

// unit turns an error into a number from 0 to 1: ½ for none, the ends for three standard
// deviations of the errors so far.
func (m *numberMember) unit(e float64) float64 {
	m.errors.add(e, 1)
	sd := math.Sqrt(m.errors.variance())
	if !(sd > 0) {
		return 0.5
	}
	return min(max(0.5+e/float64(6*sd), 0), 1)
}

// Bytes implements online.Learner.
func (f *RegressionForest) Bytes() int {
	b := f.pool.bytes + f.scale.bytes() + len(f.members)*(memberBytes+8)
	for i := range f.members {
		b += f.members[i].tree.bytes
		if t := f.members[i].background; t != nil {
			b += t.bytes
		}
	}
	return b
}

// Save implements online.Learner.
func (f *RegressionForest) Save(w *state.Writer) {
	w.PCG(f.rng)
	f.guard.Save(w)
	f.span.save(w)
	f.scale.save(w)
	for i := range f.members {
		m := &f.members[i]
		m.tree.save(w)
		w.Bool(m.background != nil)
		if m.background != nil {
			m.background.save(w)
		}
		m.warning.Save(w)
		m.drift.Save(w)
		w.Float(m.errors.n)
		w.Float(m.errors.mean)
		w.Float(m.errors.m2)
	}
}

// Load implements online.Learner.
func (f *RegressionForest) Load(r *state.Reader) {
	r.PCG(f.rng)
	f.guard.Load(r)
	f.span.load(r)
	f.scale.load(r)
	for i := range f.members {
		m := f.newMember(f.newTree())
		m.tree.load(r)
		if r.Bool() {
			m.background = f.newTree()
			m.background.load(r)
		}
		m.warning.Load(r)
		m.drift.Load(r)
		m.errors = moments{loadWeight(r), r.Float(), loadWeight(r)}
		if !finite(m.errors.mean) {
			r.Fail()
		}
		if r.Err() != nil {
			return
		}
		f.members[i] = m
	}
}
