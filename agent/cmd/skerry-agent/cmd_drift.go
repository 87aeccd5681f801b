package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/compute/drift"
	"skerry.dev/compute/tabular"
)

// driftReport is what --json writes. Rows are data rows of the file, from 0; with --where those
// that it leaves.
type driftReport struct {
	File     string         `json:"file"`
	Column   string         `json:"column,omitempty"`
	Detector string         `json:"detector"`
	Params   map[string]any `json:"params"`
	Rows     int            `json:"rows"`
	Missing  int            `json:"missing"` // rows without a number, which no detector sees
	Drifts   []int          `json:"drifts"`
	Warnings []int          `json:"warnings"` // rows in the warning zone
	NS       float64        `json:"ns_per_update"`
	Alarms   []alarm        `json:"alarms"` // the drifts again, with their place in the file

	*inputsReport // by --detector inputs
}

// alarm is a place where a detector found a drift.
type alarm struct {
	Index int     `json:"index"` // of the value among the present ones, from 0
	Row   int     `json:"row"`
	Line  int     `json:"line"` // of the file, the header is line 1
	Time  string  `json:"time,omitempty"`
	Value float64 `json:"value"`
}

type driftFlags struct {
	data, column, timeColumn, detector, where string
	reference, json                           string
	columns, set                              []string
	older                                     map[string]*string
}

// inputsDetector is the name of the one that takes rows, not numbers.
const inputsDetector = "inputs"

func driftDetectors() []string { return append(drift.Names(), inputsDetector) }

