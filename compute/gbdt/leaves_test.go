package gbdt

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/binned"
)

// TestShrunkLeaves holds the formula of a leaf, −shrink(G, L1) / (H + L2), on two groups of rows
// that a column divides.
func TestShrunkLeaves(t *testing.T) {
	x, y := make([]float64, 90), make([]float64, 90)
	for i := range x {
		y[i] = float64(i%3) / 4
		if i >= 30 {
			x[i], y[i] = 1, y[i]+5
		}
	}
	mean := 0.0
	for _, v := range y {
		mean += v / 90
	}
	for _, w := range []float64{1, 3} {
		for _, c := range []struct{ l1, l2 float64 }{{0, 0}, {10, 0}, {0, 25}, {7, 11}, {1e6, 0}} {
			d := Data{X: matrix(t, x, 1), Y: y}
			if w != 1 {
				d.Weight = make([]float64, 90)
				for i := range d.Weight {
					d.Weight[i] = w
				}
			}
			m := train(t, d, Params{Rounds: 1, LearningRate: 1, Leaves: 2, MinRows: 5, L1: c.l1, L2: c.l2})
			for side, rows := range []int{30, 60} {
				sum := 0.0
				for i := range y {
					if int(x[i]) == side {
						sum += w * (y[i] - mean)
					}
				}
				want := mean + math.Copysign(max(math.Abs(sum)-c.l1, 0), sum)/(w*float64(rows)+c.l2)
				got := predict1(t, m, float64(side))
				if math.Abs(got-want) > 1e-6 {
					t.Errorf("weight %v, L1 %v, L2 %v: leaf of x = %d predicts %v, want %v", w, c.l1, c.l2, side, got, want)
				}
			}
		}
	}
}

func predict1(t testing.TB, m *Model, x ...float64) float64 {
	t.Helper()
	dst := make([]float64, 1)
	if err := m.Ensemble.PredictInto(dst, x); err != nil {
		t.Fatal(err)
	}
	return dst[0]
}

// TestTwiceIsWeightTwo holds that a row given twice counts as one of weight 2. Rows of a weight
// count as their share of the hessians, so MinRows is 1 and MinHessian says how small a leaf may
// be.
func TestTwiceIsWeightTwo(t *testing.T) {
	const rows, cols = 500, 3
	x, y := table(rand.New(rand.NewPCG(41, 1)), rows, cols)
	for _, o := range []Objective{Squared, Logistic, Poisson, Huber} {
		target := make([]float64, rows)
		for i, v := range y {
			switch target[i] = v; o {
			case Logistic:
				target[i] = float64(min(max(int(v), 0), 1))
			case Poisson:
				target[i] = math.Abs(math.Round(v))
			}
		}
		one := Data{X: matrix(t, x, cols), Y: target, Weight: make([]float64, rows)}
		var x2, y2 []float64
		for i := range rows {
			one.Weight[i] = 1
			x2, y2 = append(x2, x[i*cols:(i+1)*cols]...), append(y2, target[i])
			if i%2 == 0 {
				one.Weight[i] = 2
				x2, y2 = append(x2, x[i*cols:(i+1)*cols]...), append(y2, target[i])
			}
		}
		// The same bins, so that only the weights differ.
		again, err := one.X.Apply(binned.FromRows(x2, cols), 1)
		if err != nil {
			t.Fatal(err)
		}
		two := Data{X: again, Y: y2}
		two.Weight = make([]float64, len(y2)) // packed as weights are, not as counts
		for i := range two.Weight {
			two.Weight[i] = 1
		}
		p := Params{Objective: o, Rounds: 10, Leaves: 8, MinRows: 1, MinHessian: 8}
		a, b := train(t, one, p), train(t, two, p)
		if a.Ensemble.Nodes() < 100 {
			t.Fatalf("%s: %d nodes", o, a.Ensemble.Nodes())
		}
		for i := range rows {
			// gradients are rounded to 2^-30 of the largest
			if va, vb := predict1(t, a, x[i*cols:(i+1)*cols]...), predict1(t, b, x[i*cols:(i+1)*cols]...); math.Abs(va-vb) > 1e-6*max(1, math.Abs(va)) {
				t.Fatalf("%s: row %d is predicted %v with weights and %v with rows twice", o, i, va, vb)
			}
		}
	}
}

