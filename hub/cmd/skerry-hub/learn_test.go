package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/hub/fit"
)

// TestFitOnce trains every learner once, scores what it wrote, explains it, and carries it to
// ONNX and back.
func TestFitOnce(t *testing.T) {
	data := writeTemp(t, "flats.csv", []byte(flats(1200)))
	dir := t.TempDir()
	for _, learner := range fit.Trainers() {
		model, onnx, back := filepath.Join(dir, learner+".skerry"), filepath.Join(dir, learner+".onnx"), filepath.Join(dir, learner+"-back.skerry")
		set := map[string]string{"gbdt": "rounds=40,tune=off", "forest": "trees=30", "extra-trees": "trees=30", "neural": "epochs=20,hidden=16", "linear": "l2=0.01"}[learner]
		var r fit.Report
		decode(t, must(t, "fit", "--data", data, "--target", "price", "--drop", "sold,part", "--learner", learner, "--set", set, "--out", model, "--json", "-"), &r)
		if r.Learner != learner || r.RowsTrain != 949 || r.RowsTest != 251 || *r.Metrics.R2 < 0.9 || len(r.Importance) < 3 || r.Importance[0].Feature != "size" && r.Importance[0].Feature != "Town" {
			t.Errorf("%s: report %+v, R² %v", learner, r, *r.Metrics.R2)
		}
		var e fit.Evaluation
		decode(t, must(t, "evaluate", "--model", model, "--data", data, "--json", "-"), &e)
		if e.Rows != 1200 || e.Digest != r.Digest || e.RowsTrain != 949 {
			t.Errorf("%s: evaluate = %+v", learner, e)
		}
		var x fit.Explanation
		decode(t, must(t, "explain", "--model", model, "--data", data, "--rows", "50", "--per-row", "--dependence", "size", "--permutation", "--json"), &x)
		if x.Rows != 50 || len(x.PerRow) != 50 || len(x.Permutation) != len(x.Features) || len(x.Dependence.Grid) != 20 || x.Dependence.Mean[19]-x.Dependence.Mean[0] < 100 {
			t.Errorf("%s: explain = %+v", learner, x)
		}
		for _, c := range x.PerRow {
			sum := x.Expected
			for _, v := range c.Values {
				sum += v
			}
			if math.Abs(sum-c.Score) > 1e-6 {
				t.Fatalf("%s: contributions add up to %v, the score is %v", learner, sum, c.Score)
			}
		}
		must(t, "export-model", model, "--format", "onnx", "--out", onnx)
		if learner != "neural" { // its smooth clipping is no operation that other programs write
			must(t, "import-model", onnx, "--task", "price", "--out", back)
		}
	}
	refused(t, "--task is needed", "import-model", filepath.Join(dir, "gbdt.onnx"))
	refused(t, "must be skerry or onnx", "export-model", filepath.Join(dir, "gbdt.skerry"), "--format", "pmml", "--out", "-")
	refused(t, `did you mean "leaves"`, "fit", "--data", data, "--target", "price", "--learner", "gbdt", "--set", "leafs=3")
	refused(t, `rounds="many"`, "fit", "--data", data, "--target", "price", "--learner", "gbdt", "--set", "rounds=many")
	refused(t, "gbdt: leaves is 1, must be in 2 to", "fit", "--data", data, "--target", "price", "--learner", "gbdt", "--set", "leaves=1,tune=off")
	refused(t, "--set is for a named --learner", "fit", "--data", data, "--target", "price", "--set", "rounds=3")
}

