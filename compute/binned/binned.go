// Package binned replaces the values of a table by the number of the bin they fall into, for
// trainers that only need their order.
//
// A [Mapper] is fitted on rows; the [Matrix] it makes holds one byte per value, row by row for
// building histograms and column by column for splitting rows. Bin 0 is missing (NaN). The bins
// of a column of numbers, 1 and up, are ranges of values in ascending order; those of a column of
// categories are one for each frequent category, the most frequent first, and a last one for all
// others.
package binned

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
)

// MaxBins is the largest number of bins of values in a column; the missing bin comes on top.
const MaxBins = 255

// MaxCategory is the largest category code that gets a bin of its own: trees keep sets of 256
// codes.
const MaxCategory = 255

// sampleRows is how many rows Fit looks at, evenly spread. The error of an estimated quantile is
// then below 0.005 almost surely.
const sampleRows = 100_000

// Table is what to bin, column by column. It is not copied.
type Table struct {
	Rows    int
	Columns []Column
	Sample  []int32 // the rows that Fit looks at; nil means all
}

// Column is a column of a table: row i has Values[i*Stride], NaN when it is missing.
type Column struct {
	Values []float64
	Stride int
	// values are category codes 0, 1, …; a code that is no whole number from 0 to MaxCategory
	// goes to the bin of the others
	Categories bool
}

// FromRows returns the table of numbers whose rows of cols values stand one after the other in x;
// a rest of x that is no whole row is an error of Fit and Apply.
func FromRows(x []float64, cols int) Table {
	t := Table{Rows: -1}
	if cols < 1 || len(x)%cols != 0 {
		return t
	}
	t.Rows, t.Columns = len(x)/cols, make([]Column, cols)
	for j := range t.Columns {
		t.Columns[j].Stride = cols
		if len(x) > 0 {
			t.Columns[j].Values = x[j:]
		}
	}
	return t
}

func (t *Table) check() error {
	if t.Rows < 0 || t.Rows > math.MaxInt32 || len(t.Columns) == 0 {
		return fmt.Errorf("binned: a table of %d rows and %d columns", t.Rows, len(t.Columns))
	}
	for _, i := range t.Sample {
		if i < 0 || int(i) >= t.Rows {
			return fmt.Errorf("binned: sample row %d of %d", i, t.Rows)
		}
	}
	for j, c := range t.Columns {
		if c.Stride < 1 || (t.Rows > 0 && (t.Rows-1)*c.Stride >= len(c.Values)) {
			return fmt.Errorf("binned: column %d has %d values %d apart for %d rows", j, len(c.Values), c.Stride, t.Rows)
		}
	}
	return nil
}

// Mapper holds the bins of every column.
type Mapper struct {
	columns []bins
}

// bins are those of a column.
type bins struct {
	// numbers, ascending: value v is in the first bin b (from 1) with v <= bounds[b-1], the last
	// bin has no bound
	bounds     []float64
	categories bool
	// categories: the code of bin b is codes[b-1]; bin len(codes)+1 is all others
	codes []uint8
	of    [MaxCategory + 1]uint8 // the bin of a code
}

// Fit chooses up to most (1 to MaxBins) bins per column so that they hold about equally many
// rows; a column with fewer distinct values gets one bin for each.
func Fit(t Table, most, threads int) (*Mapper, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if most < 1 || most > MaxBins {
		return nil, fmt.Errorf("binned: %d bins, must be 1 to %d", most, MaxBins)
	}
	m := &Mapper{columns: make([]bins, len(t.Columns))}
	sample, at := t.Rows, func(i int) int { return i }
	if t.Sample != nil {
		sample, at = len(t.Sample), func(i int) int { return int(t.Sample[i]) }
	}
	step := max(1, (sample+sampleRows-1)/sampleRows)
	each(threads, len(t.Columns), func() func(j int) {
		var s sorter
		return func(j int) {
			c, b := t.Columns[j], &m.columns[j]
			if c.Categories {
				b.frequent(c, sample, at, most)
				return
			}
			v := s.values[:0]
			for i := 0; i < sample; i += step {
				if w := c.Values[at(i)*c.Stride]; w == w {
					v = append(v, w)
				}
			}
			s.values = v
			s.sort()
			b.bounds = bounds(s.values, most)
		}
	})
	return m, nil
}

// frequent gives the most frequent categories a bin each; of equals the smaller code goes first.
func (b *bins) frequent(c Column, rows int, at func(int) int, most int) {
	var count [MaxCategory + 1]int
	for i := range rows {
		if v := c.Values[at(i)*c.Stride]; v >= 0 && v <= MaxCategory && v == math.Trunc(v) {
			count[int(v)]++
		}
	}
	b.categories = true
	for k, n := range count {
		if n > 0 {
			b.codes = append(b.codes, uint8(k))
		}
	}
	slices.SortStableFunc(b.codes, func(x, y uint8) int { return count[y] - count[x] })
	b.codes = b.codes[:min(len(b.codes), max(most-1, 1), MaxBins-1)]
	for k := range b.of {
		b.of[k] = uint8(len(b.codes) + 1)
	}
	for k, code := range b.codes {
		b.of[code] = uint8(k + 1)
	}
}

