package forecast

import (
	"math"
	"slices"

	"skerry.dev/compute/state"
)

// panel mixes the forecasts of several models. Several times per horizon each makes a trial
// forecast, which is compared with what follows; the weight of a model depends on the mean
// absolute error of its recent trials.
type panel struct {
	members []model
	horizon int
	every   int // rows between trials
	power   int // of the errors' inverse that is the weight
	loss    []float64
	n       float64 // trials that ended
	w       []float64
	trials  []trial
	next    int // rows until the next trial
	one     []float64
}

// trial is a forecast of each member that waits for what it foresaw.
type trial struct {
	said []float64 // horizon numbers of each member
	sum  []float64 // of absolute errors
	age  int       // values that came since, the horizon when it is over
	met  float64   // of these, not missing
}

const (
	parallelTrials = 4    // trials at a time
	trialsKept     = 40.0 // memory of the errors, in trials
)

func newPanel(members []model, horizon, power int) *panel {
	p := &panel{
		members: members,
		horizon: horizon,
		every:   max(1, horizon/parallelTrials),
		power:   power,
		loss:    make([]float64, len(members)),
		w:       make([]float64, len(members)),
		one:     make([]float64, horizon),
	}
	p.trials = make([]trial, (horizon+p.every-1)/p.every)
	for k := range p.trials {
		p.trials[k] = trial{
			said: make([]float64, horizon*len(members)),
			sum:  make([]float64, len(members)),
			age:  horizon,
		}
	}
	p.weigh()
	return p
}

func (p *panel) learn(h *history, filled bool) {
	v := h.values()
	y := v[len(v)-1]
	for k := range p.trials {
		if p.trials[k].age < p.horizon {
			p.score(&p.trials[k], y, filled, h)
		}
	}
	for _, m := range p.members {
		m.learn(h, filled)
	}
	if p.next--; p.next <= 0 {
		p.next = p.every
		p.start(h)
	}
}

func (p *panel) score(t *trial, y float64, filled bool, h *history) {
	if !filled {
		t.met++
		for m := range p.members {
			t.sum[m] += min(math.Abs(y-t.said[m*p.horizon+t.age]), maxMagnitude)
		}
	}
	if t.age++; t.age < p.horizon || t.met == 0 {
		return
	}
	p.n = min(p.n+1, trialsKept)
	lo, hi := h.span()
	for m, sum := range t.sum {
		p.loss[m] += (sum/t.met - p.loss[m]) / p.n
	}
	// errors beyond the span of the values are of a burst of nonsense, or of another unit, that
	// has left them, or of a sensor that is stuck: the next trial counts alone
	if slices.Max(p.loss) > hi-lo {
		p.n = 0
		for m, l := range p.loss {
			p.loss[m] = min(l, hi-lo)
		}
	}
	p.weigh()
}

// start begins a trial in the place of one that is over. A member that lost its way is built anew.
func (p *panel) start(h *history) {
	for k := range p.trials {
		t := &p.trials[k]
		if t.age < p.horizon {
			continue
		}
		lo, hi := h.around(rebuildSpans)
		for m, member := range p.members {
			said := t.said[m*p.horizon : (m+1)*p.horizon]
			if member.forecast(said, h); !(slices.Min(said) >= lo && slices.Max(said) <= hi) {
				member.rebuild(h)
				member.forecast(said, h)
			}
		}
		clear(t.sum)
		t.age, t.met = 0, 0
		return
	}
}

// weigh sets the weights: the errors' inverse to a power, by products only.
func (p *panel) weigh() {
	best := p.loss[0]
	for _, l := range p.loss {
		best = min(best, l)
	}
	sum := 0.0
	for m, l := range p.loss {
		p.w[m] = 1
		if l > 0 {
			q := best / l
			for range p.power {
				p.w[m] = float64(p.w[m] * q)
			}
		}
		sum += p.w[m]
	}
	for m := range p.w {
		p.w[m] /= sum
	}
}

func (p *panel) forecast(dst []float64, h *history) {
	clear(dst)
	one := p.one[:len(dst)]
	for m, member := range p.members {
		if p.w[m] < minWeight {
			continue
		}
		member.forecast(one, h)
		for k, y := range one {
			dst[k] += float64(p.w[m] * y)
		}
	}
}

// minWeight is what a member must have to predict.
const minWeight = 1e-3

func (p *panel) rebuild(h *history) {
	for _, m := range p.members {
		m.rebuild(h)
	}
	clear(p.loss)
	p.n, p.next = 0, 0
	for k := range p.trials {
		p.trials[k].age = p.horizon
	}
	p.weigh()
}

func (p *panel) bytes() int {
	n := 8 * (2*len(p.members) + p.horizon + len(p.trials)*(4+len(p.members)*(p.horizon+1)))
	for _, m := range p.members {
		n += m.bytes()
	}
	return n
}

func (p *panel) save(w *state.Writer) {
	w.Floats(p.loss)
	w.Float(p.n)
	w.Int(int64(p.next))
	for k := range p.trials {
		t := &p.trials[k]
		w.Int(int64(t.age))
		w.Float(t.met)
		w.Floats(t.said)
		w.Floats(t.sum)
	}
	for _, m := range p.members {
		m.save(w)
	}
}

func (p *panel) load(r *state.Reader) {
	loadAll(r, p.loss, maxState)
	for _, l := range p.loss {
		if l < 0 {
			r.Fail()
		}
	}
	p.n = loadWithin(r, 0, trialsKept)
	p.next = loadInt(r, 0, p.every)
	for k := range p.trials {
		t := &p.trials[k]
		t.age, t.met = loadInt(r, 0, p.horizon), loadWithin(r, 0, float64(p.horizon))
		loadAll(r, t.said, maxState)
		loadAll(r, t.sum, maxState)
		for _, sum := range t.sum {
			if sum < 0 {
				r.Fail()
			}
		}
	}
	for _, m := range p.members {
		m.load(r)
	}
	p.weigh()
}
