package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"skerry.dev/compute/engine"
	"skerry.dev/compute/metric"
	"skerry.dev/compute/sequential"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

// Rehearsal is what a candidate would have done on one device, or on several together.
type Rehearsal struct {
	Device string `json:"device,omitempty"`
	Cohort string `json:"cohort,omitempty"`
	// event times of the first and last row that is compared, microseconds; 0: there is none
	From int64 `json:"from" doc:"event time of the first row that is compared, microseconds; 0: there is none"`
	To   int64 `json:"to" doc:"of the last"`
	// Model compares the models alone, as a device does in shadow; Published what would have been
	// published, with everything that the device learns.
	Model     Change         `json:"model" doc:"losses of the models alone, as devices compare them in shadow"`
	Published Change         `json:"published" doc:"losses of what would have been published, with everything that the device learns"`
	Interval  IntervalChange `json:"interval"`
	Veto      string         `json:"veto,omitempty" doc:"why the device would veto the candidate in shadow; empty: it would not"`
	VetoAt    int64          `json:"veto_at,omitempty" doc:"event time, microseconds"`
	Daily     float64        `json:"labels_per_day" doc:"labelled rows in a day of event time"`
	ShadowS   float64        `json:"shadow_s" doc:"event time in seconds that min_shadow labelled rows take; 0: not known"`
	ProbateS  float64        `json:"probation_s" doc:"and those of its probation"`
	Missing   []Missing      `json:"missing,omitempty" doc:"what the state at the beginning follows from and the hub does not have: what the device has learned by then is approximate"`
	Note      string         `json:"note,omitempty"`

	model, published sequential.Blocks
}

// Change compares mean losses of the same rows: absolute errors in units of the target's usual
// change, or log losses in nats, clipped at 4.
type Change struct {
	Rows      float64    `json:"rows" doc:"labelled"`
	Incumbent meta.Float `json:"incumbent" doc:"mean loss"`
	Candidate meta.Float `json:"candidate" doc:"mean loss"`
	Diff      meta.Float `json:"diff" doc:"candidate less incumbent"`
	Half      meta.Float `json:"half" doc:"the mean of all rows to come is within diff ± half with probability 1 - alpha; null: too few blocks of event time to say"`
	NextHalf  meta.Float `json:"next_half" doc:"the mean of the next min_shadow rows of each device is within diff ± next_half in 95 of 100 cases; null: too few blocks to say"`
}

// IntervalChange compares intervals, of numbers only: scores of Gneiting and Raftery (2007) in units
// of the target, smaller is better.
type IntervalChange struct {
	Rows              float64    `json:"rows" doc:"with an interval by both"`
	Incumbent         meta.Float `json:"incumbent" doc:"mean interval score"`
	Candidate         meta.Float `json:"candidate"`
	Width             meta.Float `json:"width" doc:"mean width of the candidate's less that of the incumbent's"`
	Coverage          meta.Float `json:"coverage" doc:"share of truths in the incumbent's"`
	CandidateCoverage meta.Float `json:"candidate_coverage" doc:"and in the candidate's"`

	score, other, width, in, in2 float64
}

// rehearsal plays a device as it was, and beside it with the candidate.
type rehearsal struct {
	machine
	out    *Rehearsal
	trial  spec.Trial
	digest string
	from   int64

	other *engine.Engine // with the candidate; nil before it begins
	since int64          // newest row when it began: those behind it are compared
	unit  float64
	was   map[int64]*engine.Label // of the present call, by row
}

// mark implements player: the candidate's engine takes what is no change of models.
func (r *rehearsal) mark(run, task string, x spec.Mark) error {
	before := r.engine
	clear(r.was)
	if err := r.machine.mark(run, task, x); err != nil {
		return err
	}
	if task != r.task || r.other == nil {
		return nil
	}
	if r.engine != before || x.Op == spec.MarkTask && x.State.Recalibrated || x.Op == spec.MarkGone {
		r.other = nil // it begins again with the state that the task goes on with
		return nil
	}
	if x.Settled && !r.other.Settled() {
		r.compare(r.other.End())
	}
	switch x.Op {
	case spec.MarkKnown:
		r.compare(r.other.Ingest(x.At, r.scratch))
	case spec.MarkRewind:
		r.other.Rewind(x.At, x.Ahead)
	}
	return nil
}