// TestEqualWeightsChangeNothing holds that the scale of weights is no matter where nothing is
// added to the hessians.
func TestEqualWeightsChangeNothing(t *testing.T) {
	x, y := table(rand.New(rand.NewPCG(42, 1)), 400, 3)
	plain := train(t, Data{X: matrix(t, x, 3), Y: y}, Params{Rounds: 10})
	for _, w := range []float64{0.25, 1, 1024} {
		d := Data{X: matrix(t, x, 3), Y: y, Weight: make([]float64, len(y))}
		for i := range d.Weight {
			d.Weight[i] = w
		}
		m := train(t, d, Params{Rounds: 10})
		for i := range y {
			if a, b := predict1(t, plain, x[3*i:3*i+3]...), predict1(t, m, x[3*i:3*i+3]...); math.Abs(a-b) > 1e-6 {
				t.Fatalf("weights %v: row %d is predicted %v, without weights %v", w, i, b, a)
			}
		}
	}
}

// TestConstantTarget holds that there is nothing to learn from a constant, and that the model
// says it.
func TestConstantTarget(t *testing.T) {
	x, _ := table(rand.New(rand.NewPCG(43, 1)), 200, 2)
	for _, c := range []struct {
		p     Params
		y     float64
		below float64 // of the error
	}{
		{Params{}, 3.5, 1e-12}, {Params{Objective: Absolute}, -7, 0}, {Params{Objective: Quantile, Alpha: 0.9}, 2, 0}, {Params{Objective: Huber}, 1e6, 1e-9}, {Params{Objective: Poisson}, 4, 1e-12}, {Params{Objective: Poisson}, 0, 1e-8},
		{Params{Objective: Logistic}, 0, 1e-5}, {Params{Objective: Logistic}, 1, 1e-5}, {Params{Boosting: DART}, 3, 1e-12}, {Params{Boosting: GOSS}, 3, 1e-12},
	} {
		t.Run(fmt.Sprint(c.p.Objective, c.p.Boosting, c.y), func(t *testing.T) {
			y := make([]float64, 200)
			for i := range y {
				y[i] = c.y
			}
			c.p.Rounds = 20
			m := train(t, Data{X: matrix(t, x, 2), Y: y}, c.p)
			for _, v := range []float64{-3, 0, math.NaN()} {
				if got := predict1(t, m, v, v); !(math.Abs(got-c.y) <= c.below) {
					t.Errorf("prediction %v, want %v", got, c.y)
				}
			}
			for _, v := range m.Importance {
				if c.p.Objective == "" && v != 0 {
					t.Errorf("importance %v of a constant", m.Importance)
				}
			}
		})
	}
}

// TestRareClasses holds that a class of one row, and one that no row of Train has, leave
// predictions finite and small for it.
func TestRareClasses(t *testing.T) {
	const rows, cols = 600, 3
	x, y := table(rand.New(rand.NewPCG(44, 1)), rows, cols)
	class := make([]float64, rows)
	for i, v := range y {
		class[i] = float64(min(max(int(v), 0), 1))
	}
	class[17], class[599] = 2, 3 // 599 is not trained on
	d := Data{X: matrix(t, x, cols), Y: class, Valid: []int32{599}}
	for i := range int32(599) {
		d.Train = append(d.Train, i)
	}
	m := train(t, d, Params{Objective: Softmax, Classes: 5, Rounds: 60, MinRows: 1, Leaves: 8, LearningRate: 0.3})
	right := 0
	dst := make([]float64, 5)
	for i := range 599 {
		if err := m.Ensemble.PredictInto(dst, x[i*cols:(i+1)*cols]); err != nil {
			t.Fatal(err)
		}
		sum, best := 0.0, 0
		for k, v := range dst {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("row %d: shares %v", i, dst)
			}
			if sum += v; v > dst[best] {
				best = k
			}
		}
		if math.Abs(sum-1) > 1e-9 || dst[3] > 0.01 || dst[4] > 0.01 {
			t.Fatalf("row %d: shares %v", i, dst)
		}
		if best == int(class[i]) {
			right++
		}
	}
	if right < 500 {
		t.Errorf("%d of 599 training rows get their class", right)
	}
	for _, l := range m.Losses {
		if math.IsNaN(l) || math.IsInf(l, 0) {
			t.Fatalf("losses %v", m.Losses)
		}
	}
}

