package inputs

import "math"

// memory estimates how much wider the mean of n rows in a row scatters than that of n independent
// ones, as a variance: 1 + 2·Σ(1-k/n)·ρ(k) over the autocorrelations ρ of a column of the
// reference, at least 1. The sum ends at the first lag that is five times as large as what it has
// come to (Sokal 1997), since beyond it there is only noise. Two standard errors of the estimate
// are added, so that a short reference errs towards silence: it can hardly show that rows are
// nearly independent without being so. centred is scratch of the column's length.
func memory(centred, column []float64, n int) float64 {
	m := len(column)
	mean := 0.0
	for _, v := range column {
		mean += v / float64(m)
	}
	variance := 0.0
	for i, v := range column {
		centred[i] = v - mean
		variance += float64(centred[i] * centred[i])
	}
	if variance < 1e-9*float64(m) {
		return 1
	}
	tau, lag := 1.0, 1
	for ; lag < min(n, m/2) && float64(lag) < 5*tau; lag++ {
		product := 0.0
		for i, v := range centred[lag:] {
			product += float64(v * centred[i])
		}
		tau += float64(2 * (1 - float64(lag)/float64(n)) * (product / variance))
		tau = max(tau, 0.1)
	}
	return max(1, float64(tau*(1+2*math.Sqrt(float64(2*(2*lag+1))/float64(m)))))
}