// bounds cuts sorted values into bins. A value that is frequent enough to fill a bin gets one for
// itself.
func bounds(v []float64, bins int) []float64 {
	var distinct []float64
	var count []int
	for i, w := range v {
		if i == 0 || w != v[i-1] {
			distinct, count = append(distinct, w), append(count, 0)
		}
		count[len(count)-1]++
	}
	var cut []float64
	if len(distinct) <= bins {
		for i := 1; i < len(distinct); i++ {
			cut = append(cut, between(distinct[i-1], distinct[i]))
		}
		return cut
	}
	left, free := len(v), bins // rows and bins not yet used
	in := 0
	for i := 0; i+1 < len(distinct) && free > 1; i++ {
		in += count[i]
		target := float64(left) / float64(free)
		if float64(in) >= target || float64(count[i+1]) >= target || float64(in)+float64(count[i+1])/2 > target {
			cut = append(cut, between(distinct[i], distinct[i+1]))
			left, free, in = left-in, free-1, 0
		}
	}
	return cut
}

// between returns a threshold t with a <= t < b: their middle where there is one.
func between(a, b float64) float64 {
	t := a + (b-a)/2
	if !(a <= t && t < b) || math.IsInf(t, 0) {
		t = a // neighbours, infinities, or a distance that overflows
	}
	if math.IsInf(t, -1) {
		return -math.MaxFloat64
	}
	return t
}

// Cols returns the number of columns.
func (m *Mapper) Cols() int { return len(m.columns) }

// Bin returns the bin of a value of column j.
func (m *Mapper) Bin(j int, v float64) uint8 {
	b := &m.columns[j]
	if v != v {
		return 0
	}
	if b.categories {
		if v >= 0 && v <= MaxCategory && v == math.Trunc(v) {
			return b.of[uint8(v)]
		}
		return uint8(len(b.codes) + 1)
	}
	lo, n := 0, len(b.bounds)
	for n > 0 { // the first bound that is not below v
		half := n >> 1
		if b.bounds[lo+half] < v {
			lo += half + 1
			n -= half + 1
		} else {
			n = half
		}
	}
	return uint8(lo + 1)
}

// Threshold returns the value t such that exactly the values v <= t of the numbers of column j
// fall into bins 1 to b. b must be below the number of bins.
func (m *Mapper) Threshold(j, b int) float64 { return m.columns[j].bounds[b-1] }

// Bins returns how many bins of values column j has, that of the other categories included.
func (m *Mapper) Bins(j int) int {
	if b := &m.columns[j]; b.categories {
		return len(b.codes) + 1
	}
	return len(m.columns[j].bounds) + 1
}

// Categories returns the codes of the bins 1, 2, … of column j, nil when it holds numbers. The
// slice belongs to the mapper.
func (m *Mapper) Categories(j int) []uint8 { return m.columns[j].codes }

// Set returns the category codes of the bins of column j whose bit is set, as trees keep them.
func (m *Mapper) Set(j int, bins *[4]uint64) *[4]uint64 {
	out := new([4]uint64)
	for k, code := range m.columns[j].codes {
		if b := k + 1; bins[b/64]>>(b%64)&1 != 0 {
			out[code/64] |= 1 << (code % 64)
		}
	}
	return out
}

// Categorical reports whether column j holds categories.
func (m *Mapper) Categorical(j int) bool { return m.columns[j].categories }

// Matrix is a binned table. It is read-only after it was made.
type Matrix struct {
	*Mapper
	N      int       // rows
	Stride int       // distance of two rows in Rows, at least Cols; bytes between are 0
	Rows   []uint8   // row by row
	Col    [][]uint8 // column by column
}

// applyRows is how many rows are binned at once, so that they stay in the cache while every
// column is.
const applyRows = 512

// Apply bins a table of the mapper's columns.
func (m *Mapper) Apply(t Table, threads int) (*Matrix, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if len(t.Columns) != m.Cols() {
		return nil, fmt.Errorf("binned: a table of %d columns for bins of %d", len(t.Columns), m.Cols())
	}
	x := newMatrix(m, t.Rows)
	Parallel(threads, (t.Rows+applyRows-1)/applyRows, func(from, to int) {
		for block := from; block < to; block++ {
			x.fill(&t, block*applyRows, min((block+1)*applyRows, t.Rows))
		}
	})
	return x, nil
}

