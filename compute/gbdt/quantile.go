package gbdt

import (
	"cmp"
	"slices"
)

// residualQuantile is the quantile of y − score over rows; a nil score means 0.
func residualQuantile(d *Data, rows []int32, score []float64, q float64) float64 {
	if d.Weight != nil {
		return weightedQuantile(d, rows, score, q)
	}
	v := make([]float64, len(rows))
	for k, i := range rows {
		v[k] = d.Y[i]
		if score != nil {
			v[k] -= score[i]
		}
	}
	return quantile(v, q)
}

// quantile returns the q-quantile of v, interpolated between order statistics (type 7 of Hyndman
// and Fan 1996), and reorders v.
func quantile(v []float64, q float64) float64 {
	pos := float64(q * float64(len(v)-1))
	k := int(pos)
	a := nth(v, k)
	if k+1 >= len(v) {
		return a
	}
	b := slices.Min(v[k+1:]) // nth leaves nothing smaller than a there
	return a + float64((pos-float64(k))*(b-a))
}

// nth returns the k-th smallest value of v and reorders v so that nothing before it is larger and
// nothing after it smaller (Hoare's quickselect with the median of three as pivot).
func nth(v []float64, k int) float64 {
	lo, hi := 0, len(v)-1
	for lo < hi {
		mid := lo + (hi-lo)/2
		if v[mid] < v[lo] {
			v[mid], v[lo] = v[lo], v[mid]
		}
		if v[hi] < v[lo] {
			v[hi], v[lo] = v[lo], v[hi]
		}
		if v[hi] < v[mid] {
			v[hi], v[mid] = v[mid], v[hi]
		}
		pivot := v[mid]
		i, j := lo, hi
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for v[j] > pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return v[k]
		}
	}
	return v[k]
}

// weightedQuantile returns the smallest residual at which the weights of those up to it reach the
// share q. It does not depend on the order of rows.
func weightedQuantile(d *Data, rows []int32, score []float64, q float64) float64 {
	type pair struct {
		r, w float64
		row  int32
	}
	v := make([]pair, len(rows))
	for k, i := range rows {
		v[k] = pair{d.Y[i], d.Weight[i], i}
		if score != nil {
			v[k].r -= score[i]
		}
	}
	slices.SortFunc(v, func(a, b pair) int { return cmp.Or(cmp.Compare(a.r, b.r), cmp.Compare(a.row, b.row)) })
	total := 0.0
	for _, p := range v {
		total += p.w
	}
	sum, want := 0.0, float64(q*total)
	for _, p := range v {
		if sum += p.w; sum >= want {
			return p.r
		}
	}
	return v[len(v)-1].r
}