// message implements player.
func (r *rehearsal) message(arrival int64, readings []lake.Reading) error {
	r.scratch = r.scratch[:0]
	clear(r.was)
	if r.engine != nil {
		r.unit = r.engine.Unit()
	}
	if err := r.machine.message(arrival, readings); err != nil {
		return err
	}
	if r.engine == nil || r.gone || len(r.scratch) == 0 {
		return nil
	}
	if r.other != nil {
		r.compare(r.other.Ingest(arrival, r.scratch))
		return nil
	}
	if h := r.engine.History(); h.Len() > 0 && h.Time(0) >= r.from {
		return r.fork(h.Time(0))
	}
	return nil
}

// fork begins the candidate's engine with the state of the task.
func (r *rehearsal) fork(row int64) error {
	e, err := engine.New(*r.engine.Config())
	if err != nil {
		return err
	}
	var gone *engine.ModelGoneError
	if err := e.Load(r.engine.Save(nil), r.models.engine); err != nil && !errors.As(err, &gone) {
		return err
	}
	m, err := r.models.engine(r.digest)
	if err != nil {
		return err
	}
	if err := e.Install(m); err != nil {
		return err
	}
	if r.out.From == 0 {
		r.out.Missing = append(r.out.Missing, r.lacks...)
	}
	r.other, r.since = e, row
	return nil
}

// take keeps the labels of the task as it was.
func (r *rehearsal) take(o *engine.Output) error {
	for i := range o.Labels {
		l := o.Labels[i]
		r.was[l.Row] = &l
	}
	return nil
}

// compare adds the rows that both have labelled now.
func (r *rehearsal) compare(o *engine.Output) {
	for i := range o.Labels {
		l := &o.Labels[i]
		if w := r.was[l.Row]; w != nil && l.Row > r.since {
			r.pair(w, l)
		}
	}
}

// pair adds a row: what was, and what the candidate would have done.
func (r *rehearsal) pair(was, l *engine.Label) {
	x := r.out
	if x.From == 0 {
		x.From = l.Row
	}
	x.To = max(x.To, l.Row)
	inc, cand := r.loss(was, was.Champion, was.ChanceOf.Champion), r.loss(l, l.Champion, l.ChanceOf.Champion)
	if math.IsNaN(inc) { // as devices do without a model
		inc = r.loss(was, was.Persistence, was.ChanceOf.Baseline)
	}
	if math.IsNaN(cand) {
		cand = maxLoss // no answer is the worst
	}
	if !math.IsNaN(inc) {
		x.model.Add(l.Row, inc, cand)
		r.veto(l.Row)
	}
	a, b := r.loss(was, was.Predicted, was.Chance), r.loss(l, l.Predicted, l.Chance)
	if !math.IsNaN(a) && !math.IsNaN(b) {
		x.published.Add(l.Row, a, b)
	}
	if !math.IsNaN(was.Lower+was.Upper+l.Lower+l.Upper) && l.Classes == 0 {
		x.Interval.add(was, l, r.engine.Config().Level)
	}
}

// maxLoss is where devices clip losses.
const maxLoss = 4

// loss is that of a prediction, as devices have it.
func (r *rehearsal) loss(l *engine.Label, v, chance float64) float64 {
	if l.Classes > 2 {
		return min(metric.LogLossOf(chance), maxLoss)
	}
	if r.engine.Config().Kind == engine.Classification {
		if l.Truth < 0.5 {
			v = 1 - v
		}
		return min(metric.LogLossOf(v), maxLoss)
	}
	return min(math.Abs(l.Truth-v)/r.unit, maxLoss)
}

