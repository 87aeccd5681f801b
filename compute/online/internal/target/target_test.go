package target

import (
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/state"
)

func TestGuard(t *testing.T) {
	var g Guard
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		y := 10 + rng.NormFloat64()
		if got := g.Bound(y, 1); got != y {
			t.Fatalf("Bound(%v) = %v: changed", y, got)
		}
	}
	if got := g.Bound(1e308, 1); !(got > 25 && got < 35) {
		t.Errorf("Bound(1e308) = %v, want 20 standard deviations above 10", got)
	}
	if math.Abs(g.Mean()-10) > 0.2 || g.Deviation() > 3 {
		t.Errorf("mean %v and deviation %v after one outlier", g.Mean(), g.Deviation())
	}
	n := 0
	for ; g.Bound(1e6, 1) != 1e6; n++ { // a jump of a million deviations is there to stay
		if n > 100 {
			t.Fatal("a new level is not let through")
		}
	}
	var w state.Writer
	g.Save(&w)
	var h Guard
	r := &state.Reader{B: w.B}
	if h.Load(r); r.Err() != nil || h != g {
		t.Errorf("loaded %v, saved %v, %v", h, g, r.Err())
	}
	w = state.Writer{}
	w.Floats([]float64{-1, 0, 0})
	r = &state.Reader{B: w.B[8:]}
	if h.Load(r); r.Err() == nil || h != (Guard{}) {
		t.Error("a negative weight is loaded")
	}
}
