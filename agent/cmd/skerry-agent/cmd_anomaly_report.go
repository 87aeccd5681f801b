package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"skerry.dev/compute/metric"
)

// anomalyReport is what --json writes. Rows are data rows of the file, from 0.
type anomalyReport struct {
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
		if werr != nil {
			break
		}
		rec := []string{strconv.Itoa(rows.index[i])}
		if rows.time != "" {
			rec = append(rec, rows.stamp(i))
		}
		alarm := "0"
		if alarmed[i] {
			alarm = "1"
		}
		werr = cw.Write(append(rec, number(s), alarm))
	}
	cw.Flush()
	return errors.Join(werr, cw.Error(), done())
}

// report prints the table, unless standard output holds something else, and writes the JSON.
func (f *anomalyFlags) report(cmd *cobra.Command, rep *anomalyReport, rows *anomalyRows, scores []float64) error {
	if stdout, err := emitJSON(cmd, f.jsonFile, rep); stdout || err != nil {
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
