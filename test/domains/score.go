package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"skerry.dev/compute/metric"
)

// The bounds.
const (
	level          = 0.9 // nominal coverage, the default of a task
	leastCoverage  = 0.88
	mostCoverage   = 0.92
	falseAlarms    = 0.01
	intervalWindow = 500 // errors that the intervals of constant width look back on
	fewest         = 500 // rows to judge by
)

// result is what a set came to.
type result struct {
	set       *set
	rows      int
	tasks     int
	active    int // tasks with a model of the hub
	first     int // row of the latest first prediction by one
	trainings int
	seconds   float64
	scored    int

	// mean absolute error, or log loss
	published, alone float64
	baselines        map[string]float64

	own, constant metric.IntervalSummary // of numbers

	covered, held, empty float64 // of sets: share with the truth, mean size, share of empty ones
	accuracy, auc        float64

	clean, faulty, fine int // of an anomaly task: usual rows, faulty ones, and those between faults
	alarms              [3]int

	lacks  []string // why tasks have no model
	missed []string
}

// judge scores what both agents published. why says what the newest training of a task without a
// model lacks, "" when it says nothing.
func judge(of *set, d *data, heard [2]*listener, why func(task string) string) *result {
	r := &result{set: of, rows: d.rows, baselines: map[string]float64{}}
	for _, l := range heard {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.broken != nil {
			r.miss("a prediction cannot be read: %v", l.broken)
		}
	}
	if of.kind == unusual {
		r.unusual(d, heard[withHub].all)
		return r
	}
	sum := newSums()
	other := map[string]map[int64]said{}
	for _, p := range heard[alone].all {
		if other[p.Task] == nil {
			other[p.Task] = map[int64]said{}
		}
		other[p.Task][p.Time.UnixMicro()] = p
	}
	byTask := map[string][]said{}
	for _, p := range heard[withHub].all {
		byTask[p.Task] = append(byTask[p.Task], p)
	}
	r.tasks = len(d.truth)
	for _, task := range slices.Sorted(maps.Keys(d.truth)) {
		active := r.active
		r.task(sum, task, d, byTask[task], other[task])
		if text := why(task); r.active == active && text != "" {
			r.lacks = append(r.lacks, task+": "+text)
		}
	}
	r.finish(sum)
	return r
}

// sums are totals over the scored rows of all tasks.
type sums struct {
	n, published, alone   float64
	baselines             map[string]float64
	counts                map[string]float64
	covered, size, empty  float64
	right                 float64
	truths, probabilities []float64
	own, constant         []metric.IntervalSummary
}

func newSums() *sums {
	return &sums{baselines: map[string]float64{}, counts: map[string]float64{}}
}

// task scores the rows of one task since its first prediction by a model of the hub.
func (r *result) task(s *sums, task string, d *data, all []said, alone map[int64]said) {
	truth := d.truth[task]
	var rows []metric.Interval
	from := -1
	seen := map[int64]bool{}
	for i, p := range all {
		y, ok := truth[p.For.UnixMicro()]
		if !ok || seen[p.Time.UnixMicro()] {
			continue
		}
		seen[p.Time.UnixMicro()] = true
		if from < 0 && !p.Bare {
			from = len(rows)
			r.active++
			r.first = max(r.first, i)
		}
		iv := metric.Interval{Truth: y, Predicted: p.Value, Lower: math.NaN(), Upper: math.NaN()}
		if p.Lower != nil && p.Upper != nil {
			iv.Lower, iv.Upper = *p.Lower, *p.Upper
		}
		rows = append(rows, iv)
		q, both := alone[p.Time.UnixMicro()]
		if from < 0 || !both {
			continue
		}
		s.n++
		if r.set.kind == class {
			s.class(y, p, q)
		} else {
			s.number(y, p, q)
			if week, ok := truth[p.For.Add(-7*24*time.Hour).UnixMicro()]; ok && d.week {
				s.baseline("last week", math.Abs(y-week))
			}
		}
	}
	if from >= 0 && r.set.kind == number {
		own, constant := metric.CompareIntervals(rows, level, intervalWindow, r.set.late, from)
		s.own, s.constant = append(s.own, own), append(s.constant, constant)
	}
}

