package feature

import (
	"math"

	"skerry.dev/compute/internal/exact"
)

// ends returns the least and the greatest of values, infinities of nothing.
func ends(vals []float64) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, v := range vals {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

// mean returns the mean, NaN of nothing.
func mean(vals []float64) float64 {
	var sum float64
	for _, v := range vals {
		sum += v
	}
	return sum / float64(len(vals))
}

func energy(vals []float64) float64 {
	var ss float64
	for _, v := range vals {
		ss += float64(v * v)
	}
	return ss / float64(len(vals))
}

func crossings(vals []float64) float64 {
	m := mean(vals)
	if !finite(m) {
		return m
	}
	count, side := 0.0, 0
	for _, v := range vals {
		now := side
		if v > m {
			now = 1
		} else if v < m {
			now = -1
		}
		if now != side && side != 0 {
			count++
		}
		side = now
	}
	return count
}

// slope counts time and level from the oldest reading, so that readings of one instant have
// exactly one time and equal ones no slope at all, and centres both: the plain sums of squares
// cancel when the times dwarf their differences.
func slope(vals []float64, at []int, age []float64) float64 {
	if len(vals) == 0 {
		return math.NaN()
	}
	oldest, first, n := age[at[0]], vals[0], float64(len(vals))
	var times, levels float64
	for k, v := range vals {
		times += oldest - age[at[k]]
		levels += v - first
	}
	middle, level := times/n, levels/n
	var xy, xx float64
	for k, v := range vals {
		x := oldest - age[at[k]] - middle
		xy += float64(x * (v - first - level))
		xx += float64(x * x)
	}
	return xy / xx * 1e6 // not finite when all rows have one time
}

// weigh computes 2^(-age / half), from each row to the next by the power of their distance, which
// is most often that of the rows before. Errors of rounding add up to 1e-13 at most over a
// look-back.
func weigh(dst, age []float64, half int64) {
	w, distance, factor := 1.0, 0.0, 1.0
	for r := range dst {
		if r > 0 && age[r]-age[r-1] != distance {
			distance = age[r] - age[r-1]
			factor = exact.Exp(float64(-math.Ln2 * (distance / float64(half))))
		}
		if w *= factor; w < 1e-300 {
			w = 0 // products of subnormal numbers are slow
		}
		dst[r] = w
	}
}

// weighted counts from the newest reading, so that equal ones have exactly their mean and no
// deviation.
func weighted(op Op, vals []float64, at []int, weight []float64) float64 {
	if len(vals) == 0 {
		return math.NaN()
	}
	newest := vals[len(vals)-1]
	var sum, all float64
	for k, v := range vals {
		w := weight[at[k]]
		sum += float64(w * (v - newest))
		all += w
	}
	m := sum / all
	if op == OpEWMean {
		return newest + m
	}
	var ss float64
	for k, v := range vals {
		d := v - newest - m
		ss += float64(weight[at[k]] * float64(d*d))
	}
	return math.Sqrt(ss / all)
}

// stuck compares the readings of a window and the newest one before it.
func stuck(vals []float64, h *History, back, rows, limit, series int) float64 {
	if len(vals) == 0 {
		return math.NaN()
	}
	for _, v := range vals {
		if v != vals[0] {
			return 0
		}
	}
	for r := rows; r < limit; r++ {
		if v := h.Row(back + r)[series]; finite(v) {
			if v == vals[0] {
				return 1
			}
			return 0
		}
	}
	return 0
}
