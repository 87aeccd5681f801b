package tables

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var bin string // folder of the programs

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tables")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		for _, args := range [][]string{{"-o", dir, "skerry.dev/hub/cmd/skerry-hub"}, {"-tags", "full", "-o", dir, "skerry.dev/agent/cmd/skerry-agent"}} {
			build := exec.Command("go", append([]string{"build", "-trimpath"}, args...)...)
			build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does
			if out, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
				return 1
			}
		}
		bin = dir
		return m.Run()
	}())
}

// folder is where a test works.
type folder struct {
	*testing.T
	dir string
}

func newFolder(t *testing.T) *folder {
	t.Parallel()
	return &folder{t, t.TempDir()}
}

// write writes a file of lines.
func (f *folder) write(name, text string) {
	f.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

// try runs a program and returns its standard output, all of its output, and its error.
func (f *folder) try(line string, more ...string) (out, all string, err error) {
	args := append(strings.Fields(line), more...)
	c := exec.Command(filepath.Join(bin, args[0]), args[1:]...)
	c.Dir = f.dir
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err = c.Run()
	return stdout.String(), stderr.String() + stdout.String(), err
}

// run is try for a command that must succeed.
func (f *folder) run(line string, more ...string) (out, all string) {
	f.Helper()
	out, all, err := f.try(line, more...)
	if err != nil {
		f.Fatalf("%s: %v\n%s", line, err, all)
	}
	return out, all
}

const gbdt = " --learner gbdt --set rounds=40,tune=off"

// metrics runs a command with --json and returns its figures.
func (f *folder) metrics(line string) map[string]float64 {
	f.Helper()
	out, _ := f.run(line + " --json -")
	var r struct {
		Rows    float64            `json:"rows_test"`
		Metrics map[string]float64 `json:"metrics"`
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		f.Fatalf("%s: %v\n%s", line, err, out)
	}
	r.Metrics["rows"] = r.Rows
	return r.Metrics
}

// predict returns the rows that predict answers, the header first.
func (f *folder) predict(data string, more ...string) [][]string {
	f.Helper()
	out, _ := f.run("skerry-agent predict --model m.skerry --out - --data "+data, more...)
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		f.Fatal(err)
	}
	for i, row := range rows[1:] {
		if row[0] != strconv.Itoa(i) {
			f.Fatalf("line %d answers row %s", i+2, row[0])
		}
	}
	return rows
}

func (f *folder) has(text string, want ...string) {
	f.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			f.Errorf("%q is not in %s", w, text)
		}
	}
}

// noise is a number from 0 to 1 that depends on i and k only.
func noise(i, k int) float64 {
	x := math.Sin(float64(i)*12.9898+float64(k)*78.233) * 43758.5453
	return x - math.Floor(x)
}

// lines builds a table of n rows.
func lines(header string, n int, row func(i int) string) string {
	var b strings.Builder
	b.WriteString(header + "\n")
	for i := range n {
		b.WriteString(row(i) + "\n")
	}
	return b.String()
}

// TestMissingMarks: fit, evaluate, predict and drift take the same texts for "missing", and a few
// cells that are none do not make text of a column of numbers.
func TestMissingMarks(t *testing.T) {
	for _, mark := range []string{"N/A", "#N/A", "NA", "n/a", "NULL", "null", "None", "NaN", "<NA>", "?", "-", "--", `\N`, "", " ", "5%", "#DIV/0!", "inf"} {
		t.Run(mark, func(t *testing.T) {
			f := newFolder(t)
			f.write("d.csv", lines("flow,pressure,y", 400, func(i int) string {
				a, b := noise(i, 1), noise(i, 2)
				cell := fmt.Sprintf("%.4f", a)
				if i%50 == 17 {
					cell = mark
				}
				return fmt.Sprintf("%s,%.4f,%.4f", cell, b, 3*a+b)
			}))
			_, all := f.run("skerry-hub fit --data d.csv --target y --out m.skerry" + gbdt)
			if r := f.metrics("skerry-hub evaluate --model m.skerry --data d.csv"); r["r2"] < 0.9 || r["rows"] != 400 {
				t.Errorf("figures %v", r)
			}
			if rows := f.predict("d.csv"); len(rows) != 401 {
				t.Errorf("%d lines of predictions", len(rows))
			}
			out, _ := f.run("skerry-agent drift --data d.csv --column flow")
			f.has(out, "over 392 values of flow")
			if mark == "5%" || mark == "inf" {
				f.has(all, `column "flow": 8 of 400 cells are`, "the first is line 19")
			}
		})
	}
}

