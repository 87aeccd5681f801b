// Command dialects holds that a table is the same table however it is written. It fits, evaluates
// and predicts by the real commands on every public table and on each of them rewritten as CSV in
// five dialects and as Parquet in six codecs, and demands the same errors to 1e-9: of the fit's own
// test rows, of the first model on every rewriting, and between evaluate and predict.
//
//	SKERRY_DATA=../shared/data make dialects
package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

// named are the tables whose target is not called target.
var named = map[string]struct {
	target string
	drop   []string
}{
	"adult":              {"income", []string{"split"}},
	"occupancy":          {"Occupancy", []string{"split", "date"}},
	"bike_sharing_hour":  {"cnt", []string{"instant", "dteday", "casual", "registered"}},
	"california_housing": {"median_house_value", nil},
	"ccpp":               {"PE", nil},
}

const tolerance = 1e-9

func main() {
	data := flag.String("data", os.Getenv("SKERRY_DATA"), "folder of the public data (SKERRY_DATA)")
	bin := flag.String("bin", "", "folder with skerry-hub and the full build of skerry-agent as skerry-agent-full")
	only := flag.String("only", "", "tables whose names contain this")
	flag.Parse()
	if err := run(*data, *bin, *only); err != nil {
		fmt.Fprintln(os.Stderr, "dialects:", err)
		os.Exit(1)
	}
}

func run(data, bin, only string) error {
	paths, err := filepath.Glob(filepath.Join(data, "tabular", "*.csv.gz"))
	if err != nil {
		return err
	}
	more, err := filepath.Glob(filepath.Join(data, "tabular", "meta", "*.csv.gz"))
	if err != nil {
		return err
	}
	if paths = append(paths, more...); len(paths) == 0 {
		return errors.New("no tables: set SKERRY_DATA or --data")
	}
	dir, err := os.MkdirTemp("", "dialects")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "table\trows\twritings\tlargest difference\t")
	tables, wrong := 0, 0
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".csv.gz")
		if !strings.Contains(name, only) {
			continue
		}
		t := &table{name: name, path: path, dir: dir, bin: bin, target: "target"}
		if n, ok := named[name]; ok {
			t.target, t.drop = n.target, n.drop
		}
		problems, err := t.check()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		tables++
		fmt.Fprintf(out, "%s\t%d\t%d\t%.1g\t\n", name, t.f.Rows, len(writings), t.largest)
		if err := out.Flush(); err != nil {
			return err
		}
		for _, p := range problems {
			fmt.Println("  ", p)
		}
		wrong += len(problems)
	}
	fmt.Printf("%d tables in %d writings each: %d differences\n", tables, len(writings), wrong)
	if wrong > 0 {
		return fmt.Errorf("%d differences", wrong)
	}
	return nil
}

// table is one of the public tables.
type table struct {
	name, path, dir, bin, target string
	drop                         []string
	f                            *frame.Frame
	largest                      float64
}

// errs are the figures of a fit, an evaluation or a prediction, by name.
type errs map[string]float64

