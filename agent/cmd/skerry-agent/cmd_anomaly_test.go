package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/agent/detect"
)

// pumpCSV is a pump whose two columns move together; from row 600 on for 50 rows they do not, and
// at row 900 one of them spikes.
func pumpCSV(times bool) string {
	rng := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	if times {
		b.WriteString("time,")
	}
	b.WriteString("flow,pressure,site,broken\n")
	began := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 1000 {
		load := math.Sin(float64(i)/15) + 0.1*rng.NormFloat64()
		flow, pressure, broken := 20+5*load+0.1*rng.NormFloat64(), 3+load+0.02*rng.NormFloat64(), 0
		if i >= 600 && i < 650 {
			pressure, broken = 3-load, 1
		}
		if i == 900 {
			flow, broken = 60, 1
		}
		if times {
			fmt.Fprintf(&b, "%s,", began.Add(time.Duration(i)*time.Minute).Format(time.DateTime))
		}
		fmt.Fprintf(&b, "%.4f,%.4f,%s,%d\n", flow, pressure, []string{"north", "south"}[i%2], broken)
	}
	return b.String()
}

// readReport reads what --json wrote.
func readReport(t *testing.T, text []byte) (r detect.AnomalyReport) {
	t.Helper()
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return r
}

func TestAnomalySeveralColumns(t *testing.T) {
	data, dir := write(t, "pump.csv", pumpCSV(true)), t.TempDir()
	scores, report := filepath.Join(dir, "scores.csv"), filepath.Join(dir, "r.json")
	out := must(t, "anomaly", "--data", data, "--columns", "flow,pressure", "--train", "300", "--labels", "broken", "--out", scores, "--json", report)
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	r := readReport(t, b)
	if r.Rows != 1000 || r.Detector != "pca" || r.Train != 300 || r.Time != "time" || r.ScoresFile != scores || r.AUROC == nil || *r.AUROC < 0.95 || r.Threshold != 0.5 {
		t.Errorf("report %+v", r)
	}
	in := 0
	for _, a := range r.Alarms {
		if a >= 600 && a < 650 {
			in++
		}
	}
	if in < 35 || len(r.Alarms)-in > 30 || !slices.Contains(r.Alarms, 900) {
		t.Errorf("%d alarms while the columns part, %d in all: %v", in, len(r.Alarms), r.Alarms)
	}
	for _, words := range []string{"pca over 1000 rows of flow, pressure", "AUROC 0.9", "row ", "2024-01-01T10:0"} {
		if !strings.Contains(out, words) {
			t.Errorf("the table lacks %q:\n%s", words, out)
		}
	}
	f, err := os.Open(scores)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 1001 || strings.Join(rows[0], ",") != "row,time,score,alarm" || rows[1][0] != "0" || rows[901][3] != "1" || rows[301][1] != "2024-01-01T05:00:00Z" {
		t.Errorf("scores: %d rows, %v, %v, %v", len(rows), rows[0], rows[901], err)
	}
}

func TestAnomalyOneSeries(t *testing.T) {
	data := write(t, "pump.csv", pumpCSV(true))
	r := readReport(t, []byte(must(t, "anomaly", "--data", data, "--series", "flow", "--json", "-")))
	if r.Detector != "seasonal" || !slices.Contains(r.Alarms, 900) || len(r.Alarms) > 10 || r.AUROC != nil || r.ScoresFile != "" {
		t.Errorf("report %+v, want an alarm at the spike", r)
	}
	if again := readReport(t, []byte(must(t, "anomaly", "--data", data, "--series", "flow", "--json", "-"))); !slices.Equal(r.Alarms, again.Alarms) {
		t.Errorf("alarms %v, and again %v", r.Alarms, again.Alarms)
	}
	half := readReport(t, []byte(must(t, "anomaly", "--data", data, "--series", "flow", "--where", "site=north", "--json", "-")))
	if half.Rows != 500 || !slices.Contains(half.Alarms, 900) {
		t.Errorf("of the northern rows: %+v, want 500 rows with the numbers of the file", half)
	}
	each := readReport(t, []byte(must(t, "anomaly", "--data", data, "--series", "site", "--columns", "flow", "--json", "-")))
	if each.Rows != 1000 || each.Streams != 2 || !slices.Contains(each.Alarms, 900) {
		t.Errorf("each site apart: %+v", each)
	}
	north := slices.DeleteFunc(slices.Clone(each.Alarms), func(row int) bool { return row%2 == 1 })
	if !slices.Equal(north, half.Alarms) {
		t.Errorf("the north has alarms at %v alone and %v in the file of both", half.Alarms, north)
	}
	loose := readReport(t, []byte(must(t, "anomaly", "--data", data, "--series", "flow", "--detector", "seasonal", "--set", "limit=5", "--set", "hold=0", "--json", "-")))
	if len(loose.Alarms) <= len(r.Alarms) || loose.Settings["limit"] != "5" {
		t.Errorf("with a low limit %d alarms, by default %d; settings %v", len(loose.Alarms), len(r.Alarms), loose.Settings)
	}
}

