package hoeffding

import (
	"math"

	"skerry.dev/compute/internal/exact"
)

// normal is the probability that a standard normal number is at most z, with an absolute error
// below 1e-15; NaN for NaN. The rational approximations are those of Hart (1968) in the
// arrangement of West, "Better approximations to cumulative normal functions", Wilmott 2005.
func normal(z float64) float64 {
	if math.IsNaN(z) {
		return z
	}
	a := math.Abs(z)
	var tail float64
	switch {
	case a > 37:
	case a < 7.07106781186547:
		e := exact.Exp(-float64(a*a) / 2)
		p := 3.52624965998911e-02
		p = float64(p*a) + 0.700383064443688
		p = float64(p*a) + 6.37396220353165
		p = float64(p*a) + 33.912866078383
		p = float64(p*a) + 112.079291497871
		p = float64(p*a) + 221.213596169931
		p = float64(p*a) + 220.206867912376
		q := 8.83883476483184e-02
		q = float64(q*a) + 1.75566716318264
		q = float64(q*a) + 16.064177579207
		q = float64(q*a) + 86.7807322029461
		q = float64(q*a) + 296.564248779674
		q = float64(q*a) + 637.333633378831
		q = float64(q*a) + 793.826512519948
		q = float64(q*a) + 440.413735824752
		tail = float64(e*p) / q
	default:
		e := exact.Exp(-float64(a*a) / 2)
		b := a + 0.65
		b = a + 4/b
		b = a + 3/b
		b = a + 2/b
		b = a + 1/b
		tail = e / b / 2.506628274631
	}
	if z > 0 {
		return 1 - tail
	}
	return tail
}
