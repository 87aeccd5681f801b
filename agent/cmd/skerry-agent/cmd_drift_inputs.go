package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/compute/drift/inputs"
	"skerry.dev/compute/tabular"
)

// inputsReport is what the detector inputs adds to a report. The rows of drifts are those at
// which a drift began.
type inputsReport struct {
	Reference     string        `json:"reference"` // the file, or the first rows of the data
	ReferenceRows int           `json:"reference_rows"`
	Columns       []string      `json:"columns"`
	Skipped       []string      `json:"skipped"` // columns that hold no numbers
	Reports       []inputsEvent `json:"reports"`
}

// inputsEvent is a report of the watcher.
type inputsEvent struct {
	Row      int            `json:"row"`
	Line     int            `json:"line"`
	Time     string         `json:"time,omitempty"`
	Drift    bool           `json:"drift"` // false: the rows look like the reference again
	Joint    inputsJoint    `json:"joint"`
	Features []inputsNaming `json:"features"` // most responsible first
}

type inputsJoint struct {
	Drift     bool    `json:"drift"`
	Statistic float64 `json:"statistic"`
	PValue    float64 `json:"p_value"`
}

type inputsNaming struct {
	Name        string  `json:"name"`
	Statistic   float64 `json:"statistic"`
	PValue      float64 `json:"p_value"`
	Shift       float64 `json:"shift_sd"`
	PSI         float64 `json:"psi"`
	Wasserstein float64 `json:"wasserstein"`
	Missing     float64 `json:"missing"`
}

// inputsDefaults are the settings of inputs as setting=value.
func inputsDefaults() []string {
	var parts []string
	for _, s := range inputs.Settings(inputs.Options{}) {
		parts = append(parts, s.Name+"="+s.Value)
	}
	return parts
}

// table is rows of a file, read as numbers where they are.
type table struct {
	columns []string
	rows    [][]float64
	places  []place
	missing int // rows without any number
	text    []error
}

type place struct {
	line int
	at   string
}

