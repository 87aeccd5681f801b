package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplayForecast(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	b.WriteString("at,load\n")
	for i := range 900 {
		fmt.Fprintf(&b, "%d,%.4f\n", i, 20+[]float64{0, 4, 5, 1, -3, -6, 2, 7}[i%8]+rng.NormFloat64())
	}
	data := write(t, "rows.csv", b.String())
	dir := t.TempDir()
	report, plot, rows := filepath.Join(dir, "r.json"), filepath.Join(dir, "p.svg"), filepath.Join(dir, "rows.csv")
	out := must(t, "replay", "--data", data, "--target", "load", "--forecast", "4", "--interval", "0.8", "--json", report, "--plot", plot, "--out", rows)
	for _, want := range []string{"8 rows, found in the first rows", "MASE, 4 ahead", "sMAPE, mean of 1 to 4", "in a nominal 80 %", "seasonal-naive 8"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table has no %q:\n%s", want, out)
		}
	}
	type errors struct{ MAE, RMSE, SMAPE, MASE float64 }
	var r struct {
		Rows    int
		Learner string
		Horizon int
		Season  []int
		Metrics struct {
			errors
			Coverage float64
			Mean     errors
		}
		Baselines map[string]struct{ errors }
		Speed     float64 `json:"rows_per_second"`
		Bytes     int     `json:"state_bytes"`
	}
	if err := json.Unmarshal([]byte(mustRead(t, report)), &r); err != nil {
		t.Fatal(err)
	}
	if r.Rows != 900 || r.Learner != "auto" || r.Horizon != 4 || len(r.Season) != 1 || r.Season[0] != 8 || r.Metrics.MAE < 0.7 || r.Metrics.MAE > 1 || r.Metrics.Mean.MASE > 0.9 ||
		r.Metrics.Coverage < 0.75 || r.Metrics.Coverage > 0.85 || r.Baselines["last"].MAE < 3 || r.Baselines["seasonal"].MAE < r.Metrics.MAE || r.Speed <= 0 || r.Bytes < 1000 {
		t.Errorf("report %s", mustRead(t, report))
	}
	if s := mustRead(t, plot); !strings.HasPrefix(s, "<svg") {
		t.Errorf("plot: %.60s", s)
	}
	if s := mustRead(t, rows); !strings.HasPrefix(s, "row,truth,prediction,lower,upper\n4,") || strings.Count(s, "\n") != 897 {
		t.Errorf("rows: %d lines, %.80s", strings.Count(s, "\n"), s)
	}
	out = must(t, "replay", "--data", data, "--target", "load", "--forecast", "2", "--season", "0", "--learner", "last", "--json")
	if !strings.HasPrefix(out, "{") || !strings.Contains(out, `"season": [],`) || !strings.Contains(out, `"learner": "last"`) {
		t.Errorf("JSON on standard output:\n%.300s", out)
	}
	if out := must(t, "replay", "--help"); !strings.Contains(out, "Learners of a --forecast:") || !strings.Contains(out, "holt-winters") {
		t.Errorf("help:\n%s", out)
	}
	if out := must(t, "__complete", "replay", "--season", ""); !strings.Contains(out, "24,168") {
		t.Errorf("completion of --season:\n%s", out)
	}
}

func TestReplayForecastRefuses(t *testing.T) {
	data := write(t, "rows.csv", "x,y\n1,2\n2,3\n3,4\n")
	task := write(t, "task.yaml", swingTask)
	table := []string{"replay", "--data", data, "--target", "y"}
	refuse := func(words string, args ...string) {
		t.Helper()
		refused(t, words, append(append([]string(nil), table...), args...)...)
	}
	refused(t, "--forecast does not go with --task", "replay", "--data", data, "--task", task, "--forecast", "3")
	refused(t, "--season does not go with --task", "replay", "--data", data, "--task", task, "--season", "3")
	refuse("--season needs a --forecast", "--season", "24")
	refuse("--delay does not go with --forecast", "--forecast", "1", "--delay", "3")
	refuse("--kind does not go with --forecast", "--forecast", "1", "--kind", "regression")
	refuse("--forecast 0: must be 1 to 1000", "--forecast", "0")
	refuse("--forecast 1001: must be 1 to 1000", "--forecast", "1001")
	refuse("--interval 2", "--forecast", "1", "--interval", "2")
	refuse("--season 1: must be 2 to 2000", "--forecast", "1", "--season", "1")
	refuse("24 is given twice", "--forecast", "1", "--season", "24,24")
	refuse("3 seasons, must be up to 2", "--forecast", "1", "--season", "2,3,4")
	refuse(`--learner "hoeffding-tree": a forecast has one of auto, holt-winters`, "--forecast", "1", "--learner", "hoeffding-tree")
	refuse("a forecast has one of", "--forecast", "1", "--learner", "last,auto")
	refuse("3 rows are too few to score a forecast 3 rows ahead", "--forecast", "3")
	refuse("--plot: write", "--forecast", "1", "--plot", filepath.Join(t.TempDir(), "no", "p.svg"))
}
