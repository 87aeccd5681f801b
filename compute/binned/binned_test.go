package binned

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestThresholdsAgreeWithBins holds the one thing trees rely on: going by bin and going by
// threshold is the same.
func TestThresholdsAgreeWithBins(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const cols, rows = 6, 3000
	x := make([]float64, cols*rows)
	for i := range rows {
		r := x[i*cols:]
		r[0], r[1], r[2] = rng.NormFloat64(), float64(rng.IntN(5)), 7
		r[3], r[4], r[5] = math.NaN(), []float64{math.Inf(1), math.Inf(-1), 0, math.MaxFloat64, -math.MaxFloat64}[rng.IntN(5)], math.Exp(5*rng.NormFloat64())
		if rng.IntN(4) == 0 {
			r[rng.IntN(cols)] = math.NaN()
		}
		if rng.IntN(2) == 0 {
			r[5] = 0 // fills half of the rows
		}
	}
	for _, bins := range []int{1, 2, 16, MaxBins} {
		m, err := Fit(FromRows(x, cols), bins, 2)
		if err != nil {
			t.Fatal(err)
		}
		mat, err := m.Apply(FromRows(x, cols), 3)
		if err != nil {
			t.Fatal(err)
		}
		for j := range cols {
			if m.Bins(j) > bins {
				t.Fatalf("column %d has %d bins, want at most %d", j, m.Bins(j), bins)
			}
			for i := range rows {
				v, b := x[i*cols+j], mat.Col[j][i]
				if b != mat.Rows[i*mat.Stride+j] || b != m.Bin(j, v) || (v != v) != (b == 0) {
					t.Fatalf("value %v of column %d is in bins %d and %d", v, j, b, mat.Rows[i*mat.Stride+j])
				}
				for c := 1; c < m.Bins(j) && b > 0; c++ {
					if (v <= m.Threshold(j, c)) != (int(b) <= c) {
						t.Fatalf("column %d: value %v is in bin %d, threshold %d is %v", j, v, b, c, m.Threshold(j, c))
					}
				}
			}
		}
	}
}

func TestBinsAreEven(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	x := make([]float64, 10_000)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	m, err := Fit(FromRows(x, 1), 50, 1)
	if err != nil {
		t.Fatal(err)
	}
	count := make([]int, 51)
	for _, v := range x {
		count[m.Bin(0, v)]++
	}
	for b, n := range count[1:] {
		if n < 190 || n > 210 {
			t.Errorf("bin %d holds %d of 10000 rows, want about 200", b+1, n)
		}
	}
}

func TestSortMatchesSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for round := range 30 {
		s := sorter{values: make([]float64, rng.IntN(3000))}
		for i := range s.values {
			switch round % 3 {
			case 0:
				s.values[i] = math.Exp(40 * rng.NormFloat64() * rng.NormFloat64())
			case 1:
				s.values[i] = float64(rng.IntN(50) - 25)
			default:
				s.values[i] = []float64{math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), rng.NormFloat64()}[rng.IntN(5)]
			}
		}
		want := slices.Sorted(slices.Values(s.values))
		s.sort()
		if !slices.Equal(s.values, want) {
			t.Fatalf("round %d: not sorted", round)
		}
	}
}

// TestCategories holds that frequent categories get bins of their own and everything else the
// last one.
func TestCategories(t *testing.T) {
	v := []float64{3, 3, 3, 7, 7, 0, math.NaN(), 300, 1.5, -1, 255}
	table := Table{Rows: len(v), Columns: []Column{{Values: v, Stride: 1, Categories: true}}}
	m, err := Fit(table, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Categories(0); !slices.Equal(got, []uint8{3, 7, 0}) || m.Bins(0) != 4 || !m.Categorical(0) {
		t.Fatalf("categories %v in %d bins, want 3, 7, 0 in 4", got, m.Bins(0))
	}
	x, err := m.Apply(table, 2)
	if err != nil {
		t.Fatal(err)
	}
	if want := []uint8{1, 1, 1, 2, 2, 3, 0, 4, 4, 4, 4}; !slices.Equal(x.Col[0], want) {
		t.Errorf("bins %v, want %v", x.Col[0], want)
	}
}

func TestFitRefuses(t *testing.T) {
	for name, table := range map[string]Table{
		"ragged": FromRows(make([]float64, 7), 2), "no columns": {Rows: 3}, "short column": {Rows: 3, Columns: []Column{{Values: make([]float64, 2), Stride: 1}}},
	} {
		if _, err := Fit(table, 10, 1); err == nil {
			t.Errorf("Fit of a table that is %s gave no error", name)
		}
	}
}