func (s *sums) baseline(name string, loss float64) {
	s.baselines[name] += loss
	s.counts[name]++
}

func (s *sums) number(y float64, p, q said) {
	s.published += math.Abs(y - p.Value)
	s.alone += math.Abs(y - q.Value)
	s.baseline("last value or mean", math.Abs(y-p.Base))
}

func (s *sums) class(y float64, p, q said) {
	loss := func(v float64) float64 {
		if y == 0 {
			v = 1 - v
		}
		return metric.ClassLoss(v)
	}
	s.published += loss(p.Value)
	s.alone += loss(q.Value)
	s.baseline("shares of the classes", loss(p.Base))
	if (p.Value >= 0.5) == (y == 1) {
		s.right++
	}
	s.truths, s.probabilities = append(s.truths, y), append(s.probabilities, p.Value)
	s.size += float64(len(p.Set))
	if len(p.Set) == 0 {
		s.empty++
	}
	word := []string{"0", "1"}
	if slices.Contains(p.Set, "yes") || slices.Contains(p.Set, "no") {
		word = []string{"no", "yes"}
	}
	if slices.Contains(p.Set, word[int(y)]) {
		s.covered++
	}
}

// finish turns sums into means and notes the bounds that do not hold.
func (r *result) finish(s *sums) {
	r.scored = int(s.n)
	if len(r.lacks) == r.tasks && r.active == 0 {
		return // the hub says what is missing, and the devices go on alone
	}
	if r.active+len(r.lacks) < r.tasks {
		r.miss("%d of %d tasks have no model of the hub, and no training says what is missing", r.tasks-r.active-len(r.lacks), r.tasks)
	}
	if s.n < fewest {
		r.miss("only %d rows to judge by", r.scored)
		if s.n == 0 {
			return
		}
	}
	r.published, r.alone = s.published/s.n, s.alone/s.n
	if !(r.published < r.alone) {
		r.miss("published error not below the agent alone")
	}
	for name, loss := range s.baselines {
		r.baselines[name] = loss / s.counts[name]
		if !(r.published < r.baselines[name]) {
			r.miss("published error not below the baseline %s", name)
		}
	}
	if r.set.kind == class {
		r.covered, r.held, r.empty, r.accuracy = s.covered/s.n, s.size/s.n, s.empty/s.n, s.right/s.n
		r.auc = metric.AUC(s.truths, s.probabilities, nil)
		// A set is never empty: it covers at least what the more probable class does, which may be
		// more than is asked for.
		if r.covered < leastCoverage || r.covered > max(mostCoverage, r.accuracy+0.02) {
			r.miss("sets cover %.3f", r.covered)
		}
		if r.empty > 0 {
			r.miss("%.1f %% of the sets are empty", 100*r.empty)
		}
		return
	}
	r.own, r.constant = pooled(s.own), pooled(s.constant)
	if r.own.Coverage < leastCoverage || r.own.Coverage > mostCoverage {
		r.miss("coverage %.3f", r.own.Coverage)
	}
	if !(r.own.Score <= r.constant.Score) {
		r.miss("interval score above that of constant widths")
	}
}

// pooled is the mean over all rows of several summaries.
func pooled(all []metric.IntervalSummary) (out metric.IntervalSummary) {
	for _, s := range all {
		if s.Rows == 0 {
			continue
		}
		out.Rows += s.Rows
		w := float64(s.Rows) / float64(out.Rows)
		out.Coverage += (s.Coverage - out.Coverage) * w
		out.Width += (s.Width - out.Width) * w
		out.Score += (s.Score - out.Score) * w
		out.Widest = max(out.Widest, s.Widest)
	}
	return out
}

// unusual counts the alarms.
func (r *result) unusual(d *data, all []said) {
	truth := d.truth["valve"]
	for _, p := range all {
		at, kind := p.Time.UnixMicro(), 2
		switch {
		case d.free[at]:
			kind = 0
			r.clean++
		case truth[at] == 1:
			kind = 1
			r.faulty++
		default:
			r.fine++
		}
		if p.Alarm {
			r.alarms[kind]++
		}
	}
	if share := over(r.alarms[0], r.clean); !(share <= falseAlarms) {
		r.miss("alarms on %.2f %% of clean rows", 100*share)
	}
	if r.alarms[1] == 0 {
		r.miss("no alarm on a fault")
	}
}

