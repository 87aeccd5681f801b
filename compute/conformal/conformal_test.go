package conformal

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/state"
)

// TestCoverageUnderDrift triples the errors half-way: the long-run coverage must stay at its
// nominal level, which a fixed quantile would miss.
func TestCoverageUnderDrift(t *testing.T) {
	for _, level := range []float64{0.8, 0.9, 0.95} {
		a := NewAdaptive(level, 500)
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
			a.Update(e, e <= k, 0)
		}
		// Gibbs and Candès, Proposition 4.1: |coverage - level| <= (1 + γ)/(γ n).
		if got := covered / n; math.Abs(got-level) > 0.01 {
			t.Errorf("coverage %.4f, want %.2f", got, level)
		}
	}
}

func TestFactorBounds(t *testing.T) {
	a := NewAdaptive(0.9, 100)
	if a.Factor(7) != 7 {
		t.Error("without scores the fallback holds")
	}
	for i := range 300 {
		// always missed, each time farther out: the aim falls below zero
		a.Update(float64(i), false, 0)
	}
	if k := a.Factor(7); !(k > 299 && k <= 2*299) {
		t.Errorf("Factor = %v, want more than the largest score, at most twice", k)
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
	if q := w.Quantile(0.5); !math.IsNaN(q) {
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
	a := NewAdaptive(0.9, 60)
	rng := rand.New(rand.NewPCG(4, 4))
	step := func(a *Adaptive, e float64) { a.Update(e, e <= a.Factor(1), 0) }
	for range 100 {
		step(a, rng.Float64())
	}
	var w state.Writer
	a.Save(&w)
	b := NewAdaptive(0.9, 60)
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
	for name, v := range map[string][]float64{"a value that is none": {1, math.NaN()}, "61 values": make([]float64, 61)} {
		var w state.Writer
		w.Floats(v)
		r := &state.Reader{B: w.B}
		if NewWindow(60).Load(r); r.Err() == nil {
			t.Errorf("a window with %s loads", name)
		}
	}
	var whole state.Writer
	whole.Floats(make([]float64, 60))
	r = &state.Reader{B: whole.B}
	if NewWindow(60).Load(r); r.Err() != nil {
		t.Errorf("a window of 60 values: %v", r.Err())
	}
}

// TestLateLabels lets labels come 200 rows late and errors triple and fall back: a tracker whose
// steps did not shrink would swing between covering all and nothing.
func TestLateLabels(t *testing.T) {
	const late, rows = 200, 30_000
	a := NewAdaptive(0.9, 500)
	rng := rand.New(rand.NewPCG(4, 4))
	var es, ks [rows]float64
	in, width, worst, window := 0.0, 0.0, 1.0, 0.0
	for i := range rows + late {
		if i < rows {
			es[i] = math.Abs(rng.NormFloat64())
			if i/5000%2 == 1 {
				es[i] *= 3
			}
			ks[i] = a.Factor(3)
			width += ks[i] / rows
		}
		if j := i - late; j >= 0 {
			hit := es[j] <= ks[j]
			a.Update(es[j], hit, late)
			if hit {
				in++
				window++
			}
			if j%500 == 499 {
				if j > 1000 {
					worst = min(worst, window/500)
				}
				window = 0
			}
		}
	}
	if c := in / rows; math.Abs(c-0.9) > 0.01 {
		t.Errorf("coverage %.4f, want 0.9", c)
	}
	// for 200 of 500 rows nobody can know that errors have tripled; the right mean width is 3.3
	if worst < 0.62 || width > 4 {
		t.Errorf("worst coverage of 500 rows %.3f, mean width %.2f", worst, width)
	}
}
