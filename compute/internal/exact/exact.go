// Package exact holds the few transcendental functions whose results enter saved state or decide
// what a learner does next.
//
// The standard library's differ in the last bit between architectures: some are assembly, and a
// compiler may fuse a product with a sum. Here every product is rounded before it is added, so
// that amd64, 386 and arm64 give the same bits. The methods are the textbook ones; errors are
// stated with each function.
package exact

import "math"

// Log is the natural logarithm of x, to within one unit in the last place; -Inf for 0, NaN for
// negative numbers and NaN. It reduces x to 2^k·(1+f) with f in [√½-1, √2-1] and sums the odd
// series of log((1+s)/(1-s)), s = f/(2+f), as a minimax polynomial (the coefficients are those of
// FreeBSD's e_log.c, which are public knowledge).
func Log(x float64) float64 {
	const (
		ln2Hi = 6.93147180369123816490e-01
		ln2Lo = 1.90821492927058770002e-10
		l1    = 6.666666666666735130e-01
		l2    = 3.999999999940941908e-01
		l3    = 2.857142874366239149e-01
		l4    = 2.222219843214978396e-01
		l5    = 1.818357216161805012e-01
		l6    = 1.531383769920937332e-01
		l7    = 1.479819860511658591e-01
	)
	if !(x > 0) {
		if x == 0 {
			return math.Inf(-1)
		}
		return math.NaN()
	}
	if x > math.MaxFloat64 {
		return x
	}
	m, k := split(x)
	if m >= math.Sqrt2 {
		m /= 2
		k++
	}
	f, e := m-1, float64(k)
	s := f / (2 + f)
	s2 := float64(s * s)
	s4 := float64(s2 * s2)
	odd := float64(s2 * (l1 + float64(s4*(l3+float64(s4*(l5+float64(s4*l7)))))))
	even := float64(s4 * (l2 + float64(s4*(l4+float64(s4*l6)))))
	square := float64(f * float64(f/2))
	return float64(e*ln2Hi) - ((square - (float64(s*(square+(odd+even))) + float64(e*ln2Lo))) - f)
}

// split returns m in [1, 2) and k with x = m·2^k, for a positive finite x.
func split(x float64) (m float64, k int) {
	bits := math.Float64bits(x)
	if bits>>52 == 0 { // subnormal
		bits = math.Float64bits(x * (1 << 52))
		k = -52
	}
	return math.Float64frombits(bits&(1<<52-1) | 1023<<52), k + int(bits>>52) - 1023
}

// Exp is e to the x with a relative error below 1e-15 where the result is a normal number: 0
// below -745, +Inf above 709.78, NaN for NaN. x = k·ln 2 + r with |r| ≤ ½ ln 2, and e^r is its
// Taylor series, cut where the rest is below the rounding.
func Exp(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return x
	case x > 709.78:
		return math.Inf(1)
	case x < -745:
		return 0
	}
	const (
		ln2Hi = 6.93147180369123816490e-01
		ln2Lo = 1.90821492927058770002e-10
	)
	k := math.Floor(float64(x*(1/math.Ln2)) + 0.5)
	r := (x - float64(k*ln2Hi)) - float64(k*ln2Lo)
	p := 1.0 / 6227020800
	p = 1.0/479001600 + float64(r*p)
	p = 1.0/39916800 + float64(r*p)
	p = 1.0/3628800 + float64(r*p)
	p = 1.0/362880 + float64(r*p)
	p = 1.0/40320 + float64(r*p)
	p = 1.0/5040 + float64(r*p)
	p = 1.0/720 + float64(r*p)
	p = 1.0/120 + float64(r*p)
	p = 1.0/24 + float64(r*p)
	p = 1.0/6 + float64(r*p)
	p = 0.5 + float64(r*p)
	p = 1 + float64(r*p)
	p = 1 + float64(r*p)
	switch { // in two steps at the ends, where 2^k alone is no number or the result is subnormal
	case k < -1021:
		return float64(p*power(k+200)) * power(-200)
	case k > 1023:
		return float64(p*power(k-1)) * 2
	}
	return float64(p * power(k))
}

// power is 2^k for an integer k in [-1022, 1023].
func power(k float64) float64 { return math.Float64frombits(uint64(int64(k)+1023) << 52) }

// Sigmoid is 1/(1+e^-x), to within a relative error of 2e-15 where the result is a normal number:
// 0 and 1 far out, NaN for NaN.
func Sigmoid(x float64) float64 {
	if x < 0 {
		e := Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + Exp(-x))
}
