package anomaly

import (
	"fmt"
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// Likelihood turns scores into how unlikely their present run is, so that a stream with many high
// scores needs more of them for an alarm than a quiet one: the mean of the last few against the
// distribution of many. After Lavin and Ahmad, "Evaluating Real-time Anomaly Detection
// Algorithms" (ICMLA 2015), on the logarithmic scale of their benchmark.
type Likelihood struct {
	scores  recent
	sum, sq float64 // of the scores that are held
	since   int64   // scores since the sums were taken anew
}

const (
	runLength = 10   // scores in the short mean
	minSpread = 1e-3 // of scores: a detector whose score never changes is not exact
	decades   = 10   // a run as unlikely as 1e-10 has the score 1
)

// NewLikelihood compares with the last window scores, at least 100.
func NewLikelihood(window int) (*Likelihood, error) {
	if window < 100 || window > 1<<20 {
		return nil, fmt.Errorf("anomaly likelihood: window %d: must be 100 to %d scores", window, 1<<20)
	}
	return &Likelihood{scores: newRecent(window)}, nil
}

// Update takes a score between 0 and 1 and returns the log likelihood: 0 for nothing unusual, 0.5
// for a run whose chance is 1e-5, 1 for 1e-10 or less. A NaN is ignored and answered with 0. It
// does not allocate.
func (l *Likelihood) Update(score float64) float64 {
	if math.IsNaN(score) {
		return 0
	}
	score = min(max(score, 0), 1)
	out := 0.0
	if n := l.scores.len(); n >= 100 {
		run := score
		for k := range runLength - 1 {
			run += l.scores.back(k)
		}
		mean := l.sum / float64(n)
		spread := max(math.Sqrt(max(l.sq/float64(n)-float64(mean*mean), 0)), minSpread)
		if z := (run/runLength - mean) / spread; z > 0 {
			out = min(rarity(z)/decades, 1)
		}
		if n == len(l.scores.ring) {
			old := l.scores.back(n - 1)
			l.sum -= old
			l.sq -= float64(old * old)
		}
	}
	l.scores.add(score)
	l.sum += score
	l.sq += float64(score * score)
	// what rounding adds up to is dropped once a round
	if l.since++; l.since >= int64(len(l.scores.ring)) {
		l.since, l.sum, l.sq = 0, 0, 0
		for k := range l.scores.len() {
			v := l.scores.back(k)
			l.sum += v
			l.sq += float64(v * v)
		}
	}
	return out
}

// rarity is -log10 of twice the chance that a normal number exceeds z > 0, by the continued
// fraction of Laplace, which is good to four digits from 1 on and smooth below.
func rarity(z float64) float64 {
	f := z
	for k := 60; k >= 1; k-- {
		f = z + float64(k)/f
	}
	const logRootTau = 0.9189385332046727 // ln √2π
	nats := float64(z*z)/2 + logRootTau + exact.Log(f) - math.Ln2
	return max(nats/math.Ln10, 0)
}

// Save appends the state to a snapshot.
func (l *Likelihood) Save(w *state.Writer) {
	l.scores.save(w)
	w.Float(l.sum)
	w.Float(l.sq)
	w.Int(l.since)
}

// Load restores it into a likelihood with the same window.
func (l *Likelihood) Load(r *state.Reader) {
	l.scores.load(r)
	l.sum, l.sq, l.since = r.Float(), r.Float(), r.Int()
	most := float64(len(l.scores.ring) + 1)
	if !(math.Abs(l.sum) <= most && math.Abs(l.sq) <= most) || !counted(l.since) {
		r.Fail()
		l.sum, l.sq, l.since = 0, 0, 0
	}
	for _, v := range l.scores.ring {
		if !(v >= 0 && v <= 1) {
			r.Fail()
		}
	}
}

func (l *Likelihood) bytes() int { return 8*len(l.scores.ring) + 64 }
