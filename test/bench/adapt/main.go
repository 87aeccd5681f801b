// Command adapt measures adaptation: a hub's model is fitted to the first 30 % of a stream, the
// rest is replayed with that model, its local correction, the local learners and the last value
// in one committee, labels coming late. The streams are those of docs/plan/streaming.md. It
// prints the losses (mean absolute error, or log loss) of the committee, the model alone and the
// best single expert, and widths: of the committee's intervals, of those that the model's
// held-out errors give, and of the narrowest that are all equal and would have covered 90 % of
// the model's errors.
//
//	go run ./test/bench/adapt --data ../shared/data
package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/online/learner"
	"skerry.dev/compute/prequential"
	"skerry.dev/compute/tabular"
	"skerry.dev/hub/fit"
)

// stream is a table with a target.
type stream struct {
	name, file, target string
	kind               string
	drop               []string
	// when not nil: target is the column's next value, and these lags of it are inputs
	ahead   []int
	limit   float64 // of the target; 0: none
	shuffle bool
}

func streams() []stream {
	list := []stream{}
	for _, s := range []string{"aotizhongxin", "changping", "dingling", "gucheng", "shunyi"} {
		list = append(list, stream{
			name:   s,
			file:   "fleet/beijing_air_" + s,
			target: "PM2.5",
			kind:   "regression",
			drop:   []string{"year", "month", "day", "station"},
			ahead:  []int{1, 2, 3, 24},
		})
	}
	return append(list,
		stream{name: "elec2", file: "drift/elec2", target: "class", kind: "classification"},
		stream{
			name:   "steel_energy",
			file:   "forecast/steel_energy",
			target: "Usage_kWh",
			kind:   "regression",
			drop:   []string{"date"},
			ahead:  []int{1, 2, 95},
		},
		stream{
			name:   "etth1",
			file:   "forecast/etth1",
			target: "OT",
			kind:   "regression",
			drop:   []string{"date"},
			ahead:  []int{1, 2, 23},
		},
		stream{
			name:   "bike_sharing_hour",
			file:   "tabular/bike_sharing_hour",
			target: "cnt",
			kind:   "regression",
			drop:   []string{"instant", "dteday", "casual", "registered"},
		},
		stream{name: "ccpp shuffled", file: "tabular/ccpp", target: "PE", kind: "regression", shuffle: true},
		stream{
			name:   "cmapss",
			file:   "pdm/cmapss_fd001_train",
			target: "rul",
			kind:   "regression",
			drop:   []string{"unit"},
			limit:  125,
		},
		stream{
			name:   "occupancy",
			file:   "tabular/occupancy",
			target: "Occupancy",
			kind:   "classification",
			drop:   []string{"split", "date"},
		},
	)
}

func main() {
	data := flag.String("data", os.Getenv("SKERRY_DATA"), "folder of the public data sets")
	delays := flag.String("delays", "1,24,200", "rows that labels come late")
	only := flag.String("streams", "", "streams, separated by commas (default all)")
	verbose := flag.Bool("experts", false, "print every expert's loss and weight")
	flag.Parse()
	if err := run(*data, *delays, *only, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "adapt:", err)
		os.Exit(1)
	}
}

