package fit_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/hub/fit"
)

// TestExplainLinear explains y = 2a − 3b + 1: a feature contributes its weight times how far it is
// from its mean, whatever the others are.
func TestExplainLinear(t *testing.T) {
	o := direct("linear", write(t, "line.csv", line(200)), "y", exact)
	_, a, _ := run(t, o)
	rows := [][3]float64{{0, 10, 1}, {10, 0, 2}, {20, 20, 3}, {30, 2, 4}}
	data := write(t, "four.csv", table("b,c,a,y", len(rows), func(i int) string {
		r := rows[i]
		return fmt.Sprintf("%v,%v,%v,%v", r[1], r[2], r[0], 2*r[0]-3*r[1]+1)
	}))
	x, err := fit.Explain(t.Context(), a, fit.ExplainOptions{
		Data:        data,
		PerRow:      true,
		Permutation: true,
		Dependence:  "a",
		Points:      4,
		Threads:     1,
		Seed:        1,
	})
	if err != nil {
		t.Fatal(err)
	}
	const meanA, meanB = 15.0, 8.0
	if x.Method != fit.MethodLinear || x.Rows != 4 || x.Digest != a.Digest || x.Class != "" || x.Kind != artifact.KindRegression || len(x.PerRow) != 4 {
		t.Fatalf("Explain = %+v", x)
	}
	near(t, "the start of the contributions", &x.Expected, 2*meanA-3*meanB+1)
	abs := map[string]float64{}
	for i, r := range x.PerRow {
		wantA, wantB := 2*(rows[i][0]-meanA), -3*(rows[i][1]-meanB)
		gotA, gotB, gotC := r.Values["a"], r.Values["b"], r.Values["c"]
		near(t, fmt.Sprintf("a of row %d", i), &gotA, wantA)
		near(t, fmt.Sprintf("b of row %d", i), &gotB, wantB)
		near(t, fmt.Sprintf("c of row %d", i), &gotC, 0)
		near(t, fmt.Sprintf("the score of row %d", i), &r.Score, 2*rows[i][0]-3*rows[i][1]+1)
		if r.Row != i {
			t.Errorf("row %d is said to be %d", i, r.Row)
		}
		abs["a"] += math.Abs(wantA) / 4
		abs["b"] += math.Abs(wantB) / 4
	}
	for i, name := range []string{"a", "b", "c"} { // 20 and 21: the order is by the mean of the absolute values
		f := x.Features[slices.IndexFunc(x.Features, func(e fit.Effect) bool { return e.Feature == name })]
		near(t, "mean |contribution| of "+name, &f.MeanAbs, abs[name])
		near(t, "mean contribution of "+name, &f.Mean, 0)
		if i > 0 && x.Features[i].MeanAbs > x.Features[i-1].MeanAbs {
			t.Errorf("features %+v are not in the order of what they contribute", x.Features)
		}
	}
	if len(x.Permutation) != 3 || x.Permutation[2].Feature != "c" || math.Abs(x.Permutation[2].Gain) > 1e-6 || x.Permutation[1].Gain < 1 {
		t.Errorf("permutation = %+v, want nothing for c and much for a and b", x.Permutation)
	}
	d := x.Dependence
	if d == nil || d.Feature != "a" || len(d.Grid) < 2 || len(d.Mean) != len(d.Grid) {
		t.Fatalf("dependence = %+v", d)
	}
	for k, at := range d.Grid {
		near(t, fmt.Sprintf("the prediction at a = %v", at), &d.Mean[k], 2*at-3*meanB+1)
	}
	if d.Grid[0] < -1e-6 || d.Grid[len(d.Grid)-1] > 30+1e-6 || d.Grid[len(d.Grid)-1] < 15 {
		t.Errorf("grid %v, want it in the input's own unit, 0 to 30", d.Grid)
	}
}

