package inputs

import (
	"math"

	"skerry.dev/compute/drift/internal/normal"
	"skerry.dev/compute/internal/exact"
)

// chance is the statistic's square, or PSI itself, that independent rows have on average, times
// their number.
func (m *marginal) chance(test Test) float64 {
	switch test {
	case PSI:
		return max(1, float64(m.groups-1))
	case Wasserstein:
		return 0.1169 // of the squared mean magnitude of a Brownian bridge
	}
	return math.Pi * math.Pi / 12 // of the squared largest magnitude
}

// energy is what chance is the mean of, but for the number of rows.
func energy(test Test, s float64) float64 {
	if test == PSI {
		return s
	}
	return float64(s * s)
}

// minIndependent is the number of independent rows that a window counts as at least where nearly
// all of it, alienShare, lies where the reference has nothing: a feature that has left its range is
// found however closely its rows follow each other.
const (
	minIndependent = 8
	alienShare     = 0.9
)

// pValue is the probability that a window of the reference's own rows has a statistic as large as
// s or larger. per is 1/n + 1/m for windows of n rows and a reference of m, and alien the share
// of the window in bins where the reference has none.
func (m *marginal) pValue(test Test, s, alien, n, per float64) float64 {
	if s <= m.worst {
		return 1 // the reference has done as much itself
	}
	inflate := m.inflate
	if alien >= alienShare {
		inflate = min(inflate, max(1, n/minIndependent))
	}
	per *= inflate
	switch test {
	case PSI:
		return chiSquareTail(s/per, m.chance(PSI))
	case Wasserstein:
		// A bound on the distribution of the mean magnitude of a Brownian bridge, whose tail
		// falls as exp(-6x²): by simulation it is at most 1.5 times too large from 0.2 on.
		x2 := float64(s*s) / per
		return min(1, float64(max(0.45, 1.4-float64(1.8*math.Sqrt(x2)))*exact.Exp(-6*x2)))
	}
	return kolmogorovTail(float64(s*s) / per)
}

// kolmogorovTail is the probability that the largest magnitude of a Brownian bridge exceeds the
// square root of x2.
func kolmogorovTail(x2 float64) float64 {
	if x2 < 0.1 {
		return 1
	}
	sum, sign := 0.0, 2.0
	for k := 1.0; k <= 20; k++ {
		term := float64(sign * exact.Exp(-float64(float64(2*k*k)*x2)))
		sum += term
		if math.Abs(term) < 1e-18 {
			break
		}
		sign = -sign
	}
	return min(1, max(0, sum))
}

// chiSquareTail is the probability that a chi-square variable with nu degrees of freedom exceeds
// x, after Wilson and Hilferty (1931): its cube root is nearly normal.
func chiSquareTail(x, nu float64) float64 {
	if x <= 0 {
		return 1
	}
	v := 2 / (9 * nu)
	root := exact.Exp(exact.Log(x/nu) / 3)
	return normal.Tail((root - (1 - v)) / math.Sqrt(v))
}
