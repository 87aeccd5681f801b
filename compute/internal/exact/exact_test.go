package exact

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestAgainstTheStandardLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		x := math.Exp(rng.Float64()*1400 - 700)
		if rng.IntN(4) == 0 {
			x = 1 + (rng.Float64()-0.5)*1e-3
		}
		if got, want := Log(x), math.Log(x); math.Abs(got-want) > 3e-16*math.Abs(want)+1e-18 {
			t.Fatalf("Log(%v) = %v, want %v", x, got, want)
		}
		v := rng.Float64()*1400 - 700
		if got, want := Exp(v), math.Exp(v); math.Abs(got-want) > 1e-15*want {
			t.Fatalf("Exp(%v) = %v, want %v", v, got, want)
		}
		if got, want := Sigmoid(v), 1/(1+math.Exp(-v)); math.Abs(got-want) > 2e-15*want {
			t.Fatalf("Sigmoid(%v) = %v, want %v", v, got, want)
		}
	}
}

func TestEdges(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, tt := range []struct {
		name      string
		f         func(float64) float64
		in, want  float64
		tolerance float64
	}{
		{"Log", Log, 0, -inf, 0}, {"Log", Log, -1, nan, 0}, {"Log", Log, nan, nan, 0}, {"Log", Log, inf, inf, 0}, {"Log", Log, 1, 0, 0}, {"Log", Log, 5e-324, -744.4400719213812, 1e-12},
		{"Exp", Exp, 0, 1, 0}, {"Exp", Exp, -inf, 0, 0}, {"Exp", Exp, inf, inf, 0}, {"Exp", Exp, nan, nan, 0}, {"Exp", Exp, -740, 4.2e-322, 1e-323}, {"Exp", Exp, 1000, inf, 0}, {"Exp", Exp, -1000, 0, 0},
		{"Exp", Exp, 709.7, 1.6549840276802644e308, 1e293}, {"Sigmoid", Sigmoid, 0, 0.5, 0}, {"Sigmoid", Sigmoid, inf, 1, 0}, {"Sigmoid", Sigmoid, -inf, 0, 0}, {"Sigmoid", Sigmoid, nan, nan, 0},
	} {
		got := tt.f(tt.in)
		if same := got == tt.want || got != got && tt.want != tt.want; !same && !(math.Abs(got-tt.want) <= tt.tolerance) {
			t.Errorf("%s(%v) = %v, want %v", tt.name, tt.in, got, tt.want)
		}
	}
}
