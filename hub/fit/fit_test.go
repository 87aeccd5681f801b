package fit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/hub/fit"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
)

// write puts text into a file of a new folder and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// table writes n rows of CSV below a header.
func table(header string, n int, row func(i int) string) string {
	var b strings.Builder
	b.WriteString(header + "\n")
	for i := range n {
		b.WriteString(row(i) + "\n")
	}
	return b.String()
}

// direct are options that train one learner once.
func direct(learner, data, target string, set fit.Settings) fit.Options {
	return fit.Options{
		Data:     data,
		Target:   target,
		Learners: []string{learner},
		Direct:   true,
		Set:      set,
		Split:    fit.SplitNone,
		Threads:  2,
		Seed:     1,
	}
}

// exact makes a linear model follow its training rows to about nine digits.
var exact = fit.Settings{"l2": "1e-9"}

// run fits and decodes the artifact.
func run(t *testing.T, o fit.Options) (*fit.Report, *artifact.Artifact, []byte) {
	t.Helper()
	r, b, err := fit.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.DecodeBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if r.Digest != artifact.Digest(b) || a.Digest != r.Digest || r.ArtifactBytes != len(b) {
		t.Fatalf("the report says digest %s and %d bytes, the artifact has %s and %d", r.Digest, r.ArtifactBytes, a.Digest, len(b))
	}
	return r, a, b
}

// near compares a figure of a report with one by hand. A linear model fitted with the penalty of
// exact is off by less than 1e-6.
func near(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil {
		t.Errorf("%s is left out, want %v", what, want)
	} else if math.Abs(*got-want) > 1e-6*max(1, math.Abs(want)) {
		t.Errorf("%s = %v, want %v", what, *got, want)
	}
}

// point is what an artifact's model makes of its columns.
func point(t *testing.T, a *artifact.Artifact, x ...float64) float64 {
	t.Helper()
	var out [1]float64
	if err := a.Models[artifact.Point].PredictInto(out[:], x); err != nil {
		t.Fatal(err)
	}
	return out[0]
}

// line is y = 2a − 3b + 1 without noise; c is of no use.
func line(n int) string {
	rng := rand.New(rand.NewPCG(1, 2))
	return table("a,b,c,y", n, func(int) string {
		a, b := float64(rng.IntN(100)), float64(rng.IntN(50))
		return fmt.Sprintf("%v,%v,%v,%v", a, b, rng.IntN(9), 2*a-3*b+1)
	})
}

// TestRegressionFigures scores a model that is known to be y = 2a − 3b + 1 on four rows whose
// truths are off by 1, −1, 3 and 0.
func TestRegressionFigures(t *testing.T) {
	o := direct("linear", write(t, "line.csv", line(200)), "y", exact)
	o.Split, o.Test = "", write(t, "test.csv", "y,c,b,a\n2,0,0,0\n2,0,0,1\n1,5,1,1.5\n,0,0,0\n5,1,0,2\n")
	r, a, _ := run(t, o)
	truth := []float64{2, 2, 1, 5}
	pred := []float64{1, 3, 1, 5}
	mean, sq, tot, abs := 2.5, 0.0, 0.0, 0.0
	for i, y := range truth {
		sq += (y - pred[i]) * (y - pred[i])
		tot += (y - mean) * (y - mean)
		abs += math.Abs(y - pred[i])
	}
	near(t, "MAE", r.Metrics.MAE, abs/4)
	near(t, "RMSE", r.Metrics.RMSE, math.Sqrt(sq/4))
	near(t, "R²", r.Metrics.R2, 1-sq/tot)
	if m := r.Metrics; m.AUC != nil || m.Accuracy != nil || m.LogLoss != nil || m.MacroF1 != nil || m.MAELast != nil {
		t.Errorf("a regression has figures of other kinds: %+v", m)
	}
	if r.Kind != artifact.KindRegression || r.Split != "file" || r.RowsTrain != 200 || r.RowsTest != 4 || r.Inputs != 3 || r.Task != "y" || r.Trials != 1 {
		t.Errorf("report = %+v, want 200 rows to learn from and the four labelled ones of the test file", r)
	}
	for name, v := range map[string]*float64{"mae": r.Metrics.MAE, "rmse": r.Metrics.RMSE, "r2": r.Metrics.R2} {
		if a.Manifest.Metrics[name] != *v {
			t.Errorf("the artifact says %s is %v, the report %v", name, a.Manifest.Metrics[name], *v)
		}
	}
	// the widest error of four is what the interval is made of: it covers all of them
	if a.Calibration.Level != 0.9 || len(a.Calibration.Scores) == 0 || math.Abs(slices.Max(a.Calibration.Scores)-1) > 1e-6 {
		t.Errorf("calibration = %+v, want level 0.9 and errors up to 1", a.Calibration)
	}
	e, err := fit.Evaluate(t.Context(), a, fit.EvaluateOptions{Data: o.Test})
	if err != nil {
		t.Fatal(err)
	}
	if e.Digest != r.Digest || e.RowsTrain != 200 || e.Rows != 4 || e.Learner != "linear" || e.Kind != r.Kind || e.Task != "y" {
		t.Errorf("Evaluate = %+v", e)
	}
	near(t, "evaluated MAE", e.Metrics.MAE, abs/4)
	// ±1 around 1, 3, 1 and 5 on truths that are off by 0.5, 0.5, 3 and 0
	off := write(t, "off.csv", "y,c,b,a\n1.5,0,0,0\n2.5,0,0,1\n4,5,1,1.5\n5,1,0,2\n")
	if e, err = fit.Evaluate(t.Context(), a, fit.EvaluateOptions{Data: off}); err != nil {
		t.Fatal(err)
	}
	near(t, "coverage", e.Metrics.Coverage, 3.0/4)
	near(t, "interval score", e.Metrics.IntervalScore, 2+2/0.1*(3-1)/4)
}

