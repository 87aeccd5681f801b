// Package normal holds the tail of the normal distribution, with the same bits on every
// architecture, which the standard library's error function does not promise.
package normal

import (
	"math"

	"skerry.dev/compute/internal/exact"
)

// Tail is the probability that a standard normal variable exceeds z, with a relative error below
// 1e-11: near 0 from the power series of the distribution, further out from the continued
// fraction of its tail.
func Tail(z float64) float64 {
	switch {
	case math.IsNaN(z):
		return z
	case z < 0:
		return 1 - Tail(-z)
	case z > 38:
		return 0
	}
	density := exact.Exp(-float64(z*z)/2) / 2.5066282746310002
	if z < 2.5 {
		// Φ(z) = 1/2 + φ(z)·(z + z³/3 + z⁵/15 + …)
		term, sum := z, z
		for n := 3.0; term > 1e-17*sum; n += 2 {
			term = float64(term * (float64(z*z) / n))
			sum += term
		}
		return 0.5 - float64(density*sum)
	}
	// Mills' ratio as Laplace's continued fraction, from the inside out.
	f := z
	for n := 60.0; n >= 1; n-- {
		f = z + n/f
	}
	return density / f
}
