package drift

import "skerry.dev/compute/state"

// PageHinkley is the one-sided test of Page, "Continuous Inspection Schemes", Biometrika 41 (1954), with a forgetting factor: it reports when the
// mean rises. Use NewPageHinkley.
type PageHinkley struct {
	// MinSamples before the first alarm, Delta the tolerated rise, Threshold of the cumulative sum (in units of x), Alpha the forgetting factor.
	MinSamples              int64
	Delta, Threshold, Alpha float64

	n         int64
	mean, sum float64
	alarmed   bool
}

// NewPageHinkley returns a detector with 30 samples, delta 0.005, threshold 50 and forgetting 0.9999.
func NewPageHinkley() *PageHinkley {
	return &PageHinkley{MinSamples: 30, Delta: 0.005, Threshold: 50, Alpha: 0.9999, n: 1}
}

// Update implements Detector. It costs a few additions.
func (p *PageHinkley) Update(x float64) bool {
	if x != x {
		return false
	}
	if p.alarmed {
		p.n, p.mean, p.sum, p.alarmed = 1, 0, 0, false
	}
	p.mean += (x - p.mean) / float64(p.n)
	p.sum = max(0, float64(p.Alpha*p.sum)+(x-p.mean-p.Delta))
	p.n++
	p.alarmed = p.n >= p.MinSamples && p.sum > p.Threshold
	return p.alarmed
}

// Save implements Detector.
func (p *PageHinkley) Save(w *state.Writer) {
	w.Int(p.n)
	w.Float(p.mean)
	w.Float(p.sum)
	w.Bool(p.alarmed)
}

// Load implements Detector.
func (p *PageHinkley) Load(r *state.Reader) {
	p.n, p.mean, p.sum, p.alarmed = r.Int(), r.Float(), r.Float(), r.Bool()
}
