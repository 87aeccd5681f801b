package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"skerry.dev/compute/anomaly"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/metric"
)

// anomalyReport is what --json writes. Rows are data rows of the file, from 0.
type anomalyReport struct {
	File       string            `json:"file"`
	Rows       int               `json:"rows"` // scored and learned from
	Columns    []string          `json:"columns"`
	Time       string            `json:"time,omitempty"`
	Detector   string            `json:"detector"`
	Settings   map[string]string `json:"settings"`
	Streams    int               `json:"streams"`
	Train      int               `json:"train"` // rows of each stream that were learned from before any score
	Threshold  float64           `json:"threshold,omitempty"`
	Rate       float64           `json:"rate,omitempty"`
	ScoresFile string            `json:"scores_file,omitempty"`
	Alarms     []int             `json:"alarms"`
	AUROC      *float64          `json:"auroc,omitempty"`
	F1         *float64          `json:"f1,omitempty"`
	False      *float64          `json:"false_alarm_rate,omitempty"` // alarms among the rows that are labelled usual
	Missed     *float64          `json:"missed_rate,omitempty"`      // rows without alarm among those labelled anomalous
}

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
	settings := map[string]string{}
	for _, s := range f.set {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("--set %q: must be key=value", s)
		}
		settings[k] = v
	}
	in, err := openData(cmd, f.data)
	if err != nil {
		return err
	}
	defer in.Close()
	p := newProgress(cmd.ErrOrStderr())
	defer p.clear()
	p.say("reading %s", f.data)
	table, err := frame.ReadCSV(in, frame.Options{})
	if err != nil {
		return fmt.Errorf("read %s: %w", f.data, err)
	}
	rows, err := f.rows(table)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.data, err)
	}
	rep := anomalyReport{File: f.data, Rows: len(rows.index), Columns: rows.names, Time: rows.time, Settings: map[string]string{}, Alarms: []int{}, Streams: rows.count()}
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