// check returns what differs.
func (t *table) check() (problems []string, err error) {
	file, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if t.f, err = tabular.Read(file, tabular.Options{}); err != nil {
		return nil, err
	}
	base, model, err := t.fit(t.path, "base")
	if err != nil {
		return nil, err
	}
	eval, err := t.evaluate(model, t.path)
	if err != nil {
		return nil, err
	}
	compare := func(what string, got, want errs) {
		for name, w := range want {
			g, ok := got[name]
			d := math.Abs(g-w) / max(1, math.Abs(w))
			if t.largest = max(t.largest, d); !ok || !(d <= tolerance) {
				problems = append(problems, fmt.Sprintf("%s: %s is %v, want %v", what, name, g, w))
			}
		}
	}
	predicted, err := t.predict(model, t.path)
	if err != nil {
		return nil, err
	}
	compare("predict of the table itself", predicted, shared(eval, predicted))
	for _, w := range writings {
		path := filepath.Join(t.dir, t.name+w.suffix)
		if err := w.write(path, t.f); err != nil {
			return nil, fmt.Errorf("write %s: %w", w.name, err)
		}
		own, ownModel, err := t.fit(path, "own")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		compare(w.name+": fit", own, base)
		for what, m := range map[string]string{"the first model": model, "its own model": ownModel} {
			e, err := t.evaluate(m, path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			compare(w.name+": evaluate "+what, e, eval)
			p, err := t.predict(m, path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			compare(w.name+": predict by "+what, p, predicted)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return problems, nil
}

// shared are the figures of a that b has too.
func shared(a, b errs) errs {
	out := errs{}
	for name, v := range a {
		if _, ok := b[name]; ok {
			out[name] = v
		}
	}
	return out
}

// command runs one of the programs and returns its standard output.
func (t *table) command(program string, args ...string) ([]byte, error) {
	var out, errOut bytes.Buffer
	c := exec.Command(filepath.Join(t.bin, program), args...)
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", program, args[0], err, errOut.String())
	}
	return out.Bytes(), nil
}

// report is what fit and evaluate answer.
type report struct {
	Rows    int                `json:"rows_test"`
	Inputs  int                `json:"inputs"`
	Metrics map[string]float64 `json:"metrics"`
}

func (r *report) errs() errs {
	out := errs{"rows": float64(r.Rows), "inputs": float64(r.Inputs)}
	for name, v := range r.Metrics {
		out[name] = v
	}
	return out
}

func (t *table) fit(path, name string) (errs, string, error) {
	model := filepath.Join(t.dir, name+".skerry")
	args := []string{"fit", "--data", path, "--target", t.target, "--learner", "gbdt", "--set", "rounds=15,leaves=15,tune=off", "--out", model, "--json", "-"}
	for _, d := range t.drop {
		args = append(args, "--drop", d)
	}
	b, err := t.command("skerry-hub", args...)
	if err != nil {
		return nil, "", err
	}
	var r report
	err = json.Unmarshal(b, &r)
	return r.errs(), model, err
}

func (t *table) evaluate(model, path string) (errs, error) {
	b, err := t.command("skerry-hub", "evaluate", "--model", model, "--data", path, "--json", "-")
	if err != nil {
		return nil, err
	}
	var r report
	err = json.Unmarshal(b, &r)
	return r.errs(), err
}

// predict returns the errors of the predictions, and how many rows there are.
func (t *table) predict(model, path string) (errs, error) {
	b, err := t.command("skerry-agent-full", "predict", "--model", model, "--data", path, "--out", "-")
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) != t.f.Rows+1 {
		return nil, fmt.Errorf("predict answers %d of %d rows", len(rows)-1, t.f.Rows)
	}
	truth, err := tabular.Column(t.f, t.target)
	if err != nil {
		return nil, err
	}
	at := slices.Index(rows[0], "prediction")
	var classes []string
	for _, name := range rows[0] {
		if class, ok := strings.CutPrefix(name, "p_"); ok {
			classes = append(classes, class)
		}
	}
	book := tabular.NewCodebook(classes)
	right, square, n := 0.0, 0.0, 0.0
	for i, row := range rows[1:] {
		y := truth.Values[i]
		if row[0] != strconv.Itoa(i) {
			return nil, fmt.Errorf("line %d answers row %s", i+2, row[0])
		}
		if math.IsNaN(y) {
			continue
		}
		n++
		if k := slices.Index(classes, row[at]); k >= 0 {
			if book.Index(text(truth, i)) == k {
				right++
			}
			continue
		}
		p, err := strconv.ParseFloat(row[at], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
		square += (p - y) * (p - y)
	}
	if classes != nil {
		return errs{"rows": n, "accuracy": right / n}, nil
	}
	return errs{"rows": n, "rmse": math.Sqrt(square / n)}, nil
}