// TestExplainMethods holds which models are explained exactly, and that contributions of each add
// up to what the model says.
func TestExplainMethods(t *testing.T) {
	data := write(t, "line.csv", line(150))
	for learner, want := range map[string]string{"gbdt": fit.MethodTrees, "forest": fit.MethodTrees, "extra-trees": fit.MethodTrees, "linear": fit.MethodLinear, "neural": fit.MethodSampling} {
		set := map[string]fit.Settings{
			"gbdt": {"rounds": "10", "tune": "off"}, "forest": {"trees": "5"}, "extra-trees": {"trees": "5"}, "neural": {"epochs": "5", "hidden": "4"}, "linear": exact,
		}[learner]
		_, a, _ := run(t, direct(learner, data, "y", set))
		o := fit.ExplainOptions{Data: data, Rows: 10, PerRow: true, Seed: 3, Threads: 1}
		x, err := fit.Explain(t.Context(), a, o)
		if err != nil {
			t.Fatalf("%s: %v", learner, err)
		}
		if x.Method != want || x.Rows != 10 || x.Learner != learner || x.Permutation != nil || x.Dependence != nil {
			t.Errorf("%s: %s on %d rows, want %s on 10", learner, x.Method, x.Rows, want)
		}
		for k, r := range x.PerRow {
			if r.Row != 15*k {
				t.Fatalf("%s: row %d of the sample is %d of the file, want %d", learner, k, r.Row, 15*k)
			}
			sum := x.Expected
			for _, v := range r.Values {
				sum += v
			}
			if math.Abs(sum-r.Score) > 1e-9*max(1, math.Abs(sum)) {
				t.Errorf("%s: contributions of row %d add up to %v, the score is %v", learner, r.Row, sum, r.Score)
			}
		}
		if again, err := fit.Explain(t.Context(), a, o); err != nil || fmt.Sprint(again) != fmt.Sprint(x) {
			t.Errorf("%s: the same seed explains otherwise, %v", learner, err)
		}
	}
}

// TestExplainClasses asks for one class of two and of three.
func TestExplainClasses(t *testing.T) {
	two := write(t, "two.csv", table("x,z,y", 100, func(i int) string {
		return fmt.Sprintf("%d,%d,%s", i, i%3, map[bool]string{false: "cold", true: "warm"}[i >= 50])
	}))
	set := fit.Settings{"rounds": "5", "tune": "off"}
	_, a, _ := run(t, direct("gbdt", two, "y", set))
	for _, class := range []string{"", "warm"} {
		if x, err := fit.Explain(t.Context(), a, fit.ExplainOptions{Data: two, Class: class}); err != nil || x.Class != "warm" || x.Features[0].Feature != "x" {
			t.Errorf("class %q of two = %+v, %v, want warm by x", class, x, err)
		}
	}
	for class, want := range map[string]string{"cold": `that of "cold" is the opposite`, "tepid": `no class "tepid"`} {
		if _, err := fit.Explain(t.Context(), a, fit.ExplainOptions{Data: two, Class: class}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("class %q of two: %v, want %q", class, err, want)
		}
	}

	three := write(t, "three.csv", table("x,z,y", 150, func(i int) string {
		return fmt.Sprintf("%d,%d,%s", i, i%3, []string{"a", "b", "c"}[i/50])
	}))
	_, a, _ = run(t, direct("gbdt", three, "y", set))
	score := map[string]float64{}
	for _, class := range []string{"a", "b", "c"} {
		x, err := fit.Explain(t.Context(), a, fit.ExplainOptions{Data: three, Class: class, PerRow: true, Permutation: true, Threads: 1})
		if err != nil || x.Class != class || x.Features[0].Feature != "x" || x.Permutation[0].Feature != "x" || x.Permutation[0].Gain < 0.1 {
			t.Fatalf("class %s of three = %+v, %v", class, x, err)
		}
		score[class] = x.PerRow[10].Score // a row of class a
	}
	if score["a"] <= score["b"] || score["a"] <= score["c"] {
		t.Errorf("scores of a row of class a: %v", score)
	}
	if x, err := fit.Explain(t.Context(), a, fit.ExplainOptions{Data: three}); err != nil || x.Class != "c" {
		t.Errorf("without a class = %+v, %v, want the last", x, err)
	}
}

