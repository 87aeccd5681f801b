package detect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"skerry.dev/compute/anomaly"
	"skerry.dev/compute/metric"
	"skerry.dev/compute/tabular"
)

// AnomalyOptions of scoring a table.
type AnomalyOptions struct {
	Name     string   // of the file, for messages
	Time     string   // column; default: one of tabular.TimeNames that holds times
	Series   string   // the one column to watch, or one whose names are streams of their own
	Columns  []string // watched together; default: all numbers
	Where    string   // column=value: only such rows
	Detector string   // by its name in compute/anomaly, or auto
	Settings map[string]string
	Labels   string  // column that is 1 or true where a row is anomalous, only to judge
	Train    string  // rows to learn from before the first alarm, or all
	Rate     float64 // share of false alarms; 0: by the detector's own limit
	// may be nil
	Progress func(what string, row, rows, alarms int)
	Table    tabular.Options // how the file is written; Time is that of these options
}

// AnomalyReport sums up. Rows are data rows of the file, from 0.
type AnomalyReport struct {
	File     string            `json:"file"`
	Rows     int               `json:"rows"` // scored and learned from
	Columns  []string          `json:"columns"`
	Time     string            `json:"time,omitempty"`
	Detector string            `json:"detector"`
	Settings map[string]string `json:"settings"`
	Streams  int               `json:"streams"`
	// rows of each stream that were learned from before any score
	Train      int      `json:"train"`
	Threshold  float64  `json:"threshold,omitempty"`
	Rate       float64  `json:"rate,omitempty"`
	ScoresFile string   `json:"scores_file,omitempty"`
	Alarms     []int    `json:"alarms"`
	AUROC      *float64 `json:"auroc,omitempty"`
	F1         *float64 `json:"f1,omitempty"`
	// alarms among the rows that are labelled usual
	False *float64 `json:"false_alarm_rate,omitempty"`
	// rows without alarm among those labelled anomalous
	Missed *float64 `json:"missed_rate,omitempty"`
	Notes  []string `json:"notes,omitempty"` // of the table, by whoever collected them
}

// Anomaly is a table that was scored.
type Anomaly struct {
	Report  AnomalyReport
	Scores  []float64 // by row that was scored
	Alarmed []bool
	rows    *anomalyRows
}

// Row returns the data row of the table that the i-th score is of.
func (a *Anomaly) Row(i int) int { return a.rows.index[i] }

// Stamp returns the time of the i-th score, "" without one.
func (a *Anomaly) Stamp(i int) string { return a.rows.stamp(i) }

// Find returns the number of the score of a data row.
func (a *Anomaly) Find(row int) int {
	i, _ := slices.BinarySearch(a.rows.index, row)
	return i
}

// Value returns what a watched column has in a data row.
func (a *Anomaly) Value(column, row int) float64 { return a.rows.values[column][row] }

// Anomalies scores the rows of a table, in its order, and finds those that are alarms.
func Anomalies(ctx context.Context, r io.Reader, f AnomalyOptions) (*Anomaly, error) {
	if f.Settings == nil {
		f.Settings = map[string]string{}
	}
	if f.Progress == nil {
		f.Progress = func(string, int, int, int) {}
	}
	f.Table.Time = f.Time
	table, err := tabular.Read(r, f.Table)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	}
	rows, err := f.rows(table)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	}
	rep := AnomalyReport{
		File:     f.Name,
		Rows:     len(rows.index),
		Columns:  rows.names,
		Time:     rows.clock,
		Settings: map[string]string{},
		Alarms:   []int{},
		Streams:  rows.count(),
	}
	all, err := f.plan(&rep, rows)
	if err != nil {
		return nil, err
	}
	lanes, err := f.lanes(&rep, rows, all)
	if err != nil {
		return nil, err
	}
	scores, alarmed := make([]float64, len(rows.index)), make([]bool, len(rows.index))
	pass := func(what string, visit func(i int, l *lane, score float64)) error {
		x := make([]float64, len(rows.names))
		for i := range rows.index {
			if i%1024 == 0 {
				if err := ctx.Err(); err != nil {
					return err
				}
				f.Progress(what, i, len(rows.index), len(rep.Alarms))
			}
			l := lanes[rows.lane[i]]
			visit(i, l, l.scorer.Update(rows.row(x, i), rows.at(i)))
		}
		return nil
	}
	if all {
		if err := pass("learning", func(int, *lane, float64) {}); err != nil {
			return nil, err
		}
	}
	if err := pass(rep.Detector, func(i int, l *lane, s float64) {
		scores[i] = s
		if l.raise(s) && rows.place[i] >= rep.Train {
			alarmed[i] = true
			rep.Alarms = append(rep.Alarms, rows.index[i])
		}
	}); err != nil {
		return nil, err
	}
	rep.judge(rows, scores, alarmed)
	return &Anomaly{Report: rep, Scores: scores, Alarmed: alarmed, rows: rows}, nil
}

