package online_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/online"
)

// TestSpreadFollows makes errors grow with an input of the row, and with how much predictions
// move, while labels come 200 rows late: what is expected must follow both.
func TestSpreadFollows(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	s, err := online.NewSpread(make([]online.Input, 1))
	if err != nil {
		t.Fatal(err)
	}
	const rows, late = 20_000, 200
	type row struct {
		in          [online.SpreadInputs]float64
		x           [1]float64
		label, miss float64
	}
	all := make([]row, rows)
	p := 0.0
	var sum [2]float64 // of the logarithm of what is expected over the true scale: mean and square
	n := 0.0
	for i := range rows {
		r := &all[i]
		step := 0.1
		if i/700%2 == 1 {
			step = 3
		}
		p += step*rng.NormFloat64() - 0.01*p
		r.x[0] = rng.NormFloat64()
		scale := step * math.Exp(r.x[0])
		r.miss = scale * rng.NormFloat64()
		r.label = p + r.miss
		s.Into(r.in[:], p, math.NaN())
		if e := s.Expect(r.in[:], r.x[:]); i > rows/2 && i%700 > 50 && !math.IsNaN(e) {
			l := math.Log(e / scale)
			sum[0] += l
			sum[1] += l * l
			n++
		}
		if i >= late {
			d := &all[i-late]
			s.Learn(d.in[:], d.x[:], d.label, d.miss)
		}
	}
	mean := sum[0] / n
	if sd := math.Sqrt(sum[1]/n - mean*mean); sd > 1 { // the true scales differ by 2.0
		t.Errorf("what is expected follows the errors' scale up to a factor of e^%.2f", sd)
	}
}