func run(data, delays, only string, verbose bool) error {
	dir, err := os.MkdirTemp("", "adapt")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	fmt.Fprintln(w, "stream\tdelay\tcommittee\tmodel\tbest expert\t\tof the better\tof the model\tmodel late/held-out\tcoverage\tworst 500\twidth\tsplit conformal\tits coverage\tin hindsight\t")
	for _, s := range streams() {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		head, tail, err := s.split(data)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		path := filepath.Join(dir, "head.csv")
		if err := os.WriteFile(path, head, 0o600); err != nil {
			return err
		}
		rep, b, err := fit.Run(context.Background(), fit.Options{
			Data:     path,
			Target:   "target",
			Kind:     s.kind,
			Split:    fit.SplitHash,
			Learners: []string{"gbdt"},
			Direct:   true,
			Threads:  1,
			Seed:     1,
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		a, err := artifact.Decode(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		held := 0.0
		if rep.Metrics.LogLoss != nil {
			held = *rep.Metrics.LogLoss
		} else {
			held = *rep.Metrics.MAE
		}
		for d := range strings.SplitSeq(delays, ",") {
			delay, err := strconv.Atoi(d)
			if err != nil {
				return fmt.Errorf("--delays %q: %w", delays, err)
			}
			var late, within struct{ sum, n float64 }
			var losses []float64
			half := split(&a.Calibration, 0.9) / 2
			rows := bytes.Count(tail, []byte("\n")) - 1
			r, err := prequential.Table(context.Background(), bytes.NewReader(tail), prequential.TableOptions{
				Name:   s.name,
				Target: "target",
				Kind:   s.kind,
				Model:  a,
				Delay:  delay,
				Seed:   1,
				Visit: func(r *prequential.TableRow) error {
					if within.n++; r.ModelLoss <= half {
						within.sum++
					}
					if !math.IsNaN(r.ModelLoss) {
						losses = append(losses, r.ModelLoss)
					}
					if r.Row >= rows*2/3 && !math.IsNaN(r.ModelLoss) {
						late.sum += r.ModelLoss
						late.n++
					}
					return nil
				},
			})
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			own, model, best, name := 0.0, 0.0, math.Inf(1), ""
			if r.Metrics.LogLoss != nil {
				own = *r.Metrics.LogLoss
			} else {
				own = *r.Metrics.MAE
			}
			for _, e := range r.Experts {
				if e.Name == learner.Model {
					model = e.Loss
				}
				if e.Loss < best {
					best, name = e.Loss, e.Name
				}
			}
			fmt.Fprintf(w, "%s\t%d\t%.4g\t%.4g\t%.4g\t%s\t%+.2f %%\t%+.1f %%\t%.2f\t", s.name, delay, own, model, best, name, 100*(own/min(best, model)-1), 100*(own/model-1), late.sum/late.n/held)
			if c := r.Metrics.Coverage; r.Metrics.Width != nil {
				fmt.Fprintf(w, "%.4f\t%.3f\t%.4g\t%.4g\t%.4f\t%.4g\t", *c, *r.Metrics.Worst, *r.Metrics.Width, 2*half, within.sum/within.n, 2*quantile(losses, 0.9))
			}
			fmt.Fprintln(w)
			if verbose {
				for _, e := range r.Experts {
					fmt.Fprintf(os.Stderr, "%s %d: %-24s %.5g  weight %.3f\n", s.name, delay, e.Name, e.Loss, e.Weight)
				}
			}
			w.Flush()
		}
	}
	return nil
}

// split writes the first 30 % of the rows and the others as two CSV files whose target is a
// column of that name.
func (s *stream) split(data string) (head, tail []byte, err error) {
	f, err := os.Open(filepath.Join(data, s.file+".csv.gz"))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	t, err := tabular.Read(f, tabular.Options{})
	if err != nil {
		return nil, nil, err
	}
	y, err := s.targets(t)
	if err != nil {
		return nil, nil, err
	}
	var header []string
	var cells []func(i int) string
	for k := range t.Columns {
		c := &t.Columns[k]
		if slices.Contains(s.drop, c.Name) || c.Type == frame.Time || c.Name == s.target && s.ahead == nil {
			continue
		}
		header, cells = append(header, c.Name), append(cells, func(i int) string { return cell(c, i) })
	}
	source, _ := t.Column(s.target)
	for _, lag := range s.ahead {
		header, cells = append(header, fmt.Sprintf("%s -%d", s.target, lag)), append(cells, func(i int) string {
			if i < lag {
				return ""
			}
			return cell(source, i-lag)
		})
	}
	order := make([]int, t.Rows)
	for i := range order {
		order[i] = i
	}
	if s.shuffle {
		rand.New(rand.NewPCG(7, 7)).Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
	}
	order = slices.DeleteFunc(order, func(i int) bool { return y(i) == "" })
	cut := len(order) * 3 / 10
	part := func(rows []int) []byte {
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		_ = w.Write(append(slices.Clone(header), "target")) // a buffer takes everything
		for _, i := range rows {
			rec := make([]string, 0, len(cells)+1)
			for _, c := range cells {
				rec = append(rec, c(i))
			}
			_ = w.Write(append(rec, y(i)))
		}
		w.Flush()
		return b.Bytes()
	}
	return part(order[:cut]), part(order[cut:]), nil
}

// targets returns the target of a row as text, "" when it has none.
func (s *stream) targets(t *frame.Frame) (func(i int) string, error) {
	if s.target == "rul" { // the cycles that are left until the engine's last one
		unit, err := t.Column("unit")
		if err != nil {
			return nil, err
		}
		left := make([]float64, t.Rows)
		for i := t.Rows - 2; i >= 0; i-- {
			if unit.Values[i] == unit.Values[i+1] {
				left[i] = left[i+1] + 1
			}
		}
		return func(i int) string { return strconv.FormatFloat(min(left[i], s.limit), 'g', -1, 64) }, nil
	}
	c, err := t.Column(s.target)
	if err != nil {
		return nil, err
	}
	if s.ahead == nil {
		return func(i int) string { return cell(c, i) }, nil
	}
	return func(i int) string {
		if i+1 >= t.Rows {
			return ""
		}
		return cell(c, i+1)
	}, nil
}

// split is the width of the interval that the model's held-out errors alone give.
func split(c *artifact.Calibration, level float64) float64 {
	if len(c.Scores) == 0 {
		return math.NaN()
	}
	return 2 * c.Scores[int(math.Ceil(level*float64(len(c.Scores)-1)))]
}

// quantile sorts v.
func quantile(v []float64, p float64) float64 {
	slices.Sort(v)
	return v[int(math.Ceil(p*float64(len(v)-1)))]
}

func cell(c *frame.Column, i int) string {
	switch v := c.Values[i]; {
	case math.IsNaN(v):
		return ""
	case c.Type == frame.Category:
		return c.Categories[int(v)]
	default:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
}
