package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/drift"
	"skerry.dev/test/realdata"
)

// driftJSON is what a reader of the report relies on.
type driftJSON struct {
	Detector      string
	Params        map[string]any
	Rows, Missing int
	Drifts        []int
	Warnings      []int
	NS            float64 `json:"ns_per_update"`
	Alarms        []struct {
		Index, Row, Line int
		Time             string
		Value            float64
	}
	Reference     string
	ReferenceRows int `json:"reference_rows"`
	Columns       []string
	Skipped       []string
	Reports       []struct {
		Row, Line int
		Drift     bool
		Joint     struct{ Drift bool }
		Features  []struct {
			Name  string
			P     float64 `json:"p_value"`
			Shift float64 `json:"shift_sd"`
		}
	}
}

func parseDrift(t *testing.T, text string) driftJSON {
	t.Helper()
	var r driftJSON
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return r
}

func TestDrift(t *testing.T) {
	var b strings.Builder
	b.WriteString("ts,x,stream\n")
	for i := range 2000 {
		v := float64(i%7) / 7
		if i >= 1000 {
			v += 3
		}
		cell := fmt.Sprint(v)
		if i%100 == 50 {
			cell = []string{"", "NA", "NaN"}[i/100%3]
		}
		fmt.Fprintf(&b, "t%d,%s,a\n,5,b\n", i, cell)
	}
	data := write(t, "d.csv", b.String())
	for _, args := range [][]string{{"adwin"}, {"page-hinkley", "--set", "threshold=20,mode=up"}, {"page-hinkley", "--threshold", "20"}, {"ks", "--reference", "500"}, {"ks", "--set", "reference=500", "--window", "64"}, {"kswin", "--set", "seed=3"}, {"cusum"}} {
		r := parseDrift(t, must(t, append([]string{"drift", "--data", data, "--column", "x", "--where", "stream=a", "--json", "-", "--detector"}, args...)...))
		if r.Detector != args[0] || r.Rows != 2000 || r.Missing != 20 || len(r.Drifts) == 0 || len(r.Alarms) != len(r.Drifts) || len(r.Params) < 4 || !(r.NS > 0) {
			t.Fatalf("drift by %v = %+v", args, r)
		}
		a := r.Alarms[0]
		if a.Row != r.Drifts[0] || a.Row < 1000 || a.Row > 1200 || a.Line != 2+2*a.Row || a.Time != fmt.Sprintf("t%d", a.Row) || a.Index != a.Row-(a.Row+50)/100 {
			t.Errorf("drift by %v at %+v, want the first soon after row 1000", args, a)
		}
	}
	r := parseDrift(t, must(t, "drift", "--data", data, "--column", "x", "--json"))
	if r.Rows != 4000 || r.Params["clock"] != 32.0 || r.Params["semantics"] != "river" {
		t.Errorf("report = %+v", r)
	}
	file := filepath.Join(t.TempDir(), "r.json")
	out := must(t, "drift", "--data", data, "--column", "x", "--where", "stream=a", "--json", file)
	if again := parseDrift(t, mustRead(t, file)); !strings.Contains(out, "adwin over 1980 values of x: ") || !strings.Contains(out, "ROW") || !strings.Contains(out, fmt.Sprintf("t%d", again.Drifts[0])) {
		t.Errorf("drift = %s", out)
	}
	if out, err := agent(t, b.String(), "drift", "--data", "-", "--column", "x", "--where", "stream=b"); err != nil || !strings.Contains(out, "0 drifts") {
		t.Errorf("drift of standard input = %s, %v", out, err)
	}

	refused(t, `--detector "nosuch": must be one of adwin, cusum, ddm`, "drift", "--data", data, "--column", "x", "--detector", "nosuch")
	refused(t, `adwin has no setting "threshold": there are delta (a number above 0 and below 1, default 0.002)`, "drift", "--data", data, "--column", "x", "--threshold", "3")
	refused(t, `adwin: delta "-1": must be a number above 0 and below 1`, "drift", "--data", data, "--column", "x", "--set", "delta=-1")
	refused(t, "must be key=value", "drift", "--data", data, "--column", "x", "--set", "delta")
	refused(t, `no column "y": there are ts, x, stream`, "drift", "--data", data, "--column", "y")
	refused(t, `column "ts" must hold a number in each row: 2000 of 2000 cells are none, the first is line 2, "t0"`, "drift", "--data", data, "--column", "ts")
	refused(t, "needs one", "drift", "--data", data)
	refused(t, "watches one --column", "drift", "--data", data, "--column", "x", "--columns", "x")
	refused(t, "inputs and ks do", "drift", "--data", data, "--column", "x", "--reference", "100")
	refused(t, "holds no number", "drift", "--data", write(t, "e.csv", "x\n\nNA\n"), "--column", "x")
	refused(t, "stream", "drift", "--data", data, "--column", "x", "--where", "nosuch=a")
	refused(t, "unknown command", "drift", "--data", data, "--column", "x", "R.json")
}

