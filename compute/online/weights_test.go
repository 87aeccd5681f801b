package online_test

import (
	"math"
	"testing"

	"skerry.dev/compute/online"
)

// TestWeightsOfAnySize holds that rows with the largest and the smallest weights that there are
// leave predictions that are some.
func TestWeightsOfAnySize(t *testing.T) {
	s := online.Schema{Classes: 2, Inputs: []online.Input{{Name: "a"}, {Name: "kind", Categories: 3}}}
	weights := []float64{math.MaxFloat64, math.MaxFloat64, 5e-324, 1, 1e100, 5e-324}
	bayes := must(t, func() (*online.Bayes, error) { return online.NewBayes(s) })
	near := must(t, func() (*online.NeighbourClassifier, error) {
		return online.NewNeighbourClassifier(s, online.NeighbourOptions{K: 3})
	})
	s.Classes = 0
	value := must(t, func() (*online.NeighbourRegressor, error) {
		return online.NewNeighbourRegressor(s, online.NeighbourOptions{K: 3})
	})
	p := make([]float64, 2)
	for i, w := range weights {
		x := []float64{float64(i), math.NaN()}
		bayes.Learn(x, i%2, w)
		near.Learn(x, i%2, w)
		value.Learn(x, float64(10+i), w)
		for a := range 8 {
			at := []float64{float64(a), 1}
			if bayes.Classify(p, at); !(math.Abs(p[0]+p[1]-1) < 1e-9) {
				t.Errorf("bayes: probabilities %v after a weight of %v", p, w)
			}
			if near.Classify(p, at); !(math.Abs(p[0]+p[1]-1) < 1e-9) {
				t.Errorf("neighbours: probabilities %v after a weight of %v", p, w)
			}
			if y := value.Predict(at); !(y >= 10 && y <= 15) {
				t.Errorf("neighbours: predict %v after a weight of %v, targets are 10 to 15", y, w)
			}
		}
	}
}
