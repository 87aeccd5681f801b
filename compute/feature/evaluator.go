package feature

import (
	"fmt"
	"math"
	"slices"
)

// Evaluator computes a pipeline's columns. It keeps scratch space, so each goroutine needs its own.
type Evaluator struct {
	p       *Pipeline
	lags    []int64   // distinct lags, ascending
	lagRow  []int     // row found for each lag, -1 when none
	windows []int64   // distinct windows, ascending
	winRows []int     // number of rows in each window
	places  []place   // by column
	groups  []group   // windows of a series and the columns that share them
	rest    []int     // the other columns, in order: they may need earlier ones
	halves  []int64   // distinct half-lives, ascending
	weight  []float64 // by half-life, MaxLookback weights of rows, the newest first
	age     []float64 // of rows, in microseconds, the newest first; nil when no column needs it

	window
	*spectrum
	*modules // nil without
}

// place records where a column finds what was computed for several.
type place struct {
	// indices into windows, lags, lags again for twice the lag, and halves
	window, lag, twice, half int
	low, high                int // a band: the first frequency and the one after the last
}

// NewEvaluator checks the pipeline and prepares it.
func NewEvaluator(p *Pipeline) (*Evaluator, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	e := &Evaluator{p: p, places: make([]place, len(p.Columns))}
	for i := range p.Columns {
		c := &p.Columns[i]
		if c.lagged() && c.Lag > 0 {
			e.lags = append(e.lags, c.Lag)
			if c.Op == OpDiff2 {
				e.lags = append(e.lags, 2*c.Lag)
			}
		}
		if c.Window > 0 {
			e.windows = append(e.windows, c.Window)
		}
		if c.HalfLife > 0 {
			e.halves = append(e.halves, c.HalfLife)
		}
	}
	for _, s := range []*[]int64{&e.lags, &e.windows, &e.halves} {
		slices.Sort(*s)
		*s = slices.Compact(*s)
	}
	e.lagRow, e.winRows = make([]int, len(e.lags)), make([]int, len(e.windows))
	e.weight = make([]float64, len(e.halves)*MaxLookback)
	e.plan()
	var err error
	if e.modules, err = bind(p); err != nil {
		return nil, err
	}
	return e, nil
}

// lagged reports whether the column's Lag counts.
func (c *Column) lagged() bool {
	takes, _ := c.Op.takes()
	return takes&takesLag != 0
}

// Pipeline returns the pipeline it evaluates.
func (e *Evaluator) Pipeline() *Pipeline { return e.p }

// Into writes the columns of h's newest row into dst. len(dst) is Width and h has at least one
// row as wide as the inputs. Missing results are NaN unless the column imputes. It does not
// allocate, but what calls of modules do; its cost is that of visiting each window once per
// series.
func (e *Evaluator) Into(dst []float64, h *History) error { return e.IntoAt(dst, h, 0) }

// IntoAt is Into for the row back rows before the newest, as if the rows after it had not come.
func (e *Evaluator) IntoAt(dst []float64, h *History, back int) error {
	if len(dst) != len(e.p.Columns) || h.Width() != len(e.p.Inputs) || back < 0 || back >= h.Len() {
		return fmt.Errorf("feature: %d columns, rows of %d, row %d of %d: want %d columns and rows of %d",
			len(dst), h.Width(), back, h.Len(), len(e.p.Columns), len(e.p.Inputs))
	}
	now := h.Time(back)
	limit := min(h.Len()-back, e.p.Rows)
	e.locate(h, back, now, limit)
	row := h.Row(back)
	for k := range e.groups {
		e.evaluate(dst, &e.groups[k], h, back, limit, row)
	}
	for _, i := range e.rest {
		c := &e.p.Columns[i]
		e.store(dst, i, e.column(i, c, h, back, limit, row, now, dst))
	}
	return nil
}

// store imputes, centres and scales a column's value.
func (e *Evaluator) store(dst []float64, i int, v float64) {
	c := &e.p.Columns[i]
	if math.IsNaN(v) && c.Impute != nil {
		v = *c.Impute
	}
	v -= c.Center
	if c.Scale != 0 {
		v /= c.Scale
	}
	dst[i] = v
}

// locate finds, once for all columns, the row of every lag and the size of every window, and the
// ages and weights of rows.
func (e *Evaluator) locate(h *History, back int, now int64, limit int) {
	r := 0
	for i, lag := range e.lags {
		for r < limit && now-h.Time(back+r) < lag {
			r++
		}
		e.lagRow[i] = -1
		if r < limit && now-h.Time(back+r) <= lag+e.p.Tolerance {
			e.lagRow[i] = back + r
		}
	}
	r = 0
	for i, w := range e.windows {
		for r < limit && now-h.Time(back+r) < w {
			r++
		}
		e.winRows[i] = r
	}
	if e.age == nil {
		return
	}
	for r := range limit {
		e.age[r] = float64(now - h.Time(back+r))
	}
	for k, half := range e.halves {
		weigh(e.weight[k*MaxLookback:][:limit], e.age, half)
	}
}

