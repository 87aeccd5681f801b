// Package encode turns raw tables into what networks and linear models take: numbers without gaps
// on a common scale, categories as indicator columns or as codes for an embedding.
//
// [Fit] chooses the steps as [feature.Column] values, so that a device computes them from a
// reading; [Encoder.Apply] computes them for a table with the same arithmetic, so that training
// and serving see the same bits.
package encode

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/feature"
)

// Table is raw rows, one after the other.
type Table struct {
	X    []float64 // missing values are NaN
	Cols int
	// by column: 0 for numbers, K for a category with codes 0 to K-1; nil when all are numbers
	Levels []int
	Names  []string // by column, for the names of the steps; nil gives x0, x1, …
}

// Options of Fit. The zero value of a field is its documented default.
type Options struct {
	// OneHot is up to how many levels a category becomes indicator columns of all of them; with
	// more levels the most frequent OneHot-1 get one. Default 50.
	OneHot int
	// Embed, unless 0, passes categories with more levels on as codes instead (and overrides
	// OneHot there).
	Embed int
	// MinRows is in how many rows a level must occur to get an indicator; the others share the
	// row of zeros. Default 1, on at least 1000 rows 3.
	MinRows int
	// Robust scales numbers by their quartiles instead of mean and deviation, for networks that
	// clip.
	Robust bool
}

// Encoder is a fitted list of steps.
type Encoder struct {
	Columns []feature.Column // Series is a column of the table
	// by step: K when it passes codes 0 to K-1 (or NaN, or other numbers) on for an embedding,
	// else 0
	Levels []int
	cols   int
}

// missingShare is the share of missing values above which a column gets an indicator of them.
const missingShare = 0.005

// Fit chooses the steps by the rows given (nil: all). A number is imputed by its median and
// scaled; when more than 0.5 % are missing, a second column marks which. A number that does not
// vary is left out unless it is sometimes missing. A missing category has 0 in all its
// indicators, and one of its own when more than 0.5 % are missing. A category with two levels and
// nothing missing has one indicator. Codes that are no whole number of 0 to K-1 count as missing.
func Fit(t Table, rows []int32, o Options) (*Encoder, error) {
	if o.OneHot == 0 {
		o.OneHot = 50
	}
	if t.Cols < 1 || len(t.X)%t.Cols != 0 || t.Levels != nil && len(t.Levels) != t.Cols || t.Names != nil && len(t.Names) != t.Cols || o.OneHot < 2 || o.Embed < 0 || o.MinRows < 0 {
		return nil, fmt.Errorf("encode: %d values in %d columns with %d levels and %d names", len(t.X), t.Cols, len(t.Levels), len(t.Names))
	}
	n := len(t.X) / t.Cols
	if rows == nil {
		rows = make([]int32, n)
		for i := range rows {
			rows[i] = int32(i)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("encode: no rows")
	}
	for _, i := range rows {
		if i < 0 || int(i) >= n {
			return nil, fmt.Errorf("encode: row %d of %d", i, n)
		}
	}
	if o.MinRows == 0 {
		o.MinRows = 1
		if len(rows) >= 1000 {
			o.MinRows = 3
		}
	}
	e := &Encoder{cols: t.Cols}
	for j := range t.Cols {
		name := "x" + strconv.Itoa(j)
		if t.Names != nil {
			name = t.Names[j]
		}
		if t.Levels != nil && t.Levels[j] > 0 {
			e.category(t, rows, j, name, o)
		} else {
			e.number(t, rows, j, name, o)
		}
	}
	if len(e.Columns) == 0 { // nothing varies, but a model needs an input
		zero := 0.0
		e.add(feature.Column{Name: "x0", Op: feature.OpMissing, Impute: &zero}, 0)
	}
	if len(e.Columns) > feature.MaxColumns {
		return nil, fmt.Errorf("encode: %d steps, at most %d", len(e.Columns), feature.MaxColumns)
	}
	return e, nil
}

func (e *Encoder) add(c feature.Column, levels int) {
	e.Columns, e.Levels = append(e.Columns, c), append(e.Levels, levels)
}

func (e *Encoder) number(t Table, rows []int32, j int, name string, o Options) {
	v := make([]float64, 0, len(rows))
	for _, i := range rows {
		if x := t.X[int(i)*t.Cols+j]; !math.IsNaN(x) && !math.IsInf(x, 0) {
			v = append(v, x)
		}
	}
	if len(v) > 0 {
		slices.Sort(v)
		if v[0] < v[len(v)-1] {
			median := v[len(v)/2]
			center, scale := spread(v, o.Robust)
			e.add(feature.Column{
				Name:   name,
				Op:     feature.OpValue,
				Series: j,
				Impute: &median,
				Center: center,
				Scale:  scale,
			}, 0)
		}
	}
	if float64(len(rows)-len(v)) > missingShare*float64(len(rows)) && len(v) > 0 {
		e.add(feature.Column{Name: name + "=missing", Op: feature.OpMissing, Series: j}, 0)
	}
}

// spread returns center and scale of sorted values that are not all the same.
func spread(v []float64, robust bool) (center, scale float64) {
	big := max(math.Abs(v[0]), math.Abs(v[len(v)-1])) // squares of v/big cannot overflow
	mean, ss := 0.0, 0.0
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		d := x/big - mean/big
		ss += d * d / float64(len(v))
	}
	center, scale = mean, math.Sqrt(ss)*big
	if robust {
		// A quarter of the deviation at least: where the quartiles coincide or nearly so, the
		// values beyond them are what the column is about.
		q1, q3 := v[len(v)/4], v[len(v)*3/4]
		center, scale = v[len(v)/2], max((q3-q1)/1.349, scale/4)
	}
	if !(scale > 0) || math.IsInf(scale, 0) || math.IsInf(center, 0) {
		return v[len(v)/2], max(big, math.SmallestNonzeroFloat64)
	}
	return center, scale
}

