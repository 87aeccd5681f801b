// Command accuracy trains every learner on the public tables, by the hash split of their README
// and at its defaults, and compares its error with that of other libraries: log loss of classes,
// root mean squared error of numbers. It prints the table of docs/performance/accuracy.md.
//
//	python test/bench/accuracy/peers.py ../shared/data > peers.json
//	go run ./test/bench/accuracy --data ../shared/data --peers peers.json
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"skerry.dev/hub/fit"
)

// against names the peers that each learner is held against; the best of them counts.
var against = map[string][]string{
	"gbdt": {"lightgbm", "xgboost", "hgb"}, "forest": {"forest"}, "extra-trees": {"extra-trees"}, "neural": {"neural"}, "linear": {"linear"},
}

var big = map[string]struct {
	target string
	drop   []string
}{
	"adult": {"income", []string{"split"}}, "occupancy": {"Occupancy", []string{"split", "date"}}, "bike_sharing_hour": {"cnt", []string{"instant", "dteday", "casual", "registered"}},
	"california_housing": {"median_house_value", nil}, "ccpp": {"PE", nil},
}

// peers are the scores of one table.
type peers struct {
	Table, Task string
	Scores      map[string]struct {
		LogLoss *float64 `json:"logloss"`
		RMSE    *float64 `json:"rmse"`
		Seconds float64  `json:"seconds"`
	}
}

func (p *peers) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	p.Scores = map[string]struct {
		LogLoss *float64 `json:"logloss"`
		RMSE    *float64 `json:"rmse"`
		Seconds float64  `json:"seconds"`
	}{}
	for k, v := range raw {
		switch {
		case k == "table":
			_ = json.Unmarshal(v, &p.Table)
		case k == "task":
			_ = json.Unmarshal(v, &p.Task)
		case v[0] == '{':
			s := p.Scores[k]
			if err := json.Unmarshal(v, &s); err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
			p.Scores[k] = s
		}
	}
	return nil
}

func main() {
	data := flag.String("data", os.Getenv("SKERRY_DATA"), "folder of the public data sets")
	from := flag.String("peers", "peers.json", "scores of the peers, written by peers.py")
	learners := flag.String("learners", strings.Join(fit.Trainers(), ","), "learners to train")
	only := flag.String("tables", "", "tables, separated by commas (default all)")
	set := flag.String("set", "", "settings, k=v separated by commas")
	threads := flag.Int("threads", 1, "threads")
	seeds := flag.Int("seeds", 1, "seeds over which errors are averaged")
	flag.Parse()
	if err := run(*data, *from, strings.Split(*learners, ","), *only, *set, *threads, *seeds); err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

func run(data, from string, learners []string, only, set string, threads, seeds int) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var all []peers
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	for _, l := range learners {
		fmt.Fprintf(w, "table\t%s\tbest peer\t\tdifference\tseconds\tpeer's\t\n", l)
		sum, n, worst, ours, theirs := 0.0, 0.0, 0.0, 0.0, 0.0
		for _, p := range all {
			if only != "" && !slices.Contains(strings.Split(only, ","), p.Table) {
				continue
			}
			o := fit.Options{
				Data:     filepath.Join(data, "tabular", "meta", p.Table+".csv.gz"),
				Target:   "target",
				Split:    fit.SplitHash,
				Learners: []string{l},
				Direct:   true,
				Threads:  threads,
				Set:      fit.Settings{},
			}
			if t, ok := big[p.Table]; ok {
				o.Data, o.Target, o.Drop = filepath.Join(data, "tabular", p.Table+".csv.gz"), t.target, t.drop
			}
			o.Kind = map[string]string{"clf": "classification", "reg": "regression"}[p.Task]
			for kv := range strings.SplitSeq(set, ",") {
				if k, v, ok := strings.Cut(kv, "="); ok {
					o.Set[k] = v
				}
			}
			began, got := time.Now(), 0.0
			for s := range seeds {
				o.Seed = uint64(s + 1)
				r, _, err := fit.Run(context.Background(), o)
				if err != nil {
					return fmt.Errorf("%s: %w", p.Table, err)
				}
				if r.Metrics.LogLoss != nil {
					got += *r.Metrics.LogLoss / float64(seeds)
				} else {
					got += *r.Metrics.RMSE / float64(seeds)
				}
			}
			took := time.Since(began).Seconds() / float64(seeds)
			best, name, seconds := math.Inf(1), "", 0.0
			for _, peer := range against[l] {
				s := p.Scores[peer]
				v := s.LogLoss
				if p.Task == "reg" {
					v = s.RMSE
				}
				if v != nil && *v < best {
					best, name, seconds = *v, peer, s.Seconds
				}
			}
			diff := got/best - 1
			fmt.Fprintf(w, "%s\t%.5g\t%.5g\t%s\t%+.2f %%\t%.2f\t%.2f\t\n", p.Table, got, best, name, 100*diff, took, seconds)
			sum, n, worst, ours, theirs = sum+diff, n+1, max(worst, diff), ours+took, theirs+seconds
		}
		fmt.Fprintf(w, "mean of %.0f\t\t\t\t%+.2f %%\t%.1f\t%.1f\t\nworst\t\t\t\t%+.2f %%\t\t\t\n", n, 100*sum/n, ours, theirs, 100*worst)
	}
	return nil
}
