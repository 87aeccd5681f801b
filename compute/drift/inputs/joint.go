package inputs

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/drift/internal/normal"
)

// joint is a set of functions of two or three features whose means a change of dependence moves,
// even where no feature changes by itself: a mean embedding of the rows, whose distance from the
// reference's is a maximum mean discrepancy. Half of them, or as many as there are pairs, are
// products of two centred ranks, whose mean is a rank correlation; the others are triangle waves
// of a weighted sum of two or three ranks, with random weights and a random start, which see
// dependence of other shapes. All are exact arithmetic, bounded, and blind to outliers and units.
//
// Two statistics count: the sum over functions, for a change that moves many a little, and the
// largest, for one that moves few.
type joint struct {
	functions []function
	mean, sd  []float64 // in the reference, sd widened by the memory of the function
	// The sum for independent rows, divided by 1/n + 1/m, is close to shift + scale·χ² with nu
	// degrees of freedom: their first three moments agree.
	shift, scale, nu float64
	// how much wider than that windows of the reference scatter, at least 1
	inflate float64
	// the largest sum, and the largest function's share, of a window of the reference
	worst, worstOne float64
}

type function struct {
	product bool
	n       int
	feature [3]int
	weight  [3]float64
	start   float64
}

// newFunctions draws n functions of the features of these numbers, at least two.
func newFunctions(n int, features []int, seed uint64) []function {
	d := len(features)
	out := make([]function, 0, n)
	// neighbours first, then those further apart, so that every feature is in as many as any other
	for stride := 1; 2*stride <= d; stride++ {
		for i := 0; i < d && 2*len(out) < n; i++ {
			if j := (i + stride) % d; 2*stride < d || i < j {
				out = append(out, function{product: true, n: 2, feature: [3]int{i, j}})
			}
		}
	}
	rng := rand.NewPCG(seed, 0)
	below := func(k int) int {
		hi, _ := bits.Mul64(rng.Uint64(), uint64(k))
		return int(hi)
	}
	uniform := func() float64 { return float64(float64(rng.Uint64()>>11) / (1 << 53)) }
	for i := 0; len(out) < n; i++ {
		f := function{n: min(d, 2+i%2), start: uniform()}
		f.feature[0] = i % d
		for k := range f.n {
			for k > 0 {
				if f.feature[k] = below(d); !slices.Contains(f.feature[:k], f.feature[k]) {
					break
				}
			}
			f.weight[k] = 0.5 + uniform()
			if rng.Uint64()>>63 == 1 {
				f.weight[k] = -f.weight[k]
			}
		}
		out = append(out, f)
	}
	for i := range out {
		for k := range out[i].n {
			out[i].feature[k] = features[out[i].feature[k]]
		}
	}
	return out
}

// value is the function of a row's ranks, in [-1, 1].
func (f *function) value(ranks []float64) float64 {
	if f.product {
		return float64((float64(2*ranks[f.feature[0]]) - 1) * (float64(2*ranks[f.feature[1]]) - 1))
	}
	t := f.start
	for k := range f.n {
		t += float64(f.weight[k] * ranks[f.feature[k]])
	}
	return float64(4*math.Abs(t-math.Floor(t)-0.5)) - 1
}

// newJoint takes the moments of the functions over the reference rows; values holds one row of
// them after the other. Functions that hardly vary are left out.
func newJoint(functions []function, values []float64, window int) *joint {
	d := len(functions)
	n := len(values) / d
	j := &joint{inflate: 1}
	var kept []int
	for k := range functions {
		mean, squares := 0.0, 0.0
		for i := range n {
			mean += values[i*d+k] / float64(n)
		}
		for i := range n {
			v := values[i*d+k] - mean
			squares += float64(v*v) / float64(n)
		}
		if squares < 1e-6 {
			continue
		}
		kept = append(kept, k)
		j.functions = append(j.functions, functions[k])
		j.mean, j.sd = append(j.mean, mean), append(j.sd, math.Sqrt(squares))
	}
	if len(kept) == 0 {
		return nil
	}
	r := make([]float64, len(kept)*len(kept)) // correlations
	z := make([]float64, len(kept))
	for i := range n {
		for a, k := range kept {
			z[a] = (values[i*d+k] - j.mean[a]) / j.sd[a]
		}
		for a, x := range z {
			row := r[a*len(z):][:len(z)]
			for b, y := range z {
				row[b] += float64(x*y) / float64(n)
			}
		}
	}
	j.moments(r)
	column, scratch := make([]float64, n), make([]float64, n)
	for a, k := range kept {
		for i := range n {
			column[i] = values[i*d+k]
		}
		j.sd[a] *= math.Sqrt(memory(scratch, column, window))
	}
	return j
}

// moments fits the distribution of the statistic to the correlations r of the functions. With
// traces t1, t2, t3 of r, r² and r³ a sum of squares of such normal variables has mean t1,
// variance 2·t2 and third central moment 8·t3.
func (j *joint) moments(r []float64) {
	d := len(j.functions)
	t1, t2, t3 := float64(d), 0.0, 0.0
	for a := range d {
		for b := range d {
			ab := r[a*d+b]
			t2 += float64(ab * ab)
			product := 0.0
			for c := range d {
				product += float64(r[a*d+c] * r[c*d+b])
			}
			t3 += float64(product * ab)
		}
	}
	j.scale = t3 / t2
	j.nu = t2 * t2 / t3 * (t2 / t3)
	j.shift = t1 - float64(j.scale*j.nu)
}

// add adds a row's values to sums.
func (j *joint) add(sums, ranks []float64) {
	for k := range j.functions {
		sums[k] += j.functions[k].value(ranks)
	}
}

// statistic is the squared distance of the means of n rows from the reference, in standard
// deviations. parts gets each function's share, and one is the largest.
func (j *joint) statistic(parts, sums []float64, n float64) (total, one float64) {
	for k, s := range sums {
		d := (s/n - j.mean[k]) / j.sd[k]
		parts[k] = float64(d * d)
		total += parts[k]
		one = max(one, parts[k])
	}
	return total, one
}

// pValue is the probability that a sum is as large as total or a function's share as large as
// one, where per is 1/n + 1/m: twice that of the rarer one.
func (j *joint) pValue(total, one, per float64) float64 {
	per *= j.inflate
	p := 1.0
	if total > j.worst {
		p = chiSquareTail((total/per-j.shift)/j.scale, j.nu)
	}
	if one > j.worstOne {
		p = min(p, 2*normal.Tail(math.Sqrt(one/per))*float64(len(j.functions)))
	}
	return min(1, 2*p)
}

// blame sets scores to the largest share of a function that looks at each feature.
func (j *joint) blame(scores, parts []float64) {
	clear(scores)
	for k := range j.functions {
		f := &j.functions[k]
		for _, i := range f.feature[:f.n] {
			scores[i] = max(scores[i], parts[k])
		}
	}
}
