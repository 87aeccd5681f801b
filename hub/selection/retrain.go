package selection

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/sequential"
)

// Retrain learns a model for devices from every row there is, the newest included, and judges it
// against the champion, nil for none, and against the baselines.
//
// The search is that of [Run], on the rows before the hold-out. What it chose goes over the hold-out
// at rolling origins: there and where half of the rest is left, again and again, it is trained on
// what a hub would have had at that time and scored on the rows up to the next origin, so that no
// row is judged by a model that has seen it, and the newest rows are judged by models as fresh as
// the one that is returned. At every origin several ways to train compete, see rowSpan; the one
// whose losses are judged is chosen by the origins before. In the end the best over all origins is
// trained on all rows: the verdict is that of this procedure.
//
// With Options.Trials set and no time budget the same problem, champion and seed give the same
// bytes and verdict. The error is [ErrTooFewRows] where there is too little to learn from,
// [ErrOtherProblem] where the champion does not fit the problem, and ctx's when it ends first.
func Retrain(ctx context.Context, p Problem, o Options, champion *artifact.Artifact) (*Result, Verdict, error) {
	if p.Holdout == 0 {
		p.Holdout = originShare
	}
	p.defaults()
	if err := p.check(); err != nil {
		return nil, Verdict{}, err
	}
	if champion != nil {
		if err := p.Fits(champion); err != nil {
			return nil, Verdict{}, err
		}
	}
	s := &search{p: p, o: o, started: time.Now()}
	if err := s.options(); err != nil {
		return nil, Verdict{}, err
	}
	r, v, err := s.retrain(ctx, champion)
	if err != nil {
		return nil, Verdict{}, fmt.Errorf("select model for %q: %w", p.Task, err)
	}
	return r, v, nil
}

func (s *search) retrain(ctx context.Context, champion *artifact.Artifact) (*Result, Verdict, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, Verdict{}, err
	}
	if err := s.search(ctx); err != nil {
		return nil, Verdict{}, err
	}
	ro := &roll{search: s, past: s.pastRun(), candidates: s.candidates()}
	if err := ro.run(ctx); err != nil {
		return nil, Verdict{}, err
	}
	c := &contest{p: &s.p, champion: champion, spans: ro.starts(), predict: ro.predict}
	v, err := c.hold(ctx)
	if err != nil {
		return nil, Verdict{}, err
	}
	hold, scores := c.tally()
	r, err := ro.refit(ctx, hold, scores)
	if err == nil && r.Artifact.Manifest.Learner == constant && v.Outcome == sequential.Pass {
		v.Outcome, v.Reason = sequential.Inconclusive, fmt.Sprintf("better than %s, but what is best on the newest rows is %s", v.Against, s.p.baselineName())
	}
	return r, v, err
}

// rowSpan is which rows a way to train learns from.
type rowSpan int

const (
	everything rowSpan = iota
	// recent are all rows of the newest eighth, every second of the eighth before, every fourth of
	// the quarter before and every eighth of the rest
	recent
	// sinceChange are the rows after the instant at which the errors of a model of the older rows
	// changed most, with columns of their own
	sinceChange
)

var spanNames = [...]string{"all rows", "recent rows weighted", "rows since the change"}

const (
	// originShare is the share of the rows that are judged: more than of a hold-out that is learned
	// from by nobody
	originShare = 0.3
	maxOrigins  = 7
	// rows between two origins: of fewer the mean loss says little
	minSegment = 48
	// rows that follow a change: of fewer no model is made; and how many of them a column takes
	minSince      = 100
	rowsPerColumn = 8
	// labelled rows that the models of an origin learn from at most; the model that is returned
	// learns from all
	originRows = 50_000
	// the share of the time budget after which an origin trains in one way alone
	originTime = 0.8
)

// constant is the learner of an artifact whose model is the baseline.
const constant = "constant"

// candidate is a way to train: what the search has found, and on which rows.
type candidate struct {
	trial *trial
	span  rowSpan
	// by columns that do not look at levels, which is what most often makes a forecast worse than the
	// last value: they drift with the seasons, with wear, or with another sensor
	moves bool
	// predicts half of the change: the mean with the last value is better than both where they are
	// about as good as each other
	half bool
}

// window says what a candidate learns from.
func (c candidate) window() string {
	out := spanNames[c.span]
	if c.moves {
		out += ", without levels"
	}
	if c.half {
		out += ", half of the change"
	}
	return out
}

