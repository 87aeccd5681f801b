package hoeffding_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/internal/race"
)

// TestFaultsDoNotLast gives one of two equal learners a few rows with absurd numbers and compares
// how well both do soon after.
func TestFaultsDoNotLast(t *testing.T) {
	if race.Enabled {
		t.Skip("judges by many rows, which takes long under the race detector: run without -race")
	}
	names, classifiers, regressors := every(t)
	_, spoiled, spoiledNumbers := every(t)
	healthy, faulty := make([]float64, len(names)), make([]float64, len(names))
	rng := rand.New(rand.NewPCG(21, 3))
	p := make([]float64, 3)
	for i := range 3000 {
		x, y := drifting(rng, i)
		class := classOf(y)
		if i >= 1200 && i < 1203 {
			bad := []float64{1e18, -1e30, 1e90, float64(rng.IntN(4)), float64(rng.IntN(2)), -1e9}
			for k := range spoiled {
				spoiled[k].Learn(bad, class, 1)
			}
			for k := range spoiledNumbers {
				spoiledNumbers[k].Learn(bad, 1e300, 1)
			}
		}
		for k := range classifiers {
			if i >= 2000 {
				if classifiers[k].Classify(p, x); p[class] >= max(p[0], p[1], p[2]) {
					healthy[k] += 1.0 / 1000
				}
				if spoiled[k].Classify(p, x); p[class] >= max(p[0], p[1], p[2]) {
					faulty[k] += 1.0 / 1000
				}
			}
			classifiers[k].Learn(x, class, 1)
			spoiled[k].Learn(x, class, 1)
		}
		for k := range regressors {
			at := len(classifiers) + k
			if i >= 2000 {
				healthy[at] += math.Abs(regressors[k].Predict(x)-y) / 1000
				faulty[at] += math.Abs(spoiledNumbers[k].Predict(x)-y) / 1000
			}
			regressors[k].Learn(x, y, 1)
			spoiledNumbers[k].Learn(x, y, 1)
		}
	}
	for k, name := range names {
		t.Logf("%-18s %.3f without and %.3f with faults", name, healthy[k], faulty[k])
		if worse := healthy[k] - faulty[k]; k < len(classifiers) && worse > 0.08 || k >= len(classifiers) && faulty[k] > 1.5*healthy[k]+0.1 {
			t.Errorf("%s: %.3f without and %.3f with faults", name, healthy[k], faulty[k])
		}
	}
}
