// Package binned replaces the values of a table by the number of the bin they fall into, for trainers that only need their order.
//
// A [Mapper] is fitted on rows; the [Matrix] it makes holds one byte per value, row by row for building histograms and column by column for splitting rows. Bin 0 is missing (NaN);
// bins 1 and up are ranges of values in ascending order.
package binned

import (
	"fmt"
	"math"
	"slices"
	"sync"
)

// MaxBins is the largest number of bins of values in a column; the missing bin comes on top.
const MaxBins = 255

// sampleRows is how many rows Fit looks at, evenly spread. The error of an estimated quantile is then below 0.002 almost surely.
const sampleRows = 200_000

// Mapper knows the upper bounds of every column's bins.
type Mapper struct {
	bounds [][]float64 // ascending; value v is in the first bin b (from 1) with v <= bounds[b-1], the last bin has no bound
}

// Fit chooses up to bins (1 to MaxBins) bins per column so that they hold about equally many rows; a column with fewer distinct values gets one bin for each. x
// has one row of cols values after the other.
func Fit(x []float64, cols, bins, threads int) (*Mapper, error) {
	if cols < 1 || len(x)%cols != 0 || bins < 1 || bins > MaxBins {
		return nil, fmt.Errorf("binned: %d values in %d columns and %d bins, bins must be 1 to %d", len(x), cols, bins, MaxBins)
	}
	m := &Mapper{bounds: make([][]float64, cols)}
	rows := len(x) / cols
	step := max(1, (rows+sampleRows-1)/sampleRows)
	Parallel(threads, cols, func(from, to int) {
		v := make([]float64, 0, rows/step+1)
		for j := from; j < to; j++ {
			v = v[:0]
			for i := 0; i < rows; i += step {
				if w := x[i*cols+j]; w == w {
					v = append(v, w)
				}
			}
			slices.Sort(v)
			m.bounds[j] = bounds(v, bins)
		}
	})
	return m, nil
}

// bounds cuts sorted values into bins. A value that is frequent enough to fill a bin gets one for itself.
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
func (m *Mapper) Cols() int { return len(m.bounds) }

// Bin returns the bin of a value of column j.
func (m *Mapper) Bin(j int, v float64) uint8 {
	if v != v {
		return 0
	}
	b := m.bounds[j]
	lo, hi := 0, len(b)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if v <= b[mid] {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return uint8(lo + 1)
}

// Threshold returns the value t such that exactly the values v <= t of column j fall into bins 1 to b. b must be below the number of bins.
func (m *Mapper) Threshold(j, b int) float64 { return m.bounds[j][b-1] }

// Bins returns how many bins of values column j has.
func (m *Mapper) Bins(j int) int { return len(m.bounds[j]) + 1 }

// Matrix is a binned table. It is read-only after it was made.
type Matrix struct {
	*Mapper
	N    int       // rows
	Rows []uint8   // row by row
	Col  [][]uint8 // column by column
}

// Apply bins a table of the mapper's width.
func (m *Mapper) Apply(x []float64, threads int) (*Matrix, error) {
	cols := m.Cols()
	if len(x)%cols != 0 {
		return nil, fmt.Errorf("binned: %d values in %d columns", len(x), cols)
	}
	n := len(x) / cols
	t := &Matrix{Mapper: m, N: n, Rows: make([]uint8, len(x)), Col: make([][]uint8, cols)}
	for j := range t.Col {
		t.Col[j] = make([]uint8, n)
	}
	Parallel(threads, n, func(from, to int) {
		for i := from; i < to; i++ {
			for j := range cols {
				b := m.Bin(j, x[i*cols+j])
				t.Rows[i*cols+j], t.Col[j][i] = b, b
			}
		}
	})
	return t, nil
}

// Select returns the matrix of some columns, in the order given.
func (t *Matrix) Select(cols []int) *Matrix {
	s := &Matrix{Mapper: &Mapper{}, N: t.N, Rows: make([]uint8, t.N*len(cols)), Col: make([][]uint8, len(cols))}
	for k, j := range cols {
		s.bounds = append(s.bounds, t.bounds[j])
		s.Col[k] = t.Col[j]
		for i, b := range t.Col[j] {
			s.Rows[i*len(cols)+k] = b
		}
	}
	return s
}

// Parallel calls work for parts of 0 to n on up to threads goroutines and returns when all are done. The parts depend on threads and n only; what work computes for
// one index must not depend on the part it is in.
func Parallel(threads, n int, work func(from, to int)) {
	if threads > n {
		threads = n
	}
	if threads <= 1 {
		if n > 0 {
			work(0, n)
		}
		return
	}
	var wg sync.WaitGroup
	for t := 1; t < threads; t++ {
		wg.Go(func() { work(t*n/threads, (t+1)*n/threads) })
	}
	work(0, n/threads)
	wg.Wait()
}