// TestDriftWarnings holds the warning zone, the help and the completion of names.
func TestDriftWarnings(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	var b strings.Builder
	b.WriteString("error\n")
	for i := range 2000 {
		fmt.Fprintln(&b, map[bool]int{true: 1}[rng.Float64() < []float64{0.1, 0.4}[i/1000]])
	}
	data := write(t, "e.csv", b.String())
	for _, name := range drift.Names() {
		r := parseDrift(t, must(t, "drift", "--data", data, "--column", "error", "--detector", name, "--json"))
		if slices.Contains([]string{"ddm", "rddm", "hddm-a", "hddm-w", "stepd", "ewma"}, name) && (len(r.Drifts) == 0 || len(r.Warnings) == 0) {
			t.Errorf("%s: drifts %v, warnings %v", name, r.Drifts, r.Warnings)
		}
		if r.Drifts == nil || r.Warnings == nil || r.Rows != 2000 {
			t.Errorf("%s: %+v, want lists", name, r)
		}
	}
	if r := parseDrift(t, must(t, "drift", "--data", data, "--column", "error", "--detector", "KS", "--reference", "500", "--json")); r.Params["reference"] != 500.0 {
		t.Errorf("a name in capital letters: %+v, want a reference of 500", r)
	}
	if out := must(t, "drift", "--data", data, "--column", "error", "--detector", "kswin", "--set", "seed=18446744073709551615", "--json"); !strings.Contains(out, `"seed": 18446744073709551615`) {
		t.Errorf("the largest seed is reported as %s", out)
	}
	help := must(t, "drift", "--help")
	for _, want := range append(drift.Names(), "inputs", "warning_level=2", "false_alarms=0.1") {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q", want)
		}
	}
	if out := must(t, "__complete", "drift", "--detector", ""); !strings.Contains(out, "hddm-a\n") || !strings.Contains(out, "inputs\n") {
		t.Errorf("completion of --detector = %s", out)
	}
	if out := must(t, "__complete", "drift", "--detector", "ddm", "--set", ""); !strings.Contains(out, "drift_level=") {
		t.Errorf("completion of --set = %s", out)
	}
}

