package drift

import (
	"math"
	"slices"
)

// KolmogorovSmirnov returns the largest distance between the empirical distributions of a
// reference (sorted, ascending) and a sample, in [0, 1]. The sample is sorted in place; NaN must
// have been removed. It is 0 when either is empty.
func KolmogorovSmirnov(reference, sample []float64) float64 {
	if len(reference) == 0 || len(sample) == 0 {
		return 0
	}
	slices.Sort(sample)
	var i, j int
	var d float64
	for i < len(reference) && j < len(sample) {
		x := min(reference[i], sample[j])
		for i < len(reference) && reference[i] <= x {
			i++
		}
		for j < len(sample) && sample[j] <= x {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(reference))-float64(j)/float64(len(sample))))
	}
	return d
}