// TestMarksOfOnesOwn: --missing names them in place of the usual ones.
func TestMarksOfOnesOwn(t *testing.T) {
	f := newFolder(t)
	f.write("d.csv", lines("a,kind,y", 300, func(i int) string {
		a, cell := noise(i, 1), fmt.Sprintf("%.4f", noise(i, 1))
		if i%20 == 7 {
			cell = "-999"
		}
		return fmt.Sprintf("%s,%s,%.4f", cell, []string{"NA", "EU"}[i%2], a+float64(i%2)*5)
	}))
	f.run("skerry-hub fit --data d.csv --target y --missing -999 --out m.skerry" + gbdt)
	if r := f.metrics("skerry-hub evaluate --model m.skerry --data d.csv --missing -999"); r["r2"] < 0.98 {
		t.Errorf("figures %v: NA is a continent here, and -999 no number", r)
	}
}

// TestOneCellOfText: the column that --series names stays the one that is watched.
func TestOneCellOfText(t *testing.T) {
	f := newFolder(t)
	table := func(bad bool) string {
		return lines("n,level", 1200, func(i int) string {
			v := math.Sin(float64(i) / 7)
			if i == 900 {
				v += 9
			}
			cell := fmt.Sprintf("%.4f", v)
			if bad && i%150 == 40 {
				cell = "out of order"
			}
			return fmt.Sprintf("%d,%s", i, cell)
		})
	}
	f.write("good.csv", table(false))
	f.write("bad.csv", table(true))
	for _, name := range []string{"good", "bad"} {
		out, all := f.run("skerry-agent anomaly --series level --data " + name + ".csv")
		f.has(out, "rows of level", "\n900 ")
		if name == "bad" {
			f.has(all, `8 of 1200 cells are no number`, "out of order")
		}
	}
	f.write("epochs.csv", lines("ts,level", 1200, func(i int) string {
		return fmt.Sprintf("%d,%.4f", 1700000000000+60000*i, math.Sin(float64(i)/7)+map[bool]float64{true: 9}[i == 900])
	}))
	out, all := f.run("skerry-agent anomaly --data epochs.csv")
	f.has(all, `column "ts" holds counts since 1970 and is taken for the time`)
	f.has(out, "rows of level:", "2023-11-15T")
	f.write("text.csv", lines("n,level", 300, func(i int) string { return fmt.Sprintf("%d,v%d", i, i) }))
	if _, all, err := f.try("skerry-agent anomaly --series level --data text.csv"); err == nil {
		t.Errorf("a column of 300 texts was watched: %s", all)
	}
}