func TestAnomalyTable(t *testing.T) {
	data := write(t, "pump.csv", pumpCSV(false))
	for _, args := range [][]string{nil, {"--detector", "isolation-forest", "--train", "all"}, {"--detector", "half-space-trees", "--rate", "0.02"}, {"--detector", "random-cut-forest", "--set", "sample=64", "--set", "trees=10"}} {
		r := readReport(t, []byte(must(t, append([]string{"anomaly", "--data", data, "--labels", "broken", "--json", "-"}, args...)...)))
		if r.Rows != 1000 || r.Rate == 0 || r.AUROC == nil || *r.AUROC < 0.6 || !slices.Equal(r.Columns, []string{"flow", "pressure"}) {
			t.Errorf("%v: %+v, AUROC %v", args, r, r.AUROC)
		}
		if n := float64(len(r.Alarms)); n > 51+2000*r.Rate { // 51 rows are anomalous
			t.Errorf("%v: %v alarms at a rate of %v", args, n, r.Rate)
		}
	}
	whole := readReport(t, []byte(must(t, "anomaly", "--data", data, "--labels", "broken", "--train", "1000", "--json", "-")))
	if all := readReport(t, []byte(must(t, "anomaly", "--data", data, "--labels", "broken", "--train", "all", "--json", "-"))); *whole.AUROC != *all.AUROC || whole.Detector != "isolation-forest" {
		t.Errorf("--train with all rows: AUROC %v of %s, with all: %v", *whole.AUROC, whole.Detector, *all.AUROC)
	}
	if r := readReport(t, []byte(must(t, "anomaly", "--data", data, "--labels", "broken", "--train", "300", "--json", "-"))); r.Detector != "pca" || r.Train != 300 || *r.AUROC < 0.95 {
		t.Errorf("--train 300: %+v, want pca, since the first rows are usual", r)
	}
	if out, err := agent(t, pumpCSV(false), "anomaly", "--data", "-", "--series", "flow", "--out", "-"); err != nil || !strings.HasPrefix(out, "row,score,alarm\n0,0,0\n") {
		t.Errorf("from standard input to standard output: %v\n%.200s", err, out)
	}
}

func TestAnomalyRefuses(t *testing.T) {
	data := write(t, "pump.csv", pumpCSV(true))
	for _, c := range []struct {
		words string
		args  []string
	}{
		{`required flag(s) "data"`, nil},
		{"no such file", []string{"--data", "/nowhere.csv"}},
		{`no column "flwo": there are time, flow, pressure, site, broken`, []string{"--data", data, "--columns", "flwo"}},
		{`--labels: there is no column "x"`, []string{"--data", data, "--labels", "x"}},
		{`column "site" must hold a time in each row: 1000 of 1000 cells are none, the first is line 2, "north"`, []string{"--data", data, "--time", "site"}},
		{`column "site" holds a category, not numbers`, []string{"--data", data, "--columns", "flow,site"}},
		{`site "north" has 500`, []string{"--data", data, "--series", "site", "--detector", "pca", "--set", "train=500"}},
		{`column "broken" holds the labels`, []string{"--data", data, "--columns", "flow,broken", "--labels", "broken"}},
		{`column "flow" twice`, []string{"--data", data, "--columns", "flow,flow"}},
		{`the one watches a single column`, []string{"--data", data, "--columns", "flow", "--series", "flow"}},
		{`no anomaly detector "tree": there are auto, half-space-trees`, []string{"--data", data, "--detector", "tree"}},
		{`pca has no setting "trees": there are train`, []string{"--data", data, "--detector", "pca", "--set", "trees=5"}},
		{`--set "trees": must be key=value`, []string{"--data", data, "--set", "trees"}},
		{`--train "few": must be a number of rows from 1, or all`, []string{"--data", data, "--train", "few"}},
		{`--train 1001: there are 1000 rows`, []string{"--data", data, "--train", "1001"}},
		{`--train 500: no stream has more rows`, []string{"--data", data, "--series", "site", "--train", "500"}},
		{`--train all: seasonal learns as it goes`, []string{"--data", data, "--series", "flow", "--train", "all"}},
		{`learns from 5000 rows before the first score`, []string{"--data", data, "--detector", "pca", "--set", "train=5000"}},
		{`say the same`, []string{"--data", data, "--detector", "pca", "--set", "train=50", "--train", "60"}},
		{`--rate 0.7: must be above 0 and below 0.5`, []string{"--data", data, "--rate", "0.7"}},
		{`column "site" never is "east": it is north, south`, []string{"--data", data, "--where", "site=east"}},
		{`--where "site": must be column=value`, []string{"--data", data, "--where", "site"}},
		{`--out: write /nowhere/x.csv`, []string{"--data", data, "--out", "/nowhere/x.csv"}},
		{`line 3`, []string{"--data", write(t, "bad.csv", "a,b\n1,2\n3\n")}},
		{`no rows to score`, []string{"--data", write(t, "empty.csv", "a,b\n")}},
	} {
		refused(t, c.words, append([]string{"anomaly"}, c.args...)...)
	}
}