// TestDriftOfRiver holds the command, on the shared streams, to the positions that river 0.7.0 has.
func TestDriftOfRiver(t *testing.T) {
	b, err := os.ReadFile(realdata.Path(t, "drift", "conformance_expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		DriftAt map[string]map[string][]int `json:"drift_at"`
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for of, args := range map[string][]string{"ADWIN": {"adwin", "--set", "semantics=river-0.7"}, "DDM": {"ddm", "--set", "semantics=river-0.7"}, "HDDM_A": {"HDDM_A"}, "PageHinkley_t10": {"page-hinkley", "--set", "semantics=river-0.7,threshold=10"}} {
		for _, stream := range []string{"b_02_05", "b_05_25"} {
			r := parseDrift(t, must(t, append([]string{"drift", "--data", realdata.Path(t, "drift", "conformance_streams.csv.gz"), "--column", "x", "--where", "stream=" + stream, "--json", "--detector"}, args...)...))
			if !slices.Equal(r.Drifts, want.DriftAt[stream][of]) {
				t.Errorf("%s on %s = %v, want %v", of, stream, r.Drifts, want.DriftAt[stream][of])
			}
		}
	}
}

func TestDriftOfInputs(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	rows := func(n, from int) string {
		var b strings.Builder
		b.WriteString("time,kind,temp,load,flow\n")
		for i := range n {
			temp, load, flow := 20+5*rng.NormFloat64(), rng.ExpFloat64(), rng.NormFloat64()
			if i >= from {
				load++
			}
			cell := fmt.Sprint(flow)
			if i%10 == 0 {
				cell = ""
			}
			fmt.Fprintf(&b, "t%d,%s,%g,%g,%s\n", i, []string{"a", "b"}[i%2], temp, load, cell)
		}
		return b.String()
	}
	data := write(t, "d.csv", rows(4000, 3000))
	r := parseDrift(t, must(t, "drift", "--data", data, "--reference", "2000", "--detector", "inputs", "--json", "-"))
	if r.Rows != 4000 || r.ReferenceRows != 2000 || !slices.Equal(r.Columns, []string{"temp", "load", "flow"}) || !slices.Equal(r.Skipped, []string{"time", "kind"}) || len(r.Drifts) != 1 || r.Drifts[0] < 3000 || r.Drifts[0] > 3300 {
		t.Fatalf("inputs = %+v", r)
	}
	if e := r.Reports[0]; !e.Drift || e.Line != e.Row+2 || e.Features[0].Name != "load" || !(e.Features[0].Shift > 0.3) || !(e.Features[0].P < 1e-3) {
		t.Errorf("report = %+v, want load first", e)
	}
	reference := write(t, "ref.csv", rows(2000, 2000))
	out := must(t, "drift", "--data", data, "--reference", reference, "--columns", "load,temp", "--detector", "inputs", "--set", "test=psi,window=400")
	if !strings.Contains(out, "inputs over 4000 rows of load, temp against 2000: 1 drifts") || !strings.Contains(out, "load") || strings.Contains(out, "flow") {
		t.Errorf("inputs = %s", out)
	}
	if out := must(t, "drift", "--data", reference, "--reference", "1000", "--detector", "inputs"); !strings.Contains(out, "0 drifts") || !strings.Contains(out, "left out, no numbers: time, kind") {
		t.Errorf("inputs without a change = %s", out)
	}
	refused(t, "needs the number of first rows", "drift", "--data", data, "--detector", "inputs")
	refused(t, "--reference 50: must be from 100 to less than the 4000 rows", "drift", "--data", data, "--reference", "50", "--detector", "inputs")
	refused(t, `"nosuch.csv": must be a number of rows or a file`, "drift", "--data", data, "--reference", "nosuch.csv", "--detector", "inputs")
	refused(t, `column "kind" must hold a number in each row`, "drift", "--data", data, "--reference", "500", "--columns", "kind", "--detector", "inputs")
	refused(t, "takes --columns", "drift", "--data", data, "--reference", "500", "--column", "load", "--detector", "inputs")
	refused(t, `inputs has no setting "delta": there are window (`, "drift", "--data", data, "--reference", "500", "--detector", "inputs", "--set", "delta=1")
	refused(t, "window 210: must be a multiple of the 25", "drift", "--data", data, "--reference", "500", "--detector", "inputs", "--set", "window=210")
	refused(t, "no column holds numbers", "drift", "--data", write(t, "x.csv", "a\nx\ny\n"), "--reference", "500", "--detector", "inputs")
}
