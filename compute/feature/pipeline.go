package feature

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Op is what a column computes. The set only grows: an artifact names ops.
type Op string

// The operations. s is the column's series, L its Lag in microseconds and W its Window in microseconds.
const (
	OpValue   Op = "value"    // s at the row
	OpLag     Op = "lag"      // s at the newest row not younger than L, and at most Tolerance older
	OpDiff    Op = "diff"     // value - lag
	OpMean    Op = "mean"     // mean of s over rows younger than W, the newest included; missing values are skipped
	OpStd     Op = "std"      // population standard deviation over the same
	OpMin     Op = "min"      // minimum over the same
	OpMax     Op = "max"      // maximum over the same
	OpMissing Op = "missing"  // 1 when s is missing at the row, else 0
	OpOneHot  Op = "onehot"   // 1 when s equals Category, 0 when it has another value, missing when it is missing
	OpDaySin  Op = "day_sin"  // sin(2π · time of day), UTC plus Offset
	OpDayCos  Op = "day_cos"  // cos of the same
	OpWeekSin Op = "week_sin" // sin(2π · time of week)
	OpWeekCos Op = "week_cos"
	OpYearSin Op = "year_sin" // sin(2π · time of a year of 365.2425 days)
	OpYearCos Op = "year_cos"
)

// Column is one fitted step: it computes one number per row, then imputes, centres and scales it.
type Column struct {
	Name     string   `json:"name"`
	Op       Op       `json:"op"`
	Series   int      `json:"series"`             // index into Pipeline.Inputs; ignored by calendar ops
	Lag      int64    `json:"lag,omitempty"`      // microseconds, > 0
	Window   int64    `json:"window,omitempty"`   // microseconds, > 0
	Category float64  `json:"category,omitempty"` // OpOneHot
	Impute   *float64 `json:"impute,omitempty"`   // replaces a missing result; nil leaves NaN for models that handle it
	Center   float64  `json:"center,omitempty"`   // subtracted after imputation
	Scale    float64  `json:"scale,omitempty"`    // then divided by, unless 0
}

// Input describes one series of a row.
type Input struct {
	Name       string   `json:"name"`
	Unit       string   `json:"unit,omitempty"`
	Min        float64  `json:"min,omitempty"` // declared range; both 0 when none
	Max        float64  `json:"max,omitempty"`
	Categories []string `json:"categories,omitempty"` // values are indices into it
}

// Pipeline is a fitted list of columns. It is immutable and safe for concurrent use; compute with an [Evaluator].
type Pipeline struct {
	Inputs    []Input  `json:"inputs"`
	Columns   []Column `json:"columns"`
	Tolerance int64    `json:"tolerance"` // how much older than Lag a lagged row may be, microseconds; half the usual row distance
	Offset    int64    `json:"offset"`    // added to the time before calendar ops, microseconds (a time zone)
	Rows      int      `json:"rows"`      // look-back in rows: no step looks at more than this many rows, the newest included
}

// Limits of a pipeline.
const (
	MaxColumns  = 4096
	MaxLookback = 256 // rows
)

// Check reports why the pipeline cannot be used, nil when it can.
func (p *Pipeline) Check() error {
	switch {
	case len(p.Inputs) == 0 || len(p.Inputs) > 1024:
		return fmt.Errorf("pipeline has %d inputs, must be 1 to 1024", len(p.Inputs))
	case len(p.Columns) == 0 || len(p.Columns) > MaxColumns:
		return fmt.Errorf("pipeline has %d columns, must be 1 to %d", len(p.Columns), MaxColumns)
	case p.Rows < 1 || p.Rows > MaxLookback:
		return fmt.Errorf("pipeline looks back %d rows, must be 1 to %d", p.Rows, MaxLookback)
	case p.Tolerance < 0:
		return errors.New("pipeline has a negative tolerance")
	}
	for i, c := range p.Columns {
		if err := c.check(len(p.Inputs)); err != nil {
			return fmt.Errorf("column %d %q: %w", i, c.Name, err)
		}
	}
	return nil
}

func (c *Column) check(inputs int) error {
	if c.Series < 0 || c.Series >= inputs {
		return fmt.Errorf("series %d of %d", c.Series, inputs)
	}
	for _, v := range []float64{c.Center, c.Scale, c.Category} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("a parameter is not finite")
		}
	}
	if c.Impute != nil && (math.IsNaN(*c.Impute) || math.IsInf(*c.Impute, 0)) {
		return errors.New("the imputed value is not finite")
	}
	switch c.Op {
	case OpLag, OpDiff:
		if c.Lag <= 0 {
			return fmt.Errorf("op %q needs a positive lag", c.Op)
		}
	case OpMean, OpStd, OpMin, OpMax:
		if c.Window <= 0 {
			return fmt.Errorf("op %q needs a positive window", c.Op)
		}
	case OpValue, OpMissing, OpOneHot, OpDaySin, OpDayCos, OpWeekSin, OpWeekCos, OpYearSin, OpYearCos:
	default:
		return fmt.Errorf("unknown op %q", c.Op)
	}
	return nil
}