// candidates are the winner of the search on each span, and the best of another learner: on the few
// rows of a new regime it may be the better one.
func (s *search) candidates() []candidate {
	best := &s.board[0]
	out := []candidate{{trial: best}}
	if s.p.Independent {
		return out
	}
	out = append(out, candidate{trial: best, span: recent})
	add := func(t *trial) {
		out = append(out, candidate{trial: t, span: sinceChange})
		if s.p.Kind == artifact.KindForecast {
			out = append(out, candidate{trial: t, moves: true})
		}
	}
	add(best)
	for i := range s.board {
		if o := &s.board[i]; o.config.learner != best.config.learner && !o.OverBudget && o.Relative < math.Inf(1) {
			out = append(out, candidate{trial: o})
			add(o)
			break
		}
	}
	if s.p.Kind == artifact.KindForecast {
		for _, c := range out {
			c.half = true
			out = append(out, c)
		}
	}
	return out
}

// roll is the way over the rolling origins.
type roll struct {
	*search
	past       PastRun
	moves      *table // without levels; nil before it is needed
	candidates []candidate
	interval   [2]job // with rounds from the last fold
	// by how much a model of the older half is worse than the baseline, of the rows from flown on
	pilot []float64
	flown int
	// losses by candidate and origin, and the baseline's mean. The first origin is the last fold of
	// the search: it is chosen by and not judged.
	losses    [][][]float64
	baselines []float64
	begins    []int // first row of each origin
	origins   []window
	held      []prediction // for the rows of the hold-out
	place     [][]int32    // of a device's row in held, from 1 on; 0 for none
}

// prediction is what a model predicts for a row.
type prediction struct {
	number  [3]float64 // as it is added to the last value, and its bounds, NaN without
	classes []float64
}

// trained is a model with the table whose first row is the row off of all.
type trained struct {
	on     *table
	off    int
	view   *view
	rows   []int32
	config config
	scaled bool
	model  artifact.Predictor
}

// origin is what can be learned at a time: from the rows before train, or after the change.
type origin struct {
	window
	all, since *table
	moves      *table
	change     int // 0 where too few rows follow it
	models     map[candidate]*trained
}

// run trains and scores the candidates at every origin.
func (r *roll) run(ctx context.Context) error {
	var err error
	if r.p.Kind != artifact.KindClassification {
		if r.interval, err = r.intervalJobs(ctx, false); err != nil {
			return err
		}
	}
	folds := r.t.windows()
	r.losses = make([][][]float64, len(r.candidates))
	r.origins = r.t.origins()
	if err := r.fly(ctx); err != nil {
		return err
	}
	if _, err := r.score(ctx, r.at(folds[len(folds)-1])); err != nil {
		return err
	}
	for k, w := range r.origins {
		r.progress("origins", k)
		o := r.at(w)
		chosen := r.prefer(o.change)
		lost := r.relative(chosen, o.change) >= 1
		models, err := r.score(ctx, o)
		if err != nil {
			return err
		}
		m := models[chosen]
		if lost {
			m = m.constant(o)
		}
		if err := r.keep(ctx, o, m); err != nil {
			return err
		}
	}
	r.place = make([][]int32, len(r.p.Devices))
	for d := range r.place {
		r.place[d] = make([]int32, len(r.p.Devices[d].Times))
	}
	for k, at := range r.t.rows[r.t.holdout:] {
		r.place[at.device][at.row] = int32(k + 1)
	}
	return nil
}

// starts are the times of the first rows of the origins.
func (r *roll) starts() (out []int64) {
	for _, w := range r.origins {
		out = append(out, r.t.rows[w.from].time)
	}
	return out
}

func (r *roll) predict(device, row int) (prediction, bool) {
	k := r.place[device][row]
	if k == 0 {
		return prediction{}, false
	}
	return r.held[k-1], true
}

// fly trains the pilot and notes how it does on the rows after it.
func (r *roll) fly(ctx context.Context) error {
	half := r.t.search / 2
	end := r.t.known(half)
	if len(r.candidates) == 1 || end < minSince {
		return nil
	}
	o := &origin{window: window{train: end, from: half, to: len(r.t.rows)}, all: r.t.upTo(end, half)}
	m, err := r.train(ctx, o, candidate{trial: r.candidates[0].trial})
	if err != nil {
		return err
	}
	if r.pilot, err = o.all.losses(m.model, m.view, o.from, o.to); err != nil {
		return err
	}
	base, err := o.all.losses(o.all.baseline(end), o.all.raw, o.from, o.to)
	if err != nil {
		return err
	}
	learned, err := o.all.losses(o.all.baseline(end), o.all.raw, 0, end)
	if err != nil {
		return err
	}
	scale := max(mean(learned), 1e-300) // of the past: no origin may see what comes after it
	for i := range base {
		r.pilot[i] = min(r.pilot[i]/scale, lossCap) - min(base[i]/scale, lossCap)
	}
	r.flown = half
	return nil
}

