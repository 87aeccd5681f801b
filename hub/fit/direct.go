package fit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/binned"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
)

// Folds is how many parts the kfold split has.
const Folds = 5

// data is a table in the form of a shape, column by column. Numbers are the frame's own.
type data struct {
	shape   *shape
	lineage string      // of the table
	cols    [][]float64 // by input: numbers, or indices into its categories
	y       []float64   // NaN without a label
	w       []float64   // nil: all rows weigh 1
}

// work is a training: data, the rows to learn from, and what the options define.
type work struct {
	*data
	rows    []int32
	threads int
	seed    uint64
	set     Settings
	report  func(stage string, done, of int, loss float64)
}

// trained is what a learner makes of it.
type trained struct {
	model   artifact.Predictor
	columns []feature.Column
	gains   []float64 // by input; nil when the learner has no measure of its own
	params  map[string]string
}

// trainer fits one kind of model to independent rows.
type trainer func(ctx context.Context, w *work) (*trained, error)

// trainers by the name that people type.
var trainers = map[string]trainer{}

// Trainers lists the learners that can be trained once.
func Trainers() []string { return slices.Sorted(maps.Keys(trainers)) }

// runDirect trains one learner once: on all training rows, or with kfold on all rows, after as
// many models have measured what to expect.
func runDirect(ctx context.Context, o Options) (*Report, []byte, error) {
	fit, ok := trainers[o.Learners[0]]
	if !ok {
		return nil, nil, fmt.Errorf("learner %q cannot be trained by itself", o.Learners[0])
	}
	d, parts, split, err := load(ctx, &o)
	if err != nil {
		return nil, nil, err
	}
	began := time.Now()
	r := &Report{
		Learner: o.Learners[0],
		Task:    o.Task,
		Kind:    d.shape.kind,
		Target:  d.shape.target,
		Inputs:  len(d.shape.inputs),
		Dropped: d.shape.dropped,
		Split:   split,
		Seed:    o.Seed,
		Trials:  1,
	}
	var scores []scored
	for k, p := range parts[:len(parts)-1] {
		t, err := d.fit(ctx, fit, &o, p.train, fmt.Sprintf("fold %d", k+1))
		if err != nil {
			return nil, nil, err
		}
		a, err := d.artifact(&o, t, p.train)
		if err != nil {
			return nil, nil, err
		}
		rows, err := d.predict(ctx, a, p.test)
		if err != nil {
			return nil, nil, err
		}
		scores = append(scores, rows...)
	}
	last := parts[len(parts)-1]
	t, err := d.fit(ctx, fit, &o, last.train, "")
	if err != nil {
		return nil, nil, err
	}
	r.SecondsTrain = time.Since(began).Seconds()
	a, err := d.artifact(&o, t, last.train)
	if err != nil {
		return nil, nil, err
	}
	if last.test != nil {
		if scores, err = d.predict(ctx, a, last.test); err != nil {
			return nil, nil, err
		}
	}
	if scores != nil {
		if r.Metrics, err = measure(a, scores); err != nil {
			return nil, nil, fmt.Errorf("score the test rows: %w", err)
		}
		a.Manifest.Metrics = r.Metrics.named()
		calibrate(a, scores)
	}
	r.Params, r.RowsTrain, r.RowsTest, r.Features = a.Manifest.Params, len(last.train), len(scores), a.Pipeline.Width()
	b, err := artifact.Encode(a)
	if err != nil {
		return nil, nil, err
	}
	if o.MaxBytes > 0 && int64(len(b)) > o.MaxBytes {
		return nil, nil, fmt.Errorf("the artifact has %d bytes, of %d allowed (max-bytes): allow more, or train a smaller model by --set", len(b), o.MaxBytes)
	}
	r.Digest, r.ArtifactBytes = artifact.Digest(b), len(b)
	if t.gains != nil {
		for j, g := range t.gains {
			r.Importance = append(r.Importance, Gain{d.shape.inputs[j].Name, g})
		}
		slices.SortStableFunc(r.Importance, func(a, b Gain) int { return cmp.Compare(b.Gain, a.Gain) })
	} else if last.test != nil {
		s := d.series(last.test)
		if r.Importance, err = importance(ctx, a, &s, o.Seed); err != nil {
			return nil, nil, fmt.Errorf("measure the inputs: %w", err)
		}
	}
	r.PeakRSS = PeakRSS()
	return r, b, nil
}

