package online_test

import (
	"strings"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/onlinetest"
)

func must[T any](t *testing.T, f func() (T, error)) T {
	t.Helper()
	v, err := f()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestClassifiersKeepTheContract(t *testing.T) {
	t.Run("bayes", func(t *testing.T) {
		onlinetest.Classifier(t, 4<<10, func(s online.Schema) online.Classifier {
			return must(t, func() (*online.Bayes, error) { return online.NewBayes(s) })
		})
	})
	t.Run("neighbours", func(t *testing.T) {
		onlinetest.Classifier(t, 100<<10, func(s online.Schema) online.Classifier {
			return must(t, func() (*online.NeighbourClassifier, error) {
				return online.NewNeighbourClassifier(s, online.NeighbourOptions{Window: 300})
			})
		})
	})
	for _, m := range online.Methods() {
		t.Run(string(m), func(t *testing.T) {
			onlinetest.Classifier(t, 4<<10, func(s online.Schema) online.Classifier {
				return must(t, func() (*online.LinearClassifier, error) {
					return online.NewLinearClassifier(s, online.LinearOptions{Method: m})
				})
			})
		})
	}
}

func TestRegressorsKeepTheContract(t *testing.T) {
	t.Run("neighbours", func(t *testing.T) {
		onlinetest.Regressor(t, 100<<10, func(s online.Schema) online.Regressor {
			return must(t, func() (*online.NeighbourRegressor, error) {
				return online.NewNeighbourRegressor(s, online.NeighbourOptions{Window: 300})
			})
		})
	})
	for _, m := range online.Methods() {
		t.Run(string(m), func(t *testing.T) {
			onlinetest.Regressor(t, 4<<10, func(s online.Schema) online.Regressor {
				return must(t, func() (*online.LinearRegressor, error) {
					return online.NewLinearRegressor(s, online.LinearOptions{Method: m})
				})
			})
		})
	}
}

func TestNeighboursKeepTheirBudget(t *testing.T) {
	wide := online.Schema{Inputs: make([]online.Input, online.MaxInputs), Classes: 2}
	n, err := online.NewNeighbourClassifier(wide, online.NeighbourOptions{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if b := n.Bytes(); b > 5<<18 {
		t.Errorf("%d bytes, the rows may take %d", b, 1<<20)
	}
	if _, err := online.NewNeighbourClassifier(wide, online.NeighbourOptions{Window: 100_000}); err == nil || !strings.Contains(err.Error(), "keep fewer rows") {
		t.Errorf("a window of 3 GB: %v", err)
	}
}
