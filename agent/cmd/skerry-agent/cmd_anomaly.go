package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"skerry.dev/compute/anomaly"
	"skerry.dev/compute/tabular"
)

type anomalyFlags struct {
	data, timeColumn, series, detector, labels, train, out, jsonFile, where string
	columns, set                                                            []string
	rate                                                                    float64
}

func newAnomalyCommand() *cobra.Command {
	var f anomalyFlags
	long := "Score how unusual each row of a file is, in the order of the file, and list the rows that are alarms. A score is between 0 and 1 and depends on nothing after its row, unless --train all is said or implied.\n\nDetectors:\n"
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
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd)
		},
	}
	fl := c.Flags()
	fl.StringVarP(&f.data, "data", "d", "", "CSV file with a header line, also compressed with gzip, - for standard input")
	fl.StringVar(&f.timeColumn, "time", "", "column with the time: ISO, or seconds since 1970 (default ts, time, timestamp, date or datetime, when there is one)")
	fl.StringVar(&f.series, "series", "", "the one column to watch, or a column of names: each name is a stream with a detector of its own")
	fl.StringSliceVar(&f.columns, "columns", nil, "the columns to watch together, separated by commas")
	fl.StringVar(&f.where, "where", "", "only rows whose column has this value, as column=value, for files that hold several streams")
	fl.StringVar(&f.detector, "detector", "auto", strings.Join(anomaly.Names(), ", "))
	fl.StringArrayVar(&f.set, "set", nil, "set one setting of the detector: --set trees=200")
	fl.StringVar(&f.labels, "labels", "", "column that is 1 or true where a row is anomalous: only to judge, never to learn")
	fl.StringVar(&f.train, "train", "", "rows to learn from before the first alarm, or all")
	fl.Float64Var(&f.rate, "rate", 0, "share of false alarms, in place of the detector's own limit")
	fl.StringVarP(&f.out, "out", "o", "", "CSV file for the scores, - for standard output")
	fl.StringVar(&f.jsonFile, "json", "", "file for the report, - for standard output")
	_ = c.MarkFlagRequired("data") // the flag exists
	_ = c.RegisterFlagCompletionFunc("detector", cobra.FixedCompletions(anomaly.Names(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (f *anomalyFlags) run(cmd *cobra.Command) error {
	if cmd.Flags().Changed("rate") && !(f.rate > 0 && f.rate < 0.5) {
		return fmt.Errorf("--rate %v: must be above 0 and below 0.5", f.rate)
	}
	settings, err := parseSettings(f.set)
	if err != nil {
		return err
	}
	in, err := openData(cmd, f.data)
	if err != nil {
		return err
	}
	defer in.Close()
	p := newProgress(cmd.ErrOrStderr())
	defer p.clear()
	p.say("reading %s", f.data)
	table, err := tabular.Read(in, tabular.Options{})
	if err != nil {
		return fmt.Errorf("read %s: %w", f.data, err)
	}
	rows, err := f.rows(table)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.data, err)
	}
	rep := anomalyReport{
		File:     f.data,
		Rows:     len(rows.index),
		Columns:  rows.names,
		Time:     rows.time,
		Settings: map[string]string{},
		Alarms:   []int{},
		Streams:  rows.count(),
	}
	all, err := f.plan(&rep, rows, settings)
	if err != nil {
		return err
	}
	lanes, err := f.lanes(&rep, rows, settings, all)
	if err != nil {
		return err
	}
	scores, alarmed := make([]float64, len(rows.index)), make([]bool, len(rows.index))
	pass := func(what string, visit func(i int, l *lane, score float64)) error {
		x := make([]float64, len(rows.names))
		for i := range rows.index {
			if i%1024 == 0 {
				if err := cmd.Context().Err(); err != nil {
					return err
				}
				p.say("%s: %d of %d rows, %d alarms", what, i, len(rows.index), len(rep.Alarms))
			}
			l := lanes[rows.lane[i]]
			visit(i, l, l.scorer.Update(rows.row(x, i), rows.at(i)))
		}
		return nil
	}
	if all {
		if err := pass("learning", func(int, *lane, float64) {}); err != nil {
			return err
		}
	}
	if err := pass(rep.Detector, func(i int, l *lane, s float64) {
		scores[i] = s
		if l.raise(s) && rows.place[i] >= rep.Train {
			alarmed[i] = true
			rep.Alarms = append(rep.Alarms, rows.index[i])
		}
	}); err != nil {
		return err
	}
	p.clear()
	rep.judge(rows, scores, alarmed)
	if f.out != "" {
		if err := f.writeScores(cmd, rows, scores, alarmed); err != nil {
			return err
		}
		rep.ScoresFile = f.out
	}
	return f.report(cmd, &rep, rows, scores)
}

// plan chooses the detector and how many rows it learns from; all says that it learns from the
// whole file first.
func (f *anomalyFlags) plan(rep *anomalyReport, rows *anomalyRows, settings map[string]string) (all bool, err error) {
	rep.Detector = anomaly.Resolve(f.detector, rows.schema())
	all = f.train == "all"
	if f.train != "" && !all {
		n, err := strconv.Atoi(f.train)
		longest := slices.Max(rows.streams)
		switch {
		case err != nil || n < 1:
			return false, fmt.Errorf("--train %q: must be a number of rows from 1, or all", f.train)
		case n > longest:
			return false, fmt.Errorf("--train %d: there are %d rows", n, longest)
		case n == len(rows.index):
			all = true
		case n == longest:
			return false, fmt.Errorf("--train %d: no stream has more rows, and none would be left to score", n)
		default:
			rep.Train = n
		}
		if rep.Train > 0 { // the first rows are said to be usual, as those of a stream with times
			rep.Detector = anomaly.Resolve(f.detector, anomaly.Schema{Columns: rows.names, Timed: true})
		}
	}
	known, err := anomaly.Settings(rep.Detector)
	if err != nil {
		return false, err
	}
	can := slices.ContainsFunc(known, func(s anomaly.Setting) bool { return s.Name == "train" })
	_, set := settings["train"]
	if set && f.train != "" {
		return false, errors.New("--train and --set train= say the same: use one of them")
	}
	if rep.Train > 0 && can {
		settings["train"] = f.train
	}
	all = all || f.train == "" && !set && rows.time == "" && rep.Detector == "isolation-forest"
	if all && !can {
		return false, fmt.Errorf("--train all: %s learns as it goes; use --train N with fewer rows than the file has, or leave it out", rep.Detector)
	}
	return all, nil
}

// lane is the detector of one stream.
type lane struct {
	scorer anomaly.Scorer
	raise  func(score float64) bool
}

// lanes makes a detector for each stream of the file.
func (f *anomalyFlags) lanes(rep *anomalyReport, rows *anomalyRows, settings map[string]string, all bool) ([]*lane, error) {
	lanes := make([]*lane, len(rows.streams))
	for k, n := range rows.streams {
		if n == 0 { // none of its rows is left by --where
			continue
		}
		if all {
			settings["train"] = strconv.Itoa(n)
		}
		scorer, err := anomaly.New(rep.Detector, settings, rows.schema())
		if err != nil {
			return nil, err
		}
		for _, s := range anomaly.Current(scorer) {
			rep.Settings[s.Name] = s.Value
		}
		// a detector without this setting has no such rows
		if train, err := strconv.Atoi(rep.Settings["train"]); err == nil && !all {
			if rep.Train = max(rep.Train, train); train >= n {
				what := f.data
				if rows.by != nil {
					what = fmt.Sprintf("%s %q", rows.by.Name, append(rows.by.Categories, "")[k])
				}
				return nil, fmt.Errorf("%s learns from %d rows before the first score, and %s has %d: use a smaller --train, or --train all", rep.Detector, train, what, n)
			}
		}
		lanes[k] = &lane{scorer: scorer}
		if rep.Rate = f.rate; f.rate == 0 && scorer.Limit() >= 1 {
			rep.Rate = 0.01
		}
		if rep.Rate == 0 {
			rep.Threshold = scorer.Limit()
			lanes[k].raise = func(s float64) bool { return s >= rep.Threshold }
			continue
		}
		a, err := anomaly.NewAlarm(rep.Rate)
		if err != nil {
			return nil, err
		}
		lanes[k].raise = a.Update
	}
	return lanes, nil
}
