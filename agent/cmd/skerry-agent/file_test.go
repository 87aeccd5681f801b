package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
)

const hourUS = int64(3_600_000_000)

// write puts a file into a fresh directory.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// must runs a command that has to work.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := agent(t, "", args...)
	if err != nil {
		t.Fatalf("skerry-agent %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func refused(t *testing.T, words string, args ...string) {
	t.Helper()
	if out, err := agent(t, "", args...); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("skerry-agent %s: error %v, want %q\n%s", strings.Join(args, " "), err, words, out)
	}
}

// linearModel predicts weights · features; its columns are op over the inputs named.
func linearModel(t *testing.T, m artifact.Manifest, cols []feature.Column, weights ...float64) string {
	t.Helper()
	lin, err := linear.New(len(cols), ensemble.Identity, []float64{0}, weights)
	if err != nil {
		t.Fatal(err)
	}
	a := &artifact.Artifact{Manifest: m, Pipeline: &feature.Pipeline{Inputs: m.Inputs, Tolerance: hourUS / 2, Rows: 8, Columns: cols},
		Models: map[artifact.Role]artifact.Predictor{artifact.Point: lin}, Calibration: artifact.Calibration{Level: 0.5, Scores: []float64{0, 2, 4}}}
	b, err := artifact.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "m.skerry", string(b))
}

var zero = 0.0

// swing is a model of the series of swingCSV: the change of the next hour is the change before
// it, weighed.
func swing(t *testing.T) string {
	in := []feature.Input{{Name: "pm25"}, {Name: "wd", Categories: []string{"N", "S"}}}
	return linearModel(t, artifact.Manifest{Task: "next", Kind: artifact.KindForecast, HorizonUS: hourUS, Inputs: in, Output: artifact.Output{Series: "pm25"}, Learner: "linear", Rows: 1},
		[]feature.Column{{Name: "d", Op: feature.OpDiff, Lag: hourUS - hourUS/4, Impute: &zero}}, 0.9)
}

// swingCSV is a slow wave of hourly readings; from the middle on it swings twice as fast.
func swingCSV(n int) string {
	var b strings.Builder
	b.WriteString("Date,PM2.5,WD,other\n")
	began := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	phase := 0.0
	for i := range n {
		phase += 0.2
		if i > n/2 {
			phase += 0.9
		}
		fmt.Fprintf(&b, "%s,%.6f,%s,x\n", began.Add(time.Duration(i)*time.Hour).Format(time.DateTime), 50+20*math.Sin(phase), []string{"N", "S", "NA"}[i%3])
	}
	return b.String()
}

const swingTask = `task: next
kind: forecast
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: a, path: $.p, range: [0, 100]}
  - {series: wd, topic: a, path: $.w, categories: [N, S]}
rows: {on: pm25, max_age: 3h}
`

