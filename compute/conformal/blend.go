package conformal

import (
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/metric"
	"skerry.dev/compute/state"
)

// Blend makes intervals in several ways side by side and issues their mean, weighted by how they
// did lately. The first is the plainest of all: a constant half-width, the quantile of the newest
// errors. The others have an [Adaptive] each, and differ in how far half-widths follow what the
// caller expects of a row: not at all, by half, or wholly. Interval scores of the newest labels
// weigh them (Gneiting and Raftery, JASA 102, 2007): where the expectation tells rows apart
// intervals follow it, and where it does not they are constant. It does not allocate after NewBlend
// and is not safe for concurrent use.
type Blend struct {
	level  float64
	makers [Ways - 1]*Adaptive // of the second way and those after it
	cost   [Ways]metric.Trail  // interval scores in units of the typical error
	cover  [Ways]metric.Trail
	errs   *Window // sizes of the newest errors
	// factor of the mean, by what was issued: a mean of intervals covers more than they do
	factor float64
}

// Ways is how many ways a Blend follows.
const Ways = 4

// share is how far each way follows the expectation, as an exponent.
var share = [Ways]float64{0, 0, 0.5, 1}

const (
	costRows    = 4000  // memory of the interval scores and of the coverage
	steep       = 15    // how fast the weight of a way falls with what it costs more, as a share
	dearest     = 100   // the most that one label costs a way, in typical errors
	dear        = 5     // how much more a way costs for each part that it covers too little
	factorStep  = 0.001 // of the logarithm of the factor
	leastFactor = 0.5
	leastOf     = 20 // of the typical half-width: the least that one may be
	mostOf      = 2  // times the largest of the newest errors: the most
)

// NewBlend returns a Blend for the nominal coverage level over windows of n scores, and of twice as
// many errors: a constant width has nothing else to follow, and the longer window costs it 1.5 %
// less on ETTh1 and C-MAPSS and as much on other streams (engine: TestIntervalsOnDomains).
func NewBlend(level float64, n int) *Blend {
	b := &Blend{level: level, errs: NewWindow(2 * n), factor: 1}
	for k := range b.makers {
		b.makers[k] = NewAdaptive(level, n)
	}
	for k := range b.cost {
		b.cost[k].N, b.cover[k].N = costRows, costRows
	}
	return b
}

// Halves are half-widths below and above a prediction.
type Halves struct{ Below, Above float64 }

// Issue is what a Blend needs of a row once its label comes.
type Issue struct {
	Expected Halves // before any factor, what the caller expects of the row
	Typical  float64
	Made     [Ways]Halves // of each way
	Issued   Halves       // their weighted mean
}

// base is the half-widths of way k before its factor.
func (i *Issue) base(k int) Halves {
	floor := i.Typical / leastOf
	follow := func(half float64) float64 {
		half = max(half, floor)
		switch share[k] {
		case 0:
			return i.Typical
		case 1:
			return half
		}
		return exact.Exp(float64(share[k]*exact.Log(half)) + float64((1-share[k])*exact.Log(i.Typical)))
	}
	return Halves{follow(i.Expected.Below), follow(i.Expected.Above)}
}

// Make returns the intervals of a row. expected are the half-widths expected of it, typical is the
// usual size of errors, which must be above 0. With either unknown, or nothing learned yet, there
// are none: ok is false.
func (b *Blend) Make(expected Halves, typical float64) (i Issue, ok bool) {
	i = Issue{Expected: expected, Typical: typical}
	if !(typical > 0) || math.IsInf(typical, 0) || !(expected.Below >= 0) || !(expected.Above >= 0) {
		return i, false
	}
	most := math.Inf(1)
	if b.errs.Len() >= minScores {
		most = mostOf * b.errs.Max()
	}
	for k := range i.Made {
		f, base := 1.0, i.base(k)
		if k > 0 {
			f = b.makers[k-1].Factor(1)
		} else if b.errs.Len() >= minScores {
			f = b.errs.Quantile(b.level) / i.Typical
		}
		i.Made[k] = Halves{min(float64(f*base.Below), most), min(float64(f*base.Above), most)}
	}
	i.Issued = b.mean(&i)
	return i, true
}

// mean weighs the ways by what they cost. The score of an interval is convex in its ends, so their
// mean costs no more than the ways do in the mean.
func (b *Blend) mean(i *Issue) (h Halves) {
	least := math.Inf(1)
	for k := range i.Made {
		least = min(least, b.price(k))
	}
	total := 0.0
	for k := range i.Made {
		w := 1.0
		if least > 0 {
			w = exact.Exp(float64(-steep * (b.price(k)/least - 1)))
		}
		total += w
		h.Below += float64(w * i.Made[k].Below)
		h.Above += float64(w * i.Made[k].Above)
	}
	return Halves{float64(b.factor*h.Below) / total, float64(b.factor*h.Above) / total}
}

// price is what way k has cost lately, more when it covered too little.
func (b *Blend) price(k int) float64 {
	return b.cost[k].Mean() * (1 + dear*max(0, b.level-0.01-b.cover[k].Mean()))
}

// Update takes how far the truth lay above the prediction (below it: negative), and about how many
// rows late labels come.
func (b *Blend) Update(i *Issue, miss, late float64) {
	if math.IsNaN(miss) || !(i.Typical > 0) {
		return
	}
	size := math.Abs(miss)
	b.errs.Add(size)
	step := -factorStep * (1 - b.level)
	if miss < -i.Issued.Below || miss > i.Issued.Above {
		step += factorStep
	}
	b.factor = min(max(float64(b.factor*exact.Exp(step)), leastFactor), 1)
	for k := range i.Made {
		half, base := i.Made[k].Above, i.base(k).Above
		if miss < 0 {
			half, base = i.Made[k].Below, i.base(k).Below
		}
		if k > 0 {
			b.makers[k-1].Update(size/base, size <= half, late)
		}
		if size <= half {
			b.cover[k].Add(1)
		} else {
			b.cover[k].Add(0)
		}
		b.cost[k].Add(min(metric.IntervalScore(-i.Made[k].Below, i.Made[k].Above, miss, b.level)/i.Typical, dearest))
	}
}

// Restart begins the aims anew; scores and errors stay.
func (b *Blend) Restart() {
	b.factor = 1
	for _, m := range b.makers {
		m.Restart()
	}
}

// Save appends the state to a snapshot.
func (b *Blend) Save(w *state.Writer) {
	for _, m := range b.makers {
		m.Save(w)
	}
	for k := range b.cost {
		b.cost[k].Save(w)
		b.cover[k].Save(w)
	}
	b.errs.Save(w)
	w.Float(b.factor)
}

// Load restores it.
func (b *Blend) Load(r *state.Reader) {
	for _, m := range b.makers {
		m.Load(r)
	}
	for k := range b.cost {
		b.cost[k].Load(r)
		b.cover[k].Load(r)
	}
	b.errs.Load(r)
	if b.factor = r.Float(); !(b.factor >= leastFactor && b.factor <= 1) {
		r.Fail()
	}
}

// LoadAdaptive restores the state of one Adaptive, as it was kept before there were Blends: that of
// the way that follows the expectation wholly.
func (b *Blend) LoadAdaptive(r *state.Reader) { b.makers[len(b.makers)-1].Load(r) }