// Width returns the number of columns.
func (p *Pipeline) Width() int { return len(p.Columns) }

// Names returns the column names in order.
func (p *Pipeline) Names() []string {
	names := make([]string, len(p.Columns))
	for i := range p.Columns {
		names[i] = p.Columns[i].Name
	}
	return names
}

// Evaluator computes a pipeline's columns. It keeps scratch space, so each goroutine needs its own.
type Evaluator struct {
	p       *Pipeline
	lags    []int64 // distinct lags, ascending
	lagOf   []int   // column → index into lags
	lagRow  []int   // row found for each lag, -1 when none
	windows []int64 // distinct windows, ascending
	winOf   []int
	winRows []int // number of rows in each window
}

// NewEvaluator checks the pipeline and prepares it.
func NewEvaluator(p *Pipeline) (*Evaluator, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	e := &Evaluator{p: p, lagOf: make([]int, len(p.Columns)), winOf: make([]int, len(p.Columns))}
	for _, c := range p.Columns {
		if c.Op == OpLag || c.Op == OpDiff {
			e.lags = append(e.lags, c.Lag)
		}
		if c.Window > 0 {
			e.windows = append(e.windows, c.Window)
		}
	}
	slices.Sort(e.lags)
	slices.Sort(e.windows)
	e.lags, e.windows = slices.Compact(e.lags), slices.Compact(e.windows)
	e.lagRow, e.winRows = make([]int, len(e.lags)), make([]int, len(e.windows))
	for i, c := range p.Columns {
		e.lagOf[i], _ = slices.BinarySearch(e.lags, c.Lag)
		e.winOf[i], _ = slices.BinarySearch(e.windows, c.Window)
	}
	return e, nil
}

// Pipeline returns the pipeline it evaluates.
func (e *Evaluator) Pipeline() *Pipeline { return e.p }

// Into writes the columns of h's newest row into dst. len(dst) is Width and h has at least one row as wide as the inputs. Missing results are NaN unless
// the column imputes. It does not allocate; its cost is that of visiting each window once per column.
func (e *Evaluator) Into(dst []float64, h *History) error { return e.IntoAt(dst, h, 0) }

// IntoAt is Into for the row back rows before the newest, as if the rows after it had not come.
func (e *Evaluator) IntoAt(dst []float64, h *History, back int) error {
	if len(dst) != len(e.p.Columns) || h.Width() != len(e.p.Inputs) || back < 0 || back >= h.Len() {
		return fmt.Errorf("feature: %d columns, rows of %d, row %d of %d: want %d columns and rows of %d",
			len(dst), h.Width(), back, h.Len(), len(e.p.Columns), len(e.p.Inputs))
	}
	now := h.Time(back)
	e.locate(h, back, now)
	row := h.Row(back)
	for i := range e.p.Columns {
		c := &e.p.Columns[i]
		v := e.column(i, c, h, back, row, now)
		if v != v && c.Impute != nil {
			v = *c.Impute
		}
		v -= c.Center
		if c.Scale != 0 {
			v /= c.Scale
		}
		dst[i] = v
	}
	return nil
}

// locate finds, once for all columns, the row of every lag and the size of every window.
func (e *Evaluator) locate(h *History, back int, now int64) {
	limit := min(h.Len()-back, e.p.Rows)
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
}

func (e *Evaluator) column(i int, c *Column, h *History, back int, row []float64, now int64) float64 {
	switch c.Op {
	case OpValue:
		return row[c.Series]
	case OpLag, OpDiff:
		at := e.lagRow[e.lagOf[i]]
		if at < 0 {
			return math.NaN()
		}
		v := h.Row(at)[c.Series]
		if c.Op == OpDiff {
			v = row[c.Series] - v
		}
		return v
	case OpMean, OpStd, OpMin, OpMax:
		return aggregate(c.Op, h, back, e.winRows[e.winOf[i]], c.Series)
	case OpMissing:
		if row[c.Series] != row[c.Series] {
			return 1
		}
		return 0
	case OpOneHot:
		switch v := row[c.Series]; {
		case v != v:
			return v
		case v == c.Category:
			return 1
		default:
			return 0
		}
	default:
		return calendar(c.Op, now+e.p.Offset)
	}
}

// aggregate runs over the window from its oldest row to the newest, so that sums round the same way everywhere. Products are
// converted before they are added: the compiler must not fuse them on architectures that have FMA.
func aggregate(op Op, h *History, back, rows, series int) float64 {
	var sum, n float64
	lo, hi := math.Inf(1), math.Inf(-1)
	for r := rows - 1; r >= 0; r-- {
		v := h.Row(back + r)[series]
		if v != v {
			continue
		}
		sum += v
		n++
		lo, hi = min(lo, v), max(hi, v)
	}
	if n == 0 {
		return math.NaN()
	}
	mean := sum / n
	switch op {
	case OpMin:
		return lo
	case OpMax:
		return hi
	case OpMean:
		return mean
	}
	var ss float64
	for r := rows - 1; r >= 0; r-- {
		if v := h.Row(back + r)[series]; v == v {
			d := v - mean
			ss += float64(d * d)
		}
	}
	return math.Sqrt(ss / n)
}
