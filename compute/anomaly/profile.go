package anomaly

import (
	"math"
	"slices"

	"skerry.dev/compute/state"
)

// profile expects of a series what it was at this time of the period before: the median of the
// values around it in the last periods, so that a few odd days do not move it.
type profile struct {
	period int64 // in the unit of the times
	bins   int   // of a period

	began  bool
	round  int64     // the period of the newest value
	early  int64     // values in a row from periods before it
	means  []float64 // by round%rounds and bin, NaN where there was no value
	counts []float64 // values in the bins of the newest round
	buf    [7 * 5]float64
}

const (
	rounds     = 8  // the newest period and the seven before it
	reachBins  = 2  // bins to each side
	minShifted = 16 // values from earlier periods after which the times are taken as shifted
)

func newProfile(period int64, bins int) profile {
	p := profile{
		period: period,
		bins:   bins,
		means:  make([]float64, rounds*bins),
		counts: make([]float64, bins),
	}
	for i := range p.means {
		p.means[i] = math.NaN()
	}
	return p
}

// update returns what was expected at time t and then takes the value; ok is false while too
// little is known. A time before the period of the newest value is neither answered nor learned,
// until many come in a row: then the clock was wrong before, and all begins anew. It costs a sort
// of 35 numbers.
func (p *profile) update(t int64, v float64) (expected float64, ok bool) {
	round, within := t/p.period, t%p.period
	if within < 0 {
		round, within = round-1, within+p.period
	}
	if !p.began {
		p.began, p.round = true, round
	}
	if round < p.round {
		if p.early++; p.early < minShifted {
			return 0, false
		}
		for b := range p.means { // the clock was wrong before, not now
			p.means[b] = math.NaN()
		}
		clear(p.counts)
		p.round = round
	}
	p.early = 0
	for k := range min(round-p.round, rounds) { // periods without a value are forgotten, too
		row := p.row(p.round + 1 + k)
		for b := range row {
			row[b], p.counts[b] = math.NaN(), 0
		}
	}
	p.round = round
	bin := int(float64(within) / float64(p.period) * float64(p.bins))
	bin = min(bin, p.bins-1)
	near := p.buf[:0]
	for k := int64(1); k < rounds; k++ {
		row := p.row(round - k)
		for j := -reachBins; j <= reachBins; j++ {
			if x := row[(bin+j+p.bins)%p.bins]; !math.IsNaN(x) {
				near = append(near, x)
			}
		}
	}
	row := p.row(round)
	if p.counts[bin]++; p.counts[bin] == 1 {
		row[bin] = v
	} else {
		row[bin] += (v - row[bin]) / p.counts[bin]
	}
	if len(near) < 3 {
		return 0, false
	}
	slices.Sort(near)
	return near[len(near)/2], true
}

// row is where the means of a period are.
func (p *profile) row(round int64) []float64 {
	i := int(((round % rounds) + rounds) % rounds)
	return p.means[i*p.bins : (i+1)*p.bins]
}

func (p *profile) bytes() int { return 8 * (len(p.means) + len(p.counts)) }

func (p *profile) save(w *state.Writer) {
	w.Bool(p.began)
	w.Int(p.round)
	w.Int(p.early)
	w.Floats(p.means)
	w.Floats(p.counts)
}

func (p *profile) load(r *state.Reader) {
	p.began, p.round, p.early = r.Bool(), r.Int(), r.Int()
	r.FloatsInto(p.means)
	r.FloatsInto(p.counts)
	if !counted(p.early) {
		r.Fail()
		p.early = 0
	}
	for i, v := range p.means {
		if !math.IsNaN(v) && !(math.Abs(v) <= maxMagnitude) {
			r.Fail()
			p.means[i] = 0
		}
	}
	for i, v := range p.counts {
		if !(v >= 0 && v <= 1<<53) {
			r.Fail()
			p.counts[i] = 0
		}
	}
}
