package binned

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestThresholdsAgreeWithBins holds the one thing trees rely on: going by bin and going by threshold is the same.
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
		m, err := Fit(x, cols, bins, 2)
		if err != nil {
			t.Fatal(err)
		}
		mat, err := m.Apply(x, 3)
		if err != nil {
			t.Fatal(err)
		}
		for j := range cols {
			if m.Bins(j) > bins {
				t.Fatalf("column %d has %d bins, want at most %d", j, m.Bins(j), bins)
			}
			for i := range rows {
				v, b := x[i*cols+j], mat.Col[j][i]
				if b != mat.Rows[i*cols+j] || (v != v) != (b == 0) {
					t.Fatalf("value %v of column %d is in bins %d and %d", v, j, b, mat.Rows[i*cols+j])
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
	m, err := Fit(x, 1, 50, 1)
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
