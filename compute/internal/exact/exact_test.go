package exact

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// bigExp is e to the x to some 90 decimal places: the Taylor series of x/2^20, squared 20 times.
func bigExp(x float64) *big.Float {
	const digits, halvings = 320, 20
	r := new(big.Float).SetPrec(digits).SetFloat64(x)
	r.SetMantExp(r, -halvings)
	term, sum := big.NewFloat(1).SetPrec(digits), big.NewFloat(1).SetPrec(digits)
	for n := int64(1); n < 40; n++ {
		term.Mul(term, r)
		term.Quo(term, new(big.Float).SetInt64(n))
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum
}

// off is got/want - 1.
func off(got float64, want *big.Float) float64 {
	q := new(big.Float).SetPrec(320).SetFloat64(got)
	q.Quo(q, want)
	v, _ := q.Sub(q, big.NewFloat(1)).Float64()
	return math.Abs(v)
}

// TestErrors holds the errors to what the comments say, by arithmetic of 320 bits.
func TestErrors(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var worstLog, worstExp, worstSigmoid float64
	for i := range 6000 {
		x := math.Exp(rng.Float64()*1400 - 700)
		if i%3 > 0 { // around 1, where the logarithm vanishes, and a little further out
			x = 1 + (rng.Float64()-0.5)*math.Pow(10, -12*rng.Float64())
		}
		y := Log(x)
		ulp := math.Nextafter(math.Abs(y), math.Inf(1)) - math.Abs(y)
		if x == 1 {
			ulp = 1
		}
		worstLog = max(worstLog, off(x, bigExp(y))/ulp) // e^y = x·(1 ± d) where y is off by d
		v := rng.Float64()*1417 - 708
		if i%3 == 0 {
			v = rng.Float64() - 0.5
		}
		e := bigExp(v)
		worstExp = max(worstExp, off(Exp(v), e))
		s := new(big.Float).SetPrec(320).Add(e, big.NewFloat(1))
		worstSigmoid = max(worstSigmoid, off(Sigmoid(v), s.Quo(e, s)))
	}
	t.Logf("Log is off by up to %.2f units in the last place, Exp by %.2g and Sigmoid by %.2g of the result", worstLog, worstExp, worstSigmoid)
	if worstLog > 1 || worstExp > 1e-15 || worstSigmoid > 2e-15 || worstLog < 0.3 || worstExp < 1e-16 {
		t.Errorf("errors of Log %v units in the last place, Exp %v, Sigmoid %v", worstLog, worstExp, worstSigmoid)
	}
}

func TestEdges(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, tt := range []struct {
		name      string
		f         func(float64) float64
		in, want  float64
		tolerance float64
	}{
		{"Log", Log, 0, -inf, 0}, {"Log", Log, -1, nan, 0}, {"Log", Log, nan, nan, 0}, {"Log", Log, inf, inf, 0}, {"Log", Log, 1, 0, 0}, {"Log", Log, 5e-324, -744.4400719213812, 1e-12},
		{"Exp", Exp, 0, 1, 0}, {"Exp", Exp, -inf, 0, 0}, {"Exp", Exp, inf, inf, 0}, {"Exp", Exp, nan, nan, 0}, {"Exp", Exp, -740, 4.2e-322, 1e-323}, {"Exp", Exp, 1000, inf, 0}, {"Exp", Exp, -1000, 0, 0},
		{"Exp", Exp, 709.7, 1.6549840276802644e308, 1e293}, {"Sigmoid", Sigmoid, 0, 0.5, 0}, {"Sigmoid", Sigmoid, inf, 1, 0}, {"Sigmoid", Sigmoid, -inf, 0, 0}, {"Sigmoid", Sigmoid, nan, nan, 0},
	} {
		got := tt.f(tt.in)
		if same := got == tt.want || math.IsNaN(got) && math.IsNaN(tt.want); !same && !(math.Abs(got-tt.want) <= tt.tolerance) {
			t.Errorf("%s(%v) = %v, want %v", tt.name, tt.in, got, tt.want)
		}
	}
}
