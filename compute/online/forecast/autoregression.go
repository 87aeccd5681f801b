package forecast

import (
	"math"
	"slices"

	"skerry.dev/compute/state"
)

// autoregression explains the change against one season ago by such changes before it, with
// recursive least squares that forget (Haykin, "Adaptive Filter Theory", 4th ed., section 9.3).
// Further values are predicted one after the other, each from those before it.
//
// Changes are divided by their mean size, so that quiet and restless times count alike and a wild
// one is cut to cutChanges. The guards of the filter: it forgets only while its covariance is
// bounded (without excitation it would blow up), and starts anew when rounding left a variance
// that is not positive.
type autoregression struct {
	season int
	lags   []int // of the changes, ascending
	forget float64
	size   float64   // mean absolute change
	n      float64   // changes seen
	w      []float64 // coefficients
	cov    []float64 // the filter's covariance, len(lags)² numbers
	x, g   []float64 // scratch: a row, and the gain
	tail   []float64 // scratch: the values that forecasts go on from
}

const (
	cutChanges = 6.0
	firstCov   = 1
	maxCov     = 1e4 // trace beyond which nothing is forgotten
	changeRows = 500.0
)

// newAutoregression makes one for the season whose changes it works on and all seasons, whose
// neighbourhoods are its lags.
func newAutoregression(season int, seasons []int, forget float64, horizon int) *autoregression {
	a := &autoregression{season: season, forget: forget, lags: []int{1, 2, 3, 4}}
	for _, m := range seasons {
		a.lags = append(a.lags, m-1, m, m+1)
	}
	if len(seasons) > 0 {
		a.lags = append(a.lags, 2*seasons[0], 3*seasons[0])
	}
	slices.Sort(a.lags)
	a.lags = slices.Compact(a.lags)
	if a.lags[0] == 0 {
		a.lags = a.lags[1:]
	}
	n := len(a.lags)
	a.w, a.cov, a.x, a.g = make([]float64, n), make([]float64, n*n), make([]float64, n), make([]float64, n)
	a.tail = make([]float64, a.reach()+horizon)
	a.clear()
	return a
}

// reach is how many values a forecast looks back on.
func (a *autoregression) reach() int { return a.season + a.lags[len(a.lags)-1] }

func (a *autoregression) clear() {
	a.size, a.n = 0, 0
	clear(a.w)
	a.prior()
}

func (a *autoregression) prior() {
	clear(a.cov)
	for i := range a.lags {
		a.cov[i*len(a.lags)+i] = firstCov
	}
}

func (a *autoregression) rebuild(h *history) {
	a.clear()
	v := h.values()
	for i := 1; i <= len(v); i++ {
		a.see(v[:i], false)
	}
}

func (a *autoregression) learn(h *history, filled bool) {
	// no change within the values kept is so large: nonsense has left them, or a sensor is stuck,
	// so that the size is found and the coefficients are moved as at the beginning
	if lo, hi := h.span(); a.size > hi-lo {
		if hi > lo && a.size > float64(missingSpans*(hi-lo)) {
			clear(a.w)
		}
		a.size, a.n = hi-lo, 0
		a.prior()
	}
	a.see(h.values(), filled)
}

// see takes the last of v.
func (a *autoregression) see(v []float64, filled bool) {
	if filled || len(v) <= a.season {
		return
	}
	change := v[len(v)-1] - v[len(v)-1-a.season]
	if len(v) > a.reach() && a.size > 0 {
		a.row(v[:len(v)-1])
		a.filter(min(max(change/a.size, -cutChanges), cutChanges))
	}
	a.n = min(a.n+1, changeRows)
	a.size += (math.Abs(change) - a.size) / a.n
}

// row fills x with the changes that explain the value after v, in units of their size.
func (a *autoregression) row(v []float64) {
	for i, lag := range a.lags {
		c := (v[len(v)-lag] - v[len(v)-lag-a.season]) / a.size
		a.x[i] = min(max(c, -cutChanges), cutChanges)
	}
}

func (a *autoregression) filter(y float64) {
	n := len(a.lags)
	q, e, trace := 1.0, y, 0.0
	for i := range n {
		sum := 0.0
		for j, x := range a.x {
			sum += float64(a.cov[i*n+j] * x)
		}
		a.g[i] = sum
		q += float64(sum * a.x[i])
		e -= float64(a.w[i] * a.x[i])
		trace += a.cov[i*n+i]
	}
	forget := a.forget
	if trace > maxCov {
		forget = 1
	}
	q += forget - 1
	if !(q > 0) {
		a.prior()
		return
	}
	for i := range n {
		a.w[i] = min(max(a.w[i]+float64(a.g[i]*e)/q, -maxCoefficient), maxCoefficient)
		for j := i; j < n; j++ {
			c := (a.cov[i*n+j] - float64(a.g[i]*a.g[j])/q) / forget
			a.cov[i*n+j], a.cov[j*n+i] = c, c
		}
		if !(a.cov[i*n+i] > 0) {
			a.prior()
			return
		}
	}
}

// maxCoefficient bounds the coefficients: a stable filter on changes has none so large.
const maxCoefficient = 10.0

func (a *autoregression) forecast(dst []float64, h *history) {
	v := h.values()
	if len(v) < a.reach()+1 || a.size == 0 {
		h.repeat(dst, a.season)
		return
	}
	lo, hi := h.around(1)
	reach := a.reach()
	copy(a.tail, v[len(v)-reach:])
	for k := range dst {
		t := a.tail[:reach+k]
		a.row(t)
		sum := 0.0
		for i, x := range a.x {
			sum += float64(a.w[i] * x)
		}
		y := t[len(t)-a.season] + float64(sum*a.size)
		dst[k] = min(max(y, lo), hi)
		a.tail[reach+k] = dst[k]
	}
}

func (a *autoregression) bytes() int { return 8 * (8 + 4*len(a.lags) + len(a.cov) + len(a.tail)) }

func (a *autoregression) save(w *state.Writer) {
	w.Float(a.size)
	w.Float(a.n)
	w.Floats(a.w)
	w.Floats(a.cov)
}

func (a *autoregression) load(r *state.Reader) {
	a.size, a.n = loadWithin(r, 0, maxState), loadWithin(r, 0, changeRows)
	loadAll(r, a.w, maxCoefficient)
	loadAll(r, a.cov, 2*maxCov)
	for i := range a.lags {
		if !(a.cov[i*len(a.lags)+i] > 0) {
			r.Fail()
		}
	}
}
