package gbdt

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestExp compares with the standard library, whose results are within one unit in the last place.
func TestExp(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 1))
	worst := 0.0
	for range 200_000 {
		x := (2*rng.Float64() - 1) * []float64{700, 40, 1, 1e-6}[rng.IntN(4)]
		want := math.Exp(x)
		worst = max(worst, math.Abs(exp(x)-want)/want)
	}
	if worst > 2e-11 {
		t.Errorf("exp is off by %v of the value, its comment says 2e-11", worst)
	}
	for _, x := range []float64{0, 700, -700} {
		if want := math.Exp(x); math.Abs(exp(x)-want) > 2e-11*want {
			t.Errorf("exp(%v) = %v, want %v", x, exp(x), want)
		}
	}
	for _, x := range []float64{701, 1e300, math.Inf(1)} {
		if exp(x) != exp(700) || exp(-x) != exp(-700) {
			t.Errorf("exp(±%v) = %v, %v: not clamped", x, exp(x), exp(-x))
		}
	}
}

// TestPackingNeverOverflows sums the largest gradients and hessians that a packing was made for
// as often as the fullest bin can, and takes the sum apart again.
func TestPackingNeverOverflows(t *testing.T) {
	rng := rand.New(rand.NewPCG(32, 1))
	rows := []int{0, 1, 2, 3, 7, 8, 1 << 10, 1<<10 - 1, 1<<20 + 1, 1<<30 - 1, 1 << 30, 1<<31 - 2, 1<<31 - 1}
	for range 200 {
		rows = append(rows, 1+rng.IntN(1<<uint(1+rng.IntN(30))))
	}
	for _, n := range rows {
		for _, top := range []float64{0, 1e-300, 1e-9, 0.25, 1, 3, 1e9, 1e300, 1 + rng.Float64()} {
			for _, unit := range []bool{true, false} {
				topH := 1.0
				if !unit {
					topH = []float64{1e-12, 0.25, 1, 1e12, rng.Float64()}[rng.IntN(5)]
				}
				p := newPacker(newPacking(top, topH, n, unit))
				for _, g := range []float64{top, -top, top / 2, 0} {
					one := p.pack(g, topH)
					g1, h1 := p.gradient(one), p.hessian(one)
					sum := one * int64(n) // wraps around as adding would
					if gs, hs := p.gradient(sum), p.hessian(sum); gs != g1*int64(n) || hs != h1*int64(n) {
						t.Fatalf("newPacking(%v, %v, %d, %v): %d times gradient %d and hessian %d is %d and %d", top, topH, n, unit, n, g1, h1, gs, hs)
					}
					if unit && h1 != 1 {
						t.Fatalf("newPacking(%v, %v, %d, true): a row's hessian is %d", top, topH, n, h1)
					}
					// As exact as a half allows: 2^30 steps, or what so many rows leave of 32
					// bits and the sign.
					steps := max(1, min(math.Floor((1<<31)/float64(max(n, 1)))-1, 1<<30))
					if !unit && top > 1e-280 && math.Abs(float64(g1)*p.scaleG-g) > top/steps {
						t.Fatalf("newPacking(%v, %v, %d, false): gradient %v comes back as %v", top, topH, n, g, float64(g1)*p.scaleG)
					}
				}
			}
		}
	}
}
