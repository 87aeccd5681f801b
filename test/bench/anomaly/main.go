// Command anomaly runs the anomaly detectors over three public benchmarks and prints the tables
// of docs/performance/anomaly.md: the Numenta Anomaly Benchmark by its own rules, SKAB by its
// outlier protocol, and the tables of ADBench by AUROC. Detectors with published NAB scores run
// beside ours, to check the scoring.
//
//	go run ./test/bench/anomaly --data ../shared/data
//	go run ./test/bench/anomaly --data ../shared/data --only nab --detectors seasonal \
//	  --set hold=50 --series
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"skerry.dev/compute/anomaly"
	"skerry.dev/compute/metric"
)

// options are the flags.
type options struct {
	data      string
	detectors []string
	settings  map[string]string
	perSeries bool
}

func main() {
	data := flag.String("data", os.Getenv("SKERRY_DATA"), "folder of the public data sets")
	only := flag.String("only", "nab,skab,adbench", "benchmarks to run")
	detectors := flag.String("detectors", "", "detectors to run (default those that fit the benchmark)")
	set := flag.String("set", "", "settings for all of them, k=v separated by commas")
	perSeries := flag.Bool("series", false, "also print windows found and false alarms of each NAB series")
	flag.Parse()
	o := options{data: *data, settings: map[string]string{}, perSeries: *perSeries}
	if *detectors != "" {
		o.detectors = strings.Split(*detectors, ",")
	}
	for kv := range strings.SplitSeq(*set, ",") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			o.settings[k] = v
		}
	}
	for _, b := range []struct {
		name string
		run  func(options) error
	}{{"nab", runNAB}, {"skab", runSKAB}, {"adbench", runADBench}} {
		if !slices.Contains(strings.Split(*only, ","), b.name) {
			continue
		}
		if err := b.run(o); err != nil {
			fmt.Fprintln(os.Stderr, "anomaly:", err)
			os.Exit(1)
		}
	}
}

// or returns the detectors that the flags name, else others.
func (o options) or(others ...string) []string {
	if o.detectors != nil {
		return o.detectors
	}
	return others
}

func runNAB(o options) error {
	corpus, err := loadNAB(o.data)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "NAB\tstandard\tlow FP\tlow FN\tfound of 116, false\tthreshold\tstandard at the own limit\tseconds")
	for _, name := range o.or("null", "random", "windowed-gaussian", "relative-entropy", "seasonal", "random-cut-forest", "half-space-trees", "isolation-forest") {
		scored := make([]metric.NABSeries, len(corpus))
		began, limit := time.Now(), 1.0
		for i := range corpus {
			s := &corpus[i]
			scored[i].Windows = s.windows
			if run, ok := classic[name]; ok {
				scored[i].Scores = run(s, 1)
				continue
			}
			d, err := anomaly.New(name, nabSettings(o.settings), anomaly.Schema{
				Columns: []string{"value"},
				Timed:   true,
			})
			if err != nil {
				return err
			}
			limit = d.Limit()
			scored[i].Scores = make([]float64, len(s.values))
			for k, v := range s.values {
				scored[i].Scores[k] = d.Update([]float64{v}, s.times[k])
			}
		}
		seconds := time.Since(began).Seconds()
		fmt.Fprint(w, name)
		profiles := metric.NABProfiles()
		for _, p := range profiles {
			fmt.Fprintf(w, "\t%.2f", metric.NAB(scored, p).Score)
		}
		r, own := metric.NAB(scored, profiles[0]), "-"
		if limit < 1 {
			own = fmt.Sprintf("%.2f", metric.NABAt(scored, profiles[0], limit).Score)
		}
		fmt.Fprintf(w, "\t%d, %d\t%.5g\t%s\t%.1f\n", r.Found, r.False, r.Threshold, own, seconds)
		if !o.perSeries {
			continue
		}
		for i := range scored {
			q := metric.NABAt(scored[i:i+1], profiles[0], r.Threshold)
			fmt.Fprintf(w, "  %s\t%d of %d found\t%d false\n", corpus[i].name, q.Found, q.Windows, q.False)
		}
	}
	return nil
}

// nabSettings reports an episode once, as the default for series does by itself.
func nabSettings(settings map[string]string) map[string]string {
	out := map[string]string{"hold": "100"}
	maps.Copy(out, settings)
	return out
}
