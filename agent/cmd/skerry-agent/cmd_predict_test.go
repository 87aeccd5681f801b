package main

import (
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
)

// TestPredictTable predicts rows without a time by a model whose columns are a table, its place,
// their product, a ratio and an expression.
func TestPredictTable(t *testing.T) {
	in := []feature.Input{{Name: "kind", Categories: []string{"x", "y"}}, {Name: "a"}, {Name: "b"}}
	cols := []feature.Column{
		{Name: "t", Op: feature.OpTable, Series: 0, Table: []float64{10, 20}, Default: 15, Impute: &zero},
		{Name: "p", Op: feature.OpPlace, Of: 0, Table: []float64{0, 20}},
		{Name: "c", Op: feature.OpCross, Of: 0, By: 1},
		{Name: "r", Op: feature.OpRatio, Series: 1, Other: 2, Impute: &zero},
		{Name: "e", Op: feature.OpExpr, Expr: []feature.Token{{Do: feature.TokenColumn, I: 2}, {Do: feature.TokenNumber, X: 100}, {Do: feature.TokenMul}}},
	}
	model := linearModel(t, artifact.Manifest{Task: "flat", Kind: artifact.KindRegression, Inputs: in, Output: artifact.Output{Series: "z", Input: -1}, Learner: "linear", Rows: 1}, cols, 1, 1, 1, 1, 1)
	out, err := agent(t, "kind,a,b\nx,6,3\ny,1,0\n", "predict", "--model", model, "--data", "-", "--out", "-")
	if err != nil {
		t.Fatal(err)
	}
	// x: 10 + 0.5 + 5 + 2 + 500; y: 20 + 1 + 20 + 0 + 2000.
	for _, want := range []string{",517.5,", ",2041,"} {
		if !strings.Contains(out, want) {
			t.Errorf("predict = %s, want %s", out, want)
		}
	}
}
