package normal

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestTail holds the tail to the standard library's error function, which is right to about one
// unit in the last place.
func TestTail(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100000 {
		z := 20*rng.Float64() - 5
		if got, want := Tail(z), math.Erfc(z/math.Sqrt2)/2; math.Abs(got-want) > 1e-11*want {
			t.Fatalf("Tail(%v) = %v, want %v", z, got, want)
		}
	}
	for z, want := range map[float64]float64{0: 0.5, 40: 0, -40: 1} {
		if got := Tail(z); got != want {
			t.Errorf("Tail(%v) = %v, want %v", z, got, want)
		}
	}
	if got := Tail(math.NaN()); !math.IsNaN(got) {
		t.Errorf("Tail(NaN) = %v", got)
	}
}