// TestClassFigures scores a stump that says "warm" from 50 on, on five rows of which one is
// labelled against it.
func TestClassFigures(t *testing.T) {
	train := table("x,y", 200, func(i int) string {
		return fmt.Sprintf("%d,%s", i%100, map[bool]string{false: "cold", true: "warm"}[i%100 >= 50])
	})
	o := direct("gbdt", write(t, "train.csv", train), "y", fit.Settings{"rounds": "30", "leaves": "2", "tune": "off"})
	o.Split, o.Test = "", write(t, "test.csv", "x,y\n10,cold\n20,cold\n30,warm\n80,warm\n90,warm\n40,tepid\n")
	_, a, _ := run(t, o)
	if !slices.Equal(a.Manifest.Output.Classes, []string{"cold", "tepid", "warm"}) {
		t.Fatalf("classes %q, want those of both files in order", a.Manifest.Output.Classes)
	}
	// Without the row of a class that was never learned the figures are those of two classes.
	o.Test = write(t, "two.csv", "x,y\n10,cold\n20,cold\n30,warm\n80,warm\n90,warm\n")
	r, a, _ := run(t, o)
	if r.Kind != artifact.KindClassification || !slices.Equal(a.Manifest.Output.Classes, []string{"cold", "warm"}) || r.RowsTest != 5 {
		t.Fatalf("report = %+v with classes %q", r, a.Manifest.Output.Classes)
	}
	near(t, "accuracy", r.Metrics.Accuracy, 4.0/5)
	// cold: precision 2/3, recall 1; warm: precision 1, recall 2/3
	near(t, "macro F1", r.Metrics.MacroF1, 0.8)
	// Pairs of a warm and a cold row: 2 · 2 in the right order, 2 tied at the stump's low score.
	near(t, "AUC", r.Metrics.AUC, (4+0.5*2)/6)
	// A stump has two scores, each the share p of warm it has been boosted to: by symmetry 1 − p.
	p := point(t, a, 90)
	if p < 0.9 || p >= 1 {
		t.Fatalf("the stump gives a warm row %v", p)
	}
	near(t, "log loss", r.Metrics.LogLoss, -(4*math.Log(p)+math.Log(1-p))/5)
	if m := r.Metrics; m.MAE != nil || m.RMSE != nil || m.R2 != nil || m.Coverage != nil {
		t.Errorf("a classification has figures of other kinds: %+v", m)
	}
	if len(a.Calibration.Scores) != 0 {
		t.Errorf("a classification has an interval: %+v", a.Calibration)
	}
}

// TestForecastFigures forecasts a ramp that rises by one an hour: the last value is off by exactly
// the horizon.
func TestForecastFigures(t *testing.T) {
	began := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	const n, ahead = 400, 3
	data := write(t, "ramp.csv", table("ts,level,other", n, func(i int) string {
		return fmt.Sprintf("%s,%d,%d", began.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), i, i%5)
	}))
	o := fit.Options{
		Data:     data,
		Target:   "level",
		Time:     "ts",
		Horizon:  ahead * time.Hour,
		Task:     "rise",
		Learners: []string{"linear"},
		Trials:   1,
		Threads:  2,
		Seed:     1,
	}
	r, a, b := run(t, o)
	if r.Kind != artifact.KindForecast || r.Task != "rise" || r.Split != fit.SplitTime || r.Inputs != 2 {
		t.Errorf("report = %+v", r)
	}
	// The newest fifth begins at row 320: its last three rows have no label yet. Rows whose label
	// lies in the test are not learned from.
	if r.RowsTest != n/5-ahead || r.RowsTrain != n*4/5-ahead+1 {
		t.Errorf("%d rows to learn from and %d to test, want %d and %d", r.RowsTrain, r.RowsTest, n*4/5-ahead+1, n/5-ahead)
	}
	near(t, "MAE of the last value", r.Metrics.MAELast, ahead)
	if r.Metrics.MAE == nil || *r.Metrics.MAE > 0.1 {
		t.Errorf("MAE of a ramp = %v, want next to none", r.Metrics.MAE)
	}
	if a.Manifest.HorizonUS != (ahead * time.Hour).Microseconds() {
		t.Errorf("horizon %d µs", a.Manifest.HorizonUS)
	}
	if _, _, again := run(t, o); !bytes.Equal(again, b) {
		t.Error("the same file and seed give another artifact")
	}

	e, err := fit.Evaluate(t.Context(), a, fit.EvaluateOptions{Data: data, Time: "ts"})
	if err != nil {
		t.Fatal(err)
	}
	if e.Rows != n-ahead || e.Seen == nil || *e.Seen < n/2 || *e.Seen > r.RowsTrain {
		t.Errorf("Evaluate over the whole file: %d rows, %d seen in training of %d", e.Rows, *e.Seen, r.RowsTrain)
	}
	near(t, "evaluated MAE of the last value", e.Metrics.MAELast, ahead)
	later := write(t, "later.csv", table("ts,level,other", 50, func(i int) string {
		return fmt.Sprintf("%s,%d,%d", began.Add(time.Duration(n+i)*time.Hour).Format(time.RFC3339), n+i, i%5)
	}))
	if e, err = fit.Evaluate(t.Context(), a, fit.EvaluateOptions{Data: later, Time: "ts"}); err != nil || *e.Seen != 0 || e.Rows != 50-ahead {
		t.Errorf("Evaluate on newer rows = %+v, %v, want none seen", e, err)
	}

	// a file of its own for the test: nothing of the first is kept from learning
	o.Test = later
	if r, _, _ = run(t, o); r.Split != "file" || r.RowsTrain != n-ahead || r.RowsTest != 50-ahead {
		t.Errorf("with a test file %d rows to learn from and %d to test, split by %s", r.RowsTrain, r.RowsTest, r.Split)
	}
	o.Test, o.Split = "", fit.SplitNone
	if r, _, _ = run(t, o); r.RowsTrain != n-ahead || r.RowsTest != 0 || r.Metrics.MAE != nil || r.Holdout == nil {
		t.Errorf("without a test = %+v", r)
	}
}