// TestTypesAreTheArtifacts: a column keeps the type that it was trained with, whatever a later file
// makes it look like, and labels keep their spelling.
func TestTypesAreTheArtifacts(t *testing.T) {
	f := newFolder(t)
	row := func(codes ...string) func(i int) string {
		return func(i int) string {
			k := i % len(codes)
			return fmt.Sprintf("%s,%.3f,%.3f", codes[k], noise(i, 1), float64(len(codes[k]))+float64(codes[k][len(codes[k])-1]))
		}
	}
	f.write("train.csv", lines("plant,x,y", 300, row("01", "02", "003", "K4")))
	f.write("test.csv", lines("plant,x,y", 60, row("01", "02", "003")))
	f.run("skerry-hub fit --data train.csv --target y --out m.skerry" + gbdt)
	r := f.metrics("skerry-hub evaluate --model m.skerry --data test.csv")
	if r["rmse"] > 0.2 {
		t.Errorf("evaluate: %v", r)
	}
	rows := f.predict("test.csv")
	sum := 0.0
	for i, p := range rows[1:] {
		y, err := strconv.ParseFloat(p[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := strconv.ParseFloat(strings.Split(row("01", "02", "003")(i), ",")[2], 64)
		sum += (y - want) * (y - want)
	}
	if rmse := math.Sqrt(sum / 60); math.Abs(rmse-r["rmse"]) > 1e-9 {
		t.Errorf("predict has an RMSE of %v, evaluate %v", rmse, r["rmse"])
	}

	f.write("ids.csv", lines("a,y", 300, func(i int) string {
		return fmt.Sprintf("%.4f,%d", float64(i%3)+noise(i, 1)/2, int64(10_000_000_000_000_000)+int64(i%3))
	}))
	f.run("skerry-hub fit --data ids.csv --target y --out m.skerry" + gbdt)
	if head := f.predict("ids.csv")[0]; len(head) != 8 || head[6] != "p_10000000000000001" {
		t.Errorf("classes %q of identifiers beyond 2^53", head)
	}
	if r := f.metrics("skerry-hub evaluate --model m.skerry --data ids.csv"); r["accuracy"] < 0.99 {
		t.Errorf("evaluate: %v", r)
	}
	f.write("labels.csv", lines("a,y", 300, func(i int) string {
		k := i % 3
		return fmt.Sprintf("%.4f,%s", float64(k)+noise(i, 1)/2, []string{"007", "1000000", "20000000"}[k])
	}))
	f.run("skerry-hub fit --data labels.csv --target y --out m.skerry" + gbdt)
	if head := f.predict("labels.csv")[0]; !slices.Equal(head[5:], []string{"p_007", "p_1000000", "p_20000000"}) {
		t.Errorf("classes %q", head)
	}
	if r := f.metrics("skerry-hub evaluate --model m.skerry --data labels.csv"); r["accuracy"] < 0.99 || r["rows"] != 300 {
		t.Errorf("evaluate: %v", r)
	}
}

// TestOneRowForEach: predict answers every row, in order: with a category that it does not know,
// without any value, with a column named like a clock, with the parts of a date as inputs.
func TestOneRowForEach(t *testing.T) {
	f := newFolder(t)
	f.write("d.csv", lines("Time,day, kind ,year,month,y", 300, func(i int) string {
		if i%10 == 3 {
			return fmt.Sprintf(",,,,,%d", i%7)
		}
		return fmt.Sprintf("%.1f,%d, %s,%d,%d,%d", noise(i, 1)*50, 1+i*17%28, []string{"x", "y"}[i%2], 2020+i%3, 12-i%12, i%7)
	}))
	f.run("skerry-hub fit --data d.csv --target y --kind regression --out m.skerry" + gbdt)
	if rows := f.predict("d.csv"); len(rows) != 301 || rows[1][1] != "" {
		t.Errorf("%d lines of predictions, the first %q", len(rows), rows[1])
	}
	f.write("new.csv", "Time,day,kind,year,month\n1,2,NEW,2020,1\n,,,,\n1,2,x,2020,1\n")
	if rows := f.predict("new.csv"); len(rows) != 4 || slices.ContainsFunc(rows[1:], func(r []string) bool { return r[2] == "" }) {
		t.Errorf("predictions %q", rows)
	}
	_, all := f.run("skerry-agent predict --model m.skerry --data new.csv --out p.csv")
	f.has(all, `1 cell is a category that the model does not know and counts as missing: line 2, "NEW"`)
}

// TestNamesAlike: two columns that differ in punctuation, case or script alone stay two.
func TestNamesAlike(t *testing.T) {
	for _, names := range [][2]string{{"temp_1", "temp.1"}, {"Load", "LOAD"}, {"α", "β"}, {"t (°C)", "t (°F)"}, {"Δp", "Δp "}} {
		t.Run(names[0], func(t *testing.T) {
			f := newFolder(t)
			f.write("d.csv", lines(names[0]+","+names[1]+",y", 300, func(i int) string {
				a, b := noise(i, 1), noise(i, 2)
				return fmt.Sprintf("%.4f,%.4f,%.4f", a, b, a-2*b)
			}))
			f.run("skerry-hub fit --data d.csv --target y --out m.skerry" + gbdt)
			r := f.metrics("skerry-hub evaluate --model m.skerry --data d.csv")
			sum := 0.0
			for i, p := range f.predict("d.csv")[1:] {
				y, _ := strconv.ParseFloat(p[2], 64)
				sum += math.Pow(y-(noise(i, 1)-2*noise(i, 2)), 2)
			}
			if rmse := math.Sqrt(sum / 300); rmse > 0.2 || math.Abs(rmse-r["rmse"]) > 1e-3 {
				t.Errorf("RMSE %v of predict, %v of evaluate", rmse, r["rmse"])
			}
		})
	}
	f := newFolder(t)
	f.write("d.csv", lines("temp_1,y", 300, func(i int) string { return fmt.Sprintf("%.3f,%.3f", noise(i, 1), noise(i, 1)) }))
	f.run("skerry-hub fit --data d.csv --target y --out m.skerry" + gbdt)
	f.write("two.csv", "Temp 1,TEMP-1\n1,2\n")
	_, all, err := f.try("skerry-agent predict --model m.skerry --data two.csv --out -")
	if err == nil {
		t.Error("one of two columns was chosen")
	}
	f.has(all, `column "Temp 1" or column "TEMP-1"`)
}

// TestDialects: one table as it is written elsewhere gives one model's errors.
func TestDialects(t *testing.T) {
	f := newFolder(t)
	table := func(comma, decimal, quote, end, mark string) string {
		var b strings.Builder
		b.WriteString(mark)
		row := func(cells ...string) {
			for j, c := range cells {
				if j > 0 {
					b.WriteString(comma)
				}
				b.WriteString(quote + c + quote)
			}
			b.WriteString(end)
		}
		row("a", "b", "kind", "y")
		for i := range 300 {
			x, z := noise(i, 1)*2000, noise(i, 2)
			n := func(v float64) string { return strings.Replace(fmt.Sprintf("%.3f", v), ".", decimal, 1) }
			row(n(x), n(z), []string{"red", "blue"}[i%2], n(x/1000+z+float64(i%2)))
		}
		return b.String()
	}
	f.write("plain.csv", table(",", ".", "", "\n", ""))
	f.run("skerry-hub fit --data plain.csv --target y --out m.skerry" + gbdt)
	want := f.metrics("skerry-hub evaluate --model m.skerry --data plain.csv")
	first := f.predict("plain.csv")
	for name, text := range map[string]string{
		"semicolons": table(";", ".", "", "\n", ""), "decimal-comma": table(";", ",", "", "\r\n", ""), "tabs": table("\t", ",", "", "\n", ""),
		"bars": table("|", ".", "", "\n", ""), "excel": table(";", ",", `"`, "\r\n", "\ufeff"), "quoted": table(",", ".", `"`, "\r\n", "\ufeff"),
		"quoted-commas": table(",", ",", `"`, "\n", ""), "sep": "sep=;\n" + table(";", ",", "", "\n", ""),
	} {
		f.write(name+".csv", text)
		for k, v := range f.metrics("skerry-hub evaluate --model m.skerry --data " + name + ".csv") {
			if math.Abs(v-want[k]) > 1e-9 {
				t.Errorf("%s: %s is %v, want %v", name, k, v, want[k])
			}
		}
		if rows := f.predict(name + ".csv"); !slices.EqualFunc(rows, first, slices.Equal) {
			t.Errorf("%s: predictions differ", name)
		}
		out, _ := f.run("skerry-agent drift --column a --data " + name + ".csv")
		f.has(out, "over 300 values of a")
	}
	f.write("odd.csv", "a;b;kind;y\n1.234;1;red;2\n")
	given := f.predict("odd.csv", "--decimal", ",", "--delimiter", ";")
	f.write("same.csv", "a,b,kind,y\n1234,1,red,2\n")
	if same := f.predict("same.csv"); !slices.Equal(given[1], same[1]) {
		t.Errorf("1.234 with a decimal comma gives %q, 1234 gives %q", given[1], same[1])
	}
	f.has(func() string {
		_, all, _ := f.try("skerry-hub fit --data plain.csv --target y --delimiter :")
		return all
	}(), "must be one of")
}

// TestTimes: a forecast is learned from times as programs write them.
func TestTimes(t *testing.T) {
	for name, layout := range map[string]func(hour int) string{
		"pandas":  func(h int) string { return fmt.Sprintf("2024-03-%02d %02d:00:00+00:00", 1+h/24, h%24) },
		"minutes": func(h int) string { return fmt.Sprintf("2024/03/%02d %02d:00", 1+h/24, h%24) },
		"german":  func(h int) string { return fmt.Sprintf("%02d.03.2024 %02d:00", 1+h/24, h%24) },
		"british": func(h int) string { return fmt.Sprintf("%02d/03/2024 %02d:00", 1+h/24, h%24) },
		"seconds": func(h int) string { return strconv.Itoa(1709251200 + 3600*h) },
		"millis":  func(h int) string { return strconv.Itoa(1709251200+3600*h) + "000" },
		"micros":  func(h int) string { return strconv.Itoa(1709251200+3600*h) + "000000" },
		"nanos":   func(h int) string { return strconv.Itoa(1709251200+3600*h) + "000000000" },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			f.write("d.csv", lines("when,v", 600, func(i int) string {
				return fmt.Sprintf("%s,%.3f", layout(i), 10*math.Sin(float64(i)*math.Pi/12)+noise(i, 1))
			}))
			r := f.metrics("skerry-hub fit --data d.csv --target v --time when --horizon 1h --learner linear --trials 1 --out m.skerry")
			if r["rows"] < 100 || r["mae"] > r["mae_last_value"] {
				t.Errorf("figures %v", r)
			}
			rows := f.predict("d.csv", "--time", "when")
			if len(rows) != 601 || rows[1][1] != "2024-03-01T00:00:00Z" {
				t.Errorf("%d predictions, the first %q", len(rows)-1, rows[1])
			}
		})
	}
	f := newFolder(t)
	f.write("d.csv", lines("when,v", 300, func(i int) string { return fmt.Sprintf("%02d/03/2024 %02d:00,%d", 1+i/24%12, i%24, i) }))
	_, all, err := f.try("skerry-hub fit --data d.csv --target v --time when --horizon 1h --learner linear --trials 1")
	if err == nil {
		t.Error("dates with two meanings were read")
	}
	f.has(all, `column "when" must hold a time`)
	f.run("skerry-hub fit --data d.csv --target v --time when --horizon 1h --learner linear --trials 1 --time-format", "%d/%m/%Y %H:%M")
}

