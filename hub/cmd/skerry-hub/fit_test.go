package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/hub/fit"
)

// flats is a table of rows that stand for themselves: price is a number, sold a class, noise and
// day are of no use.
func flats(n int) string {
	rng := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	b.WriteString("size,Town,noise,day,price,sold,part\n")
	for i := range n {
		size, town := 20+100*rng.Float64(), rng.IntN(3)
		price := 3*size + 50*float64(town) + 5*rng.NormFloat64()
		sold, part := "no", "train"
		if price+20*rng.NormFloat64() > 250 {
			sold = "yes"
		}
		if i%4 == 0 {
			part = "test"
		}
		fmt.Fprintf(&b, "%.3f,%s,%.3f,2024-01-%02d,%.3f,%s,%s\n", size, []string{"oslo", "rome", ""}[town], rng.Float64(), 1+i%28, price, sold, part)
	}
	return b.String()
}

// waves is an hourly series that an hour before tells well.
func waves(n int) string {
	var b strings.Builder
	b.WriteString("ts,temp,load\n")
	began := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		fmt.Fprintf(&b, "%s,%.4f,%.4f\n", began.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), 10+5*math.Sin(float64(i)/6)+math.Sin(float64(i)), float64(i%24))
	}
	return b.String()
}

func TestFit(t *testing.T) {
	data := writeTemp(t, "flats.csv", []byte(flats(1500)))
	model, report := filepath.Join(t.TempDir(), "m.skerry"), filepath.Join(t.TempDir(), "r.json")
	must(t, "fit", "--data", data, "--target", "price", "--drop", "sold,part", "--learner", "gbdt", "--trials", "2", "--seed", "3", "--out", model, "--json", report)
	read := func() (r fit.Report) {
		t.Helper()
		b, err := os.ReadFile(report)
		if err != nil {
			t.Fatal(err)
		}
		decode(t, string(b), &r)
		return r
	}
	r := read()
	if r.Kind != artifact.KindRegression || r.Learner != "gbdt" || r.RowsTrain+r.RowsTest != 1500 || r.RowsTest < 250 || r.RowsTest > 350 || r.Split != "hash" || r.Inputs != 3 || len(r.Dropped) != 1 || r.Task != "price" {
		t.Errorf("report = %+v", r)
	}
	if r.Metrics.R2 == nil || *r.Metrics.R2 < 0.97 || r.Metrics.AUC != nil || r.SecondsTrain <= 0 || r.PeakRSS <= 0 {
		t.Errorf("metrics = %+v", r.Metrics)
	}
	if len(r.Importance) != 3 || r.Importance[0].Feature != "size" || r.Importance[2].Feature != "noise" {
		t.Errorf("importance = %+v", r.Importance)
	}
	b, err := os.ReadFile(model)
	if err != nil || artifact.Digest(b) != r.Digest || len(b) != r.ArtifactBytes {
		t.Errorf("artifact: %d bytes, %v, want digest %s", len(b), err, r.Digest)
	}
	must(t, "fit", "--data", data, "--target", "price", "--drop", "sold,part", "--learner", "gbdt", "--trials", "2", "--seed", "3", "--threads", "1", "--out", model, "--json", report)
	if again := read(); again.Digest != r.Digest {
		t.Errorf("the same file and seed give artifact %s, then %s", r.Digest, again.Digest)
	}
	var e fit.Evaluation
	decode(t, must(t, "evaluate", "--model", model, "--data", data, "--json"), &e)
	if e.Rows != 1500 || *e.Metrics.R2 < 0.97 || e.Digest != r.Digest {
		t.Errorf("evaluate = %+v", e)
	}

	r = fit.Report{}
	decode(t, must(t, "fit", "--data", data, "--target", "sold", "--drop", "price", "--split", "part=test", "--learner", "linear", "--trials", "1", "--json", "-"), &r)
	if r.Kind != artifact.KindClassification || r.RowsTest != 375 || r.RowsTrain != 1125 || r.Metrics.AUC == nil || *r.Metrics.AUC < 0.9 || *r.Metrics.Accuracy < 0.8 || *r.Metrics.MacroF1 < 0.8 || r.Metrics.MAE != nil {
		t.Errorf("classification = %+v, %+v", r, r.Metrics)
	}
	// other columns, other order, an unknown town
	second := writeTemp(t, "more.csv", []byte("sold,Town,size,noise\nyes,rome,119,0.5\nno,oslo,21,0.5\nno,paris,25,0.1\n"))
	r = fit.Report{}
	decode(t, must(t, "fit", "--data", data, "--target", "sold", "--drop", "price,part", "--test", second, "--learner", "neural", "--trials", "1", "--json", "-"), &r)
	if r.RowsTest != 3 || r.RowsTrain != 1500 || r.Split != "file" || *r.Metrics.Accuracy != 1 {
		t.Errorf("with a test file = %+v, %+v", r, r.Metrics)
	}
	if out := must(t, "fit", "--data", data, "--target", "price", "--drop", "sold", "--split", "none", "--learner", "linear", "--trials", "1"); !strings.Contains(out, "1500 to learn from, 0 to test") {
		t.Errorf("fit without a test = %s", out)
	}

	series := writeTemp(t, "waves.csv", []byte(waves(800)))
	r = fit.Report{}
	decode(t, must(t, "fit", "--data", series, "--target", "temp", "--time", "ts", "--horizon", "2h", "--learner", "gbdt", "--trials", "1", "--task", "warm", "--out", model, "--json", "-"), &r)
	if r.Kind != artifact.KindForecast || r.Task != "warm" || r.RowsTest < 150 || r.RowsTest > 160 || *r.Metrics.MAE > 0.5**r.Metrics.MAELast || len(r.Importance) != 0 {
		t.Errorf("forecast = %+v, MAE %v, last value %v", r, *r.Metrics.MAE, *r.Metrics.MAELast)
	}
	if out := must(t, "evaluate", "--model", model, "--data", series, "--time", "ts"); !strings.Contains(out, "are not newer than its training data") {
		t.Errorf("evaluate = %s", out)
	}

	refused(t, `no column "prize": there are size, Town`, "fit", "--data", data, "--target", "prize")
	refused(t, "must be auto, extra-trees", "fit", "--data", data, "--target", "price", "--learner", "magic")
	refused(t, "column of the event time", "fit", "--data", series, "--target", "temp", "--horizon", "1h")
	refused(t, "tested on the future", "fit", "--data", series, "--target", "temp", "--time", "ts", "--horizon", "1h", "--split", "hash")
	refused(t, "time, hash, none or column=value", "fit", "--data", data, "--target", "price", "--split", "often")
	refused(t, "must hold a number in each row", "fit", "--data", data, "--target", "sold", "--kind", "regression")
	refused(t, "too few labelled rows", "fit", "--data", writeTemp(t, "few.csv", []byte(flats(8))), "--target", "price", "--trials", "1")
	refused(t, "column of the event time", "evaluate", "--model", model, "--data", series)
	refused(t, "no such file", "fit", "--data", "none.csv", "--target", "x")
}