// changePoint returns where the mean of values changes most, by the standardised sum of those
// before (Page, "Continuous inspection schemes", Biometrika 41, 1954), at least so many values from
// both ends; 0 where there are too few.
func changePoint(v []float64, least int) int {
	n, sum := float64(len(v)), 0.0
	for _, x := range v {
		sum += x
	}
	at, most, before := 0, -1.0, 0.0
	for k := range v {
		if before += v[k]; k+1 < least || k+1 > len(v)-least {
			continue
		}
		m := float64(k + 1)
		if s := math.Abs(before-m/n*sum) / math.Sqrt(m*(n-m)/n); s > most {
			at, most = k+1, s
		}
	}
	return at
}

// at is the origin of a window.
func (r *roll) at(w window) *origin {
	o := &origin{window: w, all: r.t.upTo(w.train, w.from), models: map[candidate]*trained{}}
	if w.train > r.flown && r.pilot != nil {
		if k := changePoint(r.pilot[:w.train-r.flown], minSince); k > 0 {
			o.change = r.flown + k
		}
	}
	return o
}

// score trains the candidates at an origin and notes their losses on the rows up to the next. One
// that cannot be trained there counts as the first.
func (r *roll) score(ctx context.Context, o *origin) ([]*trained, error) {
	base, err := o.all.losses(o.all.baseline(o.train), o.all.raw, o.from, o.to)
	if err != nil {
		return nil, err
	}
	r.baselines, r.begins = append(r.baselines, max(mean(base), 1e-300)), append(r.begins, o.from)
	models := make([]*trained, len(r.candidates))
	for c, of := range r.candidates {
		m := models[0]
		if c == 0 || !r.tight() {
			got, err := r.train(ctx, o, of)
			if err != nil && (c == 0 || ctx.Err() != nil) {
				return nil, err
			}
			if err == nil {
				m = got
			}
		}
		losses, err := m.on.losses(m.model, m.view, o.from-m.off, o.to-m.off)
		if err != nil {
			return nil, err
		}
		models[c], r.losses[c] = m, append(r.losses[c], losses)
	}
	return models, nil
}

// tight reports whether the time is short.
func (r *roll) tight() bool {
	return r.o.TimeBudget > 0 && time.Since(r.started) > time.Duration(originTime*float64(r.o.TimeBudget))
}

// train fits a candidate to what an origin has, once.
func (r *roll) train(ctx context.Context, o *origin, of candidate) (*trained, error) {
	if of.span == sinceChange && o.change == 0 {
		of.span = everything
	}
	if m := o.models[of]; m != nil {
		return m, nil
	}
	if of.half && o.from < len(r.t.rows) { // what is returned is trained on half of the changes
		of.half = false
		m, err := r.train(ctx, o, of)
		if err != nil {
			return nil, err
		}
		out := *m
		out.model = halved{m.model}
		return &out, nil
	}
	l := learnerOf(of.trial.config.learner)
	m := &trained{on: o.all, config: of.trial.config, scaled: l.scaled}
	if of.span == sinceChange {
		if o.since == nil {
			var err error
			if o.since, err = r.since(ctx, o); err != nil {
				return nil, err
			}
		}
		m.on, m.off = o.since, o.change
	}
	if of.moves {
		if o.moves == nil {
			if r.moves == nil {
				var err error
				if r.moves, err = r.withoutLevels(ctx); err != nil {
					return nil, err
				}
			}
			o.moves = r.moves.upTo(o.train, o.from)
		}
		m.on = o.moves
	}
	train := o.train - m.off
	if l.scaled && !m.on.chosen {
		if err := m.on.chooseExtras(ctx); err != nil {
			return nil, err
		}
	}
	if err := m.on.learnFrom(train); err != nil {
		return nil, err
	}
	var err error
	if m.view, err = m.on.view(l.scaled); err != nil {
		return nil, err
	}
	step := 1
	if o.from < len(r.t.rows) {
		step += train / originRows
	}
	m.rows = rowRange(0, train, step)
	if of.span == recent {
		m.rows = thinned(train, step)
	}
	j := job{config: m.config, train: m.rows, bytes: r.share(artifact.Point), seed: r.p.Seed}
	j.rounds = grownRounds(of.trial.rounds, of.trial.rows, len(m.rows))
	if of.span == sinceChange {
		if j, err = r.adapt(ctx, m, j, of.trial.rounds > 0); err != nil {
			return nil, err
		}
		m.config = j.config
	}
	on := *m.on
	if of.half { // absolute errors scale with what they are errors of
		on.y = slices.Clone(on.y)
		for i := range on.y {
			on.y[i] /= 2
		}
	}
	if m.model, _, err = l.fit(ctx, &on, m.view, j); err != nil {
		return nil, fmt.Errorf("train %s on %s: %w", m.config.key(), of.window(), err)
	}
	if o.models != nil {
		o.models[of] = m
	}
	return m, nil
}