// TestFewRows: the default learns from few rows, and says how it judged.
func TestFewRows(t *testing.T) {
	f := newFolder(t)
	f.write("d.csv", lines("a,b,y", 60, func(i int) string {
		return fmt.Sprintf("%.4f,%.4f,%.4f", noise(i, 1), noise(i, 2), noise(i, 1)+noise(i, 2))
	}))
	_, all := f.run("skerry-hub fit --data d.csv --target y --trials 6 --out m.skerry")
	f.has(all, "labelled rows to learn from: models are compared on four folds", "R²")
	if rows := f.predict("d.csv"); len(rows) != 61 {
		t.Errorf("%d lines of predictions", len(rows))
	}
}

// TestNothingBesideAnError: a fit whose report cannot be written is refused before the work, and an
// old artifact is as it was; predictions that fail leave no file.
func TestNothingBesideAnError(t *testing.T) {
	f := newFolder(t)
	f.write("d.csv", lines("a,y", 100, func(i int) string { return fmt.Sprintf("%.4f,%.4f", noise(i, 1), noise(i, 1)) }))
	f.write("m.skerry", "old")
	if _, all, err := f.try("skerry-hub fit --data d.csv --target y --out m.skerry --json none/r.json" + gbdt); err == nil {
		t.Errorf("a report into no folder: %s", all)
	}
	if b, err := os.ReadFile(filepath.Join(f.dir, "m.skerry")); err != nil || string(b) != "old" {
		t.Errorf("the artifact is %q, %v", b, err)
	}
	f.run("skerry-hub fit --data d.csv --target y --out m.skerry" + gbdt)
	f.write("cut.csv", "a,b\n1,2\n2,3,4\n")
	if _, _, err := f.try("skerry-agent predict --model m.skerry --data cut.csv --out p.csv"); err == nil {
		t.Error("a broken table was predicted")
	}
	if left, err := filepath.Glob(filepath.Join(f.dir, "*p.csv*")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestInfiniteReport: infinite cells are missing for every learner, and a report has no number that
// JSON cannot hold.
func TestInfiniteReport(t *testing.T) {
	f := newFolder(t)
	f.write("d.csv", lines("a,b,y", 300, func(i int) string {
		a := fmt.Sprintf("%.4f", noise(i, 1))
		if i%90 == 5 {
			a = "-Infinity"
		}
		return fmt.Sprintf("%s,%.4f,%.4f", a, noise(i, 2), noise(i, 1)+noise(i, 2))
	}))
	for _, how := range []string{" --trials 2", " --learner linear", " --learner forest", gbdt} {
		out, all := f.run("skerry-hub fit --data d.csv --target y --out m.skerry --json -" + how)
		if !json.Valid([]byte(out)) {
			t.Errorf("%s: %s", how, out)
		}
		f.has(all, `column "a": 4 of 300 cells are infinite`, "the first is line 7")
		f.predict("d.csv")
	}
}

// TestOldBinary: an XGBoost model in the old binary format gets the advice that there is for it.
func TestOldBinary(t *testing.T) {
	f := newFolder(t)
	b := binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.5))
	b = binary.LittleEndian.AppendUint32(b, 12) // features
	f.write("old.model", string(append(b, make([]byte, 180)...)))
	_, all, err := f.try("skerry-hub import-model old.model --task t --out o.skerry")
	if err == nil {
		t.Error("it was imported")
	}
	f.has(all, "XGBoost's old binary format", "save it as JSON or UBJSON")
}