// TestPoissonLearnsARate compares with the rates the counts were drawn from, zero among them.
func TestPoissonLearnsARate(t *testing.T) {
	rng := rand.New(rand.NewPCG(45, 1))
	const rows = 4000
	rates := []float64{0, 0.2, 1, 5, 30}
	x, y := make([]float64, rows), make([]float64, rows)
	sum, n := make([]float64, len(rates)), make([]float64, len(rates))
	for i := range rows {
		k := rng.IntN(len(rates))
		x[i] = float64(k)
		for at := rng.ExpFloat64(); at < rates[k]; at += rng.ExpFloat64() {
			y[i]++
		}
		sum[k] += y[i]
		n[k]++
	}
	m := train(t, Data{X: matrix(t, x, 1), Y: y}, Params{Objective: Poisson, Rounds: 300})
	for k := range rates {
		got, want := predict1(t, m, float64(k)), sum[k]/n[k]
		if !(got > 0) || math.Abs(got-want) > 0.01*want+0.01 {
			t.Errorf("rate at %d is %v, counts have mean %v", k, got, want)
		}
	}
	if v := predict1(t, m, math.NaN()); !(v > 0) {
		t.Errorf("rate of a missing value is %v", v)
	}
}

// TestSplitFraction holds that drawing features per split repeats, is not the same as looking at
// all, and still finds what matters.
func TestSplitFraction(t *testing.T) {
	const rows, cols = 1500, 6
	x, y := table(rand.New(rand.NewPCG(46, 1)), rows, cols)
	bytesOf := func(p Params) []byte {
		p.Rounds, p.Leaves, p.Seed = 30, 8, max(p.Seed, 1)
		m := train(t, Data{X: matrix(t, x, cols), Y: y}, p)
		if m.Importance[0]+m.Importance[1] < 0.6 {
			t.Errorf("%+v: importance %v, the target depends on the first two", p, m.Importance)
		}
		for j, v := range m.Importance {
			if p.SplitFraction == 0.2 && v == 0 { // two of six
				t.Errorf("feature %d was never used", j)
			}
		}
		b, _ := m.Ensemble.AppendBinary(nil)
		return b
	}
	all, some := bytesOf(Params{}), bytesOf(Params{SplitFraction: 0.2})
	if bytes.Equal(all, some) || bytes.Equal(some, bytesOf(Params{SplitFraction: 0.2, Seed: 2})) {
		t.Error("the draw of features changes nothing")
	}
	for _, threads := range []int{1, 2, 3} {
		if !bytes.Equal(some, bytesOf(Params{SplitFraction: 0.2, Threads: threads})) {
			t.Errorf("another model with %d threads", threads)
		}
	}
}

// TestFirstSplitWithPenalties compares the first split with the best of all by the formula of its
// gain, in which L1, L2, MinHessian and weights count.
func TestFirstSplitWithPenalties(t *testing.T) {
	changed := 0
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 47))
		const rows = 60
		x, y, w := make([]float64, rows), make([]float64, rows), make([]float64, rows)
		sum, n := 0.0, 0.0
		for i := range x {
			x[i], y[i], w[i] = float64(rng.IntN(30)), rng.NormFloat64(), 1+2*rng.Float64()
			if x[i] < 3 {
				y[i] += 2
			}
			sum += w[i] * y[i]
			n += w[i]
		}
		plain := -1.0
		for _, c := range []struct{ l1, l2, minHessian float64 }{{0, 0, 1e-3}, {4, 0, 1e-3}, {0, 40, 1e-3}, {3, 10, 25}} {
			term := func(g, h float64) float64 {
				g = max(math.Abs(g)-c.l1, 0)
				return g * g / (h + c.l2)
			}
			best, at := 0.0, -1.0
			for cut := range 29 {
				var g, h float64
				for i := range x {
					if x[i] <= float64(cut) {
						g += w[i] * (y[i] - sum/n)
						h += w[i]
					}
				}
				if gain := term(g, h) + term(-g, n-h); h >= c.minHessian && n-h >= c.minHessian && gain > best*(1+1e-12) {
					best, at = gain, float64(cut)
				}
			}
			m := train(t, Data{X: matrix(t, x, 1), Y: y, Weight: w}, Params{Rounds: 1, Leaves: 2, MinRows: 1, L1: c.l1, L2: c.l2, MinHessian: c.minHessian})
			got, differ := m.Ensemble.Tree(0)[0], 0
			for _, v := range x {
				if (v <= got.Threshold) != (v <= at) {
					differ++
				}
			}
			if got.Left == 0 || differ > 0 {
				t.Errorf("seed %d, %+v: the tree starts with %+v, want to divide after %v", seed, c, got, at)
			}
			if plain < 0 {
				plain = at
			}
			if at != plain {
				changed++
			}
		}
	}
	if changed < 10 {
		t.Errorf("penalties changed %d splits: the tables do not test them", changed)
	}
}
