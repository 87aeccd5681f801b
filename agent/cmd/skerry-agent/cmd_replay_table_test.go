package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReplayTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	b.WriteString("x,noise,class\n")
	for i := range 1200 {
		x := rng.NormFloat64()
		fmt.Fprintf(&b, "%.4f,%.4f,%t\n", x, rng.NormFloat64(), x > 0 != (i >= 600))
	}
	data := write(t, "rows.csv", b.String())
	dir := t.TempDir()
	report, plot, rows := filepath.Join(dir, "r.json"), filepath.Join(dir, "p.svg"), filepath.Join(dir, "rows.csv")
	out := must(t, "replay", "--data", data, "--target", "class", "--learner", "adaptive-forest", "--set", "trees=5", "--detector", "ddm", "--delay", "3", "--json", report, "--plot", plot, "--out", rows)
	for _, want := range []string{"adaptive-forest", "accuracy", "kappa", "majority", "drifts: rows"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table has no %q:\n%s", want, out)
		}
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Rows      int
		Learner   string
		Detector  string
		Delay     int
		Metrics   map[string]float64
		Baselines map[string]map[string]float64
		Experts   []struct {
			Name         string
			Loss, Weight float64
		}
		Drifts []int
		Speed  float64 `json:"rows_per_second"`
		Bytes  int     `json:"state_bytes"`
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if r.Rows != 1200 || r.Learner != "adaptive-forest" || r.Detector != "ddm" || r.Delay != 3 || r.Metrics["accuracy"] < 0.75 || r.Baselines["last"]["accuracy"] == 0 || r.Baselines["majority"]["kappa"] > 0.2 ||
		len(r.Experts) != 1 || r.Experts[0].Loss <= 0 || len(r.Drifts) == 0 || r.Speed <= 0 || r.Bytes < 1000 {
		t.Errorf("report %s", text)
	}
	if b, err := os.ReadFile(plot); err != nil || !strings.HasPrefix(string(b), "<svg") {
		t.Errorf("plot: %v, %.60s", err, b)
	}
	before, err := os.ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "--plot: write "+data+": it is the file that is read", "replay", "--data", data, "--target", "class", "--plot", data)
	refused(t, "it is the file of --out too", "replay", "--data", data, "--target", "class", "--out", plot, "--plot", plot)
	if after, err := os.ReadFile(data); err != nil || string(after) != string(before) {
		t.Errorf("the data after a plot over it: %v, %.60s", err, after)
	}
	if b, err := os.ReadFile(rows); err != nil || strings.Count(string(b), "\n") != 1201 {
		t.Errorf("rows: %v, %d lines", err, strings.Count(string(b), "\n"))
	}
	if out := must(t, "replay", "--data", data, "--target", "class", "--learner", "naive-bayes,linear", "--json"); !strings.HasPrefix(out, "{") || !strings.Contains(out, `"name": "last"`) {
		t.Errorf("JSON on standard output:\n%.200s", out)
	}
}

func TestReplayTableRefuses(t *testing.T) {
	data := write(t, "rows.csv", "x,y\n1,2\n2,3\n3,4\n")
	task := write(t, "task.yaml", swingTask)
	refused(t, "give a --task, or a --target", "replay", "--data", data)
	refused(t, "give a --task, or a --target", "replay", "--data", data, "--task", task, "--target", "y")
	refused(t, "--delay does not go with --task", "replay", "--data", data, "--task", task, "--delay", "3")
	refused(t, "--activate-at does not go with --target", "replay", "--data", data, "--target", "y", "--activate-at", "2024-01-01")
	refused(t, `must be one of adaptive-forest`, "replay", "--data", data, "--target", "y", "--learner", "forest")
	refused(t, `there is no setting "depth"`, "replay", "--data", data, "--target", "y", "--kind", "regression", "--learner", "hoeffding-tree", "--set", "depth=3")
	refused(t, "--detector-set needs a --detector", "replay", "--data", data, "--target", "y", "--detector-set", "delta=1")
	refused(t, "--interval 2", "replay", "--data", data, "--target", "y", "--interval", "2")
	refused(t, "there is no column", "replay", "--data", data, "--target", "z")
}

func TestReplayAnomalyTask(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var b strings.Builder
	b.WriteString("ts,p,q\n")
	for i := range 1500 {
		p := rng.NormFloat64()
		q := 2*p + 0.1*rng.NormFloat64()
		if i == 1200 {
			q = -q - 5
		}
		fmt.Fprintf(&b, "%s,%.4f,%.4f\n", time.Unix(int64(60*i), 0).UTC().Format(time.RFC3339), p, q)
	}
	task := write(t, "task.yaml", "task: pump\nkind: anomaly\ninputs: [{series: p, topic: a, path: $.p}, {series: q, topic: a, path: $.q}]\n")
	data := write(t, "pump.csv", b.String())
	out := must(t, "replay", "--task", task, "--data", data)
	if !strings.Contains(out, "anomalies") || !strings.Contains(out, "1970-01-01 20:00:00  pca") {
		t.Errorf("the jump at 20:00 is not listed:\n%s", out)
	}
	var s struct {
		Kind   string
		Events []struct{ Kind, Detector string }
	}
	if err := json.Unmarshal([]byte(must(t, "replay", "--task", task, "--data", data, "--json")), &s); err != nil || s.Kind != "anomaly" || len(s.Events) == 0 || s.Events[0].Kind != "anomaly" {
		t.Errorf("report %+v, %v", s, err)
	}
}
