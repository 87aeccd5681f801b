package main

import (
	"os"
	"path/filepath"
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

// TestPredictErrorLeavesNoFile: rows are written as they are read, and what stands in --out is as
// it was when an error comes behind them.
func TestPredictErrorLeavesNoFile(t *testing.T) {
	in := []feature.Input{{Name: "a", Unit: "kg"}}
	model := linearModel(t, artifact.Manifest{Task: "flat", Kind: artifact.KindRegression, Inputs: in, Output: artifact.Output{Series: "z", Input: -1}, Learner: "linear"},
		[]feature.Column{{Name: "a", Op: feature.OpValue, Impute: &zero}}, 1)
	rows := strings.Repeat("1 kg\n", 20_000)
	for name, text := range map[string]string{
		"a line of two fields at the end": "a\n" + rows + "1,2\n",
		"another unit":                    "a\n" + strings.ReplaceAll(rows, "kg", "g"),
		"no numbers":                      "a\n" + strings.ReplaceAll(rows, "1 kg", "soon"),
	} {
		dir := t.TempDir()
		out := filepath.Join(dir, "p.csv")
		if err := os.WriteFile(out, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		said, err := agent(t, text, "predict", "--model", model, "--data", "-", "--out", out)
		if err == nil {
			t.Errorf("%s: predicted, %s", name, said)
		}
		if b, err := os.ReadFile(out); string(b) != "old" {
			t.Errorf("%s: %d bytes in the file, %v", name, len(b), err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
	out := filepath.Join(t.TempDir(), "p.csv")
	said, err := agent(t, "a\n"+rows, "predict", "--model", model, "--data", "-", "--out", out)
	b, rerr := os.ReadFile(out)
	if err != nil || rerr != nil || strings.Count(string(b), "\n") != 20_001 || !strings.Contains(said, "predicted 20000 rows with") || !strings.Contains(said, "numbers with the unit kg") {
		t.Errorf("predict = %s, %v, %v; %d bytes", said, err, rerr, len(b))
	}
}