// plan chooses the detector and how many rows it learns from; all says that it learns from the whole file first.
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
		if train, err := strconv.Atoi(rep.Settings["train"]); err == nil && !all { // a detector without this setting has no such rows
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

// judge compares with the labels, from the first row on that may have an alarm.
func (rep *anomalyReport) judge(rows *anomalyRows, scores []float64, alarmed []bool) {
	labels := rows.labels
	if labels == nil {
		return
	}
	var y, s []float64
	var hit, wrong, missed, usual float64
	for i := range scores {
		if rows.place[i] < rep.Train || labels[i] != labels[i] {
			continue
		}
		y, s = append(y, labels[i]), append(s, scores[i])
		switch {
		case labels[i] == 1 && alarmed[i]:
			hit++
		case labels[i] == 1:
			missed++
		case alarmed[i]:
			wrong++
			usual++
		default:
			usual++
		}
	}
	ratio := func(a, b float64) *float64 {
		if b == 0 {
			return nil
		}
		v := a / b
		return &v
	}
	if v := metric.AUC(y, s, nil); v == v {
		rep.AUROC = &v
	}
	rep.F1, rep.False, rep.Missed = ratio(hit, hit+(wrong+missed)/2), ratio(wrong, usual), ratio(missed, hit+missed)
}

func (f *anomalyFlags) writeScores(cmd *cobra.Command, rows *anomalyRows, scores []float64, alarmed []bool) error {
	w, done, err := createCSV(cmd, f.out)
	if err != nil {
		return err
	}
	cw := csv.NewWriter(w)
	head := []string{"row", "score", "alarm"}
	if rows.time != "" {
		head = []string{"row", "time", "score", "alarm"}
	}
	werr := cw.Write(head)
	for i, s := range scores {
		rec := []string{strconv.Itoa(rows.index[i])}
		if rows.time != "" {
			rec = append(rec, rows.stamp(i))
		}
		alarm := "0"
		if alarmed[i] {
			alarm = "1"
		}
		werr = errors.Join(werr, cw.Write(append(rec, number(s), alarm)))
	}
	cw.Flush()
	return errors.Join(werr, cw.Error(), done())
}

// report prints the table, unless standard output holds something else, and writes the JSON.
func (f *anomalyFlags) report(cmd *cobra.Command, rep *anomalyReport, rows *anomalyRows, scores []float64) error {
	if f.jsonFile == "-" {
		return writeJSON(cmd.OutOrStdout(), rep)
	}
	if f.jsonFile != "" {
		b, err := json.MarshalIndent(rep, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.jsonFile, append(b, '\n'), 0o644); err != nil {
			return fmt.Errorf("write --json: %w", err)
		}
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
		fmt.Fprintf(out, "against %s: AUROC %.4f", f.labels, *rep.AUROC)
		if rep.F1 != nil && rep.False != nil && rep.Missed != nil {
			fmt.Fprintf(out, ", F1 %.3f, false alarms %.2f %%, missed %.2f %%", *rep.F1, 100**rep.False, 100**rep.Missed)
		}
		fmt.Fprintln(out)
	}
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	const most = 50
	for k, row := range rep.Alarms {
		if k == 0 {
			fmt.Fprintf(tw, "row\ttime\tscore\t%s\n", strings.Join(rep.Columns[:min(len(rep.Columns), 6)], "\t"))
		}
		if k == most {
			fmt.Fprintf(tw, "…\t%d more\t\t\n", len(rep.Alarms)-most)
			break
		}
		i, _ := slices.BinarySearch(rows.index, row)
		fmt.Fprintf(tw, "%d\t%s\t%.4f", row, rows.stamp(i), scores[i])
		for j := range min(len(rep.Columns), 6) {
			fmt.Fprintf(tw, "\t%.5g", rows.values[j][row])
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

// anomalyRows are the rows of a table that are scored.
type anomalyRows struct {
	names  []string
	values [][]float64 // by column, all rows of the file
	index  []int       // of the rows that are scored
	time   string      // the column, "" for none
	times  []int64     // of all rows, in microseconds
	labels []float64   // of the rows that are scored: 0, 1 or NaN

	by      *frame.Column // names the stream of each row, nil for one stream
	lane    []int         // stream of each row that is scored
	place   []int         // number of the row within its stream
	streams []int         // rows of each
}

// divide tells the streams apart.
func (r *anomalyRows) divide() {
	r.streams = make([]int, 1)
	if r.by != nil {
		r.streams = make([]int, len(r.by.Categories)+1) // the last is that of rows that name none
	}
	for _, i := range r.index {
		k := 0
		if r.by != nil {
			if k = len(r.by.Categories); r.by.Values[i] == r.by.Values[i] {
				k = int(r.by.Values[i])
			}
		}
		r.lane, r.place = append(r.lane, k), append(r.place, r.streams[k])
		r.streams[k]++
	}
}

// count returns how many streams have rows.
func (r *anomalyRows) count() (n int) {
	for _, rows := range r.streams {
		n += min(rows, 1)
	}
	return n
}

func (r *anomalyRows) schema() anomaly.Schema {
	return anomaly.Schema{Columns: r.names, Timed: r.time != ""}
}

func (r *anomalyRows) row(x []float64, i int) []float64 {
	for j, v := range r.values {
		x[j] = v[r.index[i]]
	}
	return x
}

func (r *anomalyRows) at(i int) int64 {
	if r.time == "" {
		return int64(r.place[i])
	}
	return r.times[r.index[i]]
}

func (r *anomalyRows) stamp(i int) string {
	if r.time == "" || r.at(i) == frame.NoTime {
		return ""
	}
	return stampCSV(r.at(i))
}

// rows picks the columns and rows that the flags ask for.
func (f *anomalyFlags) rows(t *frame.Frame) (*anomalyRows, error) {
	column := func(flag, name string) (*frame.Column, error) {
		c, err := t.Column(name)
		if err != nil {
			var names []string
			for _, c := range t.Columns {
				names = append(names, c.Name)
			}
			return nil, fmt.Errorf("--%s: no column %q: there are %s", flag, name, strings.Join(names, ", "))
		}
		return c, nil
	}
	r := &anomalyRows{}
	key, value, filtered := strings.Cut(f.where, "=")
	keep := func(int) bool { return true }
	if f.where != "" {
		if !filtered {
			return nil, fmt.Errorf("--where %q: must be column=value", f.where)
		}
		c, err := column("where", key)
		if err != nil {
			return nil, err
		}
		if keep, err = equals(c, value); err != nil {
			return nil, err
		}
	}
	for i := range t.Rows {
		if keep(i) {
			r.index = append(r.index, i)
		}
	}
	if len(r.index) == 0 {
		return nil, errors.New("no rows to score")
	}
	if err := f.timeOf(t, r, column); err != nil {
		return nil, err
	}
	names, flag := f.columns, "columns"
	if f.series != "" {
		c, err := column("series", f.series)
		if err != nil {
			return nil, err
		}
		switch {
		case c.Type == frame.Category:
			r.by = c
		case names != nil:
			return nil, fmt.Errorf("--series %s and --columns: the one watches a single column, the other several together; both go together only where --series names the streams of a file", f.series)
		default:
			names, flag = []string{f.series}, "series"
		}
	}
	r.divide()
	if names == nil {
		for _, c := range t.Columns {
			if c.Type == frame.Number && c.Name != r.time && c.Name != f.labels && c.Name != key {
				names = append(names, c.Name)
			}
		}
		if names == nil {
			return nil, errors.New("no column of numbers to watch")
		}
	}
	for k, n := range names {
		n = strings.TrimSpace(n)
		c, err := column(flag, n)
		if err != nil {
			return nil, err
		}
		switch {
		case c.Type != frame.Number:
			return nil, fmt.Errorf("--%s: column %q holds a %s, not numbers", flag, n, c.Type)
		case slices.Contains(names[:k], n):
			return nil, fmt.Errorf("--%s: column %q twice", flag, n)
		case n == f.labels:
			return nil, fmt.Errorf("--%s: column %q holds the labels", flag, n)
		}
		r.names, r.values = append(r.names, n), append(r.values, c.Values)
	}
	if f.labels == "" {
		return r, nil
	}
	c, err := column("labels", f.labels)
	if err != nil {
		return nil, err
	}
	if c.Type == frame.Time {
		return nil, fmt.Errorf("--labels: column %q holds times", f.labels)
	}
	for _, i := range r.index {
		y := c.Values[i]
		switch {
		case y != y:
		case c.Type == frame.Category:
			y = map[bool]float64{true: 1}[slices.Contains([]string{"1", "true", "yes", "y", "anomaly", "anomalous", "outlier"}, strings.ToLower(c.Categories[int(y)]))]
		case y != 0:
			y = 1
		}
		r.labels = append(r.labels, y)
	}
	return r, nil
}

// timeOf finds the times.
func (f *anomalyFlags) timeOf(t *frame.Frame, r *anomalyRows, column func(flag, name string) (*frame.Column, error)) error {
	name := f.timeColumn
	if name == "" {
		i := slices.IndexFunc(t.Columns, func(c frame.Column) bool {
			return c.Type == frame.Time && slices.Contains(timeNames, strings.ToLower(c.Name))
		})
		if i < 0 {
			return nil
		}
		name = t.Columns[i].Name
	}
	c, err := column("time", name)
	if err != nil {
		return err
	}
	r.time, r.times = name, c.Times
	switch c.Type {
	case frame.Category:
		return fmt.Errorf("--time: column %q holds %q, which is not a time such as 2006-01-02T15:04:05Z", name, c.Categories[0])
	case frame.Number:
		r.times = make([]int64, len(c.Values))
		for i, v := range c.Values {
			switch {
			case !(math.Abs(v) < 1e14):
				r.times[i] = frame.NoTime
			case math.Abs(v) < 1e11:
				r.times[i] = int64(v * 1e6)
			default: // seconds would lie in the year 5138 or later: these are milliseconds
				r.times[i] = int64(v * 1e3)
			}
		}
	}
	return nil
}

// equals tests the cells of a column.
func equals(c *frame.Column, value string) (func(i int) bool, error) {
	switch c.Type {
	case frame.Category:
		k := slices.Index(c.Categories, value)
		if k < 0 {
			return nil, fmt.Errorf("--where: column %q never is %q: it is %s", c.Name, value, strings.Join(c.Frequent(10), ", "))
		}
		return func(i int) bool { return c.Values[i] == float64(k) }, nil
	case frame.Number:
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("--where: column %q holds numbers, and %q is none", c.Name, value)
		}
		return func(i int) bool { return c.Values[i] == v }, nil
	}
	return nil, fmt.Errorf("--where: column %q holds times", c.Name)
}
