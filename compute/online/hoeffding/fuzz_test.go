package hoeffding_test

import (
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/state"
)

// FuzzLoad gives every learner damaged states: none may panic, and what is taken must go on
// working.
func FuzzLoad(f *testing.F) {
	rng := rand.New(rand.NewPCG(11, 3))
	var t testing.T
	_, classifiers, regressors := every(&t)
	for i := range 600 {
		x, y := drifting(rng, i)
		for _, c := range classifiers {
			c.Learn(x, classOf(y), 1)
		}
		for _, r := range regressors {
			r.Learn(x, y, 1)
		}
	}
	for i := range len(classifiers) + len(regressors) {
		var w state.Writer
		if i < len(classifiers) {
			classifiers[i].Save(&w)
		} else {
			regressors[i-len(classifiers)].Save(&w)
		}
		f.Add(i, w.B)
	}
	f.Fuzz(func(t *testing.T, which int, b []byte) {
		_, classifiers, regressors := every(t)
		rng := rand.New(rand.NewPCG(1, 3))
		which = max(which, 0) % (len(classifiers) + len(regressors))
		var l online.Learner
		if which < len(classifiers) {
			l = classifiers[which]
		} else {
			l = regressors[which-len(classifiers)]
		}
		r := &state.Reader{B: b}
		if l.Load(r); r.Err() != nil {
			return
		}
		p := make([]float64, 3)
		for i := range 300 {
			x, y := drifting(rng, i)
			switch l := l.(type) {
			case online.Classifier:
				l.Classify(p, x)
				l.Learn(x, classOf(y), 1)
			case online.Regressor:
				l.Predict(x)
				l.Learn(x, y, 1)
			}
		}
	})
}