// TestExplainForecast explains rows in the order of their times.
func TestExplainForecast(t *testing.T) {
	began := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	const n = 300
	data := write(t, "w.csv", table("ts,level", n, func(i int) string {
		i = n - 1 - i // the newest first
		return fmt.Sprintf("%s,%.6f", began.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), 10*math.Sin(float64(i)/5))
	}))
	_, a, _ := run(t, fit.Options{Data: data, Target: "level", Time: "ts", Horizon: time.Hour, Learners: []string{"gbdt"}, Trials: 1, Threads: 2, Seed: 1})
	x, err := fit.Explain(t.Context(), a, fit.ExplainOptions{Data: data, Time: "ts", Rows: 30, PerRow: true, Threads: 1})
	if err != nil || x.Kind != artifact.KindForecast || x.Rows != 30 || len(x.Features) != a.Pipeline.Width() {
		t.Fatalf("Explain = %+v, %v", x, err)
	}
	if x.PerRow[0].Row != n-1 || x.PerRow[1].Row != n-11 {
		t.Errorf("rows %d and %d of the file come first, want the oldest", x.PerRow[0].Row, x.PerRow[1].Row)
	}
}

// TestExplainRefuses is what cannot be explained.
func TestExplainRefuses(t *testing.T) {
	data := write(t, "line.csv", line(60))
	_, a, _ := run(t, direct("linear", data, "y", exact))
	for _, tt := range []struct {
		o    fit.ExplainOptions
		want string
	}{
		{fit.ExplainOptions{Data: data + "x"}, "no such file"},
		{fit.ExplainOptions{Data: write(t, "d.csv", "a,b\n1,2\n")}, `no column "c"`},
		{fit.ExplainOptions{Data: write(t, "d.csv", "a,b,c\n1,2,3\n"), Permutation: true}, `target: there is no column "y"`},
		{fit.ExplainOptions{Data: data, Dependence: "z"}, `no feature "z"`},
		{fit.ExplainOptions{Data: data, Time: "z"}, `time: there is no column "z"`},
		{fit.ExplainOptions{Data: write(t, "d.csv", "a,b,c,y\n1,2,3,\n1,2,3,\n"), Permutation: true}, "no row"},
	} {
		if x, err := fit.Explain(t.Context(), a, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Explain(%+v) = %+v, %v, want %q", tt.o, x, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fit.Explain(ctx, a, fit.ExplainOptions{Data: data}); !errors.Is(err, context.Canceled) {
		t.Errorf("Explain after cancel = %v", err)
	}
}

// TestEvaluateRefuses is what an artifact cannot be scored on.
func TestEvaluateRefuses(t *testing.T) {
	data := write(t, "line.csv", line(60))
	_, a, _ := run(t, direct("linear", data, "y", exact))
	for _, tt := range []struct {
		o    fit.EvaluateOptions
		want string
	}{
		{fit.EvaluateOptions{Data: data + "x"}, "no such file"},
		{fit.EvaluateOptions{Data: data, Target: "z"}, `no column "z"`},
		{fit.EvaluateOptions{Data: data, Time: "z"}, `time: there is no column "z"`},
		{fit.EvaluateOptions{Data: write(t, "d.csv", "a,b,y\n1,2,3\n")}, `no column "c"`},
		{fit.EvaluateOptions{Data: write(t, "d.csv", "a,b,c,y\n1,2,3,\n")}, "no labelled row to score"},
	} {
		if e, err := fit.Evaluate(t.Context(), a, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Evaluate(%+v) = %+v, %v, want %q", tt.o, e, err, tt.want)
		}
	}
	other := write(t, "d.csv", "a,b,c,measured\n1,0,0,4\n")
	e, err := fit.Evaluate(t.Context(), a, fit.EvaluateOptions{Data: other, Target: "measured"})
	if err != nil || e.Rows != 1 {
		t.Fatalf("Evaluate by another column = %+v, %v", e, err)
	}
	near(t, "MAE", e.Metrics.MAE, 1) // 2·1 + 1 is 3
}
