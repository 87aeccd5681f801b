package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"skerry.dev/agent/detect"
	"skerry.dev/compute/anomaly"
	"skerry.dev/configs/commands"
)

type anomalyFlags struct {
	data, out, jsonFile string
	set                 []string
	opts                detect.AnomalyOptions
	table               commands.TableFlags
	notes               commands.Notes
}

func newAnomalyCommand() *cobra.Command {
	var f anomalyFlags
	long := "Score how unusual each row of a file is, in the order of the file, and list the rows that are alarms. A score is between 0 and 1 and depends on nothing after its row, unless --train all is given or implied.\n\nDetectors:\n"
	for _, n := range anomaly.Names() {
		if s := anomaly.Summary(n); s != "" {
			long += fmt.Sprintf("  %-18s  %s\n", n, s)
		}
	}
	long += "  auto                seasonal for one column; pca for several with times or with --train N; isolation-forest for the rows of a table\n\n" +
		"Without --series or --columns every column of numbers is used but the time and the labels. Where --series is a column of names, each name is a stream of its own. --train N learns from the first N rows alone, where the detector can, and alarms only after them; --train all learns from the whole file " +
		"first and then scores it, which is the default for a table without times where the detector is isolation-forest.\n\n" +
		"An alarm is a score of at least the detector's own limit (seasonal, pca: 0.5), or with --rate a score that is rarer than that share of the rows before it; detectors without a limit take --rate 0.01."
	c := &cobra.Command{
		Use:   "anomaly",
		Short: "Find the unusual rows of a file",
		Long:  long,
		Example: "  skerry-agent anomaly --data machine.csv --series value --out scores.csv --json report.json\n  skerry-agent anomaly --data pump.csv.gz --columns Pressure,Temperature,Current --train 400 --labels anomaly\n  skerry-agent anomaly --data fleet.csv --series machine --columns vibration\n" +
			"  skerry-agent anomaly --data table.csv --labels anomaly --detector isolation-forest --set trees=200",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd)
		},
	}
	fl := c.Flags()
	fl.StringVarP(&f.data, "data", "d", "", "table with a header line: CSV, also compressed with gzip, or Parquet (full build), - for standard input")
	fl.StringVar(&f.opts.Time, "time", "", "column with the time: ISO, or seconds since 1970 (default ts, time, timestamp, date or datetime, when there is one)")
	fl.StringVar(&f.opts.Series, "series", "", "the one column to watch, or a column of names: each name is a stream with a detector of its own")
	fl.StringSliceVar(&f.opts.Columns, "columns", nil, "the columns to watch together, separated by commas")
	fl.StringVar(&f.opts.Where, "where", "", "only rows whose column has this value, as column=value, for files that hold several streams")
	fl.StringVar(&f.opts.Detector, "detector", "auto", strings.Join(anomaly.Names(), ", "))
	fl.StringArrayVar(&f.set, "set", nil, "set one setting of the detector: --set trees=200")
	fl.StringVar(&f.opts.Labels, "labels", "", "column that is 1 or true where a row is anomalous: only to judge, never to learn")
	fl.StringVar(&f.opts.Train, "train", "", "rows to learn from before the first alarm, or all")
	fl.Float64Var(&f.opts.Rate, "rate", 0, "share of false alarms, in place of the detector's own limit")
	bindTimeFormat(fl, &f.opts.Table.TimeFormat)
	f.table.Bind(fl)
	fl.StringVarP(&f.out, "out", "o", "", "CSV file for the scores, - for standard output")
	commands.JSONFlag(c, &f.jsonFile)
	_ = c.MarkFlagRequired("data") // the flag exists
	_ = c.RegisterFlagCompletionFunc("detector", cobra.FixedCompletions(anomaly.Names(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (f *anomalyFlags) run(cmd *cobra.Command) error {
	if cmd.Flags().Changed("rate") && !(f.opts.Rate > 0 && f.opts.Rate < 0.5) {
		return fmt.Errorf("--rate %v: must be above 0 and below 0.5", f.opts.Rate)
	}
	o, err := f.table.Options(cmd.ErrOrStderr(), &f.notes)
	if err != nil {
		return err
	}
	o.TimeFormat = f.opts.Table.TimeFormat
	f.opts.Table = o
	if f.opts.Settings, err = parseSettings(f.set); err != nil {
		return err
	}
	if err := commands.CheckOutputs([]commands.Output{{Flag: "--out", Path: f.out}, {Flag: "--json", Path: f.jsonFile}}, f.data); err != nil {
		return err
	}
	in, err := openData(cmd, f.data)
	if err != nil {
		return err
	}
	defer in.Close()
	p := newProgress(cmd.ErrOrStderr())
	defer p.clear()
	p.show("reading %s", f.data)
	f.opts.Name = f.data
	f.opts.Progress = func(what string, row, rows, alarms int) {
		p.show("%s: %d of %d rows, %d alarms", what, row, rows, alarms)
	}
	a, err := detect.Anomalies(cmd.Context(), in, f.opts)
	if err != nil {
		return err
	}
	p.clear()
	if f.out != "" {
		if err := f.writeScores(cmd, a); err != nil {
			return err
		}
		a.Report.ScoresFile = f.out
	}
	return f.report(cmd, a)
}

func (f *anomalyFlags) writeScores(cmd *cobra.Command, a *detect.Anomaly) error {
	w, done, err := createCSV(cmd, f.out)
	if err != nil {
		return err
	}
	cw := csv.NewWriter(w)
	head := []string{"row", "score", "alarm"}
	if a.Report.Time != "" {
		head = []string{"row", "time", "score", "alarm"}
	}
	werr := cw.Write(head)
	for i, s := range a.Scores {
		if werr != nil {
			break
		}
		rec := []string{strconv.Itoa(a.Row(i))}
		if a.Report.Time != "" {
			rec = append(rec, a.Stamp(i))
		}
		alarm := "0"
		if a.Alarmed[i] {
			alarm = "1"
		}
		werr = cw.Write(append(rec, number(s), alarm))
	}
	cw.Flush()
	err = errors.Join(werr, cw.Error())
	return errors.Join(err, done(err == nil))
}

// report prints the table, unless standard output holds something else, and writes the JSON.
func (f *anomalyFlags) report(cmd *cobra.Command, a *detect.Anomaly) error {
	rep := &a.Report
	rep.Notes = f.notes
	if stdout, err := commands.EmitJSON(cmd, f.jsonFile, rep); stdout || err != nil {
		return err
	}
	if f.out == "-" {
		return nil
	}
	out := cmd.OutOrStdout()
	rule := fmt.Sprintf("score of at least %g", rep.Threshold)
	if rep.Rate > 0 {
		rule = fmt.Sprintf("rarer than %g of the rows", rep.Rate)
	}
	fmt.Fprintf(out, "%s over %d rows of %s: %d alarms (%s)\n", rep.Detector, rep.Rows, strings.Join(rep.Columns, ", "), len(rep.Alarms), rule)
	if rep.AUROC != nil {
		fmt.Fprintf(out, "against %s: AUROC %.4f", f.opts.Labels, *rep.AUROC)
		if rep.F1 != nil && rep.False != nil && rep.Missed != nil {
			fmt.Fprintf(out, ", F1 %.3f, false alarms %.2f %%, missed %.2f %%", *rep.F1, 100**rep.False, 100**rep.Missed)
		}
		fmt.Fprintln(out)
	}
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	const maxListed = 50
	for k, row := range rep.Alarms {
		if k == 0 {
			fmt.Fprintf(tw, "row\ttime\tscore\t%s\n", strings.Join(rep.Columns[:min(len(rep.Columns), 6)], "\t"))
		}
		if k == maxListed {
			fmt.Fprintf(tw, "…\t%d more\t\t\n", len(rep.Alarms)-maxListed)
			break
		}
		i := a.Find(row)
		fmt.Fprintf(tw, "%d\t%s\t%.4f", row, a.Stamp(i), a.Scores[i])
		for j := range min(len(rep.Columns), 6) {
			fmt.Fprintf(tw, "\t%.5g", a.Value(j, row))
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}
