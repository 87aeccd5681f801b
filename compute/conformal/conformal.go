// Package conformal keeps prediction intervals honest on a stream that drifts: adaptive conformal inference after Gibbs and Candès, "Adaptive Conformal Inference
// Under Distribution Shift", NeurIPS 2021.
//
// The caller turns an error into a score (how many half-widths the truth lay away) and multiplies its half-widths by [Adaptive.Factor].
package conformal

import (
	"math"
	"slices"

	"skerry.dev/compute/state"
)

// Window holds the newest values of a stream in arrival and in sorted order, for quantiles. Adding costs O(n) moves.
type Window struct {
	ring, sorted []float64
	next         int
}

// NewWindow returns a window over the newest n values.
func NewWindow(n int) *Window {
	return &Window{ring: make([]float64, 0, n), sorted: make([]float64, 0, n)}
}

// Len returns the number of values held.
func (w *Window) Len() int { return len(w.ring) }

// Reset forgets everything.
func (w *Window) Reset() { w.ring, w.sorted, w.next = w.ring[:0], w.sorted[:0], 0 }

// Add takes a value; the oldest leaves when the window is full. NaN is ignored.
func (w *Window) Add(x float64) {
	if x != x {
		return
	}
	if len(w.ring) < cap(w.ring) {
		w.ring = append(w.ring, x)
	} else {
		old := w.ring[w.next]
		w.ring[w.next] = x
		w.next = (w.next + 1) % len(w.ring)
		i, _ := slices.BinarySearch(w.sorted, old)
		w.sorted = slices.Delete(w.sorted, i, i+1)
	}
	i, _ := slices.BinarySearch(w.sorted, x)
	w.sorted = slices.Insert(w.sorted, i, x)
}

// Quantile returns the value at probability p in [0, 1] by linear interpolation, NaN when empty.
func (w *Window) Quantile(p float64) float64 {
	if len(w.sorted) == 0 {
		return math.NaN()
	}
	at := p * float64(len(w.sorted)-1)
	i := int(min(max(at, 0), float64(len(w.sorted)-1)))
	if i+1 >= len(w.sorted) {
		return w.sorted[i]
	}
	return w.sorted[i] + float64((w.sorted[i+1]-w.sorted[i])*(at-float64(i)))
}

// Max returns the largest value held, NaN when empty.
func (w *Window) Max() float64 {
	if len(w.sorted) == 0 {
		return math.NaN()
	}
	return w.sorted[len(w.sorted)-1]
}

// Save appends the window to a snapshot.
func (w *Window) Save(s *state.Writer) {
	s.Floats(w.ring)
	s.Int(int64(w.next))
}

// Load restores it.
func (w *Window) Load(r *state.Reader) {
	v := r.Floats()
	next := r.Int()
	if len(v) > cap(w.ring) || next < 0 || next > int64(len(v)) || slices.ContainsFunc(v, math.IsNaN) {
		r.Fail()
		return
	}
	w.ring = append(w.ring[:0], v...)
	w.sorted = append(w.sorted[:0], v...)
	slices.Sort(w.sorted)
	w.next = int(next)
	if len(w.ring) > 0 {
		w.next %= len(w.ring)
	}
}

// Adaptive tracks the miscoverage it must aim for so that the long-run miscoverage is 1 - Level, whatever the stream does.
type Adaptive struct {
	level, gamma float64
	alpha        float64 // current target miscoverage α_t, may leave [0, 1]
	scores       *Window
}

// NewAdaptive returns a tracker for the nominal coverage level, with step gamma (0.01 when 0) over a window of n scores.
func NewAdaptive(level, gamma float64, n int) *Adaptive {
	if gamma == 0 {
		gamma = 0.01
	}
	return &Adaptive{level: level, gamma: gamma, alpha: 1 - level, scores: NewWindow(n)}
}

// minScores is how many scores must be known before Factor trusts them.
const minScores = 20

// Factor returns what half-widths must be multiplied by: the 1-α_t quantile of the recent scores. Before 20 scores are known it returns fallback. When α_t ≤ 0 the paper
// asks for an infinite interval; here it is twice the largest score, which α_t then keeps widening through the scores themselves.
func (a *Adaptive) Factor(fallback float64) float64 {
	if a.scores.Len() < minScores {
		return fallback
	}
	if a.alpha <= 0 {
		return 2 * a.scores.Max()
	}
	return a.scores.Quantile(1 - min(a.alpha, 1))
}

// Update takes the score of a matured prediction and whether its issued interval covered the truth.
func (a *Adaptive) Update(score float64, covered bool) {
	miss := 1.0
	if covered {
		miss = 0
	}
	a.alpha += float64(a.gamma * ((1 - a.level) - miss))
	a.scores.Add(score)
}

// Warm replaces the scores, for example by those of a new model on recent rows, and keeps α_t.
func (a *Adaptive) Warm(scores []float64) {
	a.scores.Reset()
	for _, s := range scores {
		a.scores.Add(s)
	}
}

// Save appends the state to a snapshot.
func (a *Adaptive) Save(w *state.Writer) {
	w.Float(a.alpha)
	a.scores.Save(w)
}

// Load restores it.
func (a *Adaptive) Load(r *state.Reader) {
	a.alpha = r.Float()
	a.scores.Load(r)
}
