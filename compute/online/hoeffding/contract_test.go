package hoeffding_test

import (
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/hoeffding"
	"skerry.dev/compute/online/onlinetest"
)

// made fails the test when a learner was not made.
func made[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestClassifiersKeepTheContract(t *testing.T) {
	const budget = 40_000
	small := hoeffding.Options{Grace: 50, Delta: 0.01, MaxBytes: budget}
	t.Run("tree", func(t *testing.T) {
		onlinetest.Classifier(t, budget, func(s online.Schema) online.Classifier {
			return made[*hoeffding.Tree](t)(hoeffding.NewTree(s, small))
		})
	})
	t.Run("adaptive", func(t *testing.T) {
		onlinetest.Classifier(t, 2*budget, func(s online.Schema) online.Classifier {
			o := small
			o.MaxBytes *= 2
			return made[*hoeffding.Adaptive](t)(hoeffding.NewAdaptive(s, hoeffding.AdaptiveOptions{Options: o}))
		})
	})
	t.Run("fast", func(t *testing.T) {
		onlinetest.Classifier(t, budget, func(s online.Schema) online.Classifier {
			return made[*hoeffding.Fast](t)(hoeffding.NewFast(s, hoeffding.FastOptions{Options: small}))
		})
	})
	many := hoeffding.EnsembleOptions{Options: hoeffding.Options{MaxBytes: 400_000, Seed: 1}, Trees: 5}
	t.Run("forest", func(t *testing.T) {
		onlinetest.Classifier(t, 400_000, func(s online.Schema) online.Classifier {
			return made[*hoeffding.Forest](t)(hoeffding.NewForest(s, many))
		})
	})
	t.Run("bagging", func(t *testing.T) {
		onlinetest.Classifier(t, 400_000, func(s online.Schema) online.Classifier {
			return made[*hoeffding.Bagging](t)(hoeffding.NewBagging(s, many))
		})
	})
	t.Run("patches", func(t *testing.T) {
		onlinetest.Classifier(t, 400_000, func(s online.Schema) online.Classifier {
			return made[*hoeffding.Patches](t)(hoeffding.NewPatches(s, many))
		})
	})
}

func TestRegressorsKeepTheContract(t *testing.T) {
	const budget = 100_000
	small := hoeffding.RegressionOptions{Grace: 50, Delta: 0.01, MaxBytes: budget}
	for name, leaf := range map[string]hoeffding.NumberLeaf{"adaptive": hoeffding.AdaptiveLinear, "mean": hoeffding.Mean, "linear": hoeffding.Linear} {
		t.Run(name, func(t *testing.T) {
			onlinetest.Regressor(t, budget, func(s online.Schema) online.Regressor {
				o := small
				o.Leaf = leaf
				return made[*hoeffding.RegressionTree](t)(hoeffding.NewRegressionTree(s, o))
			})
		})
	}
	t.Run("forest", func(t *testing.T) {
		onlinetest.Regressor(t, 400_000, func(s online.Schema) online.Regressor {
			return made[*hoeffding.RegressionForest](t)(hoeffding.NewRegressionForest(s, hoeffding.RegressionForestOptions{RegressionOptions: hoeffding.RegressionOptions{Grace: 200, MaxBytes: 400_000, Seed: 1}, Trees: 5}))
		})
	})
}