// TestDecisionValues: no probability is outside 0 and 1, and the import says what was done.
func TestDecisionValues(t *testing.T) {
	f := newFolder(t)
	scores, err := filepath.Abs("../../../compute/interchange/testdata/scores.onnx")
	if err != nil {
		t.Fatal(err)
	}
	_, all := f.run("skerry-hub import-model " + scores + " --task t --inputs left,right --out m.skerry")
	f.has(all, "decision values for the classes, no probabilities", "its inputs are left, right", "its classes are high, low, mid")
	f.write("d.csv", "right,left\n0,3\n-2,-2\n")
	rows := f.predict("d.csv")
	for i, want := range []string{"high", "low"} {
		sum := 0.0
		for _, cell := range rows[i+1][5:] {
			p, err := strconv.ParseFloat(cell, 64)
			if sum += p; err != nil || p < 0 || p > 1 {
				t.Errorf("probability %q", cell)
			}
		}
		if rows[i+1][2] != want || math.Abs(sum-1) > 1e-9 {
			t.Errorf("row %d is %q, probabilities add up to %v", i, rows[i+1], sum)
		}
	}
}

// TestParquet: every command reads it, with the same result for every codec.
func TestParquet(t *testing.T) {
	f := newFolder(t)
	folder, err := filepath.Abs("../../../sync/parquet/testdata")
	if err != nil {
		t.Fatal(err)
	}
	f.run("skerry-hub fit --target gap --drop at,day,code --out m.skerry --data " + filepath.Join(folder, "pyarrow-zstd.parquet") + gbdt)
	want := f.metrics("skerry-hub evaluate --model m.skerry --data " + filepath.Join(folder, "truth.csv"))
	first := f.predict(filepath.Join(folder, "truth.csv"))
	for _, name := range []string{"pyarrow-lz4", "duckdb-lz4_raw", "polars-lz4", "polars-brotli", "duckdb-gzip", "pyarrow-snappy", "pyarrow-none"} {
		path := filepath.Join(folder, name+".parquet")
		for k, v := range f.metrics("skerry-hub evaluate --model m.skerry --data " + path) {
			if math.Abs(v-want[k]) > 1e-9 {
				t.Errorf("%s: %s is %v, want %v", name, k, v, want[k])
			}
		}
		if rows := f.predict(path); !slices.EqualFunc(rows, first, slices.Equal) {
			t.Errorf("%s: predictions differ", name)
		}
	}
	digest := func(name string) any {
		out, _ := f.run("skerry-hub fit --target gap --drop at,day,code --json - --data " + filepath.Join(folder, name) + gbdt)
		var r map[string]any
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		return r["digest"]
	}
	if a, b := digest("pyarrow-zstd.parquet"), digest("pyarrow-lz4.parquet"); a != b {
		t.Errorf("the same table gives the artifacts %v and %v", a, b)
	}
	lz4 := filepath.Join(folder, "duckdb-lz4_raw.parquet")
	out, _ := f.run("skerry-agent drift --column noise --data " + lz4)
	f.has(out, "over 150 values of noise")
	out, _ = f.run("skerry-agent anomaly --columns noise,price --train 100 --data " + lz4)
	f.has(out, "rows of noise, price")
	out, _ = f.run("skerry-agent replay --target gap --learner linear --data " + lz4)
	f.has(out, "labelled rows")
}