func (e *Encoder) category(t Table, rows []int32, j int, name string, o Options) {
	count := make(map[int]int)
	missing := 0
	for _, i := range rows {
		if c := Code(t.X[int(i)*t.Cols+j], t.Levels[j]); c >= 0 {
			count[c]++
		} else {
			missing++
		}
	}
	if o.Embed > 0 && len(count) > o.Embed {
		e.add(feature.Column{Name: name, Op: feature.OpValue, Series: j}, t.Levels[j])
		return
	}
	codes := make([]int, 0, len(count))
	for c, n := range count {
		if n >= o.MinRows {
			codes = append(codes, c)
		}
	}
	slices.SortFunc(codes, func(a, b int) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	switch {
	case len(count) > o.OneHot:
		codes = codes[:min(len(codes), o.OneHot-1)]
	case len(count) == 2 && missing == 0 && len(codes) > 0:
		codes = codes[len(codes)-1:] // the rarer one
	case len(count) < 2:
		codes = nil
	}
	slices.Sort(codes)
	for _, c := range codes {
		zero := 0.0
		e.add(feature.Column{
			Name:     name + "=" + strconv.Itoa(c),
			Op:       feature.OpOneHot,
			Series:   j,
			Category: float64(c),
			Impute:   &zero,
		}, 0)
	}
	if float64(missing) > missingShare*float64(len(rows)) && len(count) > 0 {
		e.add(feature.Column{Name: name + "=missing", Op: feature.OpMissing, Series: j}, 0)
	}
}

// Code returns the category of v, a whole number from 0 to levels-1, or -1 for everything else.
func Code(v float64, levels int) int {
	if v >= 0 && v < float64(levels) && v == math.Trunc(v) {
		return int(v)
	}
	return -1
}

// Width returns the number of steps.
func (e *Encoder) Width() int { return len(e.Columns) }

// Pipeline returns the steps as a pipeline over the table's columns, for an artifact.
func (e *Encoder) Pipeline(inputs []feature.Input) (*feature.Pipeline, error) {
	if len(inputs) != e.cols {
		return nil, fmt.Errorf("encode: %d inputs for %d columns", len(inputs), e.cols)
	}
	p := &feature.Pipeline{Inputs: inputs, Columns: e.Columns, Rows: 1}
	return p, p.Check()
}

// Into computes the steps of one row: len(dst) is Width, len(row) the columns of the table. It
// does not allocate.
func (e *Encoder) Into(dst, row []float64) {
	for k := range e.Columns {
		c := &e.Columns[k]
		v := row[c.Series]
		switch c.Op {
		case feature.OpMissing:
			if math.IsNaN(v) {
				v = 1
			} else {
				v = 0
			}
		case feature.OpOneHot:
			if v == c.Category {
				v = 1
			} else if !math.IsNaN(v) {
				v = 0
			}
		}
		if math.IsNaN(v) && c.Impute != nil {
			v = *c.Impute
		}
		v -= c.Center
		if c.Scale != 0 {
			v /= c.Scale
		}
		dst[k] = v
	}
}

// Apply computes the steps of every row of x, which is as wide as the table was, on up to threads
// goroutines.
func (e *Encoder) Apply(x []float64, threads int) ([]float64, error) {
	if len(x)%e.cols != 0 {
		return nil, fmt.Errorf("encode: %d values in %d columns", len(x), e.cols)
	}
	rows, width := len(x)/e.cols, e.Width()
	out := make([]float64, rows*width)
	binned.Parallel(threads, rows, func(from, to int) {
		for i := from; i < to; i++ {
			e.Into(out[i*width:(i+1)*width], x[i*e.cols:(i+1)*e.cols])
		}
	})
	return out, nil
}

// Data is a table with targets: what to learn from.
type Data struct {
	Table
	Y            []float64 // one per row: numbers, or classes from 0
	Weight       []float64 // not negative; nil means 1
	Train, Valid []int32   // rows to learn from (nil: all) and rows to stop early by (may be none)
}

// Balanced returns weights that give every class of y the same total, after scikit-learn's
// class_weight="balanced": w (nil means 1) times all weight over classes times the class's.
// Classes without weight are not counted.
func Balanced(y, w []float64) []float64 {
	by, total := map[float64]float64{}, 0.0
	out := make([]float64, len(y))
	for i, c := range y {
		if out[i] = 1; w != nil {
			out[i] = w[i]
		}
		by[c] += out[i]
		total += out[i]
	}
	classes := 0.0
	for _, v := range by {
		if v > 0 {
			classes++
		}
	}
	for i, c := range y {
		if by[c] > 0 {
			out[i] *= total / (classes * by[c])
		}
	}
	return out
}

// Model is what an [Encoder] feeds.
type Model interface {
	Inputs() int
	Outputs() int
	PredictInto(dst, x []float64) error
}

// Predictor predicts from raw rows: an encoder and its model. It is safe for concurrent use when
// the model is.
type Predictor struct {
	e       *Encoder
	m       Model
	scratch sync.Pool
}

// NewPredictor joins an encoder and a model that takes as many inputs as it has steps.
func NewPredictor(e *Encoder, m Model) (*Predictor, error) {
	if m.Inputs() != e.Width() {
		return nil, fmt.Errorf("encode: a model of %d inputs for %d steps", m.Inputs(), e.Width())
	}
	p := &Predictor{e: e, m: m}
	p.scratch.New = func() any { x := make([]float64, e.Width()); return &x }
	return p, nil
}

// Inputs returns the number of raw columns.
func (p *Predictor) Inputs() int { return p.e.cols }

// Outputs returns the model's.
func (p *Predictor) Outputs() int { return p.m.Outputs() }

// PredictInto predicts a raw row. It returns the model's error, or an error when x is not as long
// as Inputs. It does not allocate in the steady state when the model does not.
func (p *Predictor) PredictInto(dst, x []float64) error {
	if len(x) != p.e.cols {
		return fmt.Errorf("encode: %d values in %d columns", len(x), p.e.cols)
	}
	s := p.scratch.Get().(*[]float64)
	p.e.Into(*s, x)
	err := p.m.PredictInto(dst, *s)
	p.scratch.Put(s)
	return err
}
