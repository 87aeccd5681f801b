package drift

import (
	"math/rand/v2"
	"testing"
)

// alarmsOf returns the positions at which a detector alarms.
func alarmsOf(d Detector, xs []float64) []int {
	var out []int
	for i, x := range xs {
		if d.Update(x) {
			out = append(out, i)
		}
	}
	return out
}

// TestSTEPDWithoutErrors holds that a stream without an error is no drift, and one where MOA's
// rules are asked for.
func TestSTEPDWithoutErrors(t *testing.T) {
	if got := alarmsOf(NewSTEPD(), make([]float64, 1000)); got != nil {
		t.Errorf("alarms at %v, want none", got)
	}
	moa := NewSTEPD()
	moa.MOA = true
	if got := alarmsOf(moa, make([]float64, 1000)); len(got) == 0 || got[0] != 59 {
		t.Errorf("by MOA's rules alarms at %v, want the first at 59", got)
	}
}

// TestStrange holds that single values of another magnitude do not move the windows whose sums
// they would ruin, and that five in a row are a drift, on the way up and on the way down.
func TestStrange(t *testing.T) {
	for name, d := range map[string]interface {
		Detector
		Width() int64
	}{"NewADWIN": NewADWIN(), "adwin": func() *ADWIN { a := NewADWIN(); a.Semantics = River; return a }(), "seed": NewSEED()} {
		rng := rand.New(rand.NewPCG(1, 0))
		xs := make([]float64, 2000)
		for i := range xs {
			if xs[i] = rng.Float64(); i%50 == 7 {
				xs[i] = 1e20
			}
		}
		if got := alarmsOf(d, xs); got != nil || d.Width() != 1960 {
			t.Errorf("%s: alarms at %v, width %d after 40 single values, want none and 1960", name, got, d.Width())
		}
		for _, level := range []float64{1e20, 1} {
			for i := range xs {
				xs[i] = level * (1 + rng.Float64())
			}
			// SEED's bound is for values in [0, 1]: at these it may alarm again.
			if got := alarmsOf(d, xs); len(got) == 0 || got[0] != 4 || name != "seed" && (len(got) != 1 || d.Width() != 1995) {
				t.Errorf("%s: alarms at %v, width %d, want the first at 4 and a window of the values after it", name, got, d.Width())
			}
		}
	}
}

// TestErrorsFromNumbers holds that detectors of errors take a value above one half for one.
func TestErrorsFromNumbers(t *testing.T) {
	for _, name := range []string{"ddm", "eddm", "ewma", "fhddm", "rddm", "stepd"} {
		rng := rand.New(rand.NewPCG(2, 0))
		a, _ := New(name, nil)
		b, err := New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4000 {
			x, y := 0.0, 0.5-rng.Float64()
			if rng.Float64() < []float64{0.1, 0.5}[i/1000%2] {
				x, y = 1, 0.51+rng.Float64()
			}
			if got, want := b.Update(y), a.Update(x); got != want {
				t.Fatalf("%s: value %d: %v for %v, %v for %v", name, i, got, y, want, x)
			}
		}
	}
}

// TestSEEDBounded holds that the memory of SEED is bounded where its values never look alike.
func TestSEEDBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	d := NewSEED()
	d.Delta = 1e-300
	for range 200_000 {
		d.Update(1e6 * rng.NormFloat64())
	}
	if n := len(d.blocks); n > maxSeedBlocks || n < 100 {
		t.Errorf("%d blocks, want up to %d", n, maxSeedBlocks)
	}
}
