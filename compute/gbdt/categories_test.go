package gbdt

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/binned"
)

// mixed returns a table of rows that stand one after the other, in which categories says which
// columns hold codes.
func mixed(x []float64, categories ...bool) binned.Table {
	t := binned.FromRows(x, len(categories))
	for j, c := range categories {
		t.Columns[j].Categories = c
	}
	return t
}

func binnedRows(t testing.TB, fit, all binned.Table) *binned.Matrix {
	t.Helper()
	m, err := binned.Fit(fit, binned.MaxBins, 1)
	if err != nil {
		t.Fatal(err)
	}
	x, err := m.Apply(all, 1)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestFirstSplitOfCategories compares with every way to divide the categories in two. Fisher
// (1958) proves for squared loss that the best is a cut of their order by mean, which is all that
// the trainer looks at; few categories, one of them against the rest, are compared with just
// these.
func TestFirstSplitOfCategories(t *testing.T) {
	const tiny = 1e-12 // 0 means the default
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 51))
		levels := 3 + rng.IntN(7)
		x, y := make([]float64, 150), make([]float64, 150)
		mean := make([]float64, levels)
		for k := range mean {
			mean[k] = 3 * rng.NormFloat64()
		}
		for i := range x {
			k := min(rng.IntN(levels), rng.IntN(levels)) // the first ones more often
			x[i], y[i] = float64(7*k), mean[k]+rng.NormFloat64()
		}
		sum, sumOf, n := 0.0, make([]float64, levels), make([]float64, levels)
		for i, v := range y {
			sum += v
			sumOf[int(x[i])/7] += v
			n[int(x[i])/7]++
		}
		// the largest sum of squares over number that left sides of up to most categories can have
		best := func(most int) (kept float64) {
			for set := 1; set < 1<<levels-1; set++ {
				if bits.OnesCount(uint(set)) > most {
					continue
				}
				s, c := 0.0, 0.0
				for k := range levels {
					if set>>k&1 != 0 {
						s += sumOf[k]
						c += n[k]
					}
				}
				if c > 0 && c < 150 {
					kept = max(kept, s*s/c+(sum-s)*(sum-s)/(150-c))
				}
			}
			return kept
		}
		for _, oneHot := range []int{1, levels} {
			p := Params{Rounds: 1, LearningRate: 1, Leaves: 2, MinRows: 1, OneHotCategories: oneHot, CategorySmooth: tiny, CategoryRows: tiny, CategoryL2: tiny, CategoryGroup: 1}
			m := train(t, Data{X: binnedRows(t, mixed(x, true), mixed(x, true)), Y: y}, p)
			got := 0.0 // of the prediction: the mean of a side is predicted on its rows
			for _, v := range x {
				p := predict1(t, m, v)
				got += p * p
			}
			want := best(levels)
			if oneHot == levels {
				want = best(1)
			}
			if math.Abs(got-want) > 1e-6*want {
				t.Errorf("seed %d, one-hot up to %d of %d: the split keeps %v of the squares, the best one %v", seed, oneHot, levels, got, want)
			}
		}
	}
}

// TestUnseenCategoriesGoRight holds that NaN, codes that training did not have, and what is no
// code at all go where the others go, in the trainer and in the ensemble.
func TestUnseenCategoriesGoRight(t *testing.T) {
	const rows, trained = 900, 600
	rng := rand.New(rand.NewPCG(52, 1))
	var x, y []float64
	for i := range rows {
		a, b := float64(rng.IntN(12)), rng.NormFloat64()
		level := []float64{-4, 3, 1}[int(a)%3]
		if i >= trained || rng.IntN(10) == 0 {
			a = []float64{a, math.NaN(), 77, 255, 256, 1e9, -1, 2.5, math.Inf(1)}[rng.IntN(9)]
		}
		x, y = append(x, a, b), append(y, level+b+rng.NormFloat64()/4)
	}
	d := Data{X: binnedRows(t, mixed(x[:2*trained], true, false), mixed(x, true, false)), Y: y}
	for i := range int32(rows) {
		if i < trained {
			d.Train = append(d.Train, i)
		} else {
			d.Valid = append(d.Valid, i)
		}
	}
	for _, p := range []Params{{CategoryGroup: 1}, {OneHotCategories: 256}, {Monotone: []int8{0, 1}}, {Boosting: GOSS, CategoryGroup: 1}, {Boosting: DART, DropSkip: 0.2}, {Objective: Absolute, RowFraction: 0.5}} {
		p.Rounds, p.Leaves, p.Seed = 30, 12, 1
		m := train(t, d, p)
		sum, sets := 0.0, 0
		for _, i := range d.Valid {
			r := y[i] - predict1(t, m, x[2*i:2*i+2]...)
			if p.Objective == Absolute {
				sum += math.Abs(r)
			} else {
				sum += r * r
			}
		}
		if got, want := sum/(rows-trained), m.Losses[29]; math.Abs(got-want) > 1e-9*want {
			t.Errorf("%+v: the ensemble's loss is %v, the trainer said %v", p, got, want)
		}
		for k := range m.Ensemble.Trees() {
			for _, n := range m.Ensemble.Tree(k) {
				if n.Categories != nil {
					if sets++; n.MissingLeft || n.Categories[1]>>(77-64)&1 != 0 && !trainedOn(x[:2*trained], 77) || n.Categories[3]>>63 != 0 && !trainedOn(x[:2*trained], 255) {
						t.Fatalf("%+v: tree %d sends unseen categories left: %+v", p, k, n)
					}
				}
			}
		}
		if sets == 0 {
			t.Errorf("%+v: no split of categories", p)
		}
		if p.OneHotCategories == 0 {
			continue
		}
		for _, b := range []float64{-1, 0, 1} {
			want := predict1(t, m, math.NaN(), b)
			for _, a := range []float64{200, 256, -3, 0.5, math.Inf(-1)} { // 200 occurs nowhere
				if got := predict1(t, m, a, b); got != want {
					t.Errorf("category %v is predicted %v, a missing one %v", a, got, want)
				}
			}
		}
	}
}

func trainedOn(x []float64, code float64) bool {
	for i := 0; i < len(x); i += 2 {
		if x[i] == code {
			return true
		}
	}
	return false
}
