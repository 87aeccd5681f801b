package linearfit

import (
	"math"
	"math/rand/v2"
	"testing"
)

// orthogonal is a table of three columns that are orthogonal to each other and to the constant
// under its weights, so that every weight of a fit has a formula of its own. Rows that are not
// trained on, and those without weight, hold something else.
func orthogonal() (d Data, skipped map[int]bool) {
	rng := rand.New(rand.NewPCG(4, 2))
	d.Cols, skipped = 3, map[int]bool{}
	for i := range 64 {
		sign := func(bit int) float64 { return float64(1 - 2*(i>>bit&1)) }
		x := []float64{2 * sign(0), 0.5 * sign(1), 3 * sign(2)}
		w := 1 + float64(i>>3) // the same for all eight combinations
		y := 7 + 1.5*x[0] - 2*x[1] + 0.01*x[2] + 0.3*rng.NormFloat64()
		d.X, d.Y, d.Weight = append(d.X, x...), append(d.Y, y), append(d.Weight, w)
	}
	for i := range 64 {
		d.Rows = append(d.Rows, int32(i))
	}
	for k := range 5 { // with weight and not among Rows, or among them without weight
		i := len(d.Y)
		skipped[i] = true
		d.X, d.Y, d.Weight = append(d.X, 100, -50, 30), append(d.Y, -1e6), append(d.Weight, float64(k%2))
		if k%2 == 0 {
			d.Rows = append(d.Rows, int32(i))
		}
	}
	return d, skipped
}

// moments are the weighted means that the formulas need.
func momentsOf(d *Data, skipped map[int]bool, col int) (meanY, cov, variance float64) {
	var sw, sy, sx, sxy, sxx float64
	for i, y := range d.Y {
		if skipped[i] {
			continue
		}
		w, x := d.Weight[i], d.X[i*d.Cols+col]
		sw, sy, sx, sxy, sxx = sw+w, sy+w*y, sx+w*x, sxy+w*x*y, sxx+w*x*x
	}
	meanY, meanX := sy/sw, sx/sw
	return meanY, sxy/sw - meanX*meanY, sxx/sw - meanX*meanX
}

// TestClosedForms compares ridge and elastic net with what they are on orthogonal columns: the
// covariance, drawn to zero by l1, over the variance and l2; and the mean as the bias, which no
// penalty touches.
func TestClosedForms(t *testing.T) {
	for _, p := range []Params{
		{L2: 1e-12},
		{L2: 0.1},
		{L2: 5},
		{L2: 1e6},
		{L1: 0.05, L2: 1e-12},
		{L1: 0.5, L2: 0.1},
		{L1: 3, L2: 2},
		{L1: 1e6, L2: 1},
	} {
		d, skipped := orthogonal()
		m, err := Train(t.Context(), d, p)
		if err != nil {
			t.Fatal(err)
		}
		zeros := 0
		for j := range d.Cols {
			meanY, cov, variance := momentsOf(&d, skipped, j)
			want := math.Copysign(max(math.Abs(cov)-p.L1, 0), cov) / (variance + p.L2)
			if got := m.Weights(0)[j]; math.Abs(got-want) > 1e-6*(1+math.Abs(want)) { // the duality gap of the net
				t.Errorf("l1 %v, l2 %v: weight %d = %v, want %v", p.L1, p.L2, j, got, want)
			}
			if m.Weights(0)[j] == 0 {
				zeros++
			}
			if got := m.Bias()[0]; math.Abs(got-meanY) > 1e-6 {
				t.Errorf("l1 %v, l2 %v: bias = %v, want the mean %v", p.L1, p.L2, got, meanY)
			}
		}
		if p.L1 >= 0.5 && zeros == 0 {
			t.Errorf("l1 %v, l2 %v: no weight is exactly 0, though one column tells nearly nothing", p.L1, p.L2)
		}
	}
}

// TestShiftsAndOrder holds what a fit does not depend on: the order of the columns, and a
// constant that is added to a column or to the target.
func TestShiftsAndOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	var a, b Data
	a.Cols, b.Cols = 3, 3
	for range 300 {
		x := []float64{rng.NormFloat64(), rng.ExpFloat64(), rng.Float64()}
		y := 1 + x[0] - 2*x[1] + 3*x[2] + 0.1*rng.NormFloat64()
		a.X, a.Y = append(a.X, x...), append(a.Y, y)
		b.X, b.Y = append(b.X, x[2]-5, x[0]+40, x[1]), append(b.Y, y+1000)
	}
	for name, p := range map[string]Params{
		"ridge":       {L2: 0.01},
		"elastic net": {L1: 0.02, L2: 0.01},
		"median":      {Objective: Quantile, L2: 1e-4},
	} {
		one, err := Train(t.Context(), a, p)
		if err != nil {
			t.Fatal(err)
		}
		other, err := Train(t.Context(), b, p)
		if err != nil {
			t.Fatal(err)
		}
		got, want := make([]float64, 1), make([]float64, 1)
		for range 20 {
			x := []float64{rng.NormFloat64(), rng.ExpFloat64(), rng.Float64()}
			if err := one.PredictInto(want, x); err != nil {
				t.Fatal(err)
			}
			if err := other.PredictInto(got, []float64{x[2] - 5, x[0] + 40, x[1]}); err != nil {
				t.Fatal(err)
			}
			tolerance := 1e-6
			if p.Objective == Quantile {
				tolerance = 0.02 // smoothed over a share of the targets' size, which is another
			}
			if math.Abs(got[0]-1000-want[0]) > tolerance {
				t.Errorf("%s: predicts %v with columns in another order and shifted, want %v more than %v", name, got[0], 1000, want[0])
			}
		}
	}
}
