// Package conformal keeps prediction intervals honest on a stream that drifts: adaptive conformal
// inference (Gibbs and Candès, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS
// 2021) with steps of several sizes side by side (DtACI: the same, "Conformal Inference for Online
// Prediction with Arbitrary Distribution Shifts", JMLR 25, 2024).
//
// The caller turns an error into a score (how many half-widths the truth lay away) and multiplies
// its half-widths by [Adaptive.Factor].
package conformal

import (
	"math"
	"slices"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// Window holds the newest values of a stream in arrival and in sorted order, for quantiles.
// Adding costs O(n) moves.
type Window struct {
	ring   []float64 // the oldest at start
	sorted []float64
	start  int
}

// NewWindow returns a window over the newest n values.
func NewWindow(n int) *Window {
	return &Window{ring: make([]float64, n), sorted: make([]float64, 0, n)}
}

// Len returns the number of values held.
func (w *Window) Len() int { return len(w.sorted) }

// Reset forgets everything.
func (w *Window) Reset() { w.sorted, w.start = w.sorted[:0], 0 }

// Add takes a value; the oldest leaves when the window is full. NaN is ignored.
func (w *Window) Add(x float64) {
	if !math.IsNaN(x) {
		w.keep(len(w.ring) - 1)
		w.ring[(w.start+len(w.sorted))%len(w.ring)] = x
		i, _ := slices.BinarySearch(w.sorted, x)
		w.sorted = slices.Insert(w.sorted, i, x)
	}
}

// keep drops the oldest values until n are left.
func (w *Window) keep(n int) {
	for len(w.sorted) > n {
		i, _ := slices.BinarySearch(w.sorted, w.ring[w.start])
		w.sorted = slices.Delete(w.sorted, i, i+1)
		w.start = (w.start + 1) % len(w.ring)
	}
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

// above returns the share of the values, and of x itself, that are at least x; NaN when there are
// too few.
func (w *Window) above(x float64) float64 {
	n := len(w.sorted)
	if n < minScores {
		return math.NaN()
	}
	i, _ := slices.BinarySearch(w.sorted, x)
	return float64(n-i+1) / float64(n+1)
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
	s.Int(int64(len(w.sorted)))
	for i := range w.sorted {
		s.Float(w.ring[(w.start+i)%len(w.ring)])
	}
}

// Load restores it.
func (w *Window) Load(r *state.Reader) {
	n := r.Len(8)
	if n > len(w.ring) {
		r.Fail()
		return
	}
	w.Reset()
	for range n {
		x := r.Float()
		if math.IsNaN(x) {
			r.Fail()
		}
		w.Add(x)
	}
}

// Adaptive tracks the miscoverage it must aim for so that the long-run miscoverage is 1 - Level,
// whatever the stream does. Trackers with steps from small to large each follow their own aim;
// their weights follow how well each would have covered, and an outer tracker sees to what was in
// fact issued. It does not allocate after NewAdaptive and is not safe for concurrent use.
type Adaptive struct {
	level  float64
	alpha  [len(gammas)]float64 // aims, may leave [0, 1]
	weight [len(gammas)]float64
	outer  float64 // added to the mean aim
	rows   int     // scores kept while labels come at once
	scores *Window
}

// gammas are the steps of the trackers. With η and σ as the paper chooses them for changes every
// 500 rows.
var gammas = [...]float64{0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128}

const (
	outerGamma = 0.005
	etaTop     = 2.7
	sigma      = 1.0 / 1000
	// of the step times the rows that labels are late: beyond about 1 trackers would swing
	stepTimesLate  = 0.25
	lateScores     = 8 // more scores in the window for each row that labels are late
	maxScoreFactor = 4 // times the window at most
	minAim         = 0.01
	widenBelowAim  = -0.2
)

// NewAdaptive returns a tracker for the nominal coverage level over a window of n scores, and up
// to four times as many when labels come late: the newest scores are old then, and what
// was long usual describes the present better.
func NewAdaptive(level float64, n int) *Adaptive {
	a := &Adaptive{level: level, rows: n, scores: NewWindow(maxScoreFactor * n)}
	a.Restart()
	return a
}

// minScores is how many scores Factor needs.
const minScores = 20

// aim is the miscoverage that the next interval is made for; it may leave [0, 1].
func (a *Adaptive) aim() float64 {
	s := a.outer
	for k, w := range a.weight {
		s += float64(w * a.alpha[k])
	}
	return s
}

// Factor returns what half-widths must be multiplied by: a quantile of the recent scores. Before
// 20 scores are known it returns fallback.
//
// Where the paper requires an infinite interval, at an aim of 0 or less, this is the quantile for
// an aim of 0.01: the farthest of the recent scores is an outlier as a rule, and intervals as
// wide as that cover no more of what comes. Only when the aim lies below -0.2, because errors go
// on growing beyond all before, it is the largest score and up to twice as much.
func (a *Adaptive) Factor(fallback float64) float64 {
	if a.scores.Len() < minScores {
		return fallback
	}
	aim := a.aim()
	if aim < widenBelowAim {
		return float64(a.scores.Max() * (1 + min(1, 10*(widenBelowAim-aim))))
	}
	return a.scores.Quantile(1 - min(max(aim, minAim), 1))
}

// Update takes the score of a matured prediction, whether its issued interval covered the truth,
// and about how many rows late labels come.
func (a *Adaptive) Update(score float64, covered bool, late float64) {
	if math.IsNaN(score) {
		return
	}
	miss, most := 1-a.level, stepTimesLate/(1+max(late, 0))
	if beta := a.scores.above(score); !math.IsNaN(beta) {
		sum := 0.0
		for k := range a.alpha {
			off := beta - a.alpha[k]
			a.weight[k] = float64(a.weight[k] * exact.Exp(float64(-etaTop*(float64(miss*off)-min(0, off)))))
			sum += a.weight[k]
		}
		for k, g := range gammas {
			a.weight[k] = float64((1-sigma)*(a.weight[k]/sum)) + sigma/float64(len(gammas))
			err := 0.0
			if beta < a.alpha[k] {
				err = 1
			}
			a.alpha[k] = min(max(a.alpha[k]+float64(min(g, most)*(miss-err)), -1), 2)
		}
	}
	err := 1.0
	if covered {
		err = 0
	}
	a.outer = min(max(a.outer+float64(min(outerGamma, most)*(miss-err)), -1), 1)
	a.scores.keep(min(a.rows+int(min(lateScores*max(late, 0), 1e9)), maxScoreFactor*a.rows) - 1)
	a.scores.Add(score)
}

// Warm replaces the scores, for example by those of a new model on recent rows, and keeps the aims.
func (a *Adaptive) Warm(scores []float64) {
	a.scores.Reset()
	for _, s := range scores {
		a.scores.Add(s)
	}
}

// Restart begins anew with the aim; the scores stay.
func (a *Adaptive) Restart() {
	for k := range gammas {
		a.alpha[k], a.weight[k] = 1-a.level, 1.0/float64(len(gammas))
	}
	a.outer = 0
}

// Save appends the state to a snapshot.
func (a *Adaptive) Save(w *state.Writer) {
	w.Floats(a.alpha[:])
	w.Floats(a.weight[:])
	w.Float(a.outer)
	a.scores.Save(w)
}

// Load restores it.
func (a *Adaptive) Load(r *state.Reader) {
	r.FloatsInto(a.alpha[:])
	r.FloatsInto(a.weight[:])
	a.outer = r.Float()
	sum := 0.0
	for k, w := range a.weight {
		if sum += w; !(w >= 0 && w <= 1 && math.Abs(a.alpha[k]) <= 2) {
			r.Fail()
		}
	}
	if !(math.Abs(sum-1) < 1e-6 && math.Abs(a.outer) <= 1) {
		r.Fail()
	}
	a.scores.Load(r)
}
