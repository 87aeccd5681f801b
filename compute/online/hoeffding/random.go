package hoeffding

import (
	"math/rand/v2"

	"skerry.dev/compute/internal/exact"
)

// newSource returns a generator for a seed.
func newSource(seed uint64) *rand.PCG { return rand.NewPCG(seed, 0x9e3779b97f4a7c15) }

// uniform01 draws from [0, 1).
func uniform01(rng *rand.PCG) float64 { return float64(rng.Uint64()>>11) / (1 << 53) }

// poisson draws from a Poisson distribution by inversion: its cumulative probabilities, to where
// the rest is below 1e-15.
type poisson []float64

func newPoisson(lambda float64) poisson {
	p := exact.Exp(-lambda)
	sum := p
	out := poisson{sum}
	for k := 1.0; k < lambda || p > 1e-15; k++ {
		p = float64(p*lambda) / k
		sum += p
		out = append(out, sum)
	}
	return out
}

func (p poisson) draw(rng *rand.PCG) float64 {
	u := uniform01(rng)
	for k, c := range p {
		if u < c {
			return float64(k)
		}
	}
	return float64(len(p))
}
