package fit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	_ "skerry.dev/compute/feature/wasm" // runs Options.Modules
	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
	"skerry.dev/hub/dataset"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
)

// Splits of Options.
const (
	// the newest fifth is for the test; without a time column the last rows of the file
	SplitTime = "time"
	SplitHash = "hash" // a fifth by the position in the file
	// every fifth once, by models trained on the others; the artifact is trained on all rows. For
	// a named learner only
	SplitKFold = "kfold"
	// no test: every row is for learning, and the figures are those of the search's own holdout
	SplitNone = "none"
)

// Options of a run. Data and Target are required.
type Options struct {
	Table      tabular.Options // how the files are written; Time is that of these options
	Data, Test string          // files; Test "": Split defines which rows of Data are for the test
	Target     string          // column
	Time       string          // column of the event time; required with a horizon
	Horizon    time.Duration   // how far ahead to forecast; 0: rows stand for themselves
	Kind       string          // regression or classification; "": by the target's values
	// time, hash, none, or COLUMN=VALUE: the rows whose column has the value are for the test;
	// default time with a time column, else hash
	Split    string
	Drop     []string       // columns not to use
	Features []spec.Feature // user-defined columns, for a search
	Calendar spec.Calendar  // where a forecast's readings come from
	Task     string         // name for the artifact; default: the target's
	Weight   string         // column of the rows' weights; a named learner only
	Learners []string       // to choose from; nil: all
	// train the one learner once, without a search; rows stand for themselves
	Direct     bool
	Set        Settings // Direct: the learner's settings
	Threads    int
	Seed       uint64
	Trials     int
	Budget     time.Duration
	MaxBytes   int64
	MaxLatency time.Duration
	Progress   func(selection.Progress) // is called by one goroutine at a time
	Modules    []feature.Module         // that Features call by their names
}

// Report is what came out.
type Report struct {
	Learner string            `json:"learner"`
	Params  map[string]string `json:"params,omitempty"`
	Task    string            `json:"task"`
	Kind    string            `json:"kind"`
	Target  string            `json:"target"`
	// given to the search, its own holdout included
	RowsTrain    int      `json:"rows_train"`
	RowsTest     int      `json:"rows_test"`
	Inputs       int      `json:"inputs"`
	Features     int      `json:"features"`
	Dropped      []string `json:"dropped,omitempty"` // columns left out, with the reason
	Split        string   `json:"split"`
	Seed         uint64   `json:"seed"`
	Trials       int      `json:"trials"`
	SecondsTrain float64  `json:"seconds_train"`
	// of the process; 0 where it is not known
	PeakRSS int64 `json:"peak_rss_bytes"`
	// on the test rows; empty without any
	Metrics       Metrics            `json:"metrics"`
	Holdout       *selection.Holdout `json:"holdout,omitempty"` // of the search
	Importance    []Gain             `json:"importance,omitempty"`
	Leaderboard   []selection.Entry  `json:"leaderboard,omitempty"`
	Digest        string             `json:"digest"`
	ArtifactBytes int                `json:"artifact_bytes"`
	// of the table, by whoever collected them
	Notes []string `json:"notes,omitempty"`
}

// parts are the rows of a run.
type parts struct {
	problem  selection.Problem
	test     *selection.Series // nil without
	testFrom int64             // first test row of it; the rows before are its history
	split    string
	shape    *shape
}

// Of a search.
const (
	fewRows       = 200 // below it figures are said to be rough
	mostTrials    = 1000
	defaultBudget = time.Minute
)

// MaxThreads bounds the threads of a run.
const MaxThreads = 1024

