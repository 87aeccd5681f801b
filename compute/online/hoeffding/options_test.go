package hoeffding_test

import (
	"math"
	"strings"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/hoeffding"
	"skerry.dev/compute/online/onlinetest"
)

// TestBadSettings checks that an error names the setting, its value and what is allowed.
func TestBadSettings(t *testing.T) {
	s, n := onlinetest.Schema(3), onlinetest.Schema(0)
	tree := func(o hoeffding.Options) error { _, err := hoeffding.NewTree(s, o); return err }
	forest := func(o hoeffding.EnsembleOptions) error { _, err := hoeffding.NewForest(s, o); return err }
	numbers := func(o hoeffding.RegressionOptions) error { _, err := hoeffding.NewRegressionTree(n, o); return err }
	schema := func(s online.Schema) error { _, err := hoeffding.NewTree(s, hoeffding.Options{}); return err }
	_, adaptive := hoeffding.NewAdaptive(s, hoeffding.AdaptiveOptions{Window: -1, Significance: 2, Options: hoeffding.Options{Delta: 3}})
	_, fast := hoeffding.NewFast(s, hoeffding.FastOptions{Revise: math.NaN()})
	_, bagging := hoeffding.NewBagging(s, hoeffding.EnsembleOptions{Lambda: 1000})
	_, patches := hoeffding.NewPatches(s, hoeffding.EnsembleOptions{Inputs: 7})
	_, regression := hoeffding.NewRegressionForest(n, hoeffding.RegressionForestOptions{Trees: 2000, Drift: 1})
	_, classes := hoeffding.NewRegressionTree(s, hoeffding.RegressionOptions{})
	for _, tt := range []struct {
		err  error
		want []string
	}{
		{tree(hoeffding.Options{Grace: -1, Delta: 1, Points: 2000}), []string{"Grace is -1, allowed is 1 to 1e9", "Delta is 1, allowed is a probability", "Points is 2000, allowed is 1 to 1000"}},
		{tree(hoeffding.Options{Tau: 2, MaxDepth: 1000, MinBranch: 0.5, MaxShare: 0.1}), []string{"Tau is 2", "MaxDepth is 1000, allowed is 1 to 200", "MinBranch is 0.5", "MaxShare is 0.1"}},
		{tree(hoeffding.Options{Criterion: 9, Leaf: 9, Grace: math.NaN()}), []string{"Criterion is 9", "Leaf is 9", "Grace is NaN"}},
		{tree(hoeffding.Options{MaxBytes: 100}), []string{"MaxBytes is 100, this schema needs", "at least"}},
		{tree(hoeffding.Options{MaxBytes: -1}), []string{"MaxBytes is -1"}},
		{forest(hoeffding.EnsembleOptions{Trees: -1, Inputs: 99, Lambda: -1, Warning: 2, Drift: math.NaN()}), []string{"Trees is -1", "Inputs is 99, allowed is 1 to 6", "Lambda is -1", "Warning is 2", "Drift is NaN"}},
		{forest(hoeffding.EnsembleOptions{Options: hoeffding.Options{MaxBytes: 10_000}}), []string{"MaxBytes is 10000, this schema needs"}},
		{adaptive, []string{"Window is -1", "Significance is 2", "Delta is 3"}},
		{fast, []string{"Revise is NaN"}},
		{bagging, []string{"Lambda is 1000"}},
		{patches, []string{"Inputs is 7"}},
		{regression, []string{"Trees is 2000", "Drift is 1"}},
		{numbers(hoeffding.RegressionOptions{Rate: 2, Decay: 1, Least: 0.5, Leaf: 7}), []string{"Rate is 2", "Decay is 1", "Least is 0.5", "Leaf is 7"}},
		{numbers(hoeffding.RegressionOptions{MaxBytes: 1000}), []string{"MaxBytes is 1000"}},
		{classes, []string{"3 classes for a learner of numbers"}},
		{schema(online.Schema{Classes: 2}), []string{"0 inputs"}},
		{schema(n), []string{"0 classes, must be 2 to 256"}},
		{schema(online.Schema{Classes: 2, Inputs: []online.Input{{Name: "a", Categories: 5000}}}), []string{`"a" has 5000 categories`}},
	} {
		if tt.err == nil {
			t.Errorf("no error, want %q", tt.want)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(tt.err.Error(), want) {
				t.Errorf("error %q does not say %q", tt.err, want)
			}
		}
	}
}

// TestLeastBudget makes a learner with the least budget that the error names.
func TestLeastBudget(t *testing.T) {
	s := onlinetest.Schema(3)
	c, err := hoeffding.NewTree(s, hoeffding.Options{MaxBytes: 5_000, Grace: 50})
	if err != nil {
		t.Fatal(err)
	}
	x := []float64{0, 1, 2, 3, 1, 0}
	for i := range 20_000 {
		x[0] = float64(i % 7)
		c.Learn(x, i%7%3, 1)
		if b := c.Bytes(); b > 5_000 {
			t.Fatalf("row %d: %d bytes of 5000", i, b)
		}
	}
}

// TestSplitsOnCategories learns what only a category tells, by a branch for each code and by one
// code against the others.
func TestSplitsOnCategories(t *testing.T) {
	s := online.Schema{Classes: 2, Inputs: []online.Input{{Name: "noise"}, {Name: "kind", Categories: 5}}}
	n := online.Schema{Inputs: s.Inputs}
	for _, binary := range []bool{false, true} {
		c, err := hoeffding.NewTree(s, hoeffding.Options{BinaryOnly: binary, Leaf: hoeffding.Majority})
		if err != nil {
			t.Fatal(err)
		}
		r, err := hoeffding.NewRegressionTree(n, hoeffding.RegressionOptions{BinaryOnly: binary, Leaf: hoeffding.Mean})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10_000 {
			kind := i * 7 % 5
			x := []float64{float64(i * 31 % 101), float64(kind)}
			c.Learn(x, kind%2, 1)
			r.Learn(x, float64(kind*kind), 1)
		}
		p := make([]float64, 2)
		for kind := range 5 {
			x := []float64{50, float64(kind)}
			if c.Classify(p, x); p[kind%2] < 0.99 {
				t.Errorf("binary %v: kind %d: probabilities %v", binary, kind, p)
			}
			if got := r.Predict(x); math.Abs(got-float64(kind*kind)) > 0.1 {
				t.Errorf("binary %v: kind %d: %v, want %d", binary, kind, got, kind*kind)
			}
		}
		if want := map[bool]int{false: 6, true: 9}[binary]; c.Nodes() > want {
			t.Errorf("binary %v: %d nodes, want %d at most", binary, c.Nodes(), want)
		}
	}
}
