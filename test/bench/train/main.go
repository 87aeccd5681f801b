// Command train times the boosting trainer against LightGBM, XGBoost and scikit-learn on the same
// work: the same table, threads, trees, leaves and bins. Contestants run one after the other,
// each in a process of its own, in several rounds; it prints medians and ratios. A library that
// is not installed is left out, and named.
//
//	go run ./test/bench/train --python python3 --data ../shared/data --rounds 5
//
// Tables: higgs-200k and higgs-1m, 28 columns of generated numbers (trainable to an AUC of about
// 0.935); adult-600k, the census table's training rows repeated. The time is that of binning and
// training from arrays in memory; peak memory is that of the whole process, the table and for the
// others Python included.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// result is what a contestant prints.
type result struct {
	Version string  `json:"version"`
	Bin     float64 `json:"seconds_bin"`
	Train   float64 `json:"seconds_train"`
	AUC     float64 `json:"auc"`
	RSS     int64   `json:"peak_rss_bytes"`
}

const ours = "skerry"

var libraries = []string{ours, "lightgbm", "xgboost-leaf", "xgboost-depth", "hgb"}

func main() {
	python := flag.String("python", "python3", "interpreter that has the libraries")
	data := flag.String("data", os.Getenv("SKERRY_DATA"), "folder of the public data sets, for adult-600k")
	work := flag.String("work", filepath.Join(os.TempDir(), "skerry-bench-train"), "folder for tables; made when it is not there")
	tables := flag.String("tables", "higgs-200k,higgs-1m,adult-600k", "tables, separated by commas")
	threads := flag.String("threads", "1,2", "numbers of threads, separated by commas")
	rounds := flag.Int("rounds", 3, "rounds")
	only := flag.String("libraries", strings.Join(libraries, ","), "contestants, separated by commas")
	peers := flag.String("peers", filepath.Join("test", "bench", "train", "peers.py"), "script that runs the libraries")
	one := flag.String("one", "", "train once on the table in this folder, print the result and exit")
	profile := flag.String("profile", "", "with --one: write a CPU profile to this file")
	flag.Parse()
	var err error
	if *one != "" {
		n, _ := strconv.Atoi(*threads) // 0 is refused below
		err = once(*one, n, *profile)
	} else {
		err = compare(*python, *peers, *data, *work, split(*tables), split(*threads), split(*only), *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "train:", err)
		os.Exit(1)
	}
}

func split(s string) []string { return strings.Split(s, ",") }

func compare(python, peers, data, work string, tables, threads, contestants []string, rounds int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, table := range tables {
		dir := filepath.Join(work, table)
		if err := prepare(dir, table, data); err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
		for _, t := range threads {
			results := map[string][]result{}
			for range rounds {
				for _, c := range contestants {
					cmd := exec.Command(python, peers, dir, c, t)
					if c == ours {
						cmd = exec.Command(self, "--one", dir, "--threads", t)
					}
					var out, errs bytes.Buffer
					cmd.Stdout, cmd.Stderr = &out, &errs
					if err := cmd.Run(); err != nil {
						lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
						fmt.Fprintf(os.Stderr, "%s left out: %v: %s\n", c, err, lines[len(lines)-1])
						continue
					}
					var r result
					if err := json.Unmarshal(out.Bytes(), &r); err != nil {
						return fmt.Errorf("%s printed %q: %w", c, out.String(), err)
					}
					results[c] = append(results[c], r)
				}
			}
			if err := show(table, t, contestants, results); err != nil {
				return err
			}
		}
	}
	return nil
}

// show prints the medians of a table, with the time of each contestant over ours.
func show(table, threads string, contestants []string, results map[string][]result) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s, %s threads\tbin s\ttrain s\tboth s\tmin\tover ours\tAUC\tpeak MiB\t\n", table, threads)
	mine := 0.0
	for _, c := range contestants {
		rs := results[c]
		if len(rs) == 0 {
			continue
		}
		both := func(r result) float64 { return r.Bin + r.Train }
		total := median(rs, both)
		if c == ours {
			mine = total
		}
		ratio := ""
		if mine > 0 {
			ratio = fmt.Sprintf("%.2f×", total/mine)
		}
		fmt.Fprintf(w, "%s %s\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t%.4f\t%.0f\t\n", c, rs[0].Version, median(rs, func(r result) float64 { return r.Bin }), median(rs, func(r result) float64 { return r.Train }), total,
			both(slices.MinFunc(rs, func(a, b result) int { return int(1e6 * (both(a) - both(b))) })), ratio, rs[0].AUC, median(rs, func(r result) float64 { return float64(r.RSS) / (1 << 20) }))
	}
	return w.Flush()
}

func median(rs []result, of func(result) float64) float64 {
	var v []float64
	for _, r := range rs {
		v = append(v, of(r))
	}
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
