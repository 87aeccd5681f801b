package gbdt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestMonotone holds that predictions never fall with the first feature and never rise with the
// second, over a grid that also has missing values, on a table that tempts them to: the target
// goes both ways with each.
func TestMonotone(t *testing.T) {
	const rows, cols = 800, 4
	rng := rand.New(rand.NewPCG(11, 1))
	x, y := make([]float64, rows*cols), make([]float64, rows)
	for i := range rows {
		r := x[i*cols : (i+1)*cols]
		for j := range r {
			if r[j] = float64(rng.IntN(21)-10) / 5; rng.IntN(12) == 0 {
				r[j] = math.NaN()
			}
		}
		sign := 1.0
		if r[2] > 0 {
			sign = -1 // what the constraints forbid
		}
		for j, s := range []float64{1, -1} {
			if r[j] == r[j] {
				y[i] += s * (r[j] + 2*sign*r[j]*r[j])
			}
		}
		y[i] += rng.NormFloat64() / 4
	}
	grid := []float64{-3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3}
	others := append([]float64{math.NaN()}, grid...)
	predict := func(m *Model, v ...float64) float64 {
		var dst [1]float64
		if err := m.Ensemble.PredictInto(dst[:], v); err != nil {
			t.Fatal(err)
		}
		return dst[0]
	}
	for _, p := range []Params{
		{}, {L1: 1, L2: 1}, {Boosting: GOSS}, {Boosting: DART, DropSkip: 0.1}, {RowFraction: 0.7, FeatureFraction: 0.7}, {Objective: Absolute}, {Objective: Quantile, Alpha: 0.8}, {Objective: Huber}, {Objective: Poisson},
		{Objective: Logistic},
	} {
		t.Run(fmt.Sprintf("%s,%s,l1=%v", p.Objective, p.Boosting, p.L1), func(t *testing.T) {
			target := make([]float64, rows)
			for i, v := range y {
				switch target[i] = v; p.Objective {
				case Poisson:
					target[i] = math.Round(math.Abs(v))
				case Logistic:
					if target[i] = 0; v > 0 {
						target[i] = 1
					}
				}
			}
			d := Data{X: matrix(t, x, cols), Y: target}
			p.Rounds, p.Leaves, p.MinRows, p.LearningRate, p.Seed = 30, 16, 5, 0.3, 3
			free := train(t, d, p)
			p.Monotone = []int8{1, -1, 0, 0}
			m := train(t, d, p)
			falls, rises, range0 := 0, 0, 0.0
			for _, b := range others {
				for _, c := range others {
					for k := 1; k < len(grid); k++ {
						lo, hi := grid[k-1], grid[k]
						if was, is := predict(m, lo, b, c, 0), predict(m, hi, b, c, 0); was > is {
							t.Fatalf("prediction falls from %v to %v where feature 0 rises from %v to %v (others %v, %v)", was, is, lo, hi, b, c)
						} else {
							range0 = max(range0, is-was)
						}
						if was, is := predict(m, b, lo, c, 0), predict(m, b, hi, c, 0); was < is {
							t.Fatalf("prediction rises from %v to %v where feature 1 rises from %v to %v (others %v, %v)", was, is, lo, hi, b, c)
						}
						if predict(free, lo, b, c, 0) > predict(free, hi, b, c, 0) {
							falls++
						}
						if predict(free, b, lo, c, 0) < predict(free, b, hi, c, 0) {
							rises++
						}
					}
				}
			}
			if falls == 0 || rises == 0 {
				t.Errorf("without constraints the model falls %d and rises %d times: the table does not test them", falls, rises)
			}
			if range0 == 0 {
				t.Error("the constrained model does not depend on feature 0 at all")
			}
		})
	}
}