// TestUnits: a model predicts from numbers in the unit that it has learned, or without one, and
// refuses others, as do what scores it and what explains it.
func TestUnits(t *testing.T) {
	f := newFolder(t)
	table := func(mass float64, unit, money string) string {
		return lines("mass,x,price", 200, func(i int) string {
			m, x := 5+5*noise(i, 1), noise(i, 2)
			return fmt.Sprintf("%.1f%s,%.3f,%s%.2f", m*mass, unit, x, money, 3*m+x)
		})
	}
	f.write("kg.csv", table(1, " kg", "€"))
	f.write("plain.csv", table(1, "", ""))
	f.write("g.csv", table(1000, " g", "€"))
	f.write("usd.csv", table(1, " kg", "$"))
	for _, learner := range []string{gbdt, " --trials 2"} {
		f.run("skerry-hub fit --data kg.csv --target price --out m.skerry" + learner)
		want := f.metrics("skerry-hub evaluate --model m.skerry --data kg.csv")["rmse"]
		if got := f.metrics("skerry-hub evaluate --model m.skerry --data plain.csv")["rmse"]; got != want {
			t.Errorf("%s: RMSE %v without units, %v with them", learner, got, want)
		}
		f.predict("usd.csv") // has the inputs' units
		for _, line := range []string{
			"skerry-hub evaluate --model m.skerry --data g.csv",
			"skerry-hub explain --model m.skerry --data g.csv",
			"skerry-agent predict --model m.skerry --data g.csv --out none.csv",
			"skerry-hub evaluate --model m.skerry --data usd.csv",
			"skerry-hub fit --data kg.csv --test g.csv --target price --out none.skerry" + learner,
		} {
			_, all, err := f.try(line)
			want := `column "mass" holds numbers with the unit g, the model has learned from numbers with kg`
			if strings.Contains(line, "usd") {
				want = `column "price" holds numbers with the unit $, the model has learned from numbers with €`
			}
			if err == nil || !strings.Contains(all, want) {
				t.Errorf("%s: %v, %s; want %s", line, err, all, want)
			}
		}
	}
	if found, _ := filepath.Glob(filepath.Join(f.dir, "none*")); len(found) > 0 {
		t.Errorf("%v beside an error", found)
	}
}

