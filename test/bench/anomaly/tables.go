package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"skerry.dev/compute/anomaly"
	"skerry.dev/compute/metric"
)

// experiment is one of SKAB's.
type experiment struct {
	name string
	x    [][]float64
	y    []float64
}

func loadSKAB(dir string) (all []experiment, err error) {
	err = eachLine(filepath.Join(dir, "anomaly", "skab.csv.gz"), func(rec []string) error {
		if strings.HasPrefix(rec[0], "anomaly-free") {
			return nil
		}
		if len(all) == 0 || all[len(all)-1].name != rec[0] {
			all = append(all, experiment{name: strings.Clone(rec[0])})
		}
		e := &all[len(all)-1]
		row, err := numbers(rec[2:11])
		if err != nil {
			return err
		}
		e.x, e.y = append(e.x, row[:8]), append(e.y, row[8])
		return nil
	})
	return all, err
}

func numbers(cells []string) ([]float64, error) {
	row := make([]float64, len(cells))
	for j, c := range cells {
		v, err := strconv.ParseFloat(c, 64)
		if err != nil {
			return nil, err
		}
		row[j] = v
	}
	return row, nil
}

// runSKAB learns from the first 400 rows of each experiment and judges the others, all
// experiments together.
func runSKAB(o options) error {
	all, err := loadSKAB(o.data)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "\nSKAB\tF1\tFAR %\tMAR %\tseconds")
	const train = 400
	for _, name := range o.or("pca", "seasonal", "isolation-forest", "half-space-trees", "random-cut-forest") {
		var hit, missed, wrong, usual float64
		began := time.Now()
		for _, e := range all {
			set := map[string]string{}
			if name != "seasonal" {
				set["train"] = strconv.Itoa(train)
			}
			for k, v := range o.settings {
				set[k] = v
			}
			d, err := anomaly.New(name, set, anomaly.Schema{Columns: make([]string, 8)})
			if err != nil {
				return err
			}
			alarm, err := anomaly.NewAlarm(0.01)
			if err != nil {
				return err
			}
			for i, x := range e.x {
				s := d.Update(x, int64(i))
				raised := s >= d.Limit()
				if d.Limit() >= 1 {
					raised = alarm.Update(s)
				}
				switch {
				case i < train:
				case raised && e.y[i] == 1:
					hit++
				case raised:
					wrong++
				case e.y[i] == 1:
					missed++
				default:
					usual++
				}
			}
		}
		fmt.Fprintf(w, "%s\t%.3f\t%.1f\t%.1f\t%.1f\n", name, hit/(hit+(wrong+missed)/2), 100*wrong/(wrong+usual), 100*missed/(missed+hit), time.Since(began).Seconds())
	}
	return nil
}

// batchForest is what scikit-learn's isolation forest reaches on the tables, measured with 100
// trees and samples of 256, mean of three seeds, fitted to and judged on all rows.
var batchForest = []struct {
	table string
	auroc float64
}{{"shuttle", 0.997}, {"cardio", 0.926}, {"smtp", 0.905}, {"pageblocks", 0.904}, {"mammography", 0.861}, {"annthyroid", 0.832}, {"campaign", 0.699}, {"optdigits", 0.682}, {"yeast", 0.394}}

// runADBench judges each detector twice: when it learned from all rows before it scores them,
// where it can, and on the stream.
func runADBench(o options) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprint(w, "\nADBench, AUROC")
	mean := 0.0
	for _, b := range batchForest {
		fmt.Fprintf(w, "\t%s", b.table)
	}
	fmt.Fprint(w, "\tmean\tseconds\nscikit-learn isolation forest")
	for _, b := range batchForest {
		mean += b.auroc / float64(len(batchForest))
		fmt.Fprintf(w, "\t%.3f", b.auroc)
	}
	fmt.Fprintf(w, "\t%.4f\t\n", mean)
	for _, name := range o.or("isolation-forest", "half-space-trees", "pca", "random-cut-forest") {
		for _, batch := range []bool{true, false} {
			if batch && name == "random-cut-forest" { // it holds the newest rows only
				continue
			}
			mode, began := "stream", time.Now()
			if batch {
				mode = "all rows"
			}
			fmt.Fprintf(w, "%s, %s", name, mode)
			mean = 0
			for _, b := range batchForest {
				a, err := adbench(o, name, b.table, batch)
				if err != nil {
					return err
				}
				mean += a / float64(len(batchForest))
				fmt.Fprintf(w, "\t%.3f", a)
			}
			fmt.Fprintf(w, "\t%.4f\t%.1f\n", mean, time.Since(began).Seconds())
		}
	}
	return nil
}

func adbench(o options, name, table string, batch bool) (float64, error) {
	var rows [][]float64
	var y []float64
	err := eachLine(filepath.Join(o.data, "anomaly", "adbench", table+".csv.gz"), func(rec []string) error {
		row, err := numbers(rec)
		if err == nil {
			rows, y = append(rows, row[:len(row)-1]), append(y, row[len(row)-1])
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	set := map[string]string{}
	if batch {
		set["train"] = strconv.Itoa(len(rows))
	}
	for k, v := range o.settings {
		set[k] = v
	}
	d, err := anomaly.New(name, set, anomaly.Schema{Columns: make([]string, len(rows[0]))})
	if err != nil {
		return 0, err
	}
	scores := make([]float64, len(rows))
	for pass := 0; pass < 2 && (pass == 0 || batch); pass++ {
		for i, x := range rows {
			scores[i] = d.Update(x, int64(i))
		}
	}
	return metric.AUC(y, scores, nil), nil
}
