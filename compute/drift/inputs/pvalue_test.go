package inputs

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestMemory holds the estimate to what an autoregression of the first order has, (1+φ)/(1-φ) for
// windows much longer than its memory, and to 1 for independent rows.
func TestMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 0))
	for _, c := range []struct{ phi, low, high float64 }{{0, 1, 1.1}, {0.5, 2.9, 3.6}, {0.9, 17, 32}, {-0.5, 1, 1}} {
		column, x := make([]float64, 20000), 0.0
		for i := range column {
			x = c.phi*x + math.Sqrt(1-c.phi*c.phi)*rng.NormFloat64()
			column[i] = x
		}
		if got := memory(make([]float64, len(column)), column, 2000); !(got >= c.low && got <= c.high) {
			t.Errorf("memory at %v = %v, want %v to %v", c.phi, got, c.low, c.high)
		}
	}
	if got := memory(make([]float64, 100), make([]float64, 100), 50); got != 1 {
		t.Errorf("memory of a constant = %v, want 1", got)
	}
}

// TestPValues holds the tails to figures from elsewhere.
func TestPValues(t *testing.T) {
	near := func(name string, got, want, tolerance float64) {
		if math.Abs(got-want) > tolerance*want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	// scipy.stats.kstwobign.sf and scipy.stats.chi2.sf, scipy 1.17.1. The form of Wilson and
	// Hilferty is some percent too large far out.
	near("kolmogorovTail(1)", kolmogorovTail(1), 0.26999967167735456, 1e-9)
	near("kolmogorovTail(2.5²)", kolmogorovTail(6.25), 7.4533061e-06, 1e-6)
	near("chiSquareTail(30, 9)", chiSquareTail(30, 9), 0.00043872, 0.15)
	near("chiSquareTail(10, 9)", chiSquareTail(10, 9), 0.35048521, 0.01)
	near("chiSquareTail(60, 20)", chiSquareTail(60, 20), 7.1217508e-06, 0.25)
	if chiSquareTail(-1, 3) != 1 || kolmogorovTail(0) != 1 {
		t.Error("a statistic of nothing is unlikely")
	}
}