// check refuses numbers that no run can have: taken for their defaults, they would be ignored
// without a word.
func (o *Options) check() error {
	switch {
	case o.Trials < 0:
		return fmt.Errorf("trials %d: must be 1 or more, or 0 for as many as the budget allows", o.Trials)
	case o.Budget < 0:
		return fmt.Errorf("budget %s: must be above 0, or 0 for its default", o.Budget)
	case o.Threads < 0 || o.Threads > MaxThreads:
		return fmt.Errorf("threads %d: must be 1 to %d", o.Threads, MaxThreads)
	case o.MaxBytes < 0:
		return fmt.Errorf("max-bytes %d: must be above 0, or 0 for its default", o.MaxBytes)
	case o.MaxLatency < 0:
		return fmt.Errorf("max-latency %s: must be above 0, or 0 for no limit", o.MaxLatency)
	case o.Horizon < 0:
		return fmt.Errorf("horizon %s: must be above 0, or 0 where rows stand for themselves", o.Horizon)
	case o.Horizon == 0 && (o.Calendar.UTCOffset != "" || len(o.Calendar.Holidays) > 0):
		return errors.New("utc-offset and holidays are for a forecast: give its horizon, or leave them out")
	case o.Direct && o.MaxLatency > 0:
		return errors.New("max-latency is for a search: give the number of trials, or leave it out")
	}
	return nil
}

// overBudget is an error for an artifact that is larger or slower than it may be, which a search
// returns where every model is.
func overBudget(res *selection.Result, o *Options) error {
	best := res.Leaderboard[0]
	if n := int64(len(res.Bytes)); o.MaxBytes > 0 && n > o.MaxBytes {
		return fmt.Errorf("the smallest artifact found has %d bytes, of %d allowed (max-bytes): allow more, or drop columns", n, o.MaxBytes)
	}
	if o.MaxLatency > 0 && best.OverBudget {
		return fmt.Errorf("none of the %d models tried predicts a row, its features included, within %s (max-latency): allow more; the best was %s", len(res.Leaderboard), o.MaxLatency, best.Learner)
	}
	return nil
}

// Run learns from a file and returns the report and the artifact's bytes.
func Run(ctx context.Context, o Options) (*Report, []byte, error) {
	if err := o.check(); err != nil {
		return nil, nil, err
	}
	switch {
	case o.Direct && o.Horizon > 0:
		return nil, nil, errors.New("a forecast is searched for: leave out the settings")
	case o.Direct && len(o.Learners) != 1:
		return nil, nil, errors.New("settings are for one learner")
	case o.Direct && len(o.Features) > 0:
		return nil, nil, errors.New("user-defined features are for a search: give the number of --trials, or leave out --learner")
	case o.Direct:
		return runDirect(ctx, o)
	case len(o.Set) > 0 || o.Weight != "" || o.Split == SplitKFold:
		return nil, nil, errors.New("settings, weights and kfold are for a named learner that is trained once")
	}
	p, err := prepare(ctx, &o)
	if err != nil {
		return nil, nil, err
	}
	began := time.Now()
	if n := labelled(&p.problem.Devices[0], math.MinInt64); n < fewRows {
		o.note("there are %d labelled rows to learn from: models are compared on four folds of them, and figures on so few rows are rough", n)
	}
	if o.Trials == 0 { // as many as the time allows
		o.Trials, o.Budget = mostTrials, cmp.Or(o.Budget, defaultBudget)
	}
	res, err := selection.Run(ctx, p.problem, selection.Options{
		Trials:     o.Trials,
		TimeBudget: o.Budget,
		Threads:    o.Threads,
		Learners:   o.Learners,
		Progress:   o.Progress,
	})
	if err != nil {
		return nil, nil, err
	}
	if err := overBudget(res, &o); err != nil {
		return nil, nil, err
	}
	a := res.Artifact
	r := &Report{
		Learner:       a.Manifest.Learner,
		Params:        a.Manifest.Params,
		Task:          a.Manifest.Task,
		Kind:          a.Manifest.Kind,
		Target:        p.shape.target,
		Inputs:        len(a.Manifest.Inputs),
		Features:      len(res.Features),
		Dropped:       p.shape.dropped,
		Split:         p.split,
		Seed:          o.Seed,
		Trials:        res.Trials,
		SecondsTrain:  time.Since(began).Seconds(),
		Holdout:       &res.Holdout,
		Leaderboard:   res.Leaderboard,
		Digest:        a.Digest,
		ArtifactBytes: len(res.Bytes),
	}
	r.RowsTrain = labelled(&p.problem.Devices[0], math.MinInt64)
	if n := len(p.problem.Devices[0].Target) - r.RowsTrain; n > 0 && p.problem.Independent {
		o.note("%d of %d rows to learn from have no value of %q and are left out", n, n+r.RowsTrain, p.shape.target)
	}
	if p.test != nil {
		rows, err := predict(ctx, a, p.test, p.testFrom)
		if err != nil {
			return nil, nil, fmt.Errorf("score the test rows: %w", err)
		}
		if r.Metrics, err = measure(a, rows); err != nil {
			return nil, nil, fmt.Errorf("score the test rows: %w", err)
		}
		r.RowsTest = len(rows)
		if p.problem.Independent {
			if r.Importance, err = importance(ctx, a, p.test, o.Seed); err != nil {
				return nil, nil, fmt.Errorf("measure the inputs: %w", err)
			}
		}
	}
	r.PeakRSS = PeakRSS()
	return r, res.Bytes, nil
}