// part is a set of rows to learn from and one to test on; nil: none.
type part struct{ train, test []int32 }

// load reads the files and splits their labelled rows. The last part is the one whose model is
// kept.
func load(ctx context.Context, o *Options) (*data, []part, string, error) {
	f, g, err := read(ctx, o)
	if err != nil {
		return nil, nil, "", err
	}
	n := f.Rows
	if g != nil {
		if err := f.Append(g); err != nil {
			return nil, nil, "", fmt.Errorf("%s: %w", o.Test, err)
		}
	}
	marked, err := mark(f, o)
	if err != nil {
		return nil, nil, "", fmt.Errorf("%s: %w", o.Data, err)
	}
	d, err := newData(f, o)
	if err != nil {
		return nil, nil, "", fmt.Errorf("%s: %w", o.Data, err)
	}
	if o.Task == "" {
		o.Task = spec.NameFrom(d.shape.target)
	}
	split := o.Split
	switch {
	case o.Test != "":
		split = "file"
	case split == "" && d.shape.time != "":
		split = SplitTime
	case split == "":
		split = SplitHash
	}
	order := make([]int32, f.Rows)
	for i := range order {
		order[i] = int32(i)
	}
	var isTest func(i int32) bool
	switch {
	case o.Test != "":
		isTest = func(i int32) bool { return int(i) >= n }
	case marked != nil:
		isTest = func(i int32) bool { return marked[i] }
	case split == SplitHash:
		isTest = func(i int32) bool { return hashTest(int(i)) }
	case split == SplitTime:
		if order, err = d.shape.order(f); err != nil {
			return nil, nil, "", err
		}
		late := make([]bool, f.Rows)
		for _, i := range order[int(float64(f.Rows)*(1-testShare)):] {
			late[i] = true
		}
		isTest = func(i int32) bool { return late[i] }
	case split == SplitKFold:
		return d.folds(order, split)
	case split == SplitNone:
		isTest = func(int32) bool { return false }
	default:
		return nil, nil, "", fmt.Errorf("split %q: must be time, hash, kfold, none or column=value", split)
	}
	var p part
	for _, i := range order {
		switch {
		case math.IsNaN(d.y[i]):
		case isTest(i):
			p.test = append(p.test, i)
		default:
			p.train = append(p.train, i)
		}
	}
	if n := f.Rows - len(p.train) - len(p.test); n > 0 {
		o.note("%d of %d rows have no value of %q and are left out", n, f.Rows, d.shape.target)
	}
	if len(p.train) == 0 {
		return nil, nil, "", fmt.Errorf("%s: no row to learn from: %d rows, of which %d have a value of %q", o.Data, f.Rows, len(p.test), d.shape.target)
	}
	return d, []part{p}, split, nil
}

// folds are chosen by the hash of the row's position.
func (d *data) folds(order []int32, split string) (*data, []part, string, error) {
	parts := make([]part, Folds+1)
	for _, i := range order {
		if math.IsNaN(d.y[i]) {
			continue
		}
		for k := range Folds {
			if hashFold(int(i)) == uint32(k) {
				parts[k].test = append(parts[k].test, i)
			} else {
				parts[k].train = append(parts[k].train, i)
			}
		}
		parts[Folds].train = append(parts[Folds].train, i)
	}
	for _, p := range parts[:Folds] {
		if len(p.train) == 0 || len(p.test) == 0 {
			return nil, nil, "", fmt.Errorf("%d labelled rows are too few for %d folds", len(parts[Folds].train), Folds)
		}
	}
	return d, parts, split, nil
}

