package gbdt

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/binned"
)

// TestThreadsShareLargeTables holds that the model is the same when there are rows enough for
// leaves to be summed, counted and divided by several goroutines at once.
func TestThreadsShareLargeTables(t *testing.T) {
	const rows, cols = 4*parallelWork + 17, 2
	rng := rand.New(rand.NewPCG(101, 1))
	x, y := make([]float64, rows*cols), make([]float64, rows)
	for i := range rows {
		r := x[i*cols:]
		r[0], r[1] = float64(rng.IntN(30)), float64(rng.IntN(7))
		y[i] = r[0]*r[1] + float64(rng.IntN(100))/10
		if rng.IntN(10) == 0 {
			r[1] = math.NaN()
		}
	}
	m := matrix(t, x, cols)
	for _, p := range []Params{{}, {RowFraction: 0.9}, {Boosting: GOSS, GOSSTop: 0.5, GOSSOther: 0.4}, {Objective: Poisson}} {
		p.Rounds, p.Leaves = 2, 6
		var want []byte
		for _, p.Threads = range []int{1, 2, 3, 4} {
			got, _ := train(t, Data{X: m, Y: y}, p).Ensemble.AppendBinary(nil)
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s, %s, row fraction %v: the model of %d threads differs from that of 1", p.Objective, p.Boosting, p.RowFraction, p.Threads)
			}
		}
	}
}

// TestManyColumns holds that the counting of eight columns at a time, four, and one by one agree
// with sums one would do by hand.
func TestManyColumns(t *testing.T) {
	rng := rand.New(rand.NewPCG(102, 1))
	for cols := 1; cols <= 21; cols++ {
		x := make([]float64, 300*cols)
		for i := range x {
			x[i] = float64(rng.IntN(40))
		}
		table := binned.FromRows(x, cols)
		m := binnedRows(t, table, table)
		packed := make([]int64, 300)
		for i := range packed {
			packed[i] = rng.Int64N(1<<50) - 1<<49
		}
		h, some := newHistogram(cols), newHistogram(cols)
		count(h, m.Rows, m.Stride, packed, 0, cols)
		all := make([]int, cols)
		for j := range all {
			all[j] = j
		}
		countSome(some, m.Rows, m.Stride, packed, all)
		want := newHistogram(cols)
		for j := range cols {
			for i, b := range m.Col[j] {
				want[j*histBins+int(b)] += packed[i]
			}
		}
		for k := range want {
			if h[k] != want[k] || some[k] != want[k] {
				t.Fatalf("%d columns: bin %d of column %d is %d and %d, want %d", cols, k%histBins, k/histBins, h[k], some[k], want[k])
			}
		}
	}
}

// TestPointersStayInside trains on shapes whose last row or column ends what was allocated. Under
// the race detector every pointer is checked; otherwise there is nothing to see.
func TestPointersStayInside(t *testing.T) {
	rng := rand.New(rand.NewPCG(103, 1))
	for _, cols := range []int{1, 4, 8, 13, 32} {
		x, y := make([]float64, 256*cols), make([]float64, 256)
		for i := range x {
			x[i] = float64(rng.IntN(50))
		}
		for i := range y {
			y[i] = x[i*cols] + float64(rng.IntN(9))
		}
		all := matrix(t, x, cols)
		for _, m := range []*binned.Matrix{all, all.Select([]int{0})} {
			for _, p := range []Params{{}, {RowFraction: 0.5, Seed: 1}, {FeatureFraction: 0.5}} {
				p.Rounds, p.Leaves, p.MinRows = 3, 8, 2
				train(t, Data{X: m, Y: y}, p)
			}
		}
	}
}
