package conformal

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/state"
)

// TestCoverageUnderDrift triples the errors half-way: the long-run coverage must stay at its nominal level, which a fixed quantile would miss.
func TestCoverageUnderDrift(t *testing.T) {
	for _, level := range []float64{0.8, 0.9, 0.95} {
		a := NewAdaptive(level, 0, 500)
		rng := rand.New(rand.NewPCG(2, 2))
		covered, n := 0.0, 0.0
		for i := range 20000 {
			e := math.Abs(rng.NormFloat64())
			if i > 10000 {
				e *= 3
			}
			k := a.Factor(2)
			if i > 1000 {
				n++
				if e <= k {
					covered++
				}
			}
			a.Update(e, e <= k)
		}
		// Gibbs and Candès, Proposition 4.1: |coverage - level| <= (1 + γ)/(γ n).
		if got := covered / n; math.Abs(got-level) > 0.01 {
			t.Errorf("coverage %.4f, want %.2f", got, level)
		}
	}
}

func TestFactorBounds(t *testing.T) {
	a := NewAdaptive(0.9, 0.05, 100)
	if a.Factor(7) != 7 {
		t.Error("without scores the fallback holds")
	}
	for range 50 {
		a.Update(1, false) // always missed: α_t falls below zero
	}
	if k := a.Factor(7); k != 2 {
		t.Errorf("Factor = %v, want twice the largest score", k)
	}
	a.Warm([]float64{1, 2, 3})
	if a.Factor(7) != 7 {
		t.Error("three scores are not enough")
	}
}

func TestWindowAgainstSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	w := NewWindow(50)
	var all []float64
	if q := w.Quantile(0.5); q == q {
		t.Error("quantile of nothing is not NaN")
	}
	for range 400 {
		x := math.Round(rng.NormFloat64() * 5)
		w.Add(x)
		w.Add(math.NaN())
		all = append(all, x)
		s := slices.Clone(all[max(0, len(all)-50):])
		slices.Sort(s)
		for _, p := range []float64{0, 0.1, 0.5, 0.93, 1} {
			at := p * float64(len(s)-1)
			i := int(at)
			want := s[i]
			if i+1 < len(s) {
				want += (s[i+1] - s[i]) * (at - float64(i))
			}
			if got := w.Quantile(p); math.Abs(got-want) > 1e-12 {
				t.Fatalf("Quantile(%v) = %v, want %v", p, got, want)
			}
		}
		if w.Max() != s[len(s)-1] {
			t.Fatalf("Max = %v, want %v", w.Max(), s[len(s)-1])
		}
	}
}

func TestSaveLoad(t *testing.T) {
	a := NewAdaptive(0.9, 0, 60)
	rng := rand.New(rand.NewPCG(4, 4))
	step := func(a *Adaptive, e float64) { a.Update(e, e <= a.Factor(1)) }
	for range 100 {
		step(a, rng.Float64())
	}
	var w state.Writer
	a.Save(&w)
	b := NewAdaptive(0.9, 0, 60)
	r := &state.Reader{B: w.B}
	b.Load(r)
	if r.Err() != nil || len(r.B) != 0 {
		t.Fatal(r.Err())
	}
	for range 200 {
		e := rng.Float64()
		step(a, e)
		step(b, e)
		if a.Factor(1) != b.Factor(1) {
			t.Fatal("factors differ after a load")
		}
	}
	for _, v := range [][]float64{{math.NaN()}, make([]float64, 61)} {
		var w state.Writer
		w.Float(0.1)
		w.Floats(v)
		w.Int(0)
		r := &state.Reader{B: w.B}
		if NewAdaptive(0.9, 0, 60).Load(r); r.Err() == nil {
			t.Errorf("window of %d values loads", len(v))
		}
	}
}