// TestFitAFewReadings: a forecast is learned from the readings of some hours, as a table is from a
// few rows, with the same note; and the word for a gap costs the rows beside it alone.
func TestFitAFewReadings(t *testing.T) {
	for _, n := range []int{16, 40, 240} {
		var b strings.Builder
		b.WriteString("ts,v\n")
		for i := range n {
			v := strconv.Itoa(20 + i%6)
			if i%12 == 2 {
				v = "unavailable"
			}
			fmt.Fprintf(&b, "%s,%s\n", time.Unix(int64(i)*3600, 0).UTC().Format(time.RFC3339), v)
		}
		data := writeTemp(t, "home.csv", []byte(b.String()))
		for _, horizon := range [][]string{{"--horizon", "1h"}, {"--horizon", "1h", "--split", "none"}} {
			var r fit.Report
			decode(t, must(t, append([]string{"fit", "--data", data, "--target", "v", "--time", "ts", "--trials", "2", "--json", "-"}, horizon...)...), &r)
			if r.Kind != artifact.KindForecast || r.RowsTrain < n/2 || r.RowsTrain > n || !slices.ContainsFunc(r.Notes, func(s string) bool { return strings.Contains(s, "figures on so few rows are rough") }) {
				t.Errorf("fit of %d readings %v = %d to learn from, notes %q", n, horizon, r.RowsTrain, r.Notes)
			}
		}
	}
}

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// TestReportThatCannotBeWritten: a report never costs the artifact. That it cannot be written is
// found before the work where it can be, and else the artifact is there and the error names it.
func TestReportThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	data := writeTemp(t, "flats.csv", []byte(flats(300)))
	model, nowhere := filepath.Join(dir, "m.skerry"), filepath.Join(dir, "none", "r.json")
	line := []string{"fit", "--data", data, "--target", "price", "--drop", "sold,part", "--learner", "linear", "--out", model}
	for _, report := range [][]string{{"--json=-"}, nil} {
		c := root()
		c.SetArgs(append(slices.Clone(line), report...))
		c.SetOut(full{})
		c.SetErr(io.Discard)
		err := c.ExecuteContext(t.Context())
		if want := "the artifact is written, in " + model + ", the report is not: "; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("fit %v = %v, want %q", report, err, want)
		}
		if b, rerr := os.ReadFile(model); rerr != nil || len(b) == 0 {
			t.Errorf("fit %v: the artifact has %d bytes, %v", report, len(b), rerr)
		}
		_ = os.Remove(model)
	}
	refused(t, "it is the file of --out too", append(slices.Clone(line), "--json", model)...)
	refused(t, "--json: write "+nowhere, append(slices.Clone(line), "--json", nowhere)...)
	if _, err := os.Stat(model); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("refused before the work, yet the artifact is there: %v", err)
	}
	must(t, line...)
	for _, command := range []string{"evaluate", "explain"} {
		refused(t, "--json: write "+nowhere, command, "--model", model, "--data", data, "--json", nowhere)
		refused(t, "it is the file that is read, "+model, command, "--model", model, "--data", data, "--json", model)
	}
	for _, line := range [][]string{{"export-model", model, "--format", "onnx"}, {"import-model", model, "--task", "y"}} {
		refused(t, "it is the file that is read, "+model, append(line, "--out", model)...)
	}
}
