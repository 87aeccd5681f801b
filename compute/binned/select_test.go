package binned

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// mixed returns a table of every kind of column, the last two of categories.
func mixed(rows int) Table {
	rng := rand.New(rand.NewPCG(7, 1))
	t := Table{Rows: rows}
	for j := range 11 {
		c := Column{Values: make([]float64, rows), Stride: 1, Categories: j >= 9}
		for i := range c.Values {
			if c.Values[i] = float64(rng.IntN(1<<(j+1)) - j); rng.IntN(9) == 0 {
				c.Values[i] = math.NaN()
			}
		}
		t.Columns = append(t.Columns, c)
	}
	return t
}

// TestSelect holds that a selection is what binning these columns alone gives: bins, thresholds,
// codes, and rows whose padding is 0.
func TestSelect(t *testing.T) {
	table := mixed(700)
	m, err := Fit(table, 40, 2)
	if err != nil {
		t.Fatal(err)
	}
	all, err := m.Apply(table, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, cols := range [][]int{{0}, {10, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9}, {10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}} {
		got := all.Select(cols)
		part := Table{Rows: table.Rows}
		for _, j := range cols {
			part.Columns = append(part.Columns, table.Columns[j])
		}
		pm, err := Fit(part, 40, 1)
		if err != nil {
			t.Fatal(err)
		}
		want, err := pm.Apply(part, 3)
		if err != nil {
			t.Fatal(err)
		}
		if got.N != want.N || got.Stride != want.Stride || !bytes.Equal(got.Rows, want.Rows) || got.Cols() != len(cols) {
			t.Fatalf("columns %v: the rows of a selection differ from those of its table", cols)
		}
		for k := range cols {
			if !bytes.Equal(got.Col[k], want.Col[k]) || got.Bins(k) != want.Bins(k) || got.Categorical(k) != want.Categorical(k) || !slices.Equal(got.Categories(k), want.Categories(k)) {
				t.Fatalf("columns %v: column %d of a selection differs from that of its table", cols, k)
			}
		}
	}
}

// TestRowsArePadded holds that rows are whole words, that what pads them is 0, and that the last
// has room for a load of 8 bytes.
func TestRowsArePadded(t *testing.T) {
	for cols := 1; cols <= 130; cols++ {
		x := make([]float64, 5*cols)
		for i := range x {
			x[i] = float64(i % 7)
		}
		m, err := Fit(FromRows(x, cols), 10, 1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.Apply(FromRows(x, cols), 1)
		if err != nil {
			t.Fatal(err)
		}
		if b.Stride%8 != 0 || b.Stride < cols || len(b.Rows) != 5*b.Stride || b.Stride > cols+cols/2+8 {
			t.Fatalf("%d columns: rows %d apart in %d bytes", cols, b.Stride, len(b.Rows))
		}
		for i, v := range b.Rows {
			if i%b.Stride >= cols && v != 0 {
				t.Fatalf("%d columns: byte %d of a row is %d", cols, i%b.Stride, v)
			}
		}
	}
}

// TestSample holds that bins are chosen on the sample alone, and that values outside it fall into
// them.
func TestSample(t *testing.T) {
	table := mixed(900)
	part := Table{Rows: 300}
	for _, c := range table.Columns {
		p := Column{Stride: 1, Categories: c.Categories}
		for i := 0; i < 900; i += 3 {
			p.Values = append(p.Values, c.Values[i])
		}
		part.Columns = append(part.Columns, p)
	}
	for i := int32(0); i < 900; i += 3 {
		table.Sample = append(table.Sample, i)
	}
	a, err := Fit(table, 30, 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Fit(part, 30, 1)
	if err != nil {
		t.Fatal(err)
	}
	for j := range table.Columns {
		if a.Bins(j) != b.Bins(j) || !slices.Equal(a.Categories(j), b.Categories(j)) || !slices.Equal(a.columns[j].bounds, b.columns[j].bounds) {
			t.Fatalf("column %d: the bins of a sample differ from those of a table of its rows", j)
		}
		for _, v := range []float64{-1e9, 1e9, 0.5, math.Inf(1), math.Inf(-1)} {
			if bin := int(a.Bin(j, v)); bin < 1 || bin > a.Bins(j) {
				t.Fatalf("column %d: %v falls into bin %d of %d", j, v, bin, a.Bins(j))
			}
		}
	}
	table.Sample = []int32{900}
	if _, err := Fit(table, 30, 1); err == nil {
		t.Error("Fit of a sample outside the table gave no error")
	}
}

// TestSet holds that sets of bins and of codes name the same categories.
func TestSet(t *testing.T) {
	v := make([]float64, 0, 500)
	for i := range 500 {
		v = append(v, float64((i*i)%251))
	}
	m, err := Fit(Table{Rows: 500, Columns: []Column{{Values: v, Stride: 1, Categories: true}}}, MaxBins, 1)
	if err != nil {
		t.Fatal(err)
	}
	var bins [4]uint64
	for b := 1; b <= m.Bins(0); b += 3 {
		bins[b/64] |= 1 << (b % 64)
	}
	set := m.Set(0, &bins)
	for code := range 256 {
		b := int(m.Bin(0, float64(code)))
		// the last bin is of the others, which no set names
		want := b < m.Bins(0) && bins[b/64]>>(b%64)&1 != 0
		if got := set[code/64]>>(code%64)&1 != 0; got != want {
			t.Errorf("code %d of bin %d: in the set %v, want %v", code, b, got, want)
		}
	}
}

// TestParallelCoversOnce holds that every index is worked on once, whatever the number of
// goroutines.
func TestParallelCoversOnce(t *testing.T) {
	for _, threads := range []int{-1, 0, 1, 2, 3, 7, 100} {
		for _, n := range []int{0, 1, 2, 5, 64, 1001} {
			seen := make([]uint8, n)
			Parallel(threads, n, func(from, to int) {
				for i := from; i < to; i++ {
					seen[i]++
				}
			})
			for i, c := range seen {
				if c != 1 {
					t.Fatalf("Parallel(%d, %d) worked %d times on %d", threads, n, c, i)
				}
			}
		}
	}
}