// TestTimeOrder gives the same rows in two orders: a split by time and a forecast go by the time
// column, not by the file.
func TestTimeOrder(t *testing.T) {
	rows := make([]string, 300)
	for i := range rows {
		rows[i] = fmt.Sprintf("%d,%d,%v", 1_700_000_000+600*i, i%7, float64(i%7)+math.Sin(float64(i)/9))
	}
	t.Chdir(t.TempDir())
	save := func() {
		t.Helper()
		if err := os.WriteFile("d.csv", []byte("when,x,y\n"+strings.Join(rows, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []fit.Options{
		{Data: "d.csv", Target: "y", Time: "when", Learners: []string{"gbdt"}, Direct: true, Set: fit.Settings{"rounds": "5", "tune": "off"}, Threads: 1},
		{Data: "d.csv", Target: "y", Time: "when", Learners: []string{"gbdt"}, Trials: 1, Threads: 1},
		{Data: "d.csv", Target: "y", Time: "when", Horizon: 20 * time.Minute, Learners: []string{"gbdt"}, Trials: 1, Threads: 1},
	} {
		slices.Sort(rows)
		save()
		r, a, _ := run(t, o)
		if r.Split != fit.SplitTime || r.Features == 0 || slices.ContainsFunc(a.Manifest.Inputs, func(in feature.Input) bool { return in.Name == "when" }) {
			t.Errorf("report = %+v, want a split by time and no input that is the time", r)
		}
		rand.New(rand.NewPCG(3, 4)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		save()
		s, b, _ := run(t, o)
		if s.RowsTrain != r.RowsTrain || s.RowsTest != r.RowsTest || math.Abs(*s.Metrics.MAE-*r.Metrics.MAE) > 1e-9 {
			t.Errorf("in another order of the file: %d and %d rows, MAE %v; in order %d and %d, %v", s.RowsTrain, s.RowsTest, *s.Metrics.MAE, r.RowsTrain, r.RowsTest, *r.Metrics.MAE)
		}
		if o.Horizon > 0 && b.Digest != a.Digest {
			t.Error("a forecast depends on the order of the file")
		}
	}
}

// TestWeights fits the mean of two truths, one three times as heavy as the other.
func TestWeights(t *testing.T) {
	data := write(t, "w.csv", table("x,y,heavy", 90, func(i int) string {
		return []string{"0,0,3", "0,4,1", "1,10,2"}[i%3]
	}))
	o := direct("linear", data, "y", exact)
	o.Kind = artifact.KindRegression
	o.Weight, o.Split, o.Test = "heavy", "", write(t, "t.csv", "x,y,heavy\n0,1,1\n1,10,1\n")
	r, _, _ := run(t, o)
	near(t, "weighted MAE", r.Metrics.MAE, 0)
	if r.Inputs != 1 {
		t.Errorf("%d inputs, want x alone", r.Inputs)
	}
	o.Weight, o.Drop, o.Test = "", []string{"heavy"}, write(t, "t.csv", "x,y,heavy\n0,2,1\n1,10,1\n")
	r, _, _ = run(t, o)
	near(t, "plain MAE", r.Metrics.MAE, 0)
}

// TestMissingTargets holds that a row without a truth is as if it were not there.
func TestMissingTargets(t *testing.T) {
	rows := strings.Split(strings.TrimSpace(line(120)), "\n")
	var gaps []string
	for i, row := range rows {
		if gaps = append(gaps, row); i > 0 && i%10 == 0 {
			gaps = append(gaps, "5,5,5,") // no truth
		}
	}
	t.Chdir(t.TempDir())
	for _, learner := range fit.Trainers() {
		set := map[string]fit.Settings{
			"gbdt": {"rounds": "5", "tune": "off"}, "forest": {"trees": "5"}, "extra-trees": {"trees": "5"}, "neural": {"epochs": "2", "hidden": "4"}, "linear": exact,
		}[learner]
		var digests []string
		for _, text := range []string{strings.Join(rows, "\n"), strings.Join(gaps, "\n")} {
			if err := os.WriteFile("d.csv", []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			r, _, _ := run(t, direct(learner, "d.csv", "y", set))
			if r.RowsTrain != 120 || r.RowsTest != 0 {
				t.Errorf("%s: %d rows to learn from and %d to test, want 120 and none", learner, r.RowsTrain, r.RowsTest)
			}
			digests = append(digests, r.Digest)
		}
		if learner != "neural" && digests[0] != digests[1] {
			t.Errorf("%s learns something from rows without a truth", learner)
		}
	}
}

// TestSameBytes holds the promise of one seed: the same artifact whatever the threads, and another
// seed another one where there is chance.
func TestSameBytes(t *testing.T) {
	data := write(t, "line.csv", line(300))
	for _, learner := range fit.Trainers() {
		o := direct(learner, data, "y", map[string]fit.Settings{
			"gbdt": {"rounds": "8", "tune": "off", "row_fraction": "0.5"}, "forest": {"trees": "6"}, "extra-trees": {"trees": "6"}, "neural": {"epochs": "3", "hidden": "4"}, "linear": nil,
		}[learner])
		o.Split = fit.SplitHash
		first, _, b := run(t, o)
		o.Threads = 1
		if again, _, c := run(t, o); !bytes.Equal(b, c) || *again.Metrics.MAE != *first.Metrics.MAE {
			t.Errorf("%s: two threads and one give different artifacts", learner)
		}
		o.Seed = 2
		if _, _, c := run(t, o); bytes.Equal(b, c) {
			t.Errorf("%s: another seed is not in the artifact", learner)
		} else if a, _ := artifact.DecodeBytes(c); learner != "linear" {
			a.Manifest.Seed = 1
			if d, err := artifact.Encode(a); err != nil || bytes.Equal(d, b) {
				t.Errorf("%s: another seed gives the same model, %v", learner, err)
			}
		}
	}
}

// TestParquet learns the same from a table in either format.
func TestParquet(t *testing.T) {
	type row struct {
		A    float64  `parquet:"a"`
		Town string   `parquet:"town"`
		Y    *float64 `parquet:"y,optional"`
	}
	var rows []row
	text := table("a,town,y", 150, func(i int) string {
		r := row{A: float64(i*37%101) / 4, Town: []string{"oslo", "rome", "bern"}[i%3]}
		y := 2*r.A + float64(i%3)*10
		if i%20 != 7 {
			r.Y = &y
			rows = append(rows, r)
			return fmt.Sprintf("%v,%s,%v", r.A, r.Town, y)
		}
		rows = append(rows, r)
		return fmt.Sprintf("%v,%s,", r.A, r.Town)
	})
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // the format is found by the content
	var digests []string
	for _, content := range []string{text, b.String()} {
		if err := os.WriteFile("table", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		o := direct("gbdt", "table", "y", fit.Settings{"rounds": "10", "tune": "off"})
		o.Split = fit.SplitHash
		r, a, _ := run(t, o)
		if r.RowsTrain+r.RowsTest != 142 {
			t.Errorf("%d and %d rows, want 142 with a truth", r.RowsTrain, r.RowsTest)
		}
		digests = append(digests, r.Digest)
		e, err := fit.Evaluate(t.Context(), a, fit.EvaluateOptions{Data: "table"})
		if err != nil || e.Rows != 142 {
			t.Errorf("Evaluate = %+v, %v", e, err)
		}
		if x, err := fit.Explain(t.Context(), a, fit.ExplainOptions{Data: "table", Threads: 1}); err != nil || x.Rows != 150 || x.Method != fit.MethodTrees {
			t.Errorf("Explain = %+v, %v", x, err)
		}
	}
	if digests[0] != digests[1] {
		t.Error("the same rows in CSV and in Parquet give different artifacts")
	}
}

// TestSplitByColumn keeps a group of rows for the test.
func TestSplitByColumn(t *testing.T) {
	data := write(t, "g.csv", table("x,pump,y", 400, func(i int) string {
		return fmt.Sprintf("%d,%s,%d.5", i%10, []string{"north", "south", "east", "west"}[i%4], 3*(i%10))
	}))
	for _, o := range []fit.Options{
		direct("linear", data, "y", exact),
		{Data: data, Target: "y", Learners: []string{"linear"}, Trials: 1, Seed: 1, Threads: 1},
	} {
		o.Split = "pump=east"
		r, a, _ := run(t, o)
		if r.RowsTrain != 300 || r.RowsTest != 100 || r.Split != "pump=east" || r.Inputs != 1 || a.Manifest.Inputs[0].Name != "x" {
			t.Errorf("report = %+v, want 100 rows of one pump to test, and the pump no input", r)
		}
		if len(r.Importance) != 1 || r.Importance[0].Feature != "x" || r.Importance[0].Gain <= 0 {
			t.Errorf("importance = %+v, want that of x", r.Importance)
		}
		for split, want := range map[string]string{
			"pump=nowhere": "0 of 400 rows have this value",
			"well=east":    `no column "well"`,
			"often":        "must be time, hash",
		} {
			o.Split = split
			if _, _, err := fit.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("split %s: %v, want %q", split, err, want)
			}
		}
	}
}

// TestNumbersThatNoRunHas: what would be ignored or crash is refused by name, and a limit that no
// model keeps is no success.
func TestNumbersThatNoRunHas(t *testing.T) {
	data := write(t, "line.csv", line(300))
	search := func(set func(*fit.Options)) fit.Options {
		o := fit.Options{Data: data, Target: "y", Learners: []string{"linear"}, Trials: 1, Seed: 1, Threads: 1}
		set(&o)
		return o
	}
	once := direct("linear", data, "y", exact)
	once.MaxLatency = time.Millisecond
	for want, o := range map[string]fit.Options{
		"trials -1: must be 1 or more":     search(func(o *fit.Options) { o.Trials = -1 }),
		"budget -5s: must be above 0":      search(func(o *fit.Options) { o.Budget = -5 * time.Second }),
		"threads -3: must be 1 to 1024":    search(func(o *fit.Options) { o.Threads = -3 }),
		"threads 100000: must be 1 to":     search(func(o *fit.Options) { o.Threads = 100_000 }),
		"max-bytes -1: must be above 0":    search(func(o *fit.Options) { o.MaxBytes = -1 }),
		"max-latency -1s: must be above 0": search(func(o *fit.Options) { o.MaxLatency = -time.Second }),
		"horizon -1h0m0s: must be above 0": search(func(o *fit.Options) { o.Horizon = -time.Hour }),
		"are for a forecast":               search(func(o *fit.Options) { o.Calendar.Holidays = []string{"2026-12-25"} }),
		"of 10 allowed (max-bytes)":        search(func(o *fit.Options) { o.MaxBytes = 10 }),
		"within 1ns (max-latency)":         search(func(o *fit.Options) { o.MaxLatency = time.Nanosecond }),
		"max-latency is for a search":      once,
	} {
		if _, b, err := fit.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) || b != nil {
			t.Errorf("Run = %d bytes, %v, want the error %q", len(b), err, want)
		}
	}
	_, a, _ := run(t, direct("linear", data, "y", exact))
	for want, o := range map[string]fit.ExplainOptions{
		"rows -1: must be":     {Data: data, Rows: -1},
		"points -2: must be":   {Data: data, Points: -2},
		"threads -3: must be ": {Data: data, Threads: -3},
	} {
		if _, err := fit.Explain(t.Context(), a, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Explain = %v, want %q", err, want)
		}
	}
}

// TestKFold tests every row once, by a model that has not seen it.
func TestKFold(t *testing.T) {
	o := direct("linear", write(t, "line.csv", line(100)), "y", exact)
	o.Split = fit.SplitKFold
	r, a, _ := run(t, o)
	near(t, "MAE", r.Metrics.MAE, 0)
	if r.RowsTrain != 100 || r.RowsTest != 100 || a.Manifest.Rows != 100 {
		t.Errorf("%d rows to learn from and %d to test, want all both ways", r.RowsTrain, r.RowsTest)
	}
	// the model that is kept is the one of all rows
	o.Split = fit.SplitNone
	if _, b, _ := run(t, o); point(t, b, 7, 8, 9) != point(t, a, 7, 8, 9) {
		t.Error("kfold keeps another model than that of all rows")
	}
	// a tree learns every row by heart and shows nothing of a truth that is chance
	rng := rand.New(rand.NewPCG(5, 6))
	chance := write(t, "chance.csv", table("x,y", 200, func(i int) string { return fmt.Sprintf("%d,%v", i, rng.NormFloat64()) }))
	o = direct("forest", chance, "y", fit.Settings{"trees": "20"})
	o.Split = fit.SplitKFold
	if r, _, _ = run(t, o); *r.Metrics.R2 > 0.1 {
		t.Errorf("R² of chance = %v: rows are tested by models that saw them", *r.Metrics.R2)
	}
	o.Data = write(t, "few.csv", "x,y\n1,1.5\n2,2.5\n")
	if _, _, err := fit.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "too few for 5 folds") {
		t.Errorf("two rows in five folds: %v", err)
	}
}

// TestConstantTarget has nothing to explain: the coefficient of determination is left out rather
// than infinite.
func TestConstantTarget(t *testing.T) {
	o := direct("gbdt", write(t, "c.csv", table("x,y", 60, func(i int) string { return fmt.Sprintf("%d,7.25", i) })), "y", fit.Settings{"rounds": "3", "tune": "off"})
	o.Split, o.Test = "", write(t, "t.csv", table("x,y", 8, func(i int) string { return fmt.Sprintf("%d,7.25", i) }))
	r, _, _ := run(t, o)
	near(t, "MAE", r.Metrics.MAE, 0)
	if r.Metrics.R2 != nil {
		t.Errorf("R² of a constant = %v, want none", *r.Metrics.R2)
	}
}

// TestRefuses is what cannot be learned, each with an error that says why.
func TestRefuses(t *testing.T) {
	rows := func(header string, row func(i int) string) string { return table(header, 300, row) }
	good := rows("ts,x,s,y", func(i int) string { return fmt.Sprintf("%d,%d,w%d,%d.5", 1_700_000_000+60*i, i%9, i%4, i%9) })
	hour := time.Hour
	for _, tt := range []struct {
		name, text string
		set        func(o *fit.Options)
		want       string
	}{
		{"no such target", good, func(o *fit.Options) { o.Target = "z" }, `target: there is no column "z": there are ts, x, s, y`},
		{"no such time", good, func(o *fit.Options) { o.Time = "z" }, `time: there is no column "z"`},
		{"no such weight", good, func(o *fit.Options) { o.Weight = "z" }, `weight: there is no column "z"`},
		{"no such column to drop", good, func(o *fit.Options) { o.Drop = []string{"z"} }, `drop: there is no column "z"`},
		{"weights are text", good, func(o *fit.Options) { o.Weight = "s" }, `column "s" must hold a number in each row`},
		{"a weight is nothing", "x,w,y\n1,1,1.5\n2,0,2.5\n", func(o *fit.Options) { o.Weight = "w" }, `"w" is 0 in row 2, must be positive`},
		{"a weight is missing", "x,w,y\n1,1,1.5\n2,,2.5\n", func(o *fit.Options) { o.Weight = "w" }, `"w" is NaN in row 2, must be positive`},
		{"nothing is left", good, func(o *fit.Options) { o.Drop = []string{"ts", "x", "s"} }, "no column is left to predict"},
		{"one class", rows("x,y", func(i int) string { return fmt.Sprintf("%d,yes", i) }), nil, `target "y" has one class only`},
		{"one class by kind", rows("x,y", func(i int) string { return fmt.Sprintf("%d,3", i) }), func(o *fit.Options) { o.Kind = "classification" }, "one class only"},
		{"fractions as classes", good, func(o *fit.Options) { o.Kind = "classification" }, "holds fractions: classes are text or whole numbers"},
		{"text as numbers", good, func(o *fit.Options) { o.Target, o.Kind = "s", "regression" }, `column "s" must hold a number in each row`},
		{"an unknown kind", good, func(o *fit.Options) { o.Kind = "guess" }, `kind "guess": must be regression or classification`},
		{"no truth", rows("x,y", func(i int) string { return fmt.Sprintf("%d,", i) }), nil, "has no value in any row"},
		{"truths are times", rows("x,y", func(i int) string { return fmt.Sprintf("%d,2024-01-%02d", i, 1+i%28) }), nil, "holds times"},
		{"an unknown learner", good, func(o *fit.Options) { o.Learners = []string{"magic"} }, `learner "magic" cannot be trained by itself`},
		{"two learners", good, func(o *fit.Options) { o.Learners = []string{"gbdt", "linear"} }, "settings are for one learner"},
		{"a forecast without a time", good, func(o *fit.Options) { o.Direct, o.Set, o.Horizon = false, nil, hour }, "needs the column of the event time"},
		{"a forecast with settings", good, func(o *fit.Options) { o.Time, o.Horizon = "ts", hour }, "a forecast is searched for"},
		{"a forecast of text", good, func(o *fit.Options) { o.Direct, o.Set, o.Target, o.Time, o.Horizon = false, nil, "s", "ts", hour }, `column "s" must hold a number in each row`},
		{"a forecast without its target", good, func(o *fit.Options) {
			o.Direct, o.Set, o.Time, o.Horizon, o.Drop, o.Split = false, nil, "ts", hour, []string{"y"}, ""
		}, `the target "y" of a forecast cannot be dropped`},
		{"a forecast by a group", good, func(o *fit.Options) {
			o.Direct, o.Set, o.Time, o.Horizon, o.Split = false, nil, "ts", hour, "s=w1"
		}, "a forecast is tested on the future"},
		{"a forecast by position", good, func(o *fit.Options) {
			o.Direct, o.Set, o.Time, o.Horizon, o.Split = false, nil, "ts", hour, fit.SplitHash
		}, "a forecast is tested on the future"},
		{"a search with weights", good, func(o *fit.Options) { o.Direct, o.Set, o.Weight = false, nil, "x" }, "are for a named learner that is trained once"},
		{"a search with settings", good, func(o *fit.Options) { o.Direct = false }, "are for a named learner that is trained once"},
		{"a time is missing", "ts,x,y\n2024-01-01,1,1.5\n,2,2.5\n", func(o *fit.Options) { o.Time, o.Split = "ts", "" }, `column "ts" has no time in 1 of 2 rows, the first is row 2`},
		{"a feature named like a column", good, func(o *fit.Options) {
			o.Direct, o.Set, o.Split, o.Features = false, nil, "", []spec.Feature{{Name: "x", Expr: "x + 1"}}
		}, `feature "x": needs a name that no column and no other feature has`},
		{"two features of one name", good, func(o *fit.Options) {
			o.Direct, o.Set, o.Split, o.Features = false, nil, "", []spec.Feature{{Name: "z", Expr: "x + 1"}, {Name: "z", Expr: "x + 2"}}
		}, `feature "z": needs a name that no column and no other feature has`},
		{"features without a search", good, func(o *fit.Options) { o.Features = []spec.Feature{{Name: "z", Expr: "x + 1"}} }, "user-defined features are for a search"},
		{"an unknown setting", good, func(o *fit.Options) { o.Set = fit.Settings{"trees": "3"} }, `gbdt has no setting "trees"`},
		{"an objective of classes", good, func(o *fit.Options) { o.Target, o.Set = "s", fit.Settings{"objective": "huber"} }, "a classification has log loss"},
		{"a constraint on nothing", good, func(o *fit.Options) { o.Set = fit.Settings{"monotone": "z:1", "tune": "off"} }, `"z:1" must be input:1 or input:-1`},
		{"widths that are none", good, func(o *fit.Options) { o.Learners, o.Set = []string{"neural"}, fit.Settings{"hidden": "8x0"} }, "must be widths of 1 to"},
		{"an activation that is none", good, func(o *fit.Options) { o.Learners, o.Set = []string{"neural"}, fit.Settings{"activation": "step"} }, "must be gelu or relu"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := direct("gbdt", write(t, "d.csv", tt.text), "y", fit.Settings{"rounds": "2", "tune": "off"})
			if tt.set != nil {
				tt.set(&o)
			}
			if _, b, err := fit.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) || b != nil {
				t.Errorf("Run = %d bytes, %v, want %q", len(b), err, tt.want)
			}
		})
	}
}

// TestRefusedSettings: every learner refuses what it has no setting for, what is malformed and what
// is out of its range, by the learner's and the setting's name.
func TestRefusedSettings(t *testing.T) {
	numbers, classes := write(t, "n.csv", line(80)), write(t, "c.csv", table("a,y", 80, func(i int) string {
		return fmt.Sprintf("%d,%s", i, []string{"low", "high"}[i/40])
	}))
	for _, learner := range fit.Trainers() {
		o := direct(learner, numbers, "y", fit.Settings{"magic": "1"})
		if _, b, err := fit.Run(t.Context(), o); err == nil || b != nil || !strings.HasPrefix(err.Error(), learner+": ") || !strings.Contains(err.Error(), learner+` has no setting "magic"`) {
			t.Errorf("%s with a setting of magic = %v", learner, err)
		}
	}
	for _, tt := range []struct {
		learner, name, value string
		classes              bool
		want                 string
	}{
		{"gbdt", "rounds", "ten", false, `setting rounds="ten": must be a whole number`},
		{"gbdt", "rounds", "0.5", false, `setting rounds="0.5": must be a whole number`},
		{"gbdt", "rounds", "-1", false, "rounds"},
		{"gbdt", "learning_rate", "fast", false, `setting learning_rate="fast": must be a number`},
		{"gbdt", "learning_rate", "-0.1", false, "learning rate"},
		{"gbdt", "objective", "guess", false, "guess"},
		{"gbdt", "boosting", "rocket", false, "rocket"},
		{"gbdt", "row_fraction", "1.5", false, "1.5"},
		{"gbdt", "tune", "maybe", false, `setting tune="maybe": must be auto, on or off`},
		{"gbdt", "monotone", "a", false, `"a" must be input:1 or input:-1`},
		{"gbdt", "monotone", "a:2", false, `"a:2" must be input:1 or input:-1`},
		{"gbdt", "objective", "squared", true, `setting objective="squared": a classification has log loss`},
		{"forest", "trees", "many", false, `setting trees="many": must be a whole number`},
		{"forest", "trees", "-3", false, "trees"},
		{"forest", "features", "2", false, "features"},
		{"forest", "balanced", "yes", true, `setting balanced="yes": must be true or false`},
		{"extra-trees", "bins", "300", false, "300"},
		{"extra-trees", "max_depth", "deep", false, `setting max_depth="deep": must be a whole number (default 64)`},
		{"linear", "l2", "strong", false, `setting l2="strong": must be a number`},
		{"linear", "l2", "-1", false, "l2"},
		{"neural", "hidden", "8x", false, `setting hidden="8x": must be widths of 1 to`},
		{"neural", "hidden", "100000", false, `setting hidden="100000": must be widths of 1 to`},
		{"neural", "activation", "tanh", false, `setting activation="tanh": must be gelu or relu`},
		{"neural", "norm", "l2", false, `setting norm="l2": must be batch or layer or none`},
		{"neural", "dropout", "1", false, "out of range"},
		{"neural", "quantise", "int4", false, `setting quantise="int4": must be float16 or int8`},
		{"neural", "objective", "absolute", true, `setting objective="absolute": a classification has log loss`},
	} {
		o := direct(tt.learner, numbers, "y", fit.Settings{tt.name: tt.value})
		if tt.classes {
			o.Data = classes
		}
		if tt.learner == "neural" && tt.name == "quantise" {
			o.Set["epochs"], o.Set["hidden"] = "1", "2" // it is looked at last
		}
		if _, b, err := fit.Run(t.Context(), o); err == nil || b != nil || !strings.HasPrefix(err.Error(), tt.learner+": ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with %s=%s = %d bytes, %v, want %q", tt.learner, tt.name, tt.value, len(b), err, tt.want)
		}
	}
}

// TestTuning holds that tuning chooses what it says, is left out for settings that are given, and
// refuses to choose them anyway.
func TestTuning(t *testing.T) {
	data := write(t, "line.csv", line(200))
	for _, tt := range []struct {
		set   fit.Settings
		tuned bool
		err   string
	}{
		{fit.Settings{"rounds": "6"}, true, ""},
		{fit.Settings{"rounds": "6", "tune": "on", "leaves": "4"}, true, ""},
		{fit.Settings{"rounds": "6", "tune": "off"}, false, ""},
		{fit.Settings{"rounds": "6", "learning_rate": "0.3"}, false, ""},
		{fit.Settings{"rounds": "6", "bins": "32"}, false, ""},
		{fit.Settings{"rounds": "6", "early_stop": "3"}, false, ""},
		{fit.Settings{"rounds": "6", "boosting": "goss"}, false, ""},
		{fit.Settings{"rounds": "0", "leaves": "2"}, true, ""}, // the default
		{fit.Settings{"rounds": "-1"}, false, "rounds is -1, must be in 1 to"},
		{fit.Settings{"rounds": "4000000000000"}, false, "rounds is 4e+12, must be in 1 to"},
		{fit.Settings{"tune": "on", "l2": "1"}, false, "setting tune=on"},
		{fit.Settings{"tune": "on", "boosting": "dart"}, false, "setting tune=on"},
	} {
		r, _, err := fit.Run(t.Context(), direct("gbdt", data, "y", tt.set))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v: Run = %v, want %q", tt.set, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: Run = %v", tt.set, err)
			continue
		}
		if _, ok := r.Params["feature_fraction"]; ok != tt.tuned || r.Params["rounds"] == "" {
			t.Errorf("%v: parameters %v, want tuned %v", tt.set, r.Params, tt.tuned)
		}
	}
}