// stride is the distance of two rows, a multiple of 8 bytes: a divisor of a cache line of 64
// bytes where that wastes less than a third, so that a row fetched alone costs one line.
func stride(cols int) int {
	for _, s := range []int{8, 16, 32, 64} {
		if cols <= s && 3*s <= 4*cols+8 {
			return s
		}
	}
	return (cols + 7) &^ 7
}

// Slack is how many bytes lie behind the last row in memory, within the capacity of Matrix.Rows:
// a pointer that walks the rows stays inside when it passes the last.
const Slack = 8

func newRows(bytes int) []uint8 { return make([]uint8, bytes+Slack)[:bytes] }

func newMatrix(m *Mapper, rows int) *Matrix {
	cols := m.Cols()
	x := &Matrix{Mapper: m, N: rows, Stride: stride(cols), Col: make([][]uint8, cols)}
	x.Rows = newRows(rows * x.Stride)
	all := make([]uint8, rows*cols)
	for j := range x.Col {
		x.Col[j] = all[j*rows : (j+1)*rows : (j+1)*rows]
	}
	return x
}

func (x *Matrix) fill(t *Table, from, to int) {
	var keys [MaxBins + 1]uint64
	for j := range x.Col {
		c, b, col := &t.Columns[j], &x.columns[j], x.Col[j]
		if b.categories || len(b.bounds) > MaxBins {
			for i := from; i < to; i++ {
				col[i] = x.Bin(j, c.Values[i*c.Stride])
			}
		} else {
			search(col[from:to], c.Values[from*c.Stride:], c.Stride, b.bounds, &keys)
		}
		for i := from; i < to; i++ {
			x.Rows[i*x.Stride+j] = col[i]
		}
	}
}

// search is Bin for many numbers: eight halvings of 256 bounds without a branch to predict, four
// values abreast, since a step waits for the one before. Numbers are compared as integers in the
// same order.
func search(dst []uint8, v []float64, stride int, bounds []float64, keys *[MaxBins + 1]uint64) {
	for i := range keys {
		keys[i] = math.MaxUint64
		if i < len(bounds) {
			keys[i] = key(bounds[i])
		}
	}
	for len(dst) >= 4 {
		a, b, c, d := v[0], v[stride], v[2*stride], v[3*stride]
		ka, kb, kc, kd := key(a), key(b), key(c), key(d)
		var i, j, k, l uint64
		for step := uint64(128); step > 0; step >>= 1 { // a position never passes 255
			i += step & below(keys, i+step, ka)
			j += step & below(keys, j+step, kb)
			k += step & below(keys, k+step, kc)
			l += step & below(keys, l+step, kd)
		}
		dst[0], dst[1], dst[2], dst[3] = present(a, i), present(b, j), present(c, k), present(d, l)
		if dst = dst[4:]; len(dst) > 0 {
			v = v[4*stride:]
		}
	}
	for n := range dst {
		w := v[n*stride]
		k, i := key(w), uint64(0)
		for step := uint64(128); step > 0; step >>= 1 {
			i += step & below(keys, i+step, k)
		}
		dst[n] = present(w, i)
	}
}

// below is all ones when the bound before position at is below k, else 0.
func below(keys *[MaxBins + 1]uint64, at, k uint64) uint64 {
	_, borrow := bits.Sub64(keys[(at-1)&MaxBins], k, 0)
	return -borrow
}

// key maps numbers to integers of the same order; both zeros become the same.
func key(v float64) uint64 {
	k := math.Float64bits(v + 0)
	return k ^ (uint64(int64(k)>>63) | 1<<63)
}

// present is the bin of a number that lies above so many bounds.
func present(v float64, above uint64) uint8 {
	b := uint8(above + 1)
	if v != v {
		b = 0
	}
	return b
}

// Select returns the matrix of some columns, in the order given.
func (x *Matrix) Select(cols []int) *Matrix {
	m := &Mapper{}
	for _, j := range cols {
		m.columns = append(m.columns, x.columns[j])
	}
	s := &Matrix{Mapper: m, N: x.N, Stride: stride(len(cols)), Col: make([][]uint8, len(cols))}
	s.Rows = newRows(s.N * s.Stride)
	for k, j := range cols {
		s.Col[k] = x.Col[j]
		for i, b := range x.Col[j] {
			s.Rows[i*s.Stride+k] = b
		}
	}
	return s
}

// each calls work(0) to work(n-1) on up to threads goroutines, each with a work function of its
// own, and returns when all are done. Which goroutine does which is not determined.
func each(threads, n int, start func() func(int)) {
	var next atomic.Int64
	workers := min(max(threads, 1), n)
	Parallel(workers, workers, func(int, int) {
		work := start()
		for {
			j := int(next.Add(1)) - 1
			if j >= n {
				return
			}
			work(j)
		}
	})
}
