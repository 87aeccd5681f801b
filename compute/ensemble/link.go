package ensemble

import "math"

// Apply turns sums into outputs, in place.
func (l Link) Apply(dst []float64) {
	switch l {
	case Logistic:
		for k, s := range dst {
			dst[k] = Sigmoid(s)
		}
	case Exponential:
		for k, s := range dst {
			dst[k] = Exp(s)
		}
	case Softmax:
		top := dst[0]
		for _, s := range dst {
			top = max(top, s)
		}
		var sum float64
		for k, s := range dst {
			dst[k] = Exp(s - top) // the largest becomes 1: nothing overflows
			sum += dst[k]
		}
		for k := range dst {
			dst[k] /= sum
		}
	}
}

// Sigmoid returns 1/(1+exp(-s)) with the same bits on every architecture.
func Sigmoid(s float64) float64 { return 1 / (1 + Exp(-s)) }

// Exp returns e to the x, to within one unit in the last place, with the same bits on every
// architecture; the standard library's uses fused multiply-add where the processor has it. The
// method is that of FreeBSD's e_exp.c: x = k·ln 2 + r, and a rational approximation for exp(r).
func Exp(x float64) float64 {
	const (
		ln2Hi = 6.93147180369123816490e-01
		ln2Lo = 1.90821492927058770002e-10
		log2e = 1.44269504088896338700e+00
		p1    = 1.66666666666666657415e-01
		p2    = -2.77777777770155933842e-03
		p3    = 6.61375632143793436117e-05
		p4    = -1.65339022054652515390e-06
		p5    = 4.13813679705723846039e-08
	)
	switch {
	case x != x:
		return x
	case x > 7.09782712893383973096e+02:
		return math.Inf(1)
	case x < -7.45133219101941108420e+02:
		return 0
	}
	half := 0.5
	if x < 0 {
		half = -0.5
	}
	k := int(float64(log2e*x) + half)
	hi := x - float64(float64(k)*ln2Hi)
	lo := float64(float64(k) * ln2Lo)
	r := hi - lo
	t := float64(r * r)
	c := p4 + float64(t*p5)
	c = p3 + float64(t*c)
	c = p2 + float64(t*c)
	c = p1 + float64(t*c)
	c = r - float64(t*c)
	y := 1 - ((lo - float64(r*c)/(2-c)) - hi)
	return math.Ldexp(y, k)
}