func labelled(s *selection.Series, from int64) int {
	n := 0
	for i, y := range s.Target {
		if !math.IsNaN(y) && s.Times[i] >= from {
			n++
		}
	}
	return n
}

// read reads the file to learn from and the one to test on, nil without it, whose columns have the
// types of the first.
func read(ctx context.Context, o *Options) (f, test *frame.Frame, err error) {
	t := o.Table
	t.Time, t.Types = o.Time, map[string]frame.Type{}
	if o.Horizon > 0 || o.Kind == artifact.KindRegression {
		t.Types[o.Target] = frame.Number
	}
	if o.Weight != "" {
		t.Types[o.Weight] = frame.Number
	}
	if f, err = dataset.Read(ctx, o.Data, t); err != nil {
		return nil, nil, err
	}
	if identifiers(f, o) { // which a float64 does not tell apart
		t.Types[o.Target] = frame.Category
		if f, err = dataset.Read(ctx, o.Data, t); err != nil {
			return nil, nil, err
		}
	}
	if o.Test == "" {
		return f, nil, nil
	}
	t.Types = map[string]frame.Type{}
	for i := range f.Columns {
		t.Types[f.Columns[i].Name] = f.Columns[i].Type
	}
	t.Only, t.Text = true, nil
	if test, err = dataset.Read(ctx, o.Test, t); err != nil {
		return nil, nil, err
	}
	for i := range test.Columns {
		c := &test.Columns[i]
		if of, err := f.Column(c.Name); err == nil {
			if err := tabular.CheckUnit(c.Name, c.Unit, of.Unit); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", o.Test, err)
			}
		}
	}
	return f, test, nil
}

// identifiers reports whether the target is whole numbers so large that several have one float64,
// and is not to be predicted as a number.
func identifiers(f *frame.Frame, o *Options) bool {
	c, err := tabular.Column(f, o.Target)
	if err != nil || c.Type != frame.Number || o.Horizon > 0 || o.Kind == artifact.KindRegression || o.Kind == "" && !tabular.AreClasses(c) {
		return false
	}
	return slices.ContainsFunc(c.Values, func(v float64) bool { return math.Abs(v) >= 1<<53 })
}

// note passes on what the owner of the table should know.
func (o *Options) note(format string, args ...any) {
	if o.Table.Note != nil {
		o.Table.Note(fmt.Sprintf(format, args...))
	}
}

func prepare(ctx context.Context, o *Options) (*parts, error) {
	f, g, err := read(ctx, o)
	if err != nil {
		return nil, err
	}
	marked, err := mark(f, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Data, err)
	}
	sh, err := describe(f, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Data, err)
	}
	if o.Task == "" {
		o.Task = spec.NameFrom(sh.target)
	}
	train, err := sh.rows(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Data, err)
	}
	var test *rowSet
	if g != nil {
		if test, err = sh.rows(g); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Test, err)
		}
	}
	p := &parts{
		shape: sh,
		problem: selection.Problem{
			Task:          o.Task,
			Kind:          sh.kind,
			Inputs:        sh.inputs,
			TargetIndex:   -1,
			TargetName:    sh.target,
			TargetUnit:    sh.unit,
			Classes:       sh.classes,
			HorizonUS:     o.Horizon.Microseconds(),
			BudgetBytes:   o.MaxBytes,
			BudgetLatency: o.MaxLatency,
			Seed:          o.Seed,
			Lineage:       []string{lineage(f, sh.target)},
		},
	}
	if p.problem.OffsetUS, p.problem.Holidays, err = o.Calendar.Read(); err != nil {
		return nil, err
	}
	if p.problem.Features, p.problem.Modules, err = columns(sh.inputs, o); err != nil {
		return nil, err
	}
	if sh.kind == artifact.KindForecast {
		return p, p.forecast(o, train, test)
	}
	return p, p.tabular(o, train, test, marked)
}