func over(n, of int) float64 { return float64(n) / float64(of) }

func (r *result) miss(format string, args ...any) {
	r.missed = append(r.missed, fmt.Sprintf(format, args...))
}

// print writes what is known of a set.
func (r *result) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintf(t, "  took\t%.0f s, %d trainings\n", r.seconds, r.trainings)
	if r.set.kind == unusual {
		fmt.Fprintf(t, "  alarms\t%.2f %% of %d clean rows, %.1f %% of %d with a fault, %.1f %% of %d between\n",
			100*over(r.alarms[0], r.clean), r.clean, 100*over(r.alarms[1], r.faulty), r.faulty, 100*over(r.alarms[2], r.fine), r.fine)
	} else {
		fmt.Fprintf(t, "  model of the hub\t%d of %d tasks, after %d rows\n", r.active, r.tasks, r.first)
		fmt.Fprintf(t, "  error\t%.4g, alone %.4g, baselines %s, on %d rows\n", r.published, r.alone, r.base(), r.scored)
	}
	switch r.set.kind {
	case number:
		fmt.Fprintf(t, "  intervals\tcoverage %.3f, width %.4g, score %.4g; constant: %.3f, %.4g, %.4g\n", r.own.Coverage, r.own.Width, r.own.Score, r.constant.Coverage, r.constant.Width, r.constant.Score)
	case class:
		fmt.Fprintf(t, "  sets\tcover %.3f, hold %.2f, empty %.3f; accuracy %.4f, AUC %.4f\n", r.covered, r.held, r.empty, r.accuracy, r.auc)
	}
	for _, text := range r.lacks {
		fmt.Fprintf(t, "  no model\t%s\n", text)
	}
	for _, m := range r.missed {
		fmt.Fprintf(t, "  MISSED\t%s\n", m)
	}
}

func (r *result) base() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.baselines)) {
		out = append(out, fmt.Sprintf("%s %.4g", name, r.baselines[name]))
	}
	return strings.Join(out, ", ")
}

// markdown is the table of docs/performance/domains.md.
func markdown(all []*result) string {
	var b strings.Builder
	b.WriteString("| set | first model after | error | agent alone | baselines | coverage | interval score (constant width) | missed |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range all {
		missed := strings.Join(r.missed, "; ")
		if missed == "" {
			missed = "–"
		}
		if r.set.kind == unusual {
			fmt.Fprintf(&b, "| %s | – | alarms: %.2f %% of clean rows, %.1f %% with a fault, %.1f %% between | – | – | – | – | %s |\n",
				r.set.title, 100*over(r.alarms[0], r.clean), 100*over(r.alarms[1], r.faulty), 100*over(r.alarms[2], r.fine), missed)
			continue
		}
		if r.scored == 0 && len(r.lacks) > 0 {
			fmt.Fprintf(&b, "| %s | none in %d rows: %s | – | – | – | – | – | %s |\n", r.set.title, r.rows/max(r.tasks, 1), strings.Join(r.lacks, "; "), missed)
			continue
		}
		intervals, coverage, word := fmt.Sprintf("%.4g (%.4g)", r.own.Score, r.constant.Score), r.own.Coverage, "MAE"
		if r.set.kind == class {
			intervals, coverage, word = fmt.Sprintf("sets of %.2f, none empty; accuracy %.3f, AUC %.3f", r.held, r.accuracy, r.auc), r.covered, "log loss"
			if r.empty > 0 {
				intervals = strings.Replace(intervals, "none empty", fmt.Sprintf("%.1f %% empty", 100*r.empty), 1)
			}
		}
		fmt.Fprintf(&b, "| %s | %d of %d rows | %s %.4g | %.4g | %s | %.3f | %s | %s |\n", r.set.title, r.first, r.rows/max(r.tasks, 1), word, r.published, r.alone, r.base(), coverage, intervals, missed)
	}
	return b.String()
}