// halved predicts half of what a model does.
type halved struct{ artifact.Predictor }

func (h halved) PredictInto(dst, x []float64) error {
	err := h.Predictor.PredictInto(dst, x)
	for k := range dst {
		dst[k] /= 2
	}
	return err
}

// thinned are rows of which the older count less: all of the newest eighth and fewer before it.
func thinned(n, step int) (out []int32) {
	for _, part := range [][3]int{{0, n / 2, 8}, {n / 2, n * 3 / 4, 4}, {n * 3 / 4, n * 7 / 8, 2}, {n * 7 / 8, n, 1}} {
		out = append(out, rowRange(part[0], part[1], part[2]*step)...)
	}
	return out
}

// since is the table of the rows after the change: its columns are chosen by them alone.
func (r *roll) since(ctx context.Context, o *origin) (*table, error) {
	rows := r.t.rows[o.change:o.to]
	d, err := prune(ctx, &r.p, r.columns, rows[:o.train-o.change], (o.train-o.change)/rowsPerColumn, r.dist, r.o.Threads)
	if err != nil {
		return nil, err
	}
	t, err := newTable(&r.p, d, rows, o.train-o.change, o.from-o.change, r.o.Threads)
	if err != nil {
		return nil, err
	}
	t.chosen = true // without extras: they would be fitted to few rows
	return t, nil
}

// shrinkage are multiples of the penalty of a linear model that are tried on few rows.
var shrinkage = []float64{1, 10, 100, 1000}

// withoutLevels is the table of all rows by columns that do not look at levels.
func (r *roll) withoutLevels(ctx context.Context) (*table, error) {
	d, err := prune(ctx, &r.p, r.columns.withoutLevels(&r.p), r.t.rows[:r.t.search], maxFeatures, r.dist, r.o.Threads)
	if err != nil {
		return nil, err
	}
	t, err := newTable(&r.p, d, r.t.rows, r.t.search, r.t.holdout, r.o.Threads)
	if err != nil {
		return nil, err
	}
	t.chosen = true
	return t, nil
}

// adapt makes the settings that were found on many rows those of few: leaves that leave a split, and
// the rounds or the penalty that are best on the newest fifth.
func (r *roll) adapt(ctx context.Context, m *trained, j job, rounds bool) (job, error) {
	n := len(m.rows)
	j.params = maps.Clone(j.params)
	if least := float64(max(5, n/20)); j.params["min_rows"] > least {
		j.params["min_rows"] = least
	}
	from := n * 4 / 5
	end := m.on.known(from)
	if end < n/2 {
		return j, nil
	}
	l, first := learnerOf(j.learner), j
	first.train, first.valid = rowRange(0, end, 1), rowRange(from, n, 1)
	if rounds {
		_, found, err := l.fit(ctx, m.on, m.view, first)
		if err != nil {
			return j, err
		}
		j.rounds = grownRounds(found, end, n)
	}
	l2, least := j.params["l2"], math.Inf(1)
	for _, factor := range shrinkage {
		if l.name != linearLearner.name {
			break
		}
		first.params = map[string]float64{"l2": factor * l2}
		fitted, _, err := l.fit(ctx, m.on, m.view, first)
		if err != nil {
			return j, err
		}
		loss, err := m.on.loss(fitted, m.view, from, n)
		if err != nil {
			return j, err
		}
		if loss < least {
			j.params["l2"], least = factor*l2, loss
		}
	}
	return j, nil
}

// prefer returns the candidate with the lowest loss over the origins so far, relative to the
// baseline's. The newer half of the rows counts as much as all before it, as each origin has about
// half of the rows of the one before. Another than the first must be better by a standard error:
// where nothing has changed, more rows are better.
func (r *roll) prefer(change int) int {
	best, lowest := 0, 0.0
	for c := 1; c < len(r.candidates); c++ {
		sum, squares, weights := 0.0, 0.0, 0.0
		for k := r.speaks(c, change); k < len(r.baselines); k++ {
			weight := math.Pow(2, float64(k))
			diff, err := paired(r.losses[c][k], r.losses[0][k])
			sum += weight * diff / r.baselines[k]
			squares += math.Pow(weight*err/r.baselines[k], 2)
			weights += weight
		}
		if diff := sum / weights; diff+math.Sqrt(squares)/weights < 0 && diff < lowest {
			best, lowest = c, diff
		}
	}
	return best
}