// TestCancelInTheMiddle stops a search, a training and a tuning after they have begun: no artifact,
// and the reason.
func TestCancelInTheMiddle(t *testing.T) {
	data := write(t, "line.csv", line(300))
	for name, o := range map[string]fit.Options{
		"a search":   {Data: data, Target: "y", Learners: []string{"gbdt"}, Trials: 5, Threads: 1},
		"a training": direct("gbdt", data, "y", fit.Settings{"rounds": "500", "tune": "off"}),
		"a tuning":   direct("gbdt", data, "y", fit.Settings{"rounds": "50", "tune": "on"}),
		"a forest":   direct("forest", data, "y", fit.Settings{"trees": "500"}),
		"kfold":      direct("gbdt", data, "y", fit.Settings{"rounds": "100", "tune": "off"}),
	} {
		if name == "kfold" {
			o.Split = fit.SplitKFold
		}
		ctx, cancel := context.WithCancel(t.Context())
		begun := 0
		o.Progress = func(p selection.Progress) {
			if p.Done > 0 {
				begun++
				cancel()
			}
		}
		if r, b, err := fit.Run(ctx, o); !errors.Is(err, context.Canceled) || r != nil || b != nil || begun == 0 {
			t.Errorf("%s cancelled in the middle = %d bytes, %v, after %d reports", name, len(b), err, begun)
		}
		cancel()
	}
}