// extent returns how many rows a column's window holds, the look-back when it has none.
func (e *Evaluator) extent(i, limit int) int {
	c := &e.p.Columns[i]
	switch {
	case c.Window > 0:
		return e.winRows[e.places[i].window]
	case c.Rows > 0:
		return min(c.Rows, limit)
	}
	return limit
}

// column computes a column outside of windows. columns holds those before it.
func (e *Evaluator) column(i int, c *Column, h *History, back, limit int, row []float64, now int64, columns []float64) float64 {
	switch c.Op {
	case OpValue:
		return row[c.Series]
	case OpLag, OpDiff, OpRate, OpDiff2:
		return e.compare(i, c, h, back, limit, row, now)
	case OpLast, OpSince:
		return e.latest(i, c, h, back, limit, now)
	case OpMissing:
		if math.IsNaN(row[c.Series]) {
			return 1
		}
		return 0
	case OpOneHot:
		switch v := row[c.Series]; {
		case math.IsNaN(v):
			return v
		case v == c.Category:
			return 1
		default:
			return 0
		}
	case OpTable:
		return lookUp(c, row[c.Series])
	case OpRatio:
		return clean(clean(row[c.Series]) / clean(row[c.Other])) // a quotient by 0 is not finite
	case OpDifference:
		return clean(row[c.Series] - row[c.Other])
	case OpProduct:
		return clean(row[c.Series] * row[c.Other])
	case OpOutOfRange:
		return outOfRange(&e.p.Inputs[c.Series], row[c.Series])
	case OpCross:
		return clean(columns[c.Of] * columns[c.By])
	case OpPlace:
		return placeIn(c.Table, columns[c.Of])
	case OpExpr:
		return run(c.Expr, row, columns)
	case OpModule:
		return e.call(i, c, h, back, limit)
	case OpHoliday:
		return e.p.holiday(now + e.p.Offset)
	default:
		return calendar(c.Op, now+e.p.Offset)
	}
}

// compare computes what compares a row with an earlier one.
func (e *Evaluator) compare(i int, c *Column, h *History, back, limit int, row []float64, now int64) float64 {
	at := e.lagAt(c.Rows, e.places[i].lag, back, limit)
	if at < 0 {
		return math.NaN()
	}
	v := h.Row(at)[c.Series]
	switch c.Op {
	case OpLag:
		return v
	case OpDiff:
		return row[c.Series] - v
	case OpRate:
		return clean((clean(row[c.Series]) - clean(v)) / (float64(now-h.Time(at)) / 1e6))
	}
	second := e.lagAt(2*c.Rows, e.places[i].twice, back, limit)
	if second < 0 {
		return math.NaN()
	}
	return clean((row[c.Series] - v) - (v - h.Row(second)[c.Series]))
}

// lagAt returns the row of a lag, by rows or else by the time with that index, -1 when there is
// none.
func (e *Evaluator) lagAt(rows, lag, back, limit int) int {
	switch {
	case rows == 0:
		return e.lagRow[lag]
	case rows < limit:
		return back + rows
	}
	return -1
}

// latest finds the newest present reading in the column's window.
func (e *Evaluator) latest(i int, c *Column, h *History, back, limit int, now int64) float64 {
	for r := range e.extent(i, limit) {
		v := h.Row(back + r)[c.Series]
		switch {
		case !finite(v):
		case c.Op == OpLast:
			return v
		default:
			return float64(now-h.Time(back+r)) / 1e6
		}
	}
	return math.NaN()
}

func lookUp(c *Column, v float64) float64 {
	switch {
	case math.IsNaN(v):
		return math.NaN()
	case v >= 0 && v < float64(len(c.Table)) && v == math.Trunc(v):
		return c.Table[int(v)]
	}
	return c.Default
}

func outOfRange(in *Input, v float64) float64 {
	switch {
	case math.IsNaN(v):
		return math.NaN()
	case v < in.Min || v > in.Max:
		return 1
	}
	return 0
}

// placeIn returns where v lies among ascending quantiles.
func placeIn(q []float64, v float64) float64 {
	last := len(q) - 1
	switch {
	case !finite(v):
		return math.NaN()
	case v <= q[0]:
		return 0
	case v >= q[last]:
		return 1
	}
	k, equal := slices.BinarySearch(q, v) // the first not below v
	if equal {
		to := k
		for q[to+1] == v { // ends, because v is below the last
			to++
		}
		return float64(k+to) / float64(2*last)
	}
	low := float64(q[k-1] / 2) // halves, so that the widest step is finite
	return (float64(k-1) + (float64(v/2)-low)/(float64(q[k]/2)-low)) / float64(last)
}