// constant is the baseline in the place of a model that has lost to it.
func (m *trained) constant(o *origin) *trained {
	c := *m
	base := m.on.baseline(o.train - m.off)
	base.N = m.view.width()
	c.model = base
	return &c
}

// speaks returns the first origin that speaks for a candidate: of one that learns from the rows since
// a change the first that had enough of them, if there is one.
func (r *roll) speaks(c, change int) int {
	if r.candidates[c].span == sinceChange && change > 0 {
		for k, from := range r.begins {
			if from >= change+minSince {
				return k
			}
		}
	}
	return 0
}

// relative is a candidate's loss over the baseline's at the origins so far, weighed as by prefer.
func (r *roll) relative(c, change int) float64 {
	sum, weights := 0.0, 0.0
	for k := r.speaks(c, change); k < len(r.baselines); k++ {
		weight := math.Pow(2, float64(k))
		sum += weight * mean(r.losses[c][k]) / r.baselines[k]
		weights += weight
	}
	return sum / weights
}

// pairedParts are how many parts of consecutive rows give the error of a mean difference: rows that
// follow each other err together.
const pairedParts = 8

// paired returns the mean difference of losses and its standard error.
func paired(a, b []float64) (diff, err float64) {
	parts := min(pairedParts, len(a))
	ss := 0.0
	for k := range parts {
		from, to := k*len(a)/parts, (k+1)*len(a)/parts
		d := mean(a[from:to]) - mean(b[from:to])
		diff += d / float64(parts)
		ss += d * d / float64(parts)
	}
	return diff, math.Sqrt(max(ss-diff*diff, 0) / float64(max(parts-1, 1)))
}

// keep notes what a model predicts for the rows of an origin, with the interval that it would have
// there.
func (r *roll) keep(ctx context.Context, o *origin, m *trained) error {
	width, point := m.view.width(), make([]float64, m.model.Outputs())
	var lower, upper artifact.Predictor
	if r.p.Kind != artifact.KindClassification {
		var err error
		if lower, upper, err = r.fitInterval(ctx, m.on, m.view, r.interval, m.rows); err != nil {
			return err
		}
	}
	one := make([]float64, 1)
	for i := o.from - m.off; i < o.to-m.off; i++ {
		x := m.view.x[i*width : (i+1)*width]
		if err := m.model.PredictInto(point, x); err != nil {
			return err
		}
		var p prediction
		if r.p.Kind == artifact.KindClassification {
			for k := range r.p.Classes {
				p.classes = append(p.classes, probability(point, k))
			}
		} else {
			p.number[0] = point[0]
			for k, bound := range []artifact.Predictor{lower, upper} {
				if err := bound.PredictInto(one, x); err != nil {
					return err
				}
				p.number[1+k] = one[0]
			}
			if p.number[1] > p.number[2] {
				p.number[1], p.number[2] = p.number[2], p.number[1]
			}
		}
		r.held = append(r.held, p)
	}
	return nil
}

// refit trains what is best over all origins on all rows, and the models of its interval.
func (r *roll) refit(ctx context.Context, hold Holdout, scores []float64) (*Result, error) {
	r.progress("refit", len(r.board))
	n := len(r.t.rows)
	o := r.at(window{train: n, from: n, to: n})
	chosen := r.prefer(o.change)
	m, err := r.train(ctx, o, r.candidates[chosen])
	if err != nil {
		return nil, fmt.Errorf("refit: %w", err)
	}
	a := &artifact.Artifact{
		Manifest: r.manifest(m.on, m.config, len(m.rows)),
		Models:   map[artifact.Role]artifact.Predictor{artifact.Point: m.model},
		Pipeline: m.view.pipe,
	}
	a.Manifest.Params["window"] = r.candidates[chosen].window()
	if r.relative(chosen, o.change) >= 1 { // a model that loses to the baseline is not shipped: the constant is
		a.Models[artifact.Point] = m.constant(o).model
		a.Manifest.Learner, a.Manifest.Params = constant, nil
	}
	if r.p.Kind != artifact.KindClassification {
		r.progress("interval", len(r.board))
		if a.Models[artifact.Lower], a.Models[artifact.Upper], err = r.fitInterval(ctx, m.on, m.view, r.interval, m.rows); err != nil {
			return nil, err
		}
	}
	return r.pack(a, m.on, m.view, packed{hold: hold, scores: scores, trial: r.candidates[chosen].trial, past: r.past})
}