// TestMonotone holds that a constraint bends what the rows say.
func TestMonotone(t *testing.T) {
	data := write(t, "m.csv", table("x,y", 400, func(i int) string { return fmt.Sprintf("%d,%v", i%100, -float64(i%100)/3) }))
	for sign, rises := range map[string]bool{"1": true, "-1": false} {
		_, a, _ := run(t, direct("gbdt", data, "y", fit.Settings{"rounds": "20", "tune": "off", "monotone": "x:" + sign}))
		if low, high := point(t, a, 0), point(t, a, 99); rises && low != high || !rises && high > low-10 {
			t.Errorf("monotone %s: %v at 0, %v at 99", sign, low, high)
		}
	}
}

// TestDropped holds what becomes of columns that no model can use, to the category.
func TestDropped(t *testing.T) {
	for categories, want := range map[int][]string{
		255: {"day: a time", "none: no value"},
		256: {"day: a time", "none: no value", "town: the rarer 1 of 256 categories count as missing"},
	} {
		data := write(t, "d.csv", table("day,none,town,x,y", 1024, func(i int) string {
			return fmt.Sprintf("2024-01-%02d,,t%d,%d,%d.5", 1+i%28, i%categories, i%50, i%50)
		}))
		r, a, _ := run(t, direct("gbdt", data, "y", fit.Settings{"rounds": "2", "tune": "off"}))
		if !slices.Equal(r.Dropped, want) || r.Inputs != 2 || len(a.Manifest.Inputs[0].Categories) != 255 {
			t.Errorf("%d categories: dropped %q, inputs of %d categories, want %q", categories, r.Dropped, len(a.Manifest.Inputs[0].Categories), want)
		}
	}
}