// columns reads the user-defined features and returns the modules that they call.
func columns(inputs []feature.Input, o *Options) ([]feature.Column, []feature.Module, error) {
	taken := map[string]bool{}
	for _, in := range inputs {
		taken[in.Name] = true
	}
	columns, names, errs := spec.Columns(inputs, o.Features)
	for k, f := range o.Features {
		if f.Name == "" || taken[f.Name] {
			errs[k] = errors.New("needs a name that no column and no other feature has")
		}
		taken[f.Name] = true
		if errs[k] != nil {
			errs[k] = fmt.Errorf("feature %q: %w", f.Name, errs[k])
		}
	}
	var modules []feature.Module
	for _, name := range names {
		i := slices.IndexFunc(o.Modules, func(m feature.Module) bool { return m.Name == name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("features call module %q, which is not given", name))
			continue
		}
		modules = append(modules, o.Modules[i])
	}
	return columns, modules, errors.Join(errs...)
}

// mark finds the rows that a split by a column keeps for the test, and drops the column; nil when
// the split is another.
func mark(f *frame.Frame, o *Options) ([]bool, error) {
	name, value, ok := strings.Cut(o.Split, "=")
	if !ok {
		return nil, nil
	}
	c, err := tabular.Column(f, name)
	if err != nil {
		return nil, fmt.Errorf("split: %w", err)
	}
	if o.Horizon > 0 {
		return nil, fmt.Errorf("split %q: a forecast is tested on the future: time or none", o.Split)
	}
	get, err := tabular.Codes(c, []string{value})
	if err != nil {
		return nil, fmt.Errorf("split: %w", err)
	}
	out, n := make([]bool, f.Rows), 0
	for i := range out {
		if out[i] = get(i) == 0; out[i] {
			n++
		}
	}
	if n == 0 || n == f.Rows {
		return nil, fmt.Errorf("split %q: %d of %d rows have this value", o.Split, n, f.Rows)
	}
	o.Drop = append(slices.Clone(o.Drop), c.Name)
	return out, nil
}

// tabular splits rows that stand for themselves.
func (p *parts) tabular(o *Options, train, test *rowSet, marked []bool) error {
	p.problem.Independent, p.problem.Holdout = true, 0.1
	p.split = o.Split
	if p.split == "" {
		p.split = SplitHash
		if p.shape.time != "" {
			p.split = SplitTime
		}
	}
	if test != nil {
		p.split = "file"
	}
	switch {
	case marked != nil && test == nil:
		all := train
		train, test = all.pick(func(i int) bool { return !marked[i] }), all.pick(func(i int) bool { return marked[i] })
	case p.split == SplitHash:
		all := train
		train, test = all.pick(func(i int) bool { return !hashTest(i) }), all.pick(hashTest)
	case p.split == SplitTime:
		train.order()
		cut := int(float64(len(train.times)) * (1 - testShare))
		all := train
		train, test = all.pick(func(i int) bool { return i < cut }), all.pick(func(i int) bool { return i >= cut })
	case p.split == SplitNone, test != nil:
	default:
		return fmt.Errorf("split %q: must be time, hash, none or column=value", p.split)
	}
	p.problem.Devices = []selection.Series{independent(train, p.split != SplitTime, o.Seed)}
	if test != nil {
		s := independent(test, false, 0)
		p.test, p.testFrom = &s, math.MinInt64
	}
	return nil
}

