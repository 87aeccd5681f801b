package drift

import (
	"math"

	"skerry.dev/compute/state"
)

// PageHinkley is the test of Page, "Continuous Inspection Schemes", Biometrika 41 (1954), with a
// forgetting factor: it accumulates how far values lie from their mean so far, and reports when
// the sum has moved by more than Threshold from its extreme. It costs a few additions. Use
// NewPageHinkley or NewTwoSidedPageHinkley.
type PageHinkley struct {
	// MinSamples before the first alarm, Delta the tolerated change, Threshold of the cumulative
	// sum (in units of x), Alpha the forgetting factor.
	MinSamples              int64
	Delta, Threshold, Alpha float64
	// Mode defines which changes count and Semantics how the sum is kept: River07 holds it above
	// zero and detects only rises, whatever Mode is; River compares it with its lowest and
	// highest value.
	Mode      Mode
	Semantics Semantics

	n         int64 // of the next value, from 1
	mean, sum float64
	alarmed   bool
	// River semantics only.
	lowest, fall, highest float64
}

// NewPageHinkley returns the one-sided test, which suits errors: 30 samples, delta 0.005,
// threshold 50 and forgetting 0.9999, with the sum held above zero as in river 0.7.0.
func NewPageHinkley() *PageHinkley {
	return &PageHinkley{MinSamples: 30, Delta: 0.005, Threshold: 50, Alpha: 0.9999, Semantics: River07, n: 1}
}

// NewTwoSidedPageHinkley returns the test of river 0.26 with the same figures, which also reports
// falls.
func NewTwoSidedPageHinkley() *PageHinkley {
	p := NewPageHinkley()
	p.Mode, p.Semantics = Both, River
	p.restart()
	return p
}

func (p *PageHinkley) restart() {
	p.n, p.mean, p.sum, p.alarmed = 1, 0, 0, false
	p.lowest, p.fall, p.highest = math.Inf(1), 0, -1 // the reference starts the highest at -1
}

// Update implements Detector.
func (p *PageHinkley) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if p.alarmed {
		p.restart()
	}
	// Every field is read and written once: the next value waits for the last store.
	n, m := p.n, p.mean
	m += float64((1 / float64(n)) * (x - m))
	d := x - m
	p.mean, p.n = m, n+1
	if p.Semantics == River07 {
		sum := float64(p.Alpha*p.sum) + (d - p.Delta)
		if sum < 0 {
			sum = 0
		}
		p.sum = sum
		p.alarmed = sum > p.Threshold && n+1 >= p.MinSamples
		return p.alarmed
	}
	sum := float64(p.Alpha*p.sum) + d - p.Delta
	fall := float64(p.Alpha*p.fall) + d + p.Delta
	p.sum, p.fall = sum, fall
	lowest, highest := p.lowest, p.highest
	if sum < lowest {
		lowest = sum
		p.lowest = sum
	}
	if fall > highest {
		highest = fall
		p.highest = fall
	}
	if (sum-lowest > p.Threshold && p.Mode != Down || highest-fall > p.Threshold && p.Mode != Up) && n >= p.MinSamples {
		p.alarmed = true
		return true
	}
	return false
}

// First takes values as Update does until one is a drift, and returns its position, len(xs) for
// none. It gives the same bits in less time: the sums stay in registers, where Update waits for
// memory between values.
func (p *PageHinkley) First(xs []float64) int {
	for i := 0; i < len(xs); {
		if p.Update(xs[i]) { // also starts anew after a drift
			return i
		}
		i++
		if p.Semantics == River07 {
			i += p.rise(xs[i:])
		} else {
			i += p.change(xs[i:])
		}
	}
	return len(xs)
}

// rise takes values up to the first that would be a drift of River07, which it leaves to Update,
// and returns how many.
func (p *PageHinkley) rise(xs []float64) int {
	n, m, sum := p.n, p.mean, p.sum
	taken := len(xs)
	for i, x := range xs {
		if !usable(x) {
			continue
		}
		m1 := m + float64((1/float64(n))*(x-m))
		s := float64(p.Alpha*sum) + (x - m1 - p.Delta)
		if s > p.Threshold && n+1 >= p.MinSamples {
			taken = i
			break
		}
		if s < 0 {
			s = 0
		}
		n, m, sum = n+1, m1, s
	}
	p.n, p.mean, p.sum = n, m, sum
	return taken
}

// change is rise for River.
func (p *PageHinkley) change(xs []float64) int {
	n, m, sum, fall, lowest, highest := p.n, p.mean, p.sum, p.fall, p.lowest, p.highest
	up, down := p.Threshold, p.Threshold
	if p.Mode == Down {
		up = math.Inf(1)
	}
	if p.Mode == Up {
		down = math.Inf(1)
	}
	taken := len(xs)
	for i, x := range xs {
		if !usable(x) {
			continue
		}
		m1 := m + float64((1/float64(n))*(x-m))
		d := x - m1
		s := float64(p.Alpha*sum) + d - p.Delta
		f := float64(p.Alpha*fall) + d + p.Delta
		if (s-lowest > up || highest-f > down) && n >= p.MinSamples {
			taken = i
			break
		}
		if s < lowest {
			lowest = s
		}
		if f > highest {
			highest = f
		}
		n, m, sum, fall = n+1, m1, s, f
	}
	p.n, p.mean, p.sum, p.fall, p.lowest, p.highest = n, m, sum, fall, lowest, highest
	return taken
}

// Save implements Detector.
func (p *PageHinkley) Save(w *state.Writer) {
	w.Int(p.n)
	w.Float(p.mean)
	w.Float(p.sum)
	w.Bool(p.alarmed)
	if p.Semantics == River {
		w.Float(p.lowest)
		w.Float(p.fall)
		w.Float(p.highest)
	}
}

// Load implements Detector.
func (p *PageHinkley) Load(r *state.Reader) {
	q := *p
	q.n, q.mean, q.sum, q.alarmed = r.Int(), r.Float(), r.Float(), r.Bool()
	if p.Semantics == River {
		q.lowest, q.fall, q.highest = r.Float(), r.Float(), r.Float()
	}
	need(r, q.n >= 1 && counted(q.n) && bounded(q.mean, q.sum, q.fall, q.highest) && !math.IsNaN(q.lowest) && q.lowest > math.Inf(-1))
	if r.Err() == nil {
		*p = q
	}
}
