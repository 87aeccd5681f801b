package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"skerry.dev/agent/gate"
	"skerry.dev/agent/models"
	"skerry.dev/agent/source"
	"skerry.dev/compute/artifact"
	"skerry.dev/compute/engine"
	"skerry.dev/compute/metric"
	"skerry.dev/compute/prequential"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// Options of a run. Task is required.
type Options struct {
	Task *spec.Task
	// Model becomes the champion before the first message at or after ActivateAt (microseconds;
	// 0: at once). nil: the baselines only.
	Model      *artifact.Artifact
	ActivateAt int64
	// Prediction sees every prediction in order. nil: nobody does.
	Prediction func(engine.Prediction) error
	// Label sees every label in order. nil: nobody does.
	Label func(engine.Label) error
	// Progress sees the number of messages and the event time now and then. nil: nobody does.
	Progress func(messages int, at int64)
}

// Summary is what a run measured. Errors are those of labels whose prediction was finite. Figures
// that nothing was measured for are 0.
type Summary struct {
	Task        string    `json:"task"`
	Kind        string    `json:"kind"`
	File        string    `json:"file"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Messages    int       `json:"messages"`
	Rows        int64     `json:"rows"`
	Predictions int64     `json:"predictions"`
	Labels      int64     `json:"labels"`
	Late        int64     `json:"late"`
	Repeats     int64     `json:"repeats"`
	Conflicts   int64     `json:"conflicts"`
	OutOfRange  int64     `json:"out_of_range"`
	// further ahead of their recorded arrival than the task allows
	Future  int64   `json:"future,omitempty"`
	MAE     float64 `json:"mae"`
	RMSE    float64 `json:"rmse"`
	MAELast float64 `json:"mae_last_value"`
	Ratio   float64 `json:"ratio"` // mae / mae_last_value
	// classification: mean figures of all labels, whose MAE, RMSE and MAELast are those of numbers
	// and 0 for more than two classes
	Classes       *ClassSummary `json:"classes,omitempty"`
	Accuracy      float64       `json:"accuracy,omitempty"`
	Nominal       float64       `json:"coverage_nominal"`
	Coverage      float64       `json:"coverage"`
	IntervalScore float64       `json:"interval_score"`
	// of the trailing quantiles of the last value's error, on the same labels
	IntervalLast  float64                     `json:"interval_score_last_value"`
	IntervalRatio float64                     `json:"interval_ratio"`
	Events        []Event                     `json:"events"`
	Weights       map[string]float64          `json:"weights"` // of the experts at the end
	Experts       []prequential.ExpertSummary `json:"experts"`
	Model         *ModelSummary               `json:"model,omitempty"`
	Seconds       float64                     `json:"seconds"`
}

// ClassSummary is how a classification did, beside the baseline: the newest label as far as labels
// repeat, else how frequent each class is; of two classes their shares lately.
type ClassSummary struct {
	ErrorRate     float64 `json:"error_rate"`
	ErrorRateLast float64 `json:"error_rate_persistence"`
	LogLoss       float64 `json:"log_loss"` // nats
	LogLossLast   float64 `json:"log_loss_persistence"`
	SetSize       float64 `json:"set_size"` // mean number of classes in a set
	// of the model by itself from its activation on; 0 without one
	LogLossModel float64 `json:"log_loss_model,omitempty"`
}

// Event is something the engine noticed.
type Event struct {
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"`
	Detector string    `json:"detector"`
	Series   string    `json:"series,omitempty"`
	Others   []string  `json:"others,omitempty"` // further series, the most responsible first
	Value    float64   `json:"value"`
}

// ModelSummary is how the model did from its activation on: by itself, and what was published.
type ModelSummary struct {
	Digest      string    `json:"digest"`
	ActivatedAt time.Time `json:"activated_at"`
	TrainTo     time.Time `json:"train_to"`
	// labels below that lie before the end of its training data
	Seen      int64   `json:"labels_seen_in_training"`
	Labels    int64   `json:"labels"`
	MAE       float64 `json:"mae"`
	Published float64 `json:"mae_published"`
	Last      float64 `json:"mae_last_value"`
	Ratio     float64 `json:"ratio"` // mae_published / mae_last_value
}

// File replays a file of readings; see source.File for its form.
func File(ctx context.Context, path string, files source.FileOptions, opts Options) (*Summary, error) {
	opts.Task = opts.Task.Plain() // the file is of one device
	plan, err := source.Compile([]*spec.Task{opts.Task})
	if err != nil {
		return nil, err
	}
	r, err := newRun(plan, opts)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := source.File(ctx, path, plan, files, r); err != nil {
		return nil, err
	}
	if err := r.finish(); err != nil {
		return nil, err
	}
	if r.sum.Rows == 0 {
		return nil, fmt.Errorf("%s: %d messages make no row: each reading of series %s makes one (rows.on)", path, r.sum.Messages, opts.Task.Rows.On)
	}
	r.sum.File, r.sum.Seconds = path, time.Since(began).Seconds()
	return &r.sum, nil
}