// readTable reads columns, all when none is named. A cell that is no number is an error in a
// named column; without names its column is left out, as are the columns of a date.
func (f *driftFlags) readTable(cmd *cobra.Command, path string, columns []string, named bool) (*table, error) {
	t := &table{}
	begin := func(columns []string) {
		t.columns, t.text = slices.Clone(columns), make([]error, len(columns))
	}
	err := f.each(cmd, path, columns, begin, func(_, line int, at string, cells []tabular.Cell) error {
		out := make([]float64, len(cells))
		present := false
		for j := range cells {
			v, err := numberOf(&cells[j])
			if err != nil && t.text[j] == nil {
				t.text[j] = fmt.Errorf("line %d: column %q: %w", line, t.columns[j], err)
			}
			out[j] = v
			present = present || v == v
		}
		if !present {
			t.missing++
		}
		t.rows, t.places = append(t.rows, out), append(t.places, place{line, strings.Clone(at)})
		return nil
	})
	if err == nil && named {
		err = errors.Join(t.text...)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return t, nil
}

// keep leaves only the columns named, in that order.
func (t *table) keep(names []string) {
	pick := make([]int, len(names))
	for k, n := range names {
		pick[k] = slices.Index(t.columns, n)
	}
	for i, row := range t.rows {
		out := make([]float64, len(pick))
		for k, j := range pick {
			out[k] = row[j]
		}
		t.rows[i] = out
	}
	t.columns = names
}

// numeric returns the columns that hold numbers and those that do not.
func (t *table) numeric() (yes, no []string) {
	for j, c := range t.columns {
		if len(t.rows) > 0 && t.text[j] == nil {
			yes = append(yes, c)
		} else {
			no = append(no, c)
		}
	}
	return yes, no
}

// inputs watches rows against a reference.
func (f *driftFlags) inputs(cmd *cobra.Command, settings map[string]string) error {
	opts, err := inputs.ParseOptions(settings)
	if err != nil {
		return err
	}
	if f.reference == "" {
		return errors.New("--reference: the detector inputs needs the number of first rows that are the reference, or a file of such rows")
	}
	p := newProgress(cmd.ErrOrStderr())
	defer p.clear()
	p.say("reading %s", f.data)
	data, err := f.readTable(cmd, f.data, f.columns, len(f.columns) > 0)
	if err != nil {
		return err
	}
	columns, skipped := data.numeric()
	extra := inputsReport{
		Reference: f.reference,
		Columns:   columns,
		Skipped:   append([]string{}, skipped...),
		Reports:   []inputsEvent{},
	}
	if len(columns) == 0 {
		return fmt.Errorf("read %s: no column holds numbers in every row: %s", f.data, strings.Join(data.columns, ", "))
	}
	data.keep(columns)
	first, reference := 0, [][]float64(nil)
	if n, err := strconv.Atoi(f.reference); err == nil {
		if n < inputs.MinRows || n >= len(data.rows) {
			return fmt.Errorf("--reference %d: must be from %d to less than the %d rows of %s", n, inputs.MinRows, len(data.rows), f.data)
		}
		first, reference, extra.Reference = n, data.rows[:n], "first rows"
	} else {
		if _, err := os.Stat(f.reference); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("--reference %q: must be a number of rows or a file: %w", f.reference, err)
		}
		t, err := f.readTable(cmd, f.reference, columns, true)
		if err != nil {
			return err
		}
		reference = t.rows
	}
	ref, err := inputs.NewReference(reference, opts)
	if err != nil {
		return err
	}
	extra.ReferenceRows = len(reference)
	rep := driftReport{
		File:         f.data,
		Detector:     f.detector,
		Params:       map[string]any{},
		Rows:         len(data.rows),
		Missing:      data.missing,
		Drifts:       []int{},
		Warnings:     []int{},
		Alarms:       []alarm{},
		inputsReport: &extra,
	}
	for _, s := range inputs.Settings(ref.Options()) {
		rep.Params[s.Name] = typed(s.Value)
	}
	w := inputs.NewWatcher(ref)
	began := time.Now()
	for i, row := range data.rows[first:] {
		if r := w.Push(row); r != nil {
			at := data.places[first+i]
			extra.Reports = append(extra.Reports, describe(r, columns, first+i, at))
			if r.Drift {
				rep.Drifts = append(rep.Drifts, first+i)
				rep.Alarms = append(rep.Alarms, alarm{i, first + i, at.line, at.at, r.Features[0].Statistic})
			}
		}
	}
	rep.NS = float64(time.Since(began).Nanoseconds()) / float64(len(data.rows)-first)
	p.clear()
	if stdout, err := emitJSON(cmd, f.json, rep); stdout || err != nil {
		return err
	}
	return printInputs(cmd, &rep, len(data.rows)-first)
}

func describe(r *inputs.Report, columns []string, row int, at place) inputsEvent {
	e := inputsEvent{
		Row:      row,
		Line:     at.line,
		Time:     at.at,
		Drift:    r.Drift,
		Joint:    inputsJoint(r.Joint),
		Features: []inputsNaming{},
	}
	for _, f := range r.Features {
		e.Features = append(e.Features, inputsNaming{columns[f.Index], f.Statistic, f.PValue, f.Shift, f.PSI, f.Wasserstein, f.Missing})
	}
	return e
}

func printInputs(cmd *cobra.Command, rep *driftReport, watched int) error {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "inputs over %d rows of %s against %d: %d drifts, %.0f ns a row\n", watched, strings.Join(rep.Columns, ", "), rep.ReferenceRows, len(rep.Drifts), rep.NS)
	if len(rep.Skipped) > 0 {
		fmt.Fprintf(w, "left out, no numbers: %s\n", strings.Join(rep.Skipped, ", "))
	}
	if len(rep.Reports) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ROW\tLINE\tTIME\tFEATURE\tP-VALUE\tSHIFT (SD)\tPSI\tMISSING")
	for _, e := range rep.Reports {
		if !e.Drift {
			fmt.Fprintf(tw, "%d\t%d\t%s\tas the reference again\t\t\t\t\n", e.Row, e.Line, cmp.Or(e.Time, "-"))
		}
		for k, n := range e.Features {
			head := fmt.Sprintf("%d\t%d\t%s", e.Row, e.Line, cmp.Or(e.Time, "-"))
			if k > 0 {
				head = "\t\t"
			}
			fmt.Fprintf(tw, "%s\t%s\t%.2g\t%+.2f\t%.2f\t%.0f %%\n", head, n.Name, n.PValue, n.Shift, n.PSI, 100*n.Missing)
		}
	}
	return tw.Flush()
}
