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

	"github.com/spf13/cobra"

	"skerry.dev/agent/detect"
	"skerry.dev/compute/drift"
	"skerry.dev/compute/drift/inputs"
	"skerry.dev/configs/commands"
)

type driftFlags struct {
	data, reference, json string
	set                   []string
	older                 map[string]*string
	opts                  detect.InputsOptions
	table                 commands.TableFlags
	notes                 commands.Notes
}

func driftDetectors() []string { return append(drift.Names(), detect.InputsDetector) }

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
			return f.run(cmd, settings)
		},
	}
	fl := c.Flags()
	fl.StringVarP(&f.data, "data", "d", "", "table with a header line: CSV, also compressed with gzip, or Parquet (full build), - for standard input")
	fl.StringVarP(&f.opts.Column, "column", "c", "", "column to watch")
	fl.StringVar(&f.opts.Detector, "detector", "adwin", strings.Join(driftDetectors(), ", "))
	fl.StringSliceVar(&f.set, "set", nil, "settings of the detector: --set delta=0.01,clock=8")
	fl.StringVar(&f.opts.Time, "time", "", "column to print with a drift (default ts, time, timestamp, date or datetime, when there is one)")
	fl.StringVar(&f.opts.Where, "where", "", "only lines whose column has this value, as column=value, for files that hold several streams")
	fl.StringVar(&f.reference, "reference", "", "inputs: number of first rows that are the reference, or a file of such rows; ks: number of first values")
	fl.StringSliceVar(&f.opts.Columns, "columns", nil, "inputs: columns to watch (default all that hold numbers)")
	for _, name := range []string{"delta", "threshold", "alpha", "clock", "min-window", "grace", "min-samples", "window", "every"} {
		f.older[name] = fl.String(name, "", "as --set "+strings.ReplaceAll(name, "-", "_")+"=")
		_ = fl.MarkHidden(name) // the flag exists
	}
	f.table.Bind(fl)
	commands.JSONFlag(c, &f.json)
	_ = c.MarkFlagRequired("data") // the flag exists
	_ = c.RegisterFlagCompletionFunc("detector", cobra.FixedCompletions(driftDetectors(), cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("set", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		all, _ := drift.Settings(f.opts.Detector) // none for a detector that there is not
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
	fmt.Fprintf(w, "  %s\t%s\n\t%s\n", detect.InputsDetector, "rows no longer look like those of the reference", strings.Join(inputsDefaults(), ","))
	_ = w.Flush() // to memory
	b.WriteString("\nA setting out of its range is refused by a message that names what is allowed.")
	return b.String()
}

// inputsDefaults are the settings of inputs as setting=value.
func inputsDefaults() []string {
	var parts []string
	for _, s := range inputs.Settings(inputs.Options{}) {
		parts = append(parts, s.Name+"="+s.Value)
	}
	return parts
}

// parseSettings reads what --set was given.
func parseSettings(given []string) (map[string]string, error) {
	settings := map[string]string{}
	for _, s := range given {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("--set %q: must be key=value", s)
		}
		settings[strings.TrimSpace(k)] = v
	}
	return settings, nil
}

// settings are those of --set, of --reference for ks, and of the flags that settings had before
// --set.
func (f *driftFlags) settings(cmd *cobra.Command) (map[string]string, error) {
	settings, err := parseSettings(f.set)
	if err != nil {
		return nil, err
	}
	f.opts.Detector = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(f.opts.Detector)), "_", "-")
	for name, v := range f.older {
		if cmd.Flags().Changed(name) {
			settings[strings.ReplaceAll(name, "-", "_")] = *v
		}
	}
	if !slices.Contains(driftDetectors(), f.opts.Detector) {
		return nil, fmt.Errorf("--detector %q: must be one of %s", f.opts.Detector, strings.Join(driftDetectors(), ", "))
	}
	switch {
	case f.opts.Detector == detect.InputsDetector && f.opts.Column != "":
		return nil, errors.New("--column: the detector inputs watches rows; it takes --columns")
	case f.opts.Detector != detect.InputsDetector && f.opts.Column == "":
		return nil, fmt.Errorf("--column: the detector %s needs one", f.opts.Detector)
	case f.opts.Detector != detect.InputsDetector && len(f.opts.Columns) > 0:
		return nil, fmt.Errorf("--columns: the detector %s watches one --column", f.opts.Detector)
	case f.opts.Detector == "ks" && f.reference != "":
		settings["reference"] = f.reference
	case f.opts.Detector != detect.InputsDetector && f.reference != "":
		return nil, fmt.Errorf("--reference: the detector %s has none; inputs and ks do", f.opts.Detector)
	}
	return settings, nil
}

func (f *driftFlags) run(cmd *cobra.Command, settings map[string]string) error {
	if err := commands.CheckOutputs([]commands.Output{{Flag: "--json", Path: f.json}}, f.data, f.reference); err != nil {
		return err
	}
	in, err := openData(cmd, f.data)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.data, err)
	}
	defer in.Close()
	if f.opts.Table, err = f.table.Options(cmd.ErrOrStderr(), &f.notes); err != nil {
		return err
	}
	p := newProgress(cmd.ErrOrStderr())
	defer p.clear()
	f.opts.Name, f.opts.Settings = f.data, settings
	f.opts.Progress = func(values, drifts int) { p.show("%d values, %d drifts", values, drifts) }
	var rep *detect.DriftReport
	if f.opts.Detector == detect.InputsDetector {
		close, err := f.openReference()
		if err != nil {
			return err
		}
		defer close()
		p.show("reading %s", f.data)
		rep, err = detect.Inputs(cmd.Context(), in, f.opts)
		if err != nil {
			return err
		}
	} else if rep, err = detect.Drift(cmd.Context(), in, f.opts.DriftOptions); err != nil {
		return err
	}
	p.clear()
	rep.Notes = f.notes
	if stdout, err := commands.EmitJSON(cmd, f.json, rep); stdout || err != nil {
		return err
	}
	if rep.InputsReport != nil {
		return printInputs(cmd, rep)
	}
	return printDrifts(cmd, rep)
}

// openReference finds the rows of the reference: the first, or those of a file.
func (f *driftFlags) openReference() (close func(), err error) {
	if f.reference == "" {
		return nil, errors.New("--reference: the detector inputs needs the number of first rows that are the reference, or a file of such rows")
	}
	f.opts.ReferenceName = f.reference
	if f.opts.ReferenceRows, err = strconv.Atoi(f.reference); err == nil {
		return func() {}, nil
	}
	file, err := os.Open(f.reference)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("--reference %q: must be a number of rows or a file: %w", f.reference, err)
	case err != nil:
		return nil, fmt.Errorf("open --reference: %w", err)
	}
	f.opts.Reference = file
	return func() { file.Close() }, nil
}

func printDrifts(cmd *cobra.Command, rep *detect.DriftReport) error {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s over %d values of %s: %d drifts, %d rows in the warning zone, %.0f ns a value\n", rep.Detector, rep.Values, rep.Column, len(rep.Drifts), len(rep.Warnings), rep.NS)
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

// sinceWarning formats for how many rows up to a drift the detector had warned without a pause, -
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

func printInputs(cmd *cobra.Command, rep *detect.DriftReport) error {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "inputs over %d rows of %s against %d: %d drifts, %.0f ns a row\n", rep.Values, strings.Join(rep.Columns, ", "), rep.ReferenceRows, len(rep.Drifts), rep.NS)
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