func TestReplay(t *testing.T) {
	task, data, model := write(t, "task.yaml", swingTask), write(t, "data.csv", swingCSV(2000)), swing(t)
	var s struct {
		Task, From             string
		Rows, Labels, Messages int64
		MAE, Coverage          float64
		MAELast                float64 `json:"mae_last_value"`
		Ratio                  float64
		Score                  float64 `json:"interval_score"`
		ScoreLast              float64 `json:"interval_score_last_value"`
		Weights                map[string]float64
		Events                 []struct{ Time, Kind, Detector string }
		Model                  *struct {
			ActivatedAt string `json:"activated_at"`
			Labels      int64
			MAE         float64
			Ratio       float64
		}
	}
	read := func(text string) {
		t.Helper()
		s.Model = nil
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	read(must(t, "replay", "--task", task, "--data", data, "--json"))
	if s.Task != "next" || s.Messages != 2000 || s.Rows != 2000 || s.Labels != 1999 || s.From != "2024-01-01T00:00:00Z" || s.Model != nil {
		t.Errorf("summary = %+v", s)
	}
	// the learner, the last value, the model and its corrections
	if !(s.Ratio > 0 && s.Ratio < 0.8) || math.Abs(s.Ratio-s.MAE/s.MAELast) > 1e-12 || s.Coverage < 0.8 || !(s.Score > 0 && s.Score < s.ScoreLast) || len(s.Weights) != 5 {
		t.Errorf("summary = %+v: a wave is learned by the device alone", s)
	}
	middle := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(1000 * time.Hour).Format(time.RFC3339)
	if i := slices.IndexFunc(s.Events, func(e struct{ Time, Kind, Detector string }) bool { return e.Kind == "drift" && e.Time > middle }); i < 0 {
		t.Errorf("events = %+v, want a drift after %s", s.Events, middle)
	}
	alone := s.Ratio

	labels := filepath.Join(t.TempDir(), "labels.csv")
	read(must(t, "replay", "--task", task, "--data", data, "--json", "--model", model, "--activate-at", "2024-01-20", "--out", labels))
	if s.Model == nil || s.Model.ActivatedAt != "2024-01-20T00:00:00Z" || s.Model.Labels != 1999-19*24 || !(s.Model.MAE > 0) {
		t.Errorf("model = %+v, want %d labels from 20 January on", s.Model, 1999-19*24)
	}
	b, err := os.ReadFile(labels)
	if err != nil {
		t.Fatal(err)
	}
	recs, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(recs) != 2000 || recs[1][7] != "" || recs[1999][7] == "" || len(recs[1999][8]) != 64 {
		t.Errorf("labels: %d lines, %v; first %v, last %v", len(recs), err, recs[1], recs[len(recs)-1])
	}

	// The same file packed gives the same figures.
	var z bytes.Buffer
	gz := gzip.NewWriter(&z)
	_, _ = gz.Write([]byte(swingCSV(2000)))
	_ = gz.Close()
	read(must(t, "replay", "--task", task, "--data", write(t, "data.csv.gz", z.String()), "--json"))
	if s.Ratio != alone {
		t.Errorf("ratio of the packed file = %v, want %v", s.Ratio, alone)
	}
	if out := must(t, "replay", "--task", task, "--data", data, "--model", model); !strings.Contains(out, "experts") || !strings.Contains(out, "model") {
		t.Errorf("replay = %s", out)
	}

	other := write(t, "task.yaml", strings.Replace(swingTask, "horizon: 1h", "horizon: 2h", 1))
	refused(t, "1h0m0s ahead, task \"next\"", "replay", "--task", other, "--data", data, "--model", model)
	refused(t, "--activate-at needs", "replay", "--task", task, "--data", data, "--activate-at", "2024-01-20")
	refused(t, "must be a time such as", "replay", "--task", task, "--data", data, "--model", model, "--activate-at", "soon")
	refused(t, "never activated", "replay", "--task", task, "--data", data, "--model", model, "--activate-at", "2034-01-20")
	refused(t, "none of the columns", "replay", "--task", task, "--data", write(t, "x.csv", "ts,x\n2024-01-01,1\n"))
	refused(t, "required flag", "replay", "--task", task)
	damaged := []byte(mustRead(t, model))
	damaged[len(damaged)/2] ^= 1
	refused(t, "corrupt", "replay", "--task", task, "--data", data, "--model", write(t, "bad.skerry", string(damaged)))
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPredict(t *testing.T) {
	model := swing(t)
	rows := "when,pm25,wd\n7200,12,N\n0,10,S\n3600,11,\n14400,,N\n10800,14,N\n" // not in order
	data := write(t, "d.csv", rows)
	out, err := agent(t, rows, "predict", "--model", model, "--data", "-", "--time", "when", "--format", "unix", "--out", "-")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"row,ts,prediction,lower,upper", "0,1970-01-01T02:00:00Z,12.9,10.9,14.9", "1,1970-01-01T00:00:00Z,10,8,12", "2,1970-01-01T01:00:00Z,11.9,9.9,13.9",
		"3,1970-01-01T04:00:00Z,,,", "4,1970-01-01T03:00:00Z,15.8,13.8,17.8",
	}
	got := strings.Split(strings.TrimSpace(out), "\n")
	if len(got) != len(want) {
		t.Fatalf("predict = %s", out)
	}
	for i := range want {
		if !sameCells(got[i], want[i]) {
			t.Errorf("line %d = %s, want %s", i, got[i], want[i])
		}
	}
	file := filepath.Join(t.TempDir(), "p.csv")
	if out := must(t, "predict", "--model", model, "--data", data, "--time", "when", "--format", "unix", "--out", file, "--task", write(t, "task.yaml", swingTask)); !strings.Contains(out, "predicted 4 of 5 rows") {
		t.Errorf("predict = %q", out)
	}
	if mustRead(t, file) != out {
		t.Error("with the task file the predictions differ")
	}
	if out := must(t, "predict", "--model", model, "--data", write(t, "d.csv", "ts,pm25,wd\n2024-01-01,1,SSW\n"), "--out", "-"); !strings.Contains(out, `line 2, "SSW"`) || !strings.Contains(out, "0,2024-01-01T00:00:00Z,1,-1,3") {
		t.Errorf("predict of a wind that the model does not know = %s", out)
	}
	refused(t, "no column of the event time", "predict", "--model", model, "--data", write(t, "d.csv", "pm25,wd\n1,N\n"), "--out", "-")

	// Rows for themselves need no time.
	in := []feature.Input{{Name: "temp"}, {Name: "load"}}
	flat := linearModel(t, artifact.Manifest{Task: "power", Kind: artifact.KindRegression, Inputs: in, Output: artifact.Output{Series: "power", Input: -1}, Learner: "linear", Rows: 1},
		[]feature.Column{{Name: "temp", Op: feature.OpValue, Impute: &zero}, {Name: "load", Op: feature.OpValue, Series: 1, Impute: &zero}}, 1, 10)
	out = must(t, "predict", "--model", flat, "--data", write(t, "d.csv", "id,load,temp\na,1,2\nb,3,4\n"), "--out", "-")
	if got := strings.Split(out, "\n"); !sameCells(got[1], "0,,12,10,14") || !sameCells(got[2], "1,,34,32,36") {
		t.Errorf("predict without a time = %s", out)
	}
}

// sameCells compares lines of CSV, numbers to nine digits.
func sameCells(a, b string) bool {
	x, y := strings.Split(a, ","), strings.Split(b, ",")
	return slices.EqualFunc(x, y, func(p, q string) bool {
		u, err1 := strconv.ParseFloat(p, 64)
		v, err2 := strconv.ParseFloat(q, 64)
		return p == q || err1 == nil && err2 == nil && math.Abs(u-v) < 1e-9
	})
}

func TestBench(t *testing.T) {
	var r struct {
		Model, Kernel string
		Results       []struct {
			Batch, Threads int
			NS             float64 `json:"ns_per_row_median"`
			Allocs         float64 `json:"allocs_per_call"`
		}
	}
	model := filepath.Join("..", "..", "..", "compute", "artifact", "testdata", "v1.skerry")
	out := must(t, "bench", "--model", model, "--batch", "1,8", "--runs", "3", "--run-time", "1ms", "--threads", "2", "--json")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Model) != 64 || !strings.HasPrefix(r.Kernel, "trees/") || len(r.Results) != 2 || r.Results[1].Batch != 8 || r.Results[1].Threads != 2 || !(r.Results[0].NS > 0) || r.Results[0].Allocs != 0 {
		t.Errorf("bench = %s", out)
	}
	if out := must(t, "bench", "--model", model, "--runs", "1", "--run-time", "1ms"); !strings.Contains(out, "pipeline") {
		t.Errorf("bench = %s", out)
	}
	refused(t, "--batch [0]", "bench", "--model", model, "--batch", "0")
}

// TestOneRuleForHeaders: every command that reads a table refuses the same header, in the same
// words.
func TestOneRuleForHeaders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "twice.csv")
	if err := os.WriteFile(file, []byte("ts,x,x\n2024-01-01T00:00:00Z,1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"replay", "--data", file, "--target", "x"},
		{"replay", "--data", file, "--target", "x", "--forecast", "1"},
		{"drift", "--data", file, "--column", "x"},
		{"drift", "--data", file, "--reference", "1", "--detector", "inputs"},
		{"anomaly", "--data", file, "--series", "x"},
	} {
		if _, err := agent(t, "", args...); err == nil || !strings.Contains(err.Error(), "column 2 has this name already") {
			t.Errorf("%q = %v, want the place of the other column", args, err)
		}
	}
}
