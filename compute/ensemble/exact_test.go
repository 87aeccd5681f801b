package ensemble

import (
	"bytes"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestBuildMakesSumsExact adds the scores that rows reach in random orders, and compares with the
// sum in arbitrary precision.
func TestBuildMakesSumsExact(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 21))
		outputs, vector := 1+rng.IntN(3), seed%2 == 0
		trees := make([]Tree, outputs*(1+rng.IntN(100)))
		scale := math.Ldexp(1, rng.IntN(400)-200)
		for i := range trees {
			trees[i] = randomTree(rng, 3, outputs, rng.IntN(12), false)
			for j := range trees[i] {
				n := &trees[i][j]
				n.Value *= scale * math.Exp(3*rng.NormFloat64())
				for k := range n.Values {
					n.Values[k] *= scale * math.Exp(3*rng.NormFloat64())
				}
			}
		}
		base := make([]float64, outputs)
		for k := range base {
			base[k] = rng.NormFloat64() * scale
		}
		e, err := Build(Spec{Inputs: 3, Base: base, Vector: vector}, trees)
		if err != nil {
			t.Fatal(err)
		}
		if !e.exact() {
			t.Fatalf("seed %d: sums are not exact", seed)
		}
		x := []float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}
		for k := range outputs {
			scores, given, total := []float64{e.base[k]}, new(big.Float).SetPrec(2000).SetFloat64(base[k]), math.Abs(base[k])
			for i := range trees {
				if !vector && i%outputs != k {
					continue
				}
				rounded, original := follow(e.Tree(i), x), follow(trees[i], x)
				v, g, largest := rounded.Value, original.Value, 0.0
				if vector {
					v, g = rounded.Values[k], original.Values[k]
				}
				for _, n := range trees[i] {
					if n.Left == 0 && vector {
						largest = max(largest, math.Abs(n.Values[k]))
					} else if n.Left == 0 {
						largest = max(largest, math.Abs(n.Value))
					}
				}
				scores, total = append(scores, v), total+largest
				given.Add(given, new(big.Float).SetPrec(2000).SetFloat64(g))
			}
			exact := new(big.Float).SetPrec(2000)
			for _, s := range scores {
				exact.Add(exact, new(big.Float).SetPrec(2000).SetFloat64(s))
			}
			want, accuracy := exact.Float64()
			if accuracy != big.Exact {
				t.Fatalf("seed %d: the sum is no float64", seed)
			}
			for range 5 {
				rng.Shuffle(len(scores), func(i, j int) { scores[i], scores[j] = scores[j], scores[i] })
				sum := 0.0
				for _, s := range scores {
					sum += s
				}
				if sum != want {
					t.Fatalf("seed %d: a sum in another order = %v, want %v", seed, sum, want)
				}
			}
			off, _ := new(big.Float).Sub(exact, given).Float64()
			if bound := float64(len(scores)) * total * 0x1p-52; math.Abs(off) > bound {
				t.Errorf("seed %d: rounding moved the sum by %g, more than %g", seed, off, bound)
			}
		}
	}
}

// TestBuildTwice holds that building what Spec and Tree return gives the same bytes.
func TestBuildTwice(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 22))
		trees := make([]Tree, 1+rng.IntN(20))
		for i := range trees {
			trees[i] = randomTree(rng, 3, 1, rng.IntN(5), true)
			for j := range trees[i] {
				// Totals just below a power of two, where rounding up may need a coarser grid.
				trees[i][j].Value = math.Nextafter(1/float64(len(trees)), 0) * []float64{1, rng.Float64()}[rng.IntN(2)]
			}
		}
		e, err := Build(Spec{Inputs: 3, Base: []float64{math.Copysign(0, -1)}}, trees)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := e.AppendBinary(nil)
		for i := range trees {
			trees[i] = e.Tree(i)
		}
		again, err := Build(e.Spec(), trees)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := again.AppendBinary(nil); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: building twice gives other bytes", seed)
		}
	}
}

func TestExactDetects(t *testing.T) {
	build := func(scores ...float64) *Ensemble {
		e := &Ensemble{inputs: 1, outputs: 1, base: []float64{0}}
		for i, s := range scores {
			e.roots = append(e.roots, uint32(i))
			e.nodes = append(e.nodes, node{bits: math.Float64bits(s)})
		}
		return e
	}
	for _, c := range []struct {
		scores []float64
		want   bool
	}{
		{nil, true},
		{[]float64{0, 0}, true},
		{[]float64{0.1}, true},
		{[]float64{0.1, 0.2}, false},
		{[]float64{0.5, 3, 1024}, true},
		{[]float64{float64(float32(0.1)), float64(float32(0.7)), 3}, true},
		{[]float64{1 << 52, 1}, true},
		{[]float64{1<<53 - 1, 1}, false},
		{[]float64{1 << 60, 1}, false},
		{[]float64{5e-324, 1e-320}, true},
		{[]float64{math.MaxFloat64, math.MaxFloat64}, false},
	} {
		if got := build(c.scores...).exact(); got != c.want {
			t.Errorf("exact of %v = %v, want %v", c.scores, got, c.want)
		}
	}
	e := build(1)
	if e.base[0] = math.Copysign(0, -1); e.exact() {
		t.Error("a base of -0 counts as exact")
	}
	huge, err := New(1, Identity, []float64{0}, false, []Tree{{{Value: math.MaxFloat64}}, {{Value: math.MaxFloat64}}, {{Value: 0.1}}})
	if err != nil || huge.exact() {
		t.Errorf("New of scores whose total overflows = exact, error %v", err)
	}
	dst := make([]float64, 1)
	if _ = huge.PredictInto(dst, []float64{0}); !math.IsInf(dst[0], 1) {
		t.Errorf("PredictInto with a total that overflows = %v, want +Inf", dst)
	}
}