// TestSelfTest holds that an artifact carries the newest sixteen training rows as its proof.
func TestSelfTest(t *testing.T) {
	for rows, want := range map[int]int{60: 16, 12: 12} {
		_, a, _ := run(t, direct("linear", write(t, "line.csv", line(rows)), "y", exact))
		if a.Vectors.Tail != want || len(a.Vectors.Want[artifact.Point]) != want {
			t.Errorf("%d rows: a self-test of %d rows, want %d", rows, a.Vectors.Tail, want)
		}
	}
}

// TestProgress is what the command shows: every round, with the loss so far.
func TestProgress(t *testing.T) {
	o := direct("gbdt", write(t, "line.csv", line(100)), "y", fit.Settings{"rounds": "4", "tune": "off"})
	o.Threads = 1
	var said []selection.Progress
	o.Progress = func(p selection.Progress) { said = append(said, p) }
	run(t, o)
	if len(said) != 4 || said[3].Done != 4 || said[3].Trials != 4 || said[0].Stage != "training" || said[0].Learner != "gbdt" {
		t.Errorf("progress = %+v, want four rounds of four", said)
	}
}

// TestCancel stops every learner that takes rounds; the equations of a linear one are one step.
func TestCancel(t *testing.T) {
	data := write(t, "line.csv", line(200))
	for _, learner := range fit.Trainers() {
		if learner == "linear" {
			continue
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, b, err := fit.Run(ctx, direct(learner, data, "y", nil)); !errors.Is(err, context.Canceled) || b != nil {
			t.Errorf("%s after cancel = %d bytes, %v", learner, len(b), err)
		}
	}
}

// TestMaxBytes refuses a model of a named learner that is larger than allowed.
func TestMaxBytes(t *testing.T) {
	o := direct("forest", write(t, "line.csv", line(400)), "y", fit.Settings{"trees": "50"})
	o.MaxBytes = 2000
	if _, b, err := fit.Run(t.Context(), o); err == nil || b != nil || !strings.Contains(err.Error(), "2000 allowed") {
		t.Errorf("Run within 2,000 bytes = %d bytes, %v, want an error that says so", len(b), err)
	}
	o.MaxBytes = 50_000_000
	if _, b, err := fit.Run(t.Context(), o); err != nil || len(b) <= 2000 {
		t.Errorf("Run within 50 MB = %d bytes, %v", len(b), err)
	}
}
