package forest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/binned"
)

// mixed returns the binned table of rows that stand one after the other in x, in which categories
// says which columns hold codes.
func mixed(t testing.TB, x []float64, categories ...bool) *binned.Matrix {
	t.Helper()
	table := binned.FromRows(x, len(categories))
	for j, c := range categories {
		table.Columns[j].Categories = c
	}
	m, err := binned.Fit(table, binned.MaxBins, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Apply(table, 1)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fit(t testing.TB, d Data, p Params) *Model {
	t.Helper()
	m, err := Train(context.Background(), d, p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func predict(t testing.TB, m *Model, x []float64) []float64 {
	t.Helper()
	dst := make([]float64, m.Ensemble.Outputs())
	if err := m.Ensemble.PredictInto(dst, x); err != nil {
		t.Fatal(err)
	}
	return dst
}

// rare returns rows of which one in twenty is of class 1, overlapping class 0.
func rare(rows int, seed uint64) (x, y []float64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range rows {
		class := 0.0
		if i%20 == 0 {
			class = 1
		}
		x, y = append(x, rng.NormFloat64()+1.5*class, rng.NormFloat64()+class, rng.NormFloat64()), append(y, class)
	}
	return x, y
}

// TestBalancedFindsTheRareClass holds that balanced weights raise the share of rare rows that are
// found, on rows that training did not see, and that they are the weights they are said to be.
func TestBalancedFindsTheRareClass(t *testing.T) {
	x, y := rare(2000, 1)
	fresh, class := rare(2000, 2)
	d := Data{X: mixed(t, x, false, false, false), Y: y}
	recall := func(m *Model) (found, alarms float64) {
		for i, c := range class {
			if predict(t, m, fresh[3*i:3*i+3])[0] > 0.5 {
				if c == 1 {
					found += 1.0 / 100
				} else {
					alarms += 1.0 / 1900
				}
			}
		}
		return found, alarms
	}
	p := Params{Classes: 2, Trees: 60, MinRows: 10, Seed: 1}
	plain, _ := recall(fit(t, d, p))
	p.Balanced = true
	balanced := fit(t, d, p)
	found, alarms := recall(balanced)
	if found < plain+0.2 || found < 0.6 || alarms > 0.35 {
		t.Errorf("balanced weights find %.2f of the rare rows with %.2f false alarms, equal weights %.2f", found, alarms, plain)
	}
	p.Balanced = false
	d.Weight = make([]float64, len(y))
	for i, c := range y {
		if d.Weight[i] = 0.5 / 0.95; c == 1 {
			d.Weight[i] = 0.5 / 0.05
		}
	}
	same := fit(t, d, p)
	for i := range 200 {
		if a, b := predict(t, balanced, fresh[3*i:3*i+3])[0], predict(t, same, fresh[3*i:3*i+3])[0]; math.Abs(a-b) > 1e-3 {
			t.Fatalf("row %d: %v balanced, %v with the weights that balance", i, a, b)
		}
	}
}

// TestWeights holds that leaves are weighted means: without a split of the rows, and for classes
// too.
func TestWeights(t *testing.T) {
	x, y, w := make([]float64, 40), make([]float64, 40), make([]float64, 40)
	for i := range x {
		x[i], y[i], w[i] = float64(i/20), float64(i%2), 1
		if i%2 == 1 {
			w[i] = 9
		}
	}
	for _, classes := range []int{0, 2, 3} {
		// no bootstrap: every tree sees all rows
		p := Params{Trees: 5, Classes: classes, Extra: true, MinRows: 10}
		got := predict(t, fit(t, Data{X: mixed(t, x, false), Y: y, Weight: w}, p), []float64{0})
		if classes == 3 {
			got = got[1:]
		}
		if math.Abs(got[0]-0.9) > 1e-9 {
			t.Errorf("%d classes: rows of 0 with weight 1 and of 1 with weight 9 are predicted %v, want 0.9", classes, got[0])
		}
	}
}

// TestCategories holds that a set of categories that no order of their codes makes whole is
// found, with numbers and with classes, and that missing and unseen codes get a prediction.
func TestCategories(t *testing.T) {
	const rows = 1500
	in := func(code float64) bool { return int(code)*7%16 < 8 && int(code) != 3 }
	rng := rand.New(rand.NewPCG(3, 1))
	var x, y []float64
	for range rows {
		code, v := float64(rng.IntN(16)), 0.0
		if in(code) {
			v = 1
		}
		if rng.IntN(15) == 0 {
			code, v = math.NaN(), 1
		}
		x, y = append(x, code, float64(rng.IntN(9))), append(y, v)
	}
	for _, p := range []Params{{}, {Classes: 2}, {Classes: 3}, {Extra: true}, {Classes: 2, Extra: true}} {
		p.Trees, p.Features, p.MinRows, p.Seed = 20, 1, 1, 4
		if !p.Extra {
			p.Leaves = 2 // one split must do
		}
		m := fit(t, Data{X: mixed(t, x, true, false), Y: y}, p)
		at := func(code float64) float64 {
			dst := predict(t, m, []float64{code, 4})
			if p.Classes == 3 {
				return dst[1]
			}
			return dst[0]
		}
		for code := range 16 {
			want := 0.0
			if in(float64(code)) {
				want = 1
			}
			if got := at(float64(code)); math.Abs(got-want) > 0.1 {
				t.Errorf("%+v: code %d is predicted %v, want %v", p, code, got, want)
			}
		}
		if got := at(math.NaN()); got < 0.9 {
			t.Errorf("%+v: a missing code is predicted %v, want 1", p, got)
		}
		if a, b := at(99), at(2.5); a != b || !(a >= 0 && a <= 1+1e-9) {
			t.Errorf("%+v: unseen codes are predicted %v and %v", p, a, b)
		}
	}
}

// TestOutOfBagIsTheErrorOnFreshRows compares with rows of the same kind that training did not see.
func TestOutOfBagIsTheErrorOnFreshRows(t *testing.T) {
	for _, classes := range []int{0, 2, 3} {
		drawn := func(seed uint64) (x, y []float64) {
			rng := rand.New(rand.NewPCG(seed, 5))
			for range 3000 {
				a, b := rng.NormFloat64(), rng.NormFloat64()
				v := 2*a + b*b + rng.NormFloat64()
				if classes > 0 {
					v = float64(min(max(int(v+1), 0), classes-1))
				}
				x, y = append(x, a, b), append(y, v)
			}
			return x, y
		}
		x, y := drawn(1)
		fresh, want := drawn(2)
		m := fit(t, Data{X: mixed(t, x, false, false), Y: y}, Params{Classes: classes, Trees: 80, MinRows: 10, Score: true, Seed: 1, Threads: 2})
		sum := 0.0
		for i, v := range want {
			switch p := predict(t, m, fresh[2*i:2*i+2]); classes {
			case 0:
				sum += (p[0] - v) * (p[0] - v)
			case 2:
				sum -= math.Log(max(1-math.Abs(v-p[0]), 1e-15))
			default:
				sum -= math.Log(max(p[int(v)], 1e-15))
			}
		}
		sum /= float64(len(want))
		if classes == 0 {
			sum = math.Sqrt(sum)
		}
		if r := m.OutOfBag / sum; !(r > 0.9 && r < 1.15) {
			t.Errorf("%d classes: out of bag %v, on fresh rows %v", classes, m.OutOfBag, sum)
		}
	}
	x, y := rare(100, 6)
	for _, p := range []Params{{Classes: 2, Trees: 3}, {Classes: 2, Trees: 3, Extra: true, Score: true}} {
		if m := fit(t, Data{X: mixed(t, x, false, false, false), Y: y}, p); !math.IsNaN(m.OutOfBag) {
			t.Errorf("%+v: out of bag %v, want none", p, m.OutOfBag)
		}
	}
}

// TestSmooth holds that a leaf's shares are mixed with those of all rows: (own + Smooth·all) /
// (rows + Smooth), so none is 0.
func TestSmooth(t *testing.T) {
	x, y := make([]float64, 100), make([]float64, 100)
	for i := range x {
		if x[i] = 1; i < 20 {
			x[i], y[i] = 0, 1
		}
	}
	for _, smooth := range []float64{0, 1, 10} {
		for _, classes := range []int{2, 3} {
			m := fit(t, Data{X: mixed(t, x, false), Y: y}, Params{Classes: classes, Trees: 4, Extra: true, Smooth: smooth})
			for v, want := range []float64{(20 + smooth*0.2) / (20 + smooth), smooth * 0.2 / (80 + smooth)} {
				got := predict(t, m, []float64{float64(v)})
				p := got[len(got)/2]
				if math.Abs(p-want) > 1e-9 || smooth > 0 && !(p > 0 && p < 1) {
					t.Errorf("smooth %v, %d classes: share of class 1 at %d is %v, want %v", smooth, classes, v, p, want)
				}
			}
		}
	}
}

// TestCaps holds that trees are no larger than they may be, and that leaves have the rows they
// must have.
func TestCaps(t *testing.T) {
	d, _ := data(t, 1500)
	for _, p := range []Params{{Leaves: 2}, {Leaves: 17}, {MaxDepth: 3}, {MinRows: 100}, {Leaves: 9, Extra: true}, {RowsShare: 0.1}} {
		p.Trees, p.Seed = 10, 2
		m := fit(t, d, p)
		for k := range p.Trees {
			tree := m.Ensemble.Tree(k)
			depth, leaves := make([]int, len(tree)), 0
			for i, n := range tree {
				if n.Left == 0 {
					if leaves++; p.MinRows > 0 && n.Cover < float64(p.MinRows) {
						t.Fatalf("%+v: a leaf of %v rows", p, n.Cover)
					}
					continue
				}
				depth[n.Left], depth[n.Right] = depth[i]+1, depth[i]+1
				if c := tree[n.Left].Cover + tree[n.Right].Cover; c != n.Cover {
					t.Fatalf("%+v: %v rows come to a node, %v to its children", p, n.Cover, c)
				}
				if p.MaxDepth > 0 && depth[i] >= p.MaxDepth {
					t.Fatalf("%+v: a split at depth %d", p, depth[i])
				}
			}
			if p.Leaves > 0 && leaves != p.Leaves {
				t.Errorf("%+v: tree %d has %d leaves, want all that are allowed", p, k, leaves)
			}
			if want := map[bool]float64{true: 150, false: 1500}[p.RowsShare > 0]; tree[0].Cover != want {
				t.Errorf("%+v: tree %d grew on %v rows, want %v", p, k, tree[0].Cover, want)
			}
		}
	}
}

// TestExportAgrees holds that the ensemble says of every training row what the trees on bins say,
// missing values and categories included.
func TestExportAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	const rows = 700
	var x, y []float64
	for range rows {
		r := []float64{rng.NormFloat64(), float64(rng.IntN(30)), float64(rng.IntN(5))}
		if rng.IntN(4) == 0 {
			r[rng.IntN(3)] = math.NaN()
		}
		if rng.IntN(30) == 0 {
			r[1] = []float64{300, -1, 1.5, 254}[rng.IntN(4)]
		}
		x, y = append(x, r...), append(y, float64(rng.IntN(3)))
	}
	for _, p := range []Params{{}, {Classes: 3}, {Extra: true}, {Classes: 3, Extra: true, Smooth: 2}, {Classes: 4, Balanced: true, Smooth: 1}} {
		t.Run(fmt.Sprintf("classes=%d,extra=%v", p.Classes, p.Extra), func(t *testing.T) {
			p.Trees, p.MinRows, p.Seed = 15, 2, 3
			d := Data{X: mixed(t, x, false, true, false), Y: y}
			m := fit(t, d, p)
			if err := p.defaults(3); err != nil {
				t.Fatal(err)
			}
			if err := d.check(&p); err != nil {
				t.Fatal(err)
			}
			if p.Balanced {
				d.balance(p.Classes)
			}
			g := newGrower(&d, &p)
			want := make([][]float64, rows)
			for k := range p.Trees {
				tree := g.grow(uint64(k))
				for i := range want {
					leaf := tree.leaf(d.X, i)
					if want[i] == nil {
						want[i] = make([]float64, len(leaf))
					}
					for c, v := range leaf {
						want[i][c] += v / float64(p.Trees)
					}
				}
			}
			for i := range want {
				got := predict(t, m, x[3*i:3*i+3])
				for c := range got {
					if math.Abs(got[c]-want[i][c]) > 1e-9 {
						t.Fatalf("row %d %v: the ensemble says %v, the trees %v", i, x[3*i:3*i+3], got, want[i])
					}
				}
			}
		})
	}
}

// TestSharesStayShares holds that no rounding takes the share of a class that all trees agree on
// beyond 1.
func TestSharesStayShares(t *testing.T) {
	x, y := make([]float64, 60), make([]float64, 60)
	for i := range x {
		x[i], y[i] = float64(i%2), float64(i%2)
	}
	for trees := 1; trees <= 230; trees += 3 {
		for _, classes := range []int{2, 3} {
			m := fit(t, Data{X: mixed(t, x, false), Y: y}, Params{Classes: classes, Trees: trees, Extra: true, MinRows: 20})
			for v := range 2 {
				for _, p := range predict(t, m, []float64{float64(v)}) {
					if !(p >= 0 && p <= 1) || min(p, 1-p) > 1e-12 {
						t.Errorf("%d trees, %d classes: share %v at %d", trees, classes, p, v)
					}
				}
			}
		}
	}
}

// TestMissingGoesWhereItFits holds that missing values find their side, be it with the small
// values, the large ones, or by themselves.
func TestMissingGoesWhereItFits(t *testing.T) {
	for _, missing := range []float64{-5, 5, 40} {
		for _, extra := range []bool{false, true} {
			rng := rand.New(rand.NewPCG(8, 1))
			x, y := make([]float64, 600), make([]float64, 600)
			for i := range x {
				if x[i], y[i] = rng.Float64()-0.5, -5; x[i] > 0 {
					y[i] = 5
				}
				if rng.IntN(5) == 0 {
					x[i], y[i] = math.NaN(), missing
				}
			}
			m := fit(t, Data{X: mixed(t, x, false), Y: y}, Params{Trees: 30, Extra: extra, Seed: 1})
			for v, want := range map[float64]float64{-0.3: -5, 0.3: 5, math.NaN(): missing} {
				if got := predict(t, m, []float64{v})[0]; math.Abs(got-want) > 2 {
					t.Errorf("extra %v, missing like %v: x = %v is predicted %v, want %v", extra, missing, v, got, want)
				}
			}
		}
	}
}

// TestFarFromZero holds that a target learns as well when all of it is moved far from 0.
func TestFarFromZero(t *testing.T) {
	x, y := make([]float64, 400), make([]float64, 400)
	for i := range x {
		x[i] = float64(i % 40)
		y[i] = 1e7 + float64(i%40/10)
	}
	for _, extra := range []bool{false, true} {
		m := fit(t, Data{X: mixed(t, x, false), Y: y}, Params{Trees: 20, Extra: extra, Features: 1, Seed: 1})
		for k := range 4 {
			if got, want := predict(t, m, []float64{float64(10*k + 5)})[0], 1e7+float64(k); math.Abs(got-want) > 0.1 {
				t.Errorf("extra %v: x = %d is predicted %v, want %v", extra, 10*k+5, got, want)
			}
		}
	}
}