// plan chooses the detector and how many rows it learns from; all reports that it learns from the
// whole file first.
func (f *AnomalyOptions) plan(rep *AnomalyReport, rows *anomalyRows) (all bool, err error) {
	rep.Detector = anomaly.Resolve(f.Detector, rows.schema())
	all = f.Train == "all"
	if f.Train != "" && !all {
		n, err := strconv.Atoi(f.Train)
		longest := slices.Max(rows.streams)
		switch {
		case err != nil || n < 1:
			return false, fmt.Errorf("--train %q: must be a number of rows from 1, or all", f.Train)
		case n > longest:
			return false, fmt.Errorf("--train %d: there are %d rows", n, longest)
		case n == len(rows.index):
			all = true
		case n == longest:
			return false, fmt.Errorf("--train %d: no stream has more rows, and none would be left to score", n)
		default:
			rep.Train = n
		}
		if rep.Train > 0 { // the first rows are taken as usual, as those of a stream with times
			rep.Detector = anomaly.Resolve(f.Detector, anomaly.Schema{Columns: rows.names, Timed: true})
		}
	}
	known, err := anomaly.Settings(rep.Detector)
	if err != nil {
		return false, err
	}
	can := slices.ContainsFunc(known, func(s anomaly.Setting) bool { return s.Name == "train" })
	_, set := f.Settings["train"]
	if set && f.Train != "" {
		return false, errors.New("--train and --set train= say the same: use one of them")
	}
	if rep.Train > 0 && can {
		f.Settings["train"] = f.Train
		if _, said := f.Settings["accept"]; !said && slices.ContainsFunc(known, func(s anomaly.Setting) bool { return s.Name == "accept" }) {
			f.Settings["accept"] = "0" // from those rows alone
		}
	}
	all = all || f.Train == "" && !set && rows.clock == "" && rep.Detector == "isolation-forest"
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
func (f *AnomalyOptions) lanes(rep *AnomalyReport, rows *anomalyRows, all bool) ([]*lane, error) {
	lanes := make([]*lane, len(rows.streams))
	for k, n := range rows.streams {
		if n == 0 { // none of its rows is left by --where
			continue
		}
		if all {
			f.Settings["train"] = strconv.Itoa(n)
		}
		scorer, err := anomaly.New(rep.Detector, f.Settings, rows.schema())
		if err != nil {
			return nil, err
		}
		for _, s := range anomaly.Current(scorer) {
			rep.Settings[s.Name] = s.Value
		}
		// a detector without this setting has no such rows
		if train, err := strconv.Atoi(rep.Settings["train"]); err == nil && !all {
			if rep.Train = max(rep.Train, train); train >= n {
				what := f.Name
				if rows.by != nil {
					what = fmt.Sprintf("%s %q", rows.by.Name, append(rows.by.Categories, "")[k])
				}
				return nil, fmt.Errorf("%s learns from %d rows before the first score, and %s has %d: use a smaller --train, or --train all", rep.Detector, train, what, n)
			}
		}
		lanes[k] = &lane{scorer: scorer}
		if rep.Rate = f.Rate; f.Rate == 0 && scorer.Limit() >= 1 {
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
func (rep *AnomalyReport) judge(rows *anomalyRows, scores []float64, alarmed []bool) {
	labels := rows.labels
	if labels == nil {
		return
	}
	var y, s []float64
	var hit, wrong, missed, usual float64
	for i := range scores {
		if rows.place[i] < rep.Train || math.IsNaN(labels[i]) {
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
	if v := metric.AUC(y, s, nil); !math.IsNaN(v) {
		rep.AUROC = &v
	}
	rep.F1, rep.False, rep.Missed = ratio(hit, hit+(wrong+missed)/2), ratio(wrong, usual), ratio(missed, hit+missed)
}
