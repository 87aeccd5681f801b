package hoeffding

import (
	"math"

	"skerry.dev/compute/internal/exact"
)

// mantissa and one turn the bits of a positive number into its significand in [1, 2).
const (
	mantissa = 1<<52 - 1
	one      = 1023 << 52
	log2Pi   = 1.8378770664093453
)

// bayes writes the logarithm of prior times likelihood of each class to v, -Inf for classes never
// seen, and returns the first of the largest; -1 when no class was seen. A number whose variance
// is not known in a class adds nothing to it. The product of the variances is kept as
// significand and exponent, so that a class costs one logarithm.
func (t *tree) bayes(n *node, row, v []float64) int {
	best, top := -1, math.Inf(-1)
	for c, w := range n.counts {
		if !(w > 0) {
			v[c] = math.Inf(-1)
			continue
		}
		var p likelihood
		p.product, p.divisor = 1, 1
		if s := n.leaf.stats[c]; s != nil {
			t.likelihood(&p, n.leaf.features, s, row)
		}
		v[c] = exact.Log(w/n.weight*math.Sqrt(p.divisor/p.product)) - float64(0.5*(p.q+float64(float64(p.exponent)*math.Ln2)+float64(float64(p.numbers)*log2Pi)))
		if v[c] > top {
			best, top = c, v[c]
		}
	}
	return best
}

// likelihood is √(divisor/product · 2^-exponent · (2π)^-numbers) · e^(-q/2).
type likelihood struct {
	q, product, divisor float64
	exponent, numbers   int
}

func (t *tree) likelihood(p *likelihood, features []int32, s, row []float64) {
	q, product, divisor := p.q, p.product, p.divisor
	exponent, factors := 0, 0
	for _, f := range features {
		x, width := row[f], t.cols.width[f]
		o := s[:width]
		s = s[width:]
		if math.IsNaN(x) {
			continue
		}
		if t.cols.categories[f] > 0 {
			// Laplace's rule: a code that the class has not shown yet is not impossible
			rare := (o[0] + float64(width) - 1) / (o[int(x)+1] + 1)
			// squared, as the root is taken in the end
			b := math.Float64bits(float64(rare * rare))
			product *= math.Float64frombits(b&mantissa | one)
			exponent += int(b>>52) - 1023
		} else {
			free, m2 := o[0]-1, o[2]
			if !(free > 0 && m2 > 1e-290) {
				continue
			}
			d := x - o[1]
			q += float64(float64(d*d)*free) / m2
			bm, bf := math.Float64bits(m2), math.Float64bits(free)
			product *= math.Float64frombits(bm&mantissa | one)
			divisor *= math.Float64frombits(bf&mantissa | one)
			exponent += int(bm>>52) - int(bf>>52)
			p.numbers++
		}
		if factors++; factors&511 == 0 { // before 512 factors below 2 overflow
			bp, bd := math.Float64bits(product), math.Float64bits(divisor)
			product, divisor = math.Float64frombits(bp&mantissa|one), math.Float64frombits(bd&mantissa|one)
			exponent += int(bp>>52) - int(bd>>52)
		}
	}
	p.q, p.product, p.divisor, p.exponent = q, product, divisor, exponent
}

// softmax turns logarithms into probabilities; all are equal when none is finite.
func softmax(v []float64) {
	top := math.Inf(-1)
	for _, x := range v {
		top = max(top, x)
	}
	if math.IsInf(top, 0) || math.IsNaN(top) {
		uniform(v)
		return
	}
	var sum float64
	for i, x := range v {
		v[i] = exact.Exp(x - top)
		sum += v[i]
	}
	for i := range v {
		v[i] /= sum
	}
}

func uniform(v []float64) {
	for i := range v {
		v[i] = 1 / float64(len(v))
	}
}

// shares writes the counts as probabilities.
func shares(p, counts []float64) {
	var sum float64
	for _, w := range counts {
		sum += w
	}
	if !(sum > 0) {
		uniform(p)
		return
	}
	for c, w := range counts {
		p[c] = w / sum
	}
}
