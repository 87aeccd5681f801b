package online

import (
	"math"

	"skerry.dev/compute/state"
)

// Echo turns what another model predicts into inputs for its correction: its prediction (for
// classes the logarithm of the odds or of each probability), and how far the means of its
// predictions over some 8 and 32 rows lie from that. A model that judges every row by itself is
// overconfident when rows follow each other; with these inputs a linear correction learns
// how much of that is noise. It is not safe for concurrent use.
type Echo struct {
	classes    int
	fast, slow []float64
	n          int64
}

// NewEcho returns an Echo for predictions of a schema.
func NewEcho(s Schema) *Echo {
	n := max(s.Classes, 1)
	if s.Classes == 2 {
		n = 1
	}
	return &Echo{classes: s.Classes, fast: make([]float64, n), slow: make([]float64, n)}
}

// Inputs describes the inputs that Into writes.
func (e *Echo) Inputs() []Input {
	var in []Input
	for range e.fast {
		in = append(in, Input{Name: "model now"}, Input{Name: "model, mean of 8"}, Input{Name: "model, mean of 32"})
	}
	return in
}

// Into takes what the model predicts for the next row, a probability for each class or a number,
// and writes the inputs for that row; NaN where it predicts nothing.
func (e *Echo) Into(dst, said []float64) {
	if !usable(said[0]) {
		for i := range dst {
			dst[i] = math.NaN()
		}
		return
	}
	e.n++
	for k := range e.fast {
		v := said[k]
		switch {
		case e.classes == 2:
			v = logOdds(said)
		case e.classes > 2:
			v = logProbability(v)
		}
		v = min(max(v, -maxMagnitude), maxMagnitude)
		e.fast[k] += (v - e.fast[k]) / float64(min(e.n, 8))
		e.slow[k] += (v - e.slow[k]) / float64(min(e.n, 32))
		dst[3*k], dst[3*k+1], dst[3*k+2] = v, e.fast[k]-v, e.slow[k]-v
	}
}

// Reset forgets the predictions, for another model.
func (e *Echo) Reset() {
	clear(e.fast)
	clear(e.slow)
	e.n = 0
}

// Save appends the state to a snapshot.
func (e *Echo) Save(w *state.Writer) {
	w.Int(e.n)
	w.Floats(e.fast)
	w.Floats(e.slow)
}

// Load restores it.
func (e *Echo) Load(r *state.Reader) {
	if e.n = r.Int(); e.n < 0 || e.n > 1<<53 {
		r.Fail()
	}
	for _, v := range [][]float64{e.fast, e.slow} {
		r.FloatsInto(v)
		for _, x := range v {
			if !(math.Abs(x) <= maxMagnitude) {
				r.Fail()
			}
		}
	}
}