// newData gives a frame the shape that the options require.
func newData(f *frame.Frame, o *Options) (*data, error) {
	sh, err := describe(f, o)
	if err != nil {
		return nil, err
	}
	d := &data{shape: sh, lineage: lineage(f, sh.target)}
	for _, in := range sh.inputs {
		c, err := tabular.Column(f, in.Name)
		if err != nil {
			return nil, err
		}
		v, err := values(c, in.Categories)
		if err != nil {
			return nil, err
		}
		d.cols = append(d.cols, v)
	}
	t, err := tabular.Column(f, sh.target)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	if d.y, err = values(t, sh.classes); err != nil {
		return nil, err
	}
	for i, y := range d.y {
		if math.IsInf(y, 0) {
			return nil, fmt.Errorf("target %q is %v in row %d: must be finite", sh.target, y, i+1)
		}
	}
	if o.Weight == "" {
		return d, nil
	}
	w, err := tabular.Column(f, o.Weight)
	if err != nil {
		return nil, fmt.Errorf("weight: %w", err)
	}
	if w.Type != frame.Number {
		return nil, fmt.Errorf("weight: column %q holds %s, numbers were expected", w.Name, w.Type)
	}
	for i, v := range w.Values {
		if !(v > 0 && v <= math.MaxFloat64) {
			return nil, fmt.Errorf("weight: column %q is %v in row %d, must be positive", w.Name, v, i+1)
		}
	}
	d.w = w.Values
	return d, nil
}

// values are those of reader, without a copy where the column has them already.
func values(c *frame.Column, names []string) ([]float64, error) {
	if names == nil && c.Type == frame.Number {
		return c.Values, nil
	}
	get, err := tabular.Codes(c, names)
	if err != nil {
		return nil, err
	}
	v := make([]float64, c.Len())
	for i := range v {
		v[i] = get(i)
	}
	return v, nil
}

// intervalLevel is the coverage of the intervals of a model that is trained once;
// calibrationScores is how many quantiles of its errors they are made from.
const (
	intervalLevel     = 0.9
	calibrationScores = 201
)

// calibrate gives a regression its intervals: split conformal prediction by the errors of the
// test rows (Lei et al., JASA 113, 2018). They hold for rows like these; on a device they are
// adapted.
func calibrate(a *artifact.Artifact, scores []scored) {
	if a.Manifest.Kind != artifact.KindRegression {
		return
	}
	off := make([]float64, len(scores))
	for i, s := range scores {
		off[i] = math.Abs(s.y - s.pred)
	}
	a.Calibration = artifact.Calibration{Level: intervalLevel, Scores: selection.Thin(off, calibrationScores)}
}

// fit trains on rows and reports how far it is.
func (d *data) fit(ctx context.Context, fit trainer, o *Options, rows []int32, stage string) (*trained, error) {
	w := &work{data: d, rows: rows, threads: o.Threads, seed: o.Seed, set: o.Set}
	var mu sync.Mutex // trees of a forest report from several goroutines
	w.report = func(what string, done, of int, loss float64) {
		if o.Progress != nil {
			mu.Lock()
			defer mu.Unlock()
			o.Progress(selection.Progress{
				Stage:   strings.TrimSpace(stage + " " + what),
				Done:    done,
				Trials:  of,
				Best:    loss,
				Learner: o.Learners[0],
			})
		}
	}
	t, err := fit(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Learners[0], err)
	}
	return t, nil
}