// TestCaseOfNames: classes and categories in another case are those that the model has learned,
// which is said, but where it has learned both.
func TestCaseOfNames(t *testing.T) {
	f := newFolder(t)
	f.write("d.csv", lines("kind,x,y", 200, func(i int) string {
		k := int(3 * noise(i, 1))
		return fmt.Sprintf("%s,%.3f,%s", []string{"Red", "Blue", "blue"}[k], noise(i, 2), []string{"yes", "no", "no"}[k])
	}))
	f.run("skerry-hub fit --data d.csv --target y --out m.skerry" + gbdt)
	f.write("loud.csv", "kind,x,y\nRED,0.5,YES\nBlue,0.5,No\nblue,0.5,no\nBLUE,0.5,no\nRed,0.5,yes\n")
	out, all := f.run("skerry-hub evaluate --model m.skerry --data loud.csv")
	f.has(all, `column "kind": 1 of 5 cells is written in another case than the category is: the first is row 1, "RED", read as "Red"`,
		`column "kind": 1 cell is a category that the model does not know and counts as missing: row 4, "BLUE"`,
		`column "y": 2 of 5 cells are written in another case than the category is: the first is row 1, "YES", read as "yes"`)
	f.has(out, "rows", "5")
	_, all = f.run("skerry-agent predict --model m.skerry --data loud.csv --out p.csv")
	f.has(all, `column "kind": 1 of 5 cells is written in another case than the category is: the first is line 2, "RED", read as "Red"`)
	if rows := f.predict("loud.csv"); rows[1][5] != rows[5][5] {
		t.Errorf("RED is predicted as %q, Red as %q", rows[1], rows[5])
	}
}