// run is a sink that drives the engine.
type run struct {
	opts   Options
	plan   *source.Plan
	engine *engine.Engine
	series []int // engine series by plan series
	used   []bool
	limits []gate.Limits
	gate   *gate.Gate
	batch  []engine.Reading
	sum    Summary
	newest int64
	active bool

	abs, sq, base, hits, covered, own, last, n, paired float64
	model                                              struct{ n, abs, published, base float64 }
	classes                                            struct {
		ClassSummary
		n, model float64
	}
}

func newRun(plan *source.Plan, opts Options) (*run, error) {
	e, err := engine.New(opts.Task.Engine())
	if err != nil {
		return nil, err
	}
	if opts.Model != nil {
		if err := models.Fits(opts.Model, opts.Task); err != nil {
			return nil, err
		}
	}
	r := &run{opts: opts, plan: plan, engine: e, gate: gate.New(nil, 0), newest: math.MinInt64}
	r.sum.Task, r.sum.Kind, r.sum.Nominal, r.sum.Events, r.sum.Weights = opts.Task.Name, string(opts.Task.Kind), opts.Task.Interval, []Event{}, map[string]float64{}
	for _, s := range plan.Series() {
		k, ok := opts.Task.EngineSeries(s.Name)
		r.series, r.used = append(r.series, k), append(r.used, ok)
		lim := gate.LimitsOf(&s, []*spec.Task{opts.Task})
		lim.Number = false // sensors are not reported
		r.limits = append(r.limits, lim)
	}
	return r, nil
}

// Message implements source.Sink.
func (r *run) Message(_ context.Context, m source.Message) error {
	r.sum.Messages++
	if r.opts.Progress != nil && r.sum.Messages%256 == 0 {
		r.opts.Progress(r.sum.Messages, m.Arrival)
	}
	if r.sum.Messages == 1 {
		r.sum.From = time.UnixMicro(m.Arrival).UTC()
	}
	if r.opts.Model != nil && !r.active && m.Arrival >= r.opts.ActivateAt {
		if err := r.activate(m.Arrival); err != nil {
			return err
		}
	}
	r.batch = r.batch[:0]
	for _, x := range m.Readings {
		if !r.used[x.Series] {
			continue
		}
		f, repeated, _ := r.gate.Admit(uint32(x.Series), &m, x, r.limits[x.Series])
		switch {
		case repeated:
			r.sum.Repeats++
			continue
		case f&wire.FlagConflict != 0:
			r.sum.Conflicts++
			continue
		case f&wire.Blocked != 0:
			r.sum.Future++
			continue
		case f&wire.FlagRange != 0:
			r.sum.OutOfRange++
		}
		v := x.Value
		if f&wire.Missing != 0 {
			v = math.NaN()
		}
		r.batch = append(r.batch, engine.Reading{Series: r.series[x.Series], Time: x.Time, Value: v})
		r.newest = max(r.newest, x.Time)
	}
	if len(r.batch) == 0 {
		return nil
	}
	arrival := int64(engine.NoArrival)
	if m.ClockOK { // the file has arrivals
		arrival = m.Arrival
	}
	return r.take(r.engine.Ingest(arrival, r.batch))
}

func (r *run) activate(at int64) error {
	runner, err := artifact.NewRunner(r.opts.Model)
	if err != nil {
		return err
	}
	l := engine.Loaded{
		ID:     r.opts.Model.Digest,
		Model:  artifact.Model{Runner: runner},
		Usual:  r.opts.Model.Usual,
		Inputs: r.opts.Model.InputNames(),

		Classes: r.opts.Model.Manifest.Output.Classes,
	}
	r.active = true
	r.sum.Model = &ModelSummary{
		Digest:      l.ID,
		ActivatedAt: time.UnixMicro(at).UTC(),
		TrainTo:     time.UnixMicro(r.opts.Model.Manifest.TrainTo).UTC(),
	}
	return r.engine.Install(l)
}

func (r *run) take(o *engine.Output) error {
	if r.opts.Prediction != nil {
		for _, p := range o.Predictions {
			if err := r.opts.Prediction(p); err != nil {
				return err
			}
		}
	}
	for i := range o.Labels {
		l := &o.Labels[i]
		r.score(l)
		if r.opts.Label != nil {
			if err := r.opts.Label(*l); err != nil {
				return err
			}
		}
	}
	for _, e := range o.Events {
		r.sum.Events = append(r.sum.Events, Event{
			Time:     time.UnixMicro(e.Time).UTC(),
			Kind:     string(e.Kind),
			Detector: e.Detector,
			Series:   e.Series,
			Others:   slices.Clone(e.Others),
			Value:    e.Value,
		})
	}
	return nil
}