// veto looks as a device does, at every labelled row, whether the candidate is surely worse than it
// may be.
func (r *rehearsal) veto(row int64) {
	x := r.out
	if x.Veto != "" {
		return
	}
	p := spec.Paired{From: x.From, To: x.To, Blocks: x.model}
	if j := r.trial.Judge(p, r.trial.DeviceAlpha(), 1); j.Outcome == sequential.Fail {
		x.VetoAt, x.Veto = row, j.Reason
	}
}

func (c *IntervalChange) add(was, l *engine.Label, level float64) {
	in := func(l *engine.Label) float64 {
		if l.Truth >= l.Lower && l.Truth <= l.Upper {
			return 1
		}
		return 0
	}
	c.Rows++
	c.score += metric.IntervalScore(was.Lower, was.Upper, was.Truth, level)
	c.other += metric.IntervalScore(l.Lower, l.Upper, l.Truth, level)
	c.width += (l.Upper - l.Lower) - (was.Upper - was.Lower)
	c.in += in(was)
	c.in2 += in(l)
}

// join adds the rows of another device.
func (c *IntervalChange) join(o *IntervalChange) {
	c.Rows += o.Rows
	c.score += o.score
	c.other += o.other
	c.width += o.width
	c.in += o.in
	c.in2 += o.in2
}

func (c *IntervalChange) finish() {
	n := c.Rows // NaN without a row
	c.Incumbent, c.Candidate, c.Width = meta.Float(c.score/n), meta.Float(c.other/n), meta.Float(c.width/n)
	c.Coverage, c.CandidateCoverage = meta.Float(c.in/n), meta.Float(c.in2/n)
}

// change sums blocks up.
func change(b *sequential.Blocks, t spec.Trial, devices int) Change {
	e := b.Estimate(0, t.Alpha, float64(max(t.MinShadow, 50)))
	c := Change{Rows: e.Rows, Half: meta.Float(math.NaN()), NextHalf: meta.Float(math.NaN())}
	if e.Rows == 0 {
		c.Incumbent, c.Candidate, c.Diff = c.Half, c.Half, c.Half
		return c
	}
	c.Incumbent, c.Candidate, c.Diff = meta.Float(e.Incumbent), meta.Float(e.Incumbent+e.Mean), meta.Float(e.Mean)
	if !math.IsInf(e.Half, 1) {
		c.Half = meta.Float(e.Half)
	}
	c.NextHalf = meta.Float(nextHalf(b, &e, float64(t.MinShadow*devices)))
	return c
}

// leastBlocks is how many blocks with rows show how the difference varies.
const leastBlocks = 6

// nextHalf is the half-width of a 95 % prediction interval for the mean difference of the next m
// rows: the variance of a row in the long run, from the blocks' sums and their lag-one
// autocorrelation (batch means, as sequential.Estimate has them), over the rows seen and those to
// come, with Student's quantile for how few blocks there are. NaN: too few to say.
func nextHalf(b *sequential.Blocks, e *sequential.Estimate, m float64) float64 {
	if e.Blocks < leastBlocks {
		return math.NaN()
	}
	var squares, cross, last float64
	for _, s := range b.Sums {
		r := s.Diff - e.Mean*s.Rows
		squares += r * r
		cross += r * last
		last = r
	}
	k := float64(e.Blocks)
	lag := min(max(cross/max(squares, 1e-300)+1/math.Sqrt(k), 0), 0.9)
	variance := squares / (k - 1) * k / e.Rows * (1 + lag) / (1 - lag)
	const z = 1.959963984540054
	t := z * (1 + (z*z+1)/(4*(k-1)) + ((5*z*z+16)*z*z+3)/(96*(k-1)*(k-1))) // Abramowitz and Stegun 26.7.5
	return t * math.Sqrt(variance*(1/e.Rows+1/m))
}

