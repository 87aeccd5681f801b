package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	_ "skerry.dev/sync/parquet" // as the full build links it
)

// swingRow is a line of swingCSV.
type swingRow struct {
	Date time.Time `parquet:"Date,timestamp(microsecond)"`
	PM25 *float64  `parquet:"PM2.5,optional"`
	WD   *string   `parquet:"WD,optional,dict"`
	Half string    `parquet:"half,dict"`
}

// bothFormats writes the same table as CSV and as Parquet.
func bothFormats(t *testing.T, n int) (text, columns string) {
	t.Helper()
	lines, err := csv.NewReader(strings.NewReader(swingCSV(n))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("Date,PM2.5,WD,half\n")
	var rows []swingRow
	for i, line := range lines[1:] {
		r := swingRow{WD: &line[2], Half: []string{"first", "second"}[2*i/n]}
		if r.Date, err = time.Parse(time.DateTime, line[0]); err != nil {
			t.Fatal(err)
		}
		line[0] = r.Date.Format(time.RFC3339)
		v, err := strconv.ParseFloat(line[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		if r.PM25 = &v; i%50 == 7 {
			r.PM25, line[1] = nil, ""
		}
		if *r.WD == "NA" {
			r.WD = nil
		}
		rows = append(rows, r)
		b.WriteString(strings.Join(append(line[:3], r.Half), ",") + "\n")
	}
	columns = filepath.Join(t.TempDir(), "data.parquet")
	if err := parquet.WriteFile(columns, rows); err != nil {
		t.Fatal(err)
	}
	return write(t, "data.csv", b.String()), columns
}

// TestSameTableInBothFormats runs every command that takes a table on the same one as CSV and as
// Parquet: the answers differ in the file's name, in times of computing, and in lines, which only
// a text has.
func TestSameTableInBothFormats(t *testing.T) {
	text, columns := bothFormats(t, 800)
	task, model := write(t, "task.yaml", swingTask), swing(t)
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"drift":           {"drift", "--column", "PM2.5", "--detector", "page-hinkley", "--set", "threshold=20"},
		"drift of inputs": {"drift", "--detector", "inputs", "--reference", "300"},
		"anomaly":         {"anomaly", "--series", "PM2.5"},
		"anomaly by name": {"anomaly", "--series", "half", "--columns", "PM2.5", "--train", "100"},
		"replay":          {"replay", "--task", task, "--model", model},
		"table":           {"replay", "--target", "PM2.5", "--time", "Date"},
		"classes":         {"replay", "--target", "half"},
		"forecast":        {"replay", "--target", "PM2.5", "--forecast", "3"},
	} {
		var answers [2]map[string]any
		for k, data := range []string{text, columns} {
			to := filepath.Join(dir, "r.json")
			must(t, append(args, "--data", data, "--json="+to)...)
			if err := json.Unmarshal([]byte(mustRead(t, to)), &answers[k]); err != nil {
				t.Fatal(err)
			}
			forget(answers[k], "file", "line", "ns_per_update", "seconds", "rows_per_second")
		}
		if len(answers[0]) < 5 || !reflect.DeepEqual(answers[0], answers[1]) {
			t.Errorf("%s:\n-CSV     %v\n+Parquet %v", name, answers[0], answers[1])
		}
	}
	var predicted [2]string
	for k, data := range []string{text, columns} {
		out := filepath.Join(dir, "p.csv")
		must(t, "predict", "--model", model, "--task", task, "--data", data, "--out", out)
		predicted[k] = mustRead(t, out)
	}
	if len(predicted[0]) < 10_000 || predicted[0] != predicted[1] {
		t.Errorf("predict: %d bytes from CSV, others from Parquet (%d)", len(predicted[0]), len(predicted[1]))
	}
	// through a pipe it is read from memory
	b, err := os.ReadFile(columns)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := agent(t, string(b), "drift", "--data", "-", "--column", "PM2.5"); err != nil || !strings.Contains(out, "adwin over 784 values") {
		t.Errorf("drift of Parquet on standard input = %s, %v", out, err)
	}
}

// forget deletes keys at any depth.
func forget(v any, keys ...string) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range keys {
			delete(v, k)
		}
		for _, x := range v {
			forget(x, keys...)
		}
	case []any:
		for _, x := range v {
			forget(x, keys...)
		}
	}
}