// forecast splits by time. Rows whose label lies in the test are not learned from.
func (p *parts) forecast(o *Options, train, test *rowSet) error {
	p.problem.TargetIndex = p.shape.targetIndex()
	if p.problem.TargetIndex < 0 {
		return fmt.Errorf("the target %q of a forecast cannot be dropped", p.shape.target)
	}
	train.order()
	s, err := forecast(p.shape, train, o)
	if err != nil {
		return err
	}
	if len(s.Times) == 0 {
		return errors.New("no row has a value of the target")
	}
	p.split = o.Split
	if p.split == "" {
		p.split = SplitTime
	}
	switch {
	case test != nil:
		p.split = "file"
		test.order()
		t, err := forecast(p.shape, test, o)
		if err != nil {
			return err
		}
		p.test, p.testFrom = &t, math.MinInt64
	case p.split == SplitTime:
		p.testFrom = s.Times[int(float64(len(s.Times))*(1-testShare))]
		whole := s
		s.Target = slices.Clone(s.Target)
		n := 0
		for i, t := range s.Times {
			if t+o.Horizon.Microseconds() > p.testFrom {
				s.Target[i] = math.NaN()
			}
			if t < p.testFrom {
				n = i + 1
			}
		}
		s.Times, s.Values, s.Target, s.Baseline = s.Times[:n], s.Values[:n], s.Target[:n], s.Baseline[:n]
		p.test = &whole
	case p.split != SplitNone:
		return fmt.Errorf("split %q: a forecast is tested on the future: time or none", p.split)
	}
	p.problem.Devices, p.problem.Few = []selection.Series{s}, true
	return nil
}

// EvaluateOptions define what to score an artifact on.
type EvaluateOptions struct {
	Table  tabular.Options // how the file is written; Time is that of these options
	Data   string
	Target string // column; default: the series the artifact predicts
	Time   string // column of the event time; required for a forecast
}

// Evaluation is how an artifact did on a file.
type Evaluation struct {
	Digest    string `json:"digest"`
	Task      string `json:"task"`
	Kind      string `json:"kind"`
	Learner   string `json:"learner"`
	RowsTrain int64  `json:"rows_train"` // that it was trained on
	Rows      int    `json:"rows_test"`
	// of a forecast: rows that are not newer than its training data; other rows have no time to
	// tell by
	Seen    *int    `json:"rows_seen_in_training,omitempty"`
	PeakRSS int64   `json:"peak_rss_bytes"` // of the process; 0 where it is not known
	Metrics Metrics `json:"metrics"`
	// of the table, by whoever collected them
	Notes []string `json:"notes,omitempty"`
}

// Evaluate scores an artifact on every labelled row of a file.
func Evaluate(ctx context.Context, a *artifact.Artifact, o EvaluateOptions) (*Evaluation, error) {
	m := &a.Manifest
	sh := &shape{kind: m.Kind, target: o.Target, unit: m.Output.Unit, time: o.Time, inputs: m.Inputs, classes: m.Output.Classes}
	if sh.target == "" {
		sh.target = m.Output.Series
	}
	if m.Kind == artifact.KindForecast {
		sh.target = m.Inputs[m.Output.Input].Name
		if sh.time == "" {
			return nil, errors.New("a forecast needs the column of the event time: name it by --time")
		}
	}
	f, err := dataset.Read(ctx, o.Data, sh.reading(o.Table))
	if err != nil {
		return nil, err
	}
	if err := sh.fits(f, o.Table.Note); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Data, err)
	}
	rows, err := sh.rows(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Data, err)
	}
	s := independent(rows, false, 0)
	e := &Evaluation{Digest: a.Digest, Task: m.Task, Kind: m.Kind, Learner: m.Learner, RowsTrain: m.Rows}
	if m.Kind == artifact.KindForecast {
		rows.order()
		if s, err = forecast(sh, rows, &Options{
			Task:    m.Task,
			Horizon: time.Duration(m.HorizonUS) * time.Microsecond,
		}); err != nil {
			return nil, err
		}
		seen := labelled(&s, math.MinInt64) - labelled(&s, m.TrainTo+1)
		e.Seen = &seen
	}
	out, err := predict(ctx, a, &s, math.MinInt64)
	if err != nil {
		return nil, err
	}
	e.Rows = len(out)
	if e.Metrics, err = measure(a, out); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Data, err)
	}
	e.PeakRSS = PeakRSS()
	return e, nil
}