// binned returns the rows of the work in bins; rows that are not trained on do not change them.
func (w *work) binned(most int) (*binned.Matrix, error) {
	t := binned.Table{Rows: len(w.y), Sample: w.rows}
	for j, v := range w.cols {
		t.Columns = append(t.Columns, binned.Column{
			Values:     v,
			Stride:     1,
			Categories: w.shape.inputs[j].Categories != nil,
		})
	}
	m, err := binned.Fit(t, most, w.threads)
	if err != nil {
		return nil, err
	}
	return m.Apply(t, w.threads)
}

// row writes the inputs of a row into dst.
func (d *data) row(dst []float64, i int32) {
	for j, c := range d.cols {
		dst[j] = c[i]
	}
}

// series makes a device of rows, as predict and importance take it.
func (d *data) series(rows []int32) selection.Series {
	s := selection.Series{Device: "file"}
	width := len(d.cols)
	flat := make([]float64, len(rows)*width)
	for k, i := range rows {
		v := flat[k*width : (k+1)*width : (k+1)*width]
		d.row(v, i)
		s.Times, s.Values, s.Target = append(s.Times, int64(k)*second), append(s.Values, v), append(s.Target, d.y[i])
	}
	return s
}

// predictRows is how many rows become a series at once.
const predictRows = 1 << 14

func (d *data) predict(ctx context.Context, a *artifact.Artifact, rows []int32) ([]scored, error) {
	var out []scored
	for len(rows) > 0 {
		n := min(len(rows), predictRows)
		s := d.series(rows[:n])
		part, err := predict(ctx, a, &s, math.MinInt64)
		if err != nil {
			return nil, fmt.Errorf("score the test rows: %w", err)
		}
		out, rows = append(out, part...), rows[n:]
	}
	return out, nil
}

// vectorRows is how many training rows prove an artifact right where it is loaded.
const vectorRows = 16

// artifact wraps what was trained on rows. Its pipeline looks at the row alone.
func (d *data) artifact(o *Options, t *trained, rows []int32) (*artifact.Artifact, error) {
	sh := d.shape
	a := &artifact.Artifact{
		Manifest: artifact.Manifest{
			Task:        o.Task,
			Kind:        sh.kind,
			Inputs:      sh.inputs,
			Output:      artifact.Output{Series: sh.target, Input: -1, Unit: sh.unit, Classes: sh.classes},
			Learner:     o.Learners[0],
			Params:      t.params,
			Seed:        o.Seed,
			Rows:        int64(len(rows)),
			CreatedFrom: []string{d.lineage},
		},
		Pipeline: &feature.Pipeline{Inputs: sh.inputs, Columns: t.columns, Rows: 1},
		Models:   map[artifact.Role]artifact.Predictor{artifact.Point: t.model},
	}
	for _, c := range d.cols {
		v := make([]float64, 0, len(rows))
		for _, i := range rows {
			if x := c[i]; !math.IsNaN(x) && !math.IsInf(x, 0) {
				v = append(v, x)
			}
		}
		a.Reference = append(a.Reference, artifact.Reference{
			Missing:   1 - float64(len(v))/float64(len(rows)),
			Quantiles: selection.Thin(v, selection.ReferencePoints),
		})
	}
	var times []int64
	var flat []float64
	width := len(d.cols)
	for k, i := range rows[max(0, len(rows)-min(vectorRows, artifact.MaxVectorBytes/8/width)):] {
		times = append(times, int64(k)*second)
		flat = append(flat, make([]float64, width)...)
		d.row(flat[k*width:], i)
	}
	if len(times) == 0 {
		return nil, errors.New("no row to learn from")
	}
	var err error
	if a.Vectors, err = artifact.MakeVectors(a, times, flat, len(times)); err != nil {
		return nil, err
	}
	return a, a.Check()
}

// plain is the pipeline of models that take the inputs as they are.
func (d *data) plain() []feature.Column {
	var out []feature.Column
	for j, in := range d.shape.inputs {
		out = append(out, feature.Column{Name: in.Name, Op: feature.OpValue, Series: j})
	}
	return out
}
