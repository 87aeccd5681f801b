package hoeffding

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"skerry.dev/compute/drift"
	"skerry.dev/compute/online"
	"skerry.dev/compute/state"
)

// EnsembleOptions tune an ensemble of trees. The zero value holds the defaults, which differ
// between ensembles where their constructors state it.
type EnsembleOptions struct {
	// Options are those of the members. MaxBytes bounds the ensemble as a whole.
	Options
	// Trees is how many trees vote, 1 to 1000. Default 10.
	Trees int
	// Inputs is how many inputs a leaf of a Forest or a tree of Patches uses, up to all. Default:
	// the root of their number, rounded, in a Forest, and three fifths, at least 2, in Patches.
	// Bagging uses all.
	Inputs int
	// Lambda is the mean of the Poisson distribution that defines how often a tree learns a row, in
	// (0, 100]. Default 6.
	Lambda float64
	// Warning and Drift are the deltas of the ADWIN detectors at whose alarms a tree starts to
	// grow in the background and takes its place.
	Warning, Drift float64
	// Plain counts all votes alike; otherwise a Forest and Patches weigh a tree's by its share of
	// right predictions.
	Plain bool
}

func (o EnsembleOptions) withDefaults() EnsembleOptions {
	o.Options = o.Options.withDefaults()
	o.Trees, o.Lambda = or(o.Trees, 10), or(o.Lambda, 6)
	return o
}

func (o EnsembleOptions) validate(inputs int) error {
	errs := []error{o.Options.validate()}
	check := func(ok bool, name string, v any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is %v, allowed is %s", name, v, allowed))
		}
	}
	check(o.Trees >= 1 && o.Trees <= 1000, "Trees", o.Trees, "1 to 1000")
	check(o.Inputs >= 1 && o.Inputs <= inputs, "Inputs", o.Inputs, fmt.Sprintf("1 to %d", inputs))
	check(o.Lambda > 0 && o.Lambda <= 100, "Lambda", o.Lambda, "above 0, at most 100")
	check(o.Warning > 0 && o.Warning < 1, "Warning", o.Warning, "a probability between 0 and 1")
	check(o.Drift > 0 && o.Drift < 1, "Drift", o.Drift, "a probability between 0 and 1")
	return errors.Join(errs...)
}

// ensemble is what forests, bags and patches share.
type ensemble struct {
	o       EnsembleOptions
	cols    *columns
	classes int
	rng     *rand.PCG
	repeat  poisson
	split   *splitter
	members []member
	p       []float64 // scratch: the vote of a tree
	budget  int       // of a tree
	pool    *pool
}

// member is a tree with what watches it.
type member struct {
	tree        *tree
	background  *tree // grows since the warning; nil without one
	warning     *drift.ADWIN
	drift       *drift.ADWIN
	right, seen float64 // predictions since the tree took its place
}

// memberBytes is what a member takes beside its trees: two detectors with windows of a few
// million errors.
const memberBytes = 4096

// newEnsemble makes the members with tree. Each has its share of the budget, half of it for the
// tree in the background when there are such.
func newEnsemble(s online.Schema, o EnsembleOptions, background bool, grow func(e *ensemble) *tree) (*ensemble, error) {
	o = o.withDefaults()
	if err := s.Check(true); err != nil {
		return nil, err
	}
	if err := o.validate(len(s.Inputs)); err != nil {
		return nil, err
	}
	e := &ensemble{
		o:       o,
		cols:    newColumns(s),
		classes: s.Classes,
		rng:     newSource(o.Seed),
		repeat:  newPoisson(o.Lambda),
		split:   newSplitter(s.Classes),
		members: make([]member, o.Trees),
		p:       make([]float64, s.Classes),
		pool:    &pool{limit: o.MaxBytes / spare},
	}
	trees := o.Trees
	if background {
		trees *= 2
	}
	e.budget = (o.MaxBytes - o.MaxBytes/spare - o.Trees*memberBytes) / trees
	if least := grow(e).leastBytes(); e.budget < least {
		return nil, checkBudget(o.MaxBytes, (trees*least+o.Trees*memberBytes)*spare/(spare-1)+1)
	}
	for i := range e.members {
		e.members[i] = member{tree: grow(e), warning: newDetector(o.Warning), drift: newDetector(o.Drift)}
	}
	return e, nil
}

// newTree returns an empty member's tree.
func (e *ensemble) newTree() *tree {
	t := newTree(e.o.Options, e.cols, e.classes, e.split, e.pool)
	t.MaxBytes, t.rng = e.budget, e.rng
	return t
}

func newDetector(delta float64) *drift.ADWIN {
	a := drift.NewADWIN()
	a.Delta = delta
	return a
}

// vote writes the mean of the members' probabilities, weighted by how often each was right.
func (e *ensemble) vote(p, x []float64) {
	row := e.cols.clean(x)
	clear(p)
	for i := range e.members {
		m, w := &e.members[i], 1.0
		if !e.o.Plain && m.right > 0 {
			w = m.right / m.seen
		}
		m.tree.predict(e.p, row)
		for c, v := range e.p {
			p[c] += float64(w * v)
		}
	}
	all := sum(p)
	for c := range p {
		p[c] /= all
	}
}

// ok reports whether a labelled row is one to learn from.
func (e *ensemble) ok(class int, w float64) bool {
	return class >= 0 && class < e.classes && goodWeight(w)
}

// judge counts a prediction.
func (m *member) judge(right bool) (wrong float64) {
	m.seen++
	if right {
		m.right++
		return 0
	}
	return 1
}

// Bytes implements online.Learner.
func (e *ensemble) Bytes() int {
	b := e.pool.bytes
	for i := range e.members {
		b += memberBytes + e.members[i].tree.bytes
		if t := e.members[i].background; t != nil {
			b += t.bytes
		}
	}
	return b
}

// Save implements online.Learner.
func (e *ensemble) Save(w *state.Writer) {
	w.PCG(e.rng)
	for i := range e.members {
		m := &e.members[i]
		m.tree.save(w)
		w.Bool(m.background != nil)
		if m.background != nil {
			m.background.save(w)
		}
		m.warning.Save(w)
		m.drift.Save(w)
		w.Float(m.right)
		w.Float(m.seen)
	}
}

// Load implements online.Learner.
func (e *ensemble) Load(r *state.Reader) {
	r.PCG(e.rng)
	for i := range e.members {
		m := &e.members[i]
		draw := m.tree.draw
		m.tree.load(r)
		m.background = nil
		if r.Bool() {
			m.background = e.newTree()
			m.background.draw = draw
			m.background.load(r)
		}
		m.warning, m.drift = newDetector(e.o.Warning), newDetector(e.o.Drift)
		m.warning.Load(r)
		m.drift.Load(r)
		m.right, m.seen = loadWeight(r), loadWeight(r)
		if m.right > m.seen {
			m.right, m.seen = 0, 0
			r.Fail()
		}
		if r.Err() != nil {
			return
		}
	}
}