func (r *run) score(l *engine.Label) {
	if l.Classes > 0 {
		r.scoreClasses(l)
	}
	if l.Classes > 2 {
		return
	}
	err, base := l.Truth-l.Predicted, math.Abs(l.Truth-l.Persistence)
	if math.IsNaN(err) || math.IsNaN(base) {
		return
	}
	r.n++
	r.abs += math.Abs(err)
	r.sq += err * err
	r.base += base
	if !math.IsNaN(l.Lower) && !math.IsNaN(l.Upper) {
		if l.Truth >= l.Lower && l.Truth <= l.Upper {
			r.covered++
		}
		if !math.IsNaN(l.BaselineLo) && !math.IsNaN(l.BaselineHi) {
			r.own += metric.IntervalScore(l.Lower, l.Upper, l.Truth, r.opts.Task.Interval)
			r.last += metric.IntervalScore(l.BaselineLo, l.BaselineHi, l.Truth, r.opts.Task.Interval)
			r.paired++
		}
	}
	if l.ChampionID != "" && !math.IsNaN(l.Champion) {
		m := &r.model
		m.n++
		m.abs += math.Abs(l.Truth - l.Champion)
		m.published += math.Abs(err)
		m.base += base
		if l.Row <= r.opts.Model.Manifest.TrainTo {
			r.sum.Model.Seen++
		}
	}
}

// scoreClasses sums up a label of a classification.
func (r *run) scoreClasses(l *engine.Label) {
	nats, natsLast := l.LogLoss()
	if math.IsNaN(nats) || math.IsNaN(natsLast) {
		return
	}
	c := &r.classes
	c.n++
	wrong, wrongLast := l.Wrong()
	if wrong {
		c.ErrorRate++
	}
	if wrongLast {
		c.ErrorRateLast++
	}
	c.LogLoss += nats
	c.LogLossLast += natsLast
	c.SetSize += float64(l.SetSize)
	if l.Covered {
		r.hits++
	}
	if l.ChampionID != "" && !math.IsNaN(l.ChanceOf.Champion) {
		c.model++
		c.LogLossModel += metric.LogLossOf(l.ChanceOf.Champion)
		if l.Classes > 2 && l.Row <= r.opts.Model.Manifest.TrainTo {
			r.sum.Model.Seen++
		}
	}
}

// finish fires what waits for readings that do not come any more, and sums up.
func (r *run) finish() error {
	if r.sum.Messages == 0 {
		return errors.New("the file holds no reading")
	}
	if err := r.take(r.engine.End()); err != nil {
		return err
	}
	if r.opts.Model != nil && !r.active {
		return fmt.Errorf("the model was never activated: the file ends at %s, before %s", time.UnixMicro(r.newest).UTC().Format(time.RFC3339), time.UnixMicro(r.opts.ActivateAt).UTC().Format(time.RFC3339))
	}
	s, st := &r.sum, r.engine.Status()
	s.To = time.UnixMicro(r.newest).UTC()
	s.Rows, s.Predictions, s.Labels, s.Late = st.Rows, st.Predictions, st.Labels, st.Late
	s.MAE, s.RMSE, s.MAELast = over(r.abs, r.n), math.Sqrt(over(r.sq, r.n)), over(r.base, r.n)
	s.Ratio, s.Coverage = over(s.MAE, s.MAELast), over(r.covered, r.n)
	s.IntervalScore, s.IntervalLast = over(r.own, r.paired), over(r.last, r.paired)
	s.IntervalRatio = over(s.IntervalScore, s.IntervalLast)
	if c := r.classes; r.opts.Task.Kind == spec.KindClassification {
		s.Classes = &ClassSummary{over(c.ErrorRate, c.n), over(c.ErrorRateLast, c.n), over(c.LogLoss, c.n), over(c.LogLossLast, c.n), over(c.SetSize, c.n), over(c.LogLossModel, c.model)}
		s.Accuracy, s.Coverage = 1-s.Classes.ErrorRate, over(r.hits, c.n)
	}
	for _, x := range st.Experts {
		s.Weights[x.Name] = x.Weight
		loss := x.Loss
		if math.IsNaN(loss) {
			loss = 0
		}
		s.Experts = append(s.Experts, prequential.ExpertSummary{Name: x.Name, Loss: loss, Weight: x.Weight})
	}
	if m := s.Model; m != nil {
		m.Labels = int64(max(r.model.n, r.classes.model))
		m.MAE, m.Published, m.Last = over(r.model.abs, r.model.n), over(r.model.published, r.model.n), over(r.model.base, r.model.n)
		m.Ratio = over(m.Published, m.Last)
	}
	return nil
}

func over(sum, n float64) float64 {
	if n == 0 {
		return 0
	}
	return sum / n
}
