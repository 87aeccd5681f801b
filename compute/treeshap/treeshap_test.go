package treeshap

import (
	"math"
	"testing"

	"skerry.dev/compute/ensemble"
)

// TestShares: the shares of two trees add up to the prediction less the mean, a feature that no tree
// asks has none, and wrong lengths are refused.
func TestShares(t *testing.T) {
	e, err := ensemble.Build(ensemble.Spec{Inputs: 3, Base: []float64{1}, Covers: true}, []ensemble.Tree{
		{{Threshold: 4, Left: 1, Right: 2, Cover: 4}, {Value: -3, Cover: 1}, {Value: 5, Cover: 3}},
		{{Feature: 1, Threshold: 0, Left: 1, Right: 2, Cover: 4}, {Value: 2, Cover: 2}, {Value: -2, Cover: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	x, err := New(e)
	if err != nil {
		t.Fatal(err)
	}
	if got := x.Expected(); len(got) != 1 || got[0] != 4 { // 1 + (-3 + 3·5)/4 + 0
		t.Errorf("Expected = %v, want 4", got)
	}
	for _, tt := range []struct{ row, want []float64 }{
		{[]float64{7, -1, 9}, []float64{2, 2, 0}},
		{[]float64{1, 1, 9}, []float64{-6, -2, 0}},
	} {
		phi := make([]float64, 3)
		if err := x.Into(phi, tt.row); err != nil {
			t.Fatal(err)
		}
		for k := range phi {
			if math.Abs(phi[k]-tt.want[k]) > 1e-12 {
				t.Errorf("shares of %v = %v, want %v", tt.row, phi, tt.want)
			}
		}
	}
	if err := x.Into(make([]float64, 2), []float64{7, -1, 9}); err == nil {
		t.Error("too short a result is taken")
	}
}
