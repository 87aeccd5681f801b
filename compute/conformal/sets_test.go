package conformal

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestSetsKeepTheirCoverage lets a classifier of three classes become worse half-way: sets must
// grow and keep their coverage.
func TestSetsKeepTheirCoverage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	a := NewAdaptive(0.9, 500)
	in, p := make([]bool, 3), make([]float64, 3)
	var hits, size [2]float64
	const rows = 20_000
	for i := range rows {
		half := i / (rows / 2)
		y, sharp := rng.IntN(3), []float64{6, 1}[half]
		sum := 0.0
		for c := range p {
			z := rng.NormFloat64()
			if c == y {
				z += sharp / 2
			}
			p[c] = math.Exp(z)
			sum += p[c]
		}
		for c := range p {
			p[c] /= sum
		}
		n := Set(in, p, a.Factor(1))
		count := 0
		for _, b := range in {
			if b {
				count++
			}
		}
		if count != n || n == 0 {
			t.Fatalf("row %d: a set of %d said to have %d", i, count, n)
		}
		size[half] += float64(n) / (rows / 2)
		if in[y] {
			hits[half] += 2.0 / rows
		}
		a.Update(SetScore(p[y]), in[y], 0)
	}
	// a good classifier's best class alone covers more
	if hits[0] < 0.88 || math.Abs(hits[1]-0.9) > 0.03 {
		t.Errorf("coverage %.3f, want 0.9 or more, and 0.9", hits)
	}
	if !(size[0] < 1.3 && size[1] > 1.5*size[0]) {
		t.Errorf("sizes %.2f, want them to grow when the classifier gets worse", size)
	}
}

func TestSetKeepsTheBest(t *testing.T) {
	in := make([]bool, 3)
	if n := Set(in, []float64{0.2, 0.5, 0.3}, 0.1); n != 1 || !in[1] {
		t.Errorf("set %v of %d", in, n)
	}
	if n := Set(in, []float64{0.2, 0.5, 0.3}, 1); n != 3 {
		t.Errorf("set %v of %d, want all", in, n)
	}
}