// TestFitSplits holds what each split trains and tests on, and that weights and threads do what
// they say.
func TestFitSplits(t *testing.T) {
	data := writeTemp(t, "flats.csv", []byte(flats(1000)))
	digest := ""
	for split, want := range map[string][2]int{"hash": {786, 214}, "time": {800, 200}, "kfold": {1000, 1000}, "none": {1000, 0}, "part=test": {750, 250}} {
		var r fit.Report
		decode(t, must(t, "fit", "--data", data, "--target", "sold", "--drop", "price", "--learner", "gbdt", "--set", "rounds=20", "--split", split, "--json", "-"), &r)
		if r.RowsTrain != want[0] || r.RowsTest != want[1] || split != "none" && *r.Metrics.AUC < 0.9 {
			t.Errorf("split %s: %d and %d rows, want %v", split, r.RowsTrain, r.RowsTest, want)
		}
	}
	for _, threads := range []string{"1", "2"} {
		var r fit.Report
		decode(t, must(t, "fit", "--data", data, "--target", "price", "--drop", "sold,part", "--weight", "size", "--learner", "gbdt", "--set", "rounds=20", "--threads", threads, "--json", "-"), &r)
		if digest != "" && r.Digest != digest {
			t.Error("one thread and two give different artifacts")
		}
		digest = r.Digest
		for _, g := range r.Importance {
			if g.Feature == "size" {
				t.Error("the column of the weights is a feature")
			}
		}
	}
	refused(t, "must be positive", "fit", "--data", writeTemp(t, "w.csv", []byte("x,y,w\n1,2,0\n3,4,1\n")), "--target", "y", "--weight", "w", "--learner", "linear")
}

// TestFitBadData is what people feed by mistake: each gets an error that says what is wrong, or
// the documented behaviour.
func TestFitBadData(t *testing.T) {
	good := func(n int) string {
		var b strings.Builder
		b.WriteString("a,b,y\n")
		for i := range n {
			fmt.Fprintf(&b, "%d,%d,%d.5\n", i, i%7, 3*i)
		}
		return b.String()
	}
	fitIt := func(text, target string) []string {
		return []string{"fit", "--data", writeTemp(t, "bad.csv", []byte(text)), "--target", target, "--learner", "gbdt", "--set", "rounds=3", "--json", "-"}
	}
	refused(t, "line 4", fitIt("a,b,y\n1,2,3\n4,5,6\n7,8\n", "y")...)
	refused(t, `no column "z"`, fitIt(good(50), "z")...)
	refused(t, "no header line", fitIt("", "y")...)
	refused(t, "no column is left", fitIt("y\n1.5\n2.5\n", "y")...)
	refused(t, "one class only", fitIt("a,y\n1,yes\n2,yes\n3,yes\n", "y")...)
	refused(t, "has no value in any row", fitIt("a,y\n1,\n2,\n3,\n", "y")...)
	refused(t, "column 1 has this name already", fitIt("a,a,y\n1,2,3\n", "y")...)

	var r fit.Report
	// one word makes a column of categories
	decode(t, must(t, fitIt(good(60)+"x,3,9.5\n", "y")...), &r)
	if r.Inputs != 2 {
		t.Errorf("mixed column: %+v", r)
	}
	var constant, empty, wide strings.Builder
	constant.WriteString("a,b,y\n")
	empty.WriteString("a,b,y\n")
	wide.WriteString("id,a,y\n")
	for i := range 3000 {
		if i < 100 {
			fmt.Fprintf(&constant, "%d,%d,7.25\n", i, i%3)
			fmt.Fprintf(&empty, "%d,,%d.5\n", i, i)
		}
		fmt.Fprintf(&wide, "id-%d,%d,%d.5\n", i, i%50, i%50)
	}
	r = fit.Report{}
	decode(t, must(t, append(fitIt(constant.String(), "y"), "--kind", "regression")...), &r)
	if *r.Metrics.RMSE > 1e-9 {
		t.Errorf("constant target: %+v", r.Metrics)
	}
	r = fit.Report{}
	decode(t, must(t, fitIt(empty.String(), "y")...), &r)
	if len(r.Dropped) != 1 || !strings.Contains(r.Dropped[0], "b: no value") {
		t.Errorf("column without values: %v", r.Dropped)
	}
	r = fit.Report{}
	decode(t, must(t, fitIt(wide.String(), "y")...), &r)
	if len(r.Dropped) != 1 || !strings.Contains(r.Dropped[0], "2745 of 3000 categories count as missing") {
		t.Errorf("3000 categories: %v", r.Dropped)
	}
	missing := strings.Replace(good(60), "10,3,", "10,,", 1)
	must(t, fitIt(missing, "y")...)
	if out, err := os.ReadFile(writeTemp(t, "nul.csv", bytes.Repeat([]byte{0}, 100))); err == nil {
		refused(t, "", fitIt(string(out), "y")...)
	}
}
