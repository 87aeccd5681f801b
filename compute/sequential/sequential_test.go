package sequential

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestAnytimeValid looks after every single value: over many runs the bound may miss the true
// mean at any time in at most about alpha of them.
func TestAnytimeValid(t *testing.T) {
	const runs, alpha = 400, 0.05
	missed := 0
	for seed := range uint64(runs) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var n, sum, sum2 float64
		for range 1500 {
			x := rng.NormFloat64()*0.5 + 0.1
			n++
			sum += x
			sum2 += x * x
			if n < 30 {
				continue // the boundary is asymptotic
			}
			if lo, hi := Bound(n, sum, sum2, alpha, 200); lo > 0.1 || hi < 0.1 {
				missed++
				break
			}
		}
	}
	if rate := float64(missed) / runs; rate > 1.5*alpha {
		t.Errorf("the bound missed in %.3f of the runs, allowed %.3f", rate, alpha)
	}
}

func TestNonInferior(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	run := func(diff float64, n int) Verdict {
		var inc, sum, sum2 float64
		for range n {
			inc++
			d := diff + 0.3*rng.NormFloat64()
			sum += d
			sum2 += d * d
		}
		return NonInferior(float64(n), inc, sum, sum2, 0.05, 0.05, 48)
	}
	for _, tt := range []struct {
		diff float64
		n    int
		want Verdict
	}{{-0.05, 400, Pass}, {0.5, 100, Fail}, {-0.5, 20, Inconclusive}, {0.05, 60, Inconclusive}, {0, 1, Inconclusive}} {
		if got := run(tt.diff, tt.n); got != tt.want {
			t.Errorf("difference %v over %d rows: %s, want %s", tt.diff, tt.n, got, tt.want)
		}
	}
	if lo, hi := Bound(1, 0, 0, 0.05, 10); !math.IsInf(lo, -1) || !math.IsInf(hi, 1) {
		t.Error("one value bounds nothing")
	}
}