func newDriftCommand() *cobra.Command {
	f := driftFlags{older: map[string]*string{}}
	c := &cobra.Command{
		Use:   "drift",
		Short: "Run a drift detector over a column, or over the inputs, of a file",
		Long:  driftHelp(),
		Example: "  skerry-agent drift --data errors.csv --column error --detector ddm\n  skerry-agent drift --data errors.csv.gz --column error --detector hddm-a --set two_sided=true,drift_confidence=0.0001 --json report.json\n" +
			"  skerry-agent drift --data station.csv.gz --column PM2.5 --detector ks --reference 8760 --json -\n  skerry-agent drift --data pump.csv --reference 5000 --columns Pressure,Temperature --detector inputs --set window=400",
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := f.settings(cmd)
			if err != nil {
				return err
			}
			if f.detector == inputsDetector {
				return f.inputs(cmd, settings)
			}
			return f.run(cmd, settings)
		},
	}
	fl := c.Flags()
	fl.StringVarP(&f.data, "data", "d", "", "table with a header line: CSV, also compressed with gzip, or Parquet (full build), - for standard input")
	fl.StringVarP(&f.column, "column", "c", "", "column to watch")
	fl.StringVar(&f.detector, "detector", "adwin", strings.Join(driftDetectors(), ", "))
	fl.StringSliceVar(&f.set, "set", nil, "settings of the detector: --set delta=0.01,clock=8")
	fl.StringVar(&f.timeColumn, "time", "", "column to print with a drift (default ts, time, timestamp, date or datetime, when there is one)")
	fl.StringVar(&f.where, "where", "", "only lines whose column has this value, as column=value, for files that hold several streams")
	fl.StringVar(&f.reference, "reference", "", "inputs: number of first rows that are the reference, or a file of such rows; ks: number of first values")
	fl.StringSliceVar(&f.columns, "columns", nil, "inputs: columns to watch (default all that hold numbers)")
	for _, name := range []string{"delta", "threshold", "alpha", "clock", "min-window", "grace", "min-samples", "window", "every"} {
		f.older[name] = fl.String(name, "", "as --set "+strings.ReplaceAll(name, "-", "_")+"=")
		_ = fl.MarkHidden(name) // the flag exists
	}
	jsonFlag(c, &f.json)
	_ = c.MarkFlagRequired("data") // the flag exists
	_ = c.RegisterFlagCompletionFunc("detector", cobra.FixedCompletions(driftDetectors(), cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("set", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		all, _ := drift.Settings(f.detector) // none for a detector that there is not
		for _, s := range all {
			names = append(names, s.Name+"=")
		}
		return names, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

// driftHelp lists every detector with its settings.
func driftHelp() string {
	var b strings.Builder
	b.WriteString("Feed the numbers of a column to a detector, row by row, and print where it finds a drift. Cells without a number are left out.\n\n" +
		"The detector inputs needs no errors or labels: it compares rows of features with those of a reference period and names the features that moved, most responsible first.\n\nDetectors, and their settings at their defaults:\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, name := range drift.Names() {
		all, _ := drift.Settings(name) // the name is from the list
		var parts []string
		for _, s := range all {
			parts = append(parts, s.Name+"="+s.Value)
		}
		fmt.Fprintf(w, "  %s\t%s\n\t%s\n", name, drift.Summary(name), strings.Join(parts, ","))
	}
	fmt.Fprintf(w, "  %s\t%s\n\t%s\n", inputsDetector, "rows no longer look like those of the reference", strings.Join(inputsDefaults(), ","))
	_ = w.Flush() // to memory
	b.WriteString("\nA setting out of its range is refused by a message that says what is allowed.")
	return b.String()
}

// settings are those of --set, of --reference for ks, and of the flags that settings had before
// --set.
func (f *driftFlags) settings(cmd *cobra.Command) (map[string]string, error) {
	settings, err := parseSettings(f.set)
	if err != nil {
		return nil, err
	}
	f.detector = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(f.detector)), "_", "-")
	for name, v := range f.older {
		if cmd.Flags().Changed(name) {
			settings[strings.ReplaceAll(name, "-", "_")] = *v
		}
	}
	if !slices.Contains(driftDetectors(), f.detector) {
		return nil, fmt.Errorf("--detector %q: must be one of %s", f.detector, strings.Join(driftDetectors(), ", "))
	}
	switch {
	case f.detector == inputsDetector && f.column != "":
		return nil, errors.New("--column: the detector inputs watches rows; it takes --columns")
	case f.detector != inputsDetector && f.column == "":
		return nil, fmt.Errorf("--column: the detector %s needs one", f.detector)
	case f.detector != inputsDetector && len(f.columns) > 0:
		return nil, fmt.Errorf("--columns: the detector %s watches one --column", f.detector)
	case f.detector == "ks" && f.reference != "":
		settings["reference"] = f.reference
	case f.detector != inputsDetector && f.reference != "":
		return nil, fmt.Errorf("--reference: the detector %s has none; inputs and ks do", f.detector)
	}
	return settings, nil
}

// value is a number of the column and its place.
type value struct {
	row, line int
	at        string
	v         float64
}

// chunk is how many values are read before the detector gets them, so that its time can be told
// from that of reading.
const chunk = 4096

func (f *driftFlags) run(cmd *cobra.Command, settings map[string]string) error {
	d, err := drift.New(f.detector, settings)
	if err != nil {
		return err
	}
	rep := driftReport{
		File:     f.data,
		Column:   f.column,
		Detector: f.detector,
		Params:   map[string]any{},
		Drifts:   []int{},
		Warnings: []int{},
		Alarms:   []alarm{},
	}
	for _, s := range drift.Current(d) {
		rep.Params[s.Name] = typed(s.Value)
	}
	p := newProgress(cmd.ErrOrStderr())
	defer p.clear()
	warner, warns := d.(drift.Warner)
	values, hit := make([]value, 0, chunk), make([]byte, chunk)
	seen, spent := 0, time.Duration(0)
	feed := func() {
		began := time.Now()
		for i := range values {
			hit[i] = 0
			if d.Update(values[i].v) {
				hit[i] = 1
			}
			if warns && warner.Warning() {
				hit[i] |= 2
			}
		}
		spent += time.Since(began)
		for i, v := range values {
			if hit[i]&1 != 0 {
				rep.Drifts = append(rep.Drifts, v.row)
				rep.Alarms = append(rep.Alarms, alarm{seen + i, v.row, v.line, v.at, v.v})
			}
			if hit[i]&2 != 0 {
				rep.Warnings = append(rep.Warnings, v.row)
			}
		}
		seen += len(values)
		values = values[:0]
		p.say("%d values, %d drifts", seen, len(rep.Drifts))
	}
	err = f.each(cmd, f.data, []string{f.column}, func([]string) {}, func(row, line int, at string, cells []tabular.Cell) error {
		rep.Rows++
		v, err := numberOf(&cells[0])
		if err != nil {
			return fmt.Errorf("line %d: column %q: %w", line, f.column, err)
		}
		if v != v {
			rep.Missing++
			return nil
		}
		if values = append(values, value{row, line, strings.Clone(at), v}); len(values) == chunk {
			feed()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", f.data, err)
	}
	feed()
	p.clear()
	if seen == 0 {
		return fmt.Errorf("read %s: column %q holds no number", f.data, f.column)
	}
	rep.NS = float64(spent.Nanoseconds()) / float64(seen)
	if stdout, err := emitJSON(cmd, f.json, rep); stdout || err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s over %d values of %s: %d drifts, %d rows in the warning zone, %.0f ns a value\n", f.detector, seen, f.column, len(rep.Drifts), len(rep.Warnings), rep.NS)
	if len(rep.Alarms) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ROW\tLINE\tTIME\tVALUE\tROWS SINCE WARNING")
	for _, a := range rep.Alarms {
		fmt.Fprintf(tw, "%d\t%d\t%s\t%.5g\t%s\n", a.Row, a.Line, cmp.Or(a.Time, "-"), a.Value, sinceWarning(rep.Warnings, a.Row))
	}
	return tw.Flush()
}

// sinceWarning tells for how many rows up to a drift the detector had warned without a pause, -
// for none.
func sinceWarning(warnings []int, row int) string {
	i, _ := slices.BinarySearch(warnings, row)
	n := 0
	for i--; i >= 0 && warnings[i] == row-n-1; i-- {
		n++
	}
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// typed turns the text of a setting into the value that JSON has for it.
func typed(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil { // a large seed
		return n
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil && !math.IsInf(x, 0) && x == x {
		return x
	}
	if b, err := strconv.ParseBool(s); err == nil {
		return b
	}
	return s
}
