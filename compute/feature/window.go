package feature

import (
	"math"
	"slices"
)

// group is one window of one series, and the columns that look at it.
type group struct {
	series int
	like   int   // a column that has the window
	plain  []int // mean, std, min and max, which take infinite readings as they are
	own    []int // the others, which do not
	ends   bool  // a plain column needs the least and the greatest reading
	middle bool  // a plain column needs the mean
	ranked bool  // a column needs the readings sorted
	grid   int   // points of the grid of spectra, 0 when no column has one
}

// window is what columns of one group share, and the scratch space to compute it.
type window struct {
	vals   []float64 // the present readings, oldest first
	at     []int     // their rows, counted from the newest
	sorted []float64 // the same readings, ascending
}

// plan sorts the columns into groups and the rest, and makes the scratch space that they need.
func (e *Evaluator) plan() {
	type key struct {
		window       int64
		rows, series int
	}
	seen := map[key]int{}
	for i := range e.p.Columns {
		c := &e.p.Columns[i]
		takes, _ := c.Op.takes()
		pl := &e.places[i]
		pl.window, _ = slices.BinarySearch(e.windows, c.Window)
		pl.lag, _ = slices.BinarySearch(e.lags, c.Lag)
		pl.twice, _ = slices.BinarySearch(e.lags, 2*c.Lag)
		pl.half, _ = slices.BinarySearch(e.halves, c.HalfLife)
		if takes&takesWindow == 0 && takes&takesHalfLife == 0 {
			e.rest = append(e.rest, i)
			continue
		}
		k := key{c.Window, c.Rows, c.Series}
		if _, ok := seen[k]; !ok {
			seen[k] = len(e.groups)
			e.groups = append(e.groups, group{series: c.Series, like: i})
		}
		g := &e.groups[seen[k]]
		switch c.Op {
		case OpMean, OpStd:
			g.plain, g.middle = append(g.plain, i), true
			continue
		case OpMin, OpMax:
			g.plain, g.ends = append(g.plain, i), true
			continue
		case OpMedian, OpQuantile, OpSpike:
			g.ranked = true
		case OpBandPower:
			pl.low, pl.high = e.p.bins(c)
		}
		if takes&takesGrid != 0 {
			g.grid = int(e.p.points(c))
			if e.spectrum == nil {
				e.spectrum = new(spectrum)
			}
			e.spectrum.prepare(g.grid)
		}
		if takes&(takesGrid|takesHalfLife) != 0 || c.Op == OpSlope {
			e.age = make([]float64, MaxLookback)
		}
		g.own = append(g.own, i)
	}
	if len(e.groups) > 0 {
		e.window = window{make([]float64, MaxLookback), make([]int, MaxLookback), make([]float64, MaxLookback)}
	}
}

// evaluate computes the columns of a group.
func (e *Evaluator) evaluate(dst []float64, g *group, h *History, back, limit int, row []float64) {
	rows := e.extent(g.like, limit)
	n := h.gather(e.vals, e.at, back, rows, g.series)
	if len(g.plain) > 0 {
		e.plain(dst, g, e.vals[:n])
	}
	if len(g.own) == 0 {
		return
	}
	n = e.dropInfinite(n)
	vals, at := e.vals[:n], e.at[:n]
	var median float64
	if g.ranked {
		copy(e.sorted, vals)
		slices.Sort(e.sorted[:n])
		median = Quantile(e.sorted[:n], 0.5)
	}
	varies := g.grid > 0 && e.spectrum.compute(vals, at, e.age, g.grid, float64(e.p.Distance))
	for _, i := range g.own {
		c := &e.p.Columns[i]
		var v float64
		switch c.Op {
		case OpRange:
			lo, hi := ends(vals)
			v = hi - lo // not finite when there is nothing
		case OpCount:
			v = float64(n)
		case OpSlope:
			v = slope(vals, at, e.age)
		case OpMedian:
			v = median
		case OpQuantile:
			v = Quantile(e.sorted[:n], c.Level)
		case OpCrossings:
			v = crossings(vals)
		case OpEnergy:
			v = energy(vals)
		case OpEWMean, OpEWStd:
			v = weighted(c.Op, vals, at, e.weight[e.places[i].half*MaxLookback:])
		case OpStuck:
			v = stuck(vals, h, back, rows, limit, g.series)
		case OpSpike:
			v = e.spike(row[g.series], median, c.Limit, n)
		case OpBandPower:
			v = e.spectrum.band(varies, e.places[i])
		default: // OpDominant
			v = math.NaN()
			if k := e.spectrum.strongest(varies); k > 0 {
				v = e.p.frequency(c, k)
			}
		}
		e.store(dst, i, clean(v))
	}
}

// dropInfinite drops the infinite among the first n readings and returns how many are left.
func (w *window) dropInfinite(n int) int {
	left := 0
	for k, v := range w.vals[:n] {
		if finite(v) {
			w.vals[left], w.at[left] = v, w.at[k]
			left++
		}
	}
	return left
}

// plain runs over the window from its oldest row to the newest, so that sums round the same way
// everywhere. Products are converted before they are added: the compiler must not fuse them on
// architectures that have FMA.
func (e *Evaluator) plain(dst []float64, g *group, vals []float64) {
	nan := math.NaN()
	lo, hi, level, deviation := nan, nan, nan, nan
	if g.middle && len(vals) > 0 {
		level, deviation = mean(vals), -1 // to be computed
	}
	if g.ends && len(vals) > 0 {
		lo, hi = ends(vals)
	}
	for _, i := range g.plain {
		v := level
		switch e.p.Columns[i].Op {
		case OpMin:
			v = lo
		case OpMax:
			v = hi
		case OpStd:
			if deviation < 0 {
				var ss float64
				for _, v := range vals {
					d := v - level
					ss += float64(d * d)
				}
				deviation = math.Sqrt(ss / float64(len(vals)))
			}
			v = deviation
		}
		e.store(dst, i, v)
	}
}
