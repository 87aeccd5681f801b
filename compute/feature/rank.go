package feature

import (
	"math"
	"slices"
)

// Quantile interpolates linearly between the order statistics of sorted values, as [OpQuantile]
// does; level is 0 to 1, and nothing has the quantile NaN. The result lies between its
// neighbours, so that quantiles of higher levels are not lower.
func Quantile(sorted []float64, level float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := float64(level * float64(len(sorted)-1))
	k := int(at)
	if k == len(sorted)-1 {
		return sorted[k]
	}
	low, high, part := sorted[k], sorted[k+1], at-float64(k)
	switch step := high - low; {
	case math.IsInf(step, 0):
		return float64(low*(1-part)) + float64(high*part)
	case part < 0.5: // from the nearer end, so that the farther one is not passed
		return low + float64(step*part)
	default:
		return high - float64(step*(1-part))
	}
}

// spike compares a reading's distance from the median of n readings with the median distance.
func (w *window) spike(v, median, limit float64, n int) float64 {
	switch {
	case !finite(v):
		return math.NaN()
	case n < 3:
		return 0
	case math.Abs(v-median) > float64(limit*deviation(w.sorted[:n], median)):
		return 1
	}
	return 0
}

// deviation returns the median of the distances of sorted values from their median. The distances
// grow to both sides of it, so that merging the sides puts them in order.
func deviation(sorted []float64, median float64) float64 {
	right, _ := slices.BinarySearch(sorted, median)
	left := right - 1
	var lower, upper float64
	for k := range len(sorted)/2 + 1 {
		lower = upper
		if right == len(sorted) || left >= 0 && median-sorted[left] < sorted[right]-median {
			upper = median - sorted[left]
			left--
		} else {
			upper = sorted[right] - median
			right++
		}
		if k == 0 {
			lower = upper
		}
	}
	if len(sorted)%2 == 1 {
		return upper
	}
	return float64(lower/2) + float64(upper/2)
}