// finish fills what follows from the sums of so many devices.
func (x *Rehearsal) finish(t spec.Trial, devices int) {
	x.Model, x.Published = change(&x.model, t, devices), change(&x.published, t, devices)
	x.Interval.finish()
	if span := float64(x.To - x.From); span > 0 && x.Model.Rows > 1 {
		x.Daily = (x.Model.Rows - 1) / span * 86400e6
		x.ShadowS, x.ProbateS = float64(t.MinShadow)*86400/x.Daily, float64(t.Probation)*86400/x.Daily
	}
}

// Join is what devices show together: their blocks of event time add up. The times are those of the
// slowest.
func Join(cohort string, devices []*Rehearsal, t spec.Trial) *Rehearsal {
	x := &Rehearsal{Cohort: cohort}
	shadow, probation, daily := 0.0, 0.0, 0.0
	for _, d := range devices {
		x.model.Merge(d.model)
		x.published.Merge(d.published)
		x.Interval.join(&d.Interval)
		if d.From > 0 && (x.From == 0 || d.From < x.From) {
			x.From = d.From
		}
		x.To = max(x.To, d.To)
		shadow, probation, daily = max(shadow, d.ShadowS), max(probation, d.ProbateS), daily+d.Daily
	}
	x.finish(t, max(len(devices), 1))
	x.ShadowS, x.ProbateS, x.Daily = shadow, probation, daily
	return x
}

// Rehearse replays the newest period of a device's task as it was, and beside it with an artifact
// installed at the period's beginning: local learners, mixture and intervals adapt in both, and
// labels come as late as they came. Rows that the artifact was trained on are left out, so that the
// period begins behind them at the earliest.
func (r *Replayer) Rehearse(ctx context.Context, device, task, digest string, period time.Duration, t spec.Trial, progress func(Progress)) (*Rehearsal, error) {
	if period <= 0 || t.MinShadow < 2 || !(t.Alpha > 0 && t.Alpha < 1) || !(t.MaxRegression >= 0) {
		return nil, fmt.Errorf("rehearse: period %v must be positive, min_shadow %d at least 2, alpha %v between 0 and 1, max_regression %v not negative", period, t.MinShadow, t.Alpha, t.MaxRegression)
	}
	if err := r.take(ctx); err != nil {
		return nil, err
	}
	defer r.leave()
	newest := int64(math.MinInt64)
	for l, err := range r.lake.Labels(ctx, device, task, math.MinInt64, math.MaxInt64) {
		if err != nil {
			return nil, err
		}
		newest = max(newest, l.Row)
	}
	x := &Rehearsal{Device: device}
	if newest == math.MinInt64 {
		x.finish(t, 1)
		x.Note = "the device has sent no label of the task: nothing can be compared"
		return x, nil
	}
	fallback, err := r.fallback(ctx, device, task)
	if err != nil {
		return nil, err
	}
	h := &rehearsal{out: x, trial: t, digest: digest, from: newest - period.Microseconds(), was: map[int64]*engine.Label{}}
	h.task, h.fallback = task, fallback
	h.models = &models{ctx: ctx, load: r.load, loaded: map[string]*model{}}
	h.after = h.take
	r.running(Running{Device: device, Task: task})
	h.progress = func(p Progress) {
		r.running(Running{device, task, p})
		if progress != nil {
			progress(p)
		}
	}
	m, err := h.models.model(digest)
	if err != nil {
		return nil, err
	}
	if to := m.Manifest.TrainTo; to > h.from {
		h.from = to
		x.Note = fmt.Sprintf("the artifact was trained on rows until %s: only later ones are compared", stamp(to))
	}
	if err := r.history(ctx, device, h); err != nil {
		return nil, err
	}
	x.finish(t, 1)
	if x.Model.Rows == 0 && x.Note == "" {
		x.Note = "no labelled row in the period: nothing can be compared"
	}
	return x, nil
}