// TestWhatPredictSays: rows without a prediction are counted, numbers in another scale are named,
// and the columns that a table has are listed whole.
func TestWhatPredictSays(t *testing.T) {
	f := newFolder(t)
	f.write("d.csv", lines("a,b,other,y", 200, func(i int) string {
		return fmt.Sprintf("%.3f,%.3f,7,%.3f", 1+noise(i, 1), noise(i, 2), noise(i, 1)+noise(i, 2))
	}))
	f.run("skerry-hub fit --data d.csv --target y --drop other --out m.skerry" + gbdt)
	f.write("far.csv", "a,b\n1371,0.5\n1888,0.25\n")
	_, all := f.run("skerry-agent predict --model m.skerry --data far.csv --out p.csv")
	f.has(all, `column "a": 2 of 2 values are more than 100 times as large as any that the model has learned from (1`, "the first is 1371")
	_, all = f.run("skerry-agent predict --model m.skerry --data d.csv --out p.csv")
	if strings.Contains(all, "times as large") || !strings.Contains(all, "predicted 200 rows with") {
		t.Errorf("its own table: %s", all)
	}
	f.write("short.csv", "other,b,y,z\n1,2,3,4\n")
	_, all, err := f.try("skerry-hub evaluate --model m.skerry --data short.csv")
	if err == nil {
		t.Error("evaluate without a column that the model needs succeeds")
	}
	f.has(all, `there is no column "a": there are b, y, other, z`)

	f.write("s.csv", lines("ts,y", 120, func(i int) string {
		return fmt.Sprintf("2026-01-%02dT%02d:00:00Z,%.3f", 1+i/24, i%24, noise(i, 1))
	}))
	f.run("skerry-hub fit --data s.csv --target y --time ts --horizon 1h --trials 1 --out s.skerry")
	f.write("none.csv", "ts,q\n2026-02-01,1\n2026-02-02,2\n2026-02-03,2\n")
	f.write("some.csv", "ts,y\n2026-02-01T00:00:00Z,1\n,2\n2026-02-01T01:00:00Z,2\n")
	_, all = f.run("skerry-agent predict --model s.skerry --data some.csv --out p.csv")
	f.has(all, "predicted 2 of 3 rows, the others have none, with")
}
