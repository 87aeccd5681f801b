package engine

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"

	"skerry.dev/compute/conformal"
	"skerry.dev/compute/drift/inputs"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/metric"
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/committee"
	"skerry.dev/compute/online/learner"
	"skerry.dev/compute/sequential"
)

// Engine is one task.
type Engine struct {
	cfg  Config
	join *joiner
	hist *feature.History
	out  Output

	arrived int64 // when the newest message did, microseconds; NoArrival before the first
	settled bool  // what waited then has fired since

	champion, shadow slot
	previous         bool // the shadow is the previous champion, on probation watch
	trial            Paired
	// grows with every change of the slots, so that pendings hold which pair they belong to
	epoch int64

	experts   *committee.Committee
	ofModel   int            // members that are the model or corrections of it: the first
	recent    *online.Recent // labels that come by message; nil for a forecast
	echo      *online.Echo   // the model's predictions of the rows before
	own, at   int            // where in x its inputs begin, and where the model's prediction stands
	spread    *online.Spread
	late      float64 // predictions made since the one whose label is being learned
	interval  *conformal.Blend
	persist   *conformal.Window // errors of the last value, in units of the target
	scale     metric.Trail      // mean |change| (forecast) or mean absolute deviation of the truth
	level     metric.Trail      // mean truth, the baseline of a regression
	detectors []detector
	scorer    *rowScorer // of an Anomaly; then there are no experts

	// of a classification: how its newest predictions did; and of more than two classes what makes
	// sets, the baseline, and scratch for a candidate's probabilities and for a set
	scores *classTrails
	sets   *conformal.Adaptive
	usual  *frequencies
	tried  []float64
	set    []bool

	pend  pendings
	early []Reading // scratch: labels of a message that wait for its rows
	x     []float64 // scratch: inputs of the local learners
	out1  []float64 // scratch: what the experts predict
	p     []float64 // scratch: their combined prediction
	why   [online.SpreadInputs]float64
	// rows beside those the champion was trained on; nil when unknown these
	watch   *inputs.Watcher
	watched []float64 // scratch: a row and the champion's prediction

	probe func(*Prediction) // see Probe

	stats Stats
	lost  Unmatched
	mae   metric.Trail
	base  metric.Trail
	cover metric.Trail
	// interval scores of what was issued, and of a constant width; a Load begins them anew
	score, plain metric.Trail
}

// slot holds a model.
type slot struct {
	Loaded
	use bool
	// of a model with another order of inputs than the task's: where each stands among the task's,
	// the rows in its order, and one of them
	columns []int
	hist    *feature.History
	row     []float64
	// of a model with another order of classes: the task's number of each
	classes []int
}

// Stats count since the engine began.
type Stats struct {
	Rows, Predictions, Labels, Late, Drifts, InputDrifts, Anomalies, GivenUp, NonFinite int64
}

// Unmatched are labels that came by message and belong to no row: none waits within the tolerance
// of the label's time.
type Unmatched struct {
	Labels  int64 // since the engine began
	InARow  int64 // since one matched
	Time    int64 // of the newest, microseconds
	Nearest int64 // row that came nearest to it, math.MinInt64 when none waited
}

// Overtaken are readings of the series that makes rows which made none, since they came behind the
// watermark: other inputs, or newer readings, had moved it on by then.
type Overtaken struct {
	Readings int64 // since the program began
	InARow   int64 // since one made a row
	Behind   int64 // by how much the newest of them came behind the watermark, microseconds
	// Room is how far the watermark could stand back, microseconds, where it did less than the
	// lateness since too many readings of a series waited; 0 where it did as configured.
	Room int64
}

// Status is a snapshot for people and for reported state.
type Status struct {
	Stats
	Unmatched    Unmatched
	Overtaken    Overtaken
	Watermark    int64 // microseconds, math.MinInt64 before the first reading
	Champion     string
	Shadow       string
	Experts      []Expert
	MAE, MAELast float64 // trailing errors of what was published and of the last value
	Coverage     float64 // trailing coverage
	// trailing interval scores of what was published and of intervals of constant width, in units of
	// the target; 0 before the first since the program began
	IntervalScore, IntervalPlain float64
	Scale                        float64
	PendingLabels                int
	CoverageNominal              float64
	Classes                      *ClassScores // of a classification; MAE and MAELast are 0 for more than two
}

// Expert is one voice of the mixture.
type Expert struct {
	Name   string
	Weight float64
	Loss   float64 // mean absolute error, or log loss; NaN before the first label
}

// Paired compares two models on the same labelled rows. Losses are absolute errors in units of the
// scale, or the log losses of classes in nats, and clipped to [0, 4].
type Paired struct {
	Rows, Labelled, Warm                int64
	SumIncumbent, SumCandidate, SumDiff float64
	NonFinite                           int64
	SumDisagreement                     float64
	// event times of the first and the newest labelled row, 0 before; a Load begins them anew
	From, To int64
	Blocks   sequential.Blocks // the same losses by event time
}

// add counts the losses of a labelled row.
func (p *Paired) add(row int64, incumbent, candidate float64) {
	if p.From == 0 {
		p.From = row
	}
	p.To = max(p.To, row)
	p.Blocks.Add(row, incumbent, candidate)
	p.Labelled++
	p.SumIncumbent += incumbent
	p.SumCandidate += candidate
	p.SumDiff += candidate - incumbent
}

// New returns an engine that has seen nothing.
func New(cfg Config) (*Engine, error) {
	if cfg.Level == 0 {
		cfg.Level = 0.9
	}
	if cfg.Learners == nil {
		cfg.Learners = DefaultLearners
	}
	if cfg.LearnerBytes == 0 {
		cfg.LearnerBytes = DefaultLearnerBytes
	}
	if cfg.Detectors == nil {
		cfg.Detectors = DefaultDetectors
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	e := &Engine{
		cfg:      cfg,
		hist:     feature.NewHistory(len(cfg.Series), HistoryRows),
		interval: conformal.NewBlend(cfg.Level, scoreWindow),
		persist:  conformal.NewWindow(scoreWindow),
		scale:    metric.Trail{N: trailRows},
		level:    metric.Trail{N: trailRows},
		watched:  make([]float64, len(cfg.Series)+1),
		mae:      metric.Trail{N: trailRows},
		base:     metric.Trail{N: trailRows},
		cover:    metric.Trail{N: trailRows},
		score:    metric.Trail{N: trailRows},
		plain:    metric.Trail{N: trailRows},
		arrived:  NoArrival,
	}
	e.join = newJoiner(&e.cfg)
	if cfg.Kind == Anomaly {
		var err error
		if e.scorer, err = newRowScorer(&e.cfg); err != nil {
			return nil, err
		}
		return e, nil
	}
	e.newScores()
	if err := errors.Join(e.newExperts(), e.newDetectors()); err != nil {
		return nil, err
	}
	e.pend.init(len(e.x), len(e.out1), len(e.tried))
	return e, nil
}

// Config returns the engine's configuration.
func (e *Engine) Config() *Config { return &e.cfg }

// History returns the newest rows. It belongs to the engine.
func (e *Engine) History() *feature.History { return e.hist }

// Ingest offers the readings of a message that arrived at arrival (microseconds on the clock of the
// device) and returns what followed. Readings of the message belong together: rows fire after all
// of them, and a label among them may be that of a row that fires so. When readings had stopped
// before it, the rows that waited fire first, as [Idle] would have fired them: whether it was
// called in between changes nothing but the moment of the output. For NoArrival the newest event
// time so far stands for the arrival. The output is valid until the next call.
func (e *Engine) Ingest(arrival int64, readings []Reading) *Output {
	e.out.reset()
	if arrival == NoArrival {
		arrival = e.arrived
		for _, r := range readings {
			arrival = max(arrival, r.Time)
		}
	}
	e.settle(arrival)
	// A clock that was set back counts on from where it is: only differences matter.
	e.arrived, e.settled = arrival, false
	e.early = e.early[:0]
	for _, r := range readings {
		if r.Series == LabelSeries {
			if _, ok := e.label(r); !ok {
				e.early = append(e.early, r)
			}
			continue
		}
		if e.join.add(r) {
			e.out.Late++
			e.stats.Late++
		}
	}
	e.advance(e.join.watermark())
	for _, r := range e.early {
		if nearest, ok := e.label(r); !ok {
			e.unmatched(r.Time, nearest)
		}
	}
	return &e.out
}

// Idle records that nothing arrived up to now (microseconds on the clock of the arrivals) and
// returns what followed: once readings have stopped, the rows that wait fire. Rows never go back,
// so older readings that come later are late. The output is valid until the next call.
func (e *Engine) Idle(now int64) *Output {
	e.out.reset()
	e.settle(now)
	return &e.out
}

// End fires the rows that wait, as a silence after the last message does.
func (e *Engine) End() *Output {
	e.out.reset()
	e.stopped()
	return &e.out
}

// settle notices whether readings had stopped before now.
func (e *Engine) settle(now int64) {
	if e.Silent(now) {
		e.stopped()
	}
}

// stopped fires what waits for the watermark, once in a silence and in the same way whenever it is
// noticed: how long it has lasted by then has no part in it.
func (e *Engine) stopped() {
	if e.settled || !e.join.started || e.cfg.Every == 0 && e.cfg.Lateness == 0 {
		return
	}
	e.settled = true
	e.join.settle()
	e.advance(e.join.watermark())
}

// advance walks event time up to limit: at each instant labels first, then the row.
func (e *Engine) advance(limit int64) {
	e.join.held = 0
	for {
		t, ok := e.join.next(limit)
		if !ok {
			break
		}
		e.mature(t)
		e.row(t)
	}
	e.mature(limit)
	e.join.trim(limit)
}

// mature scores the forecasts that are due at or before t.
func (e *Engine) mature(t int64) {
	if e.cfg.Kind != Forecast {
		return
	}
	for e.pend.n > 0 && e.pend.at(0).due <= t {
		p := e.pend.at(0)
		if v, ok := e.join.truthAt(p.due, e.cfg.Tolerance); ok {
			e.late = float64(e.pend.n - 1)
			e.learn(p, v, p.due)
		} else {
			e.stats.GivenUp++
		}
		e.pend.pop()
	}
	oldest := t
	if e.pend.n > 0 {
		oldest = min(oldest, e.pend.at(0).due)
	}
	e.join.forgetTruth(oldest)
}

// label matches a truth that arrived by message to the prediction of the same row time. What is no
// truth needs no match. nearest is the prediction that comes nearest, -1 when none waits.
func (e *Engine) label(r Reading) (nearest int, ok bool) {
	row, truth := r.Time, r.Value
	if math.IsNaN(truth) || e.scorer != nil || e.many() && !isClass(truth, len(e.set)) {
		return -1, true
	}
	best, dist := -1, int64(math.MaxInt64)
	for i := range e.pend.n {
		if d := abs(e.pend.at(i).row - row); d < dist && !e.pend.at(i).done {
			best, dist = i, d
		}
	}
	if best < 0 || dist > e.cfg.Tolerance {
		return best, false
	}
	e.lost.InARow = 0
	p := e.pend.at(best)
	e.late = float64(e.pend.n - 1 - best)
	e.learn(p, truth, row)
	p.done = true
	for e.pend.n > 0 && e.pend.at(0).done {
		e.pend.pop()
	}
	return best, true
}

// unmatched notes a label that belongs to no row that waits; nearest is the one that comes nearest,
// -1 when none waits.
func (e *Engine) unmatched(row int64, nearest int) {
	l := &e.lost
	l.Labels++
	l.InARow++
	l.Time, l.Nearest = row, math.MinInt64
	if nearest >= 0 {
		l.Nearest = e.pend.at(nearest).row
	}
	for n := int64(unmatchedAtOnce); n <= l.InARow; n *= 10 {
		if n == l.InARow {
			ev := Event{Kind: EventUnmatched, Time: row, Value: math.NaN()}
			if nearest >= 0 {
				ev.Value = float64(row-l.Nearest) / 1e6
			}
			e.event(ev)
		}
	}
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}

// row joins the row at t, stores it and predicts it.
func (e *Engine) row(t int64) {
	values := e.join.fire(t)
	e.hist.Push(t, values)
	e.champion.push(t, e.hist.Row(0))
	e.shadow.push(t, e.hist.Row(0))
	e.stats.Rows++
	e.out.Rows = append(e.out.Rows, Row{Time: t, Values: e.hist.Row(0)})
	if e.scorer != nil {
		e.rate(t)
	} else {
		e.predict(t)
	}
	e.probed()
}

// origin is what forecasts are changes against, NaN when the row has no target.
func (e *Engine) origin(back int) float64 {
	if e.cfg.Kind != Forecast {
		return 0
	}
	return e.hist.Row(back)[e.cfg.Target]
}

func (e *Engine) last(back int) float64 {
	if e.cfg.Kind == Forecast {
		return e.hist.Row(back)[e.cfg.Target]
	}
	if e.level.Count() == 0 {
		return math.NaN()
	}
	return e.level.Mean()
}

// raw returns a slot's prediction of the row back rows ago, in units of the target. A
// non-finite answer counts and is NaN.
func (e *Engine) raw(s *slot, back int) (p, lo, hi float64, bad bool) {
	nan := math.NaN()
	if !s.use {
		return nan, nan, nan, false
	}
	origin := e.origin(back)
	if math.IsNaN(origin) {
		return nan, nan, nan, false
	}
	rows := e.hist
	if s.hist != nil {
		rows = s.hist
	}
	p, lo, hi, err := s.Model.Predict(rows, back)
	p, lo, hi = p+origin, lo+origin, hi+origin
	if s.classes != nil { // of two, in the other order
		p = 1 - p
	}
	if err != nil || math.IsNaN(p) || math.IsInf(p, 0) {
		return nan, nan, nan, true
	}
	return p, lo, hi, false
}

func (e *Engine) unit() float64 { return max(e.scale.Mean(), 1e-9) }

func (e *Engine) predict(t int64) {
	if e.many() {
		e.predictClasses(t)
		return
	}
	champ, lo, hi, bad := e.raw(&e.champion, 0)
	if bad {
		e.stats.NonFinite++
	}
	shadow, _, _, shadowBad := e.raw(&e.shadow, 0)
	if e.shadow.use || e.previous {
		e.trial.Rows++
		if (shadowBad && !e.previous) || (bad && e.previous) {
			e.trial.NonFinite++
		}
		if d := math.Abs(shadow - champ); !math.IsNaN(d) {
			e.trial.SumDisagreement += min(d/e.unit(), maxLoss)
		}
	}
	last := e.last(0)
	origin := e.origin(0)
	e.watchInputs(t, champ-origin)
	value := champ
	if !math.IsNaN(origin) {
		e.expertsAt(0, champ, last, origin)
		e.experts.Predict(e.p, e.out1, e.x)
		if e.cfg.Adapt || math.IsNaN(champ) {
			value = e.value(e.p, origin)
		}
	} else {
		value = math.NaN()
	}
	if math.IsNaN(last) && e.stats.Labels == 0 && math.IsNaN(champ) {
		value = math.NaN() // nothing has been learned yet
	}
	value = e.physical(value)
	e.spread.Into(e.why[:], value, e.apart())
	issue, issued := e.interval.Make(e.halves(champ, lo, hi), 2*e.mae.Mean())
	pr := Prediction{
		Row:         t,
		For:         t + e.cfg.Horizon,
		Value:       value,
		Lower:       math.NaN(),
		Upper:       math.NaN(),
		Persistence: last,
		Champion:    e.champion.ID,
	}
	if issued {
		h := issue.Issued
		pr.Lower, pr.Upper = e.physical(value-h.Below), e.physical(value+h.Above)
		if e.cfg.Kind == Classification { // the more probable class is always one that it may be
			pr.Lower, pr.Upper = min(pr.Lower, math.Round(value)), max(pr.Upper, math.Round(value))
		}
	}
	if e.cfg.Kind == Classification && !math.IsNaN(value) {
		pr.Classes = []float64{1 - value, value}
		pr.Set = []bool{!(pr.Lower > 0), !(pr.Upper < 1)} // both while nothing is known
	}
	e.out.Predictions = append(e.out.Predictions, pr)
	e.stats.Predictions++
	if math.IsNaN(value) && e.cfg.Kind == Forecast {
		return // without a target value there is nothing a label could teach
	}
	e.makeRoom(t)
	p := e.pend.push()
	p.row, p.due, p.done, p.epoch = t, t+e.cfg.Horizon, false, e.epoch
	p.champ, p.why = champ, e.why
	copy(p.out, e.out1)
	p.value, p.lower, p.upper, p.issue = value, pr.Lower, pr.Upper, issue
	p.origin, p.last, p.shadow, p.shadowBad = origin, last, shadow, shadowBad
	p.baseLo, p.baseHi = last+e.persist.Quantile((1-e.cfg.Level)/2), last+e.persist.Quantile((1+e.cfg.Level)/2)
	copy(p.x, e.x)
}

// makeRoom gives predictions up when too many wait for one more.
func (e *Engine) makeRoom(t int64) {
	if e.pend.n < e.pend.most {
		return
	}
	before := e.stats.GivenUp
	e.stats.GivenUp += int64(e.pend.thin())
	if bits.Len64(uint64(before)) != bits.Len64(uint64(e.stats.GivenUp)) {
		e.event(Event{Kind: EventGivenUp, Time: t, Value: float64(e.stats.GivenUp)})
	}
}

// physical keeps a value within the target's declared range, or a probability between 0 and 1.
func (e *Engine) physical(v float64) float64 {
	if e.cfg.Kind == Classification {
		return min(max(v, 0), 1)
	}
	if e.cfg.Low < e.cfg.High {
		return min(max(v, e.cfg.Low), e.cfg.High)
	}
	return v
}

// apart is the weighted mean distance of the experts' last predictions from the combined one.
func (e *Engine) apart() float64 {
	w, sum, total := e.experts.Width(), 0.0, 0.0
	for k, v := range e.experts.Weights() {
		if o := e.out1[(k+1)*w-1]; !math.IsNaN(o) {
			sum += float64(v * math.Abs(o-e.p[w-1]))
			total += v
		}
	}
	if !(total > 0) {
		return math.NaN()
	}
	return sum / total
}

// halves returns the half-widths that the conformal factor multiplies: the model's own quantiles
// where it has them, else a local scale of the recent movement.
func (e *Engine) halves(p, lo, hi float64) conformal.Halves {
	if !math.IsNaN(p) && !math.IsNaN(lo) && !math.IsNaN(hi) {
		return conformal.Halves{Below: max(p-lo, 0), Above: max(hi-p, 0)}
	}
	// nothing is known yet: no interval is more honest than a made-up one
	if e.scale.Count() < minScale {
		return conformal.Halves{Below: math.NaN(), Above: math.NaN()}
	}
	if h := e.spread.Expect(e.why[:], e.x); !math.IsNaN(h) {
		return conformal.Halves{Below: 2 * h, Above: 2 * h}
	}
	return conformal.Halves{Below: 2 * e.unit(), Above: 2 * e.unit()}
}

// learn scores a matured prediction and updates everything that learns, from the values stored
// with it.
func (e *Engine) learn(p *pending, truth float64, at int64) {
	if e.many() {
		e.learnClasses(p, truth, at)
		return
	}
	loss := e.lossOf(truth)

	l := Label{
		Row:         p.row,
		At:          at,
		Truth:       truth,
		Predicted:   p.value,
		Lower:       p.lower,
		Upper:       p.upper,
		Persistence: p.last,
		Champion:    p.champ,
		Shadow:      p.shadow,
		ChampionID:  e.idAt(p, &e.champion),
		ShadowID:    e.idAt(p, &e.shadow),
		BaselineLo:  p.baseLo,
		BaselineHi:  p.baseHi,
	}
	if e.scores != nil {
		l.twoClasses(p)
		e.scores.add(&l)
	}
	e.out.Labels = append(e.out.Labels, l)
	e.stats.Labels++
	e.mae.Add(math.Abs(truth - p.value))
	e.base.Add(math.Abs(truth - p.last))
	if !math.IsNaN(p.lower) {
		e.issued(p, truth)
	}

	e.teach(p, truth)
	e.spread.Learn(p.why[:], p.x, truth, truth-p.value)
	e.persist.Add(truth - p.last)
	if p.epoch == e.epoch && (e.shadow.use || e.previous) {
		e.pair(p, p.champ, p.shadow, p.last, loss)
	}
	v := p.champ
	if math.IsNaN(v) {
		v = p.value
	}
	e.errorDrift(v, at, loss)
	if e.cfg.Kind == Forecast {
		e.scale.Add(math.Abs(truth - p.origin))
	} else {
		e.level.Add(truth)
		e.scale.Add(math.Abs(truth - e.level.Mean()))
	}
}

// lossOf returns the loss of a prediction of truth, in [0, maxLoss]; NaN stays NaN.
func (e *Engine) lossOf(truth float64) func(v float64) float64 {
	if e.cfg.Kind == Classification {
		return func(v float64) float64 { return min(metric.LogLossOf(ofTruth(v, truth)), maxLoss) }
	}
	unit := e.unit()
	return func(v float64) float64 { return min(math.Abs(truth-v)/unit, maxLoss) }
}

// issued scores the interval of a prediction.
func (e *Engine) issued(p *pending, truth float64) {
	covered := truth >= p.lower && truth <= p.upper
	if covered {
		e.cover.Add(1)
	} else {
		e.cover.Add(0)
	}
	if e.cfg.Kind != Classification {
		plain := p.issue.Made[0] // a constant width: the quantile of the newest errors
		e.score.Add(metric.IntervalScore(p.lower, p.upper, truth, e.cfg.Level))
		e.plain.Add(metric.IntervalScore(e.physical(p.value-plain.Below), e.physical(p.value+plain.Above), truth, e.cfg.Level))
	}
	e.interval.Update(&p.issue, truth-p.value, e.late)
}

// idAt returns the slot's name if it held the same model when p was made.
func (e *Engine) idAt(p *pending, s *slot) string {
	if p.epoch == e.epoch && s.use {
		return s.ID
	}
	return ""
}

// pair adds a labelled row to the running trial. While a candidate is in shadow, it is compared
// with the champion (or, without one, with the last value); on probation the champion is the
// candidate and the previous model, kept in the shadow slot, the incumbent.
func (e *Engine) pair(p *pending, champion, shadow, last float64, loss func(float64) float64) {
	candidate, incumbent := shadow, champion
	if e.previous {
		candidate, incumbent = incumbent, candidate
	}
	if math.IsNaN(incumbent) {
		if incumbent = last; math.IsNaN(last) {
			return // before the first label there is nothing to compare with
		}
	}
	if math.IsNaN(candidate) {
		if p.shadowBad || e.previous { // no answer where one was due is the worst answer
			e.trial.add(p.row, loss(incumbent), maxLoss)
		}
		return
	}
	e.trial.add(p.row, loss(incumbent), loss(candidate))
}

func (e *Engine) errorDrift(v float64, at int64, loss func(float64) float64) {
	if math.IsNaN(v) {
		return
	}
	x := loss(v) / maxLoss
	for _, d := range e.detectors {
		if d.Update(x) {
			e.event(Event{Kind: EventDrift, Time: at, Detector: d.name, Value: x})
		}
	}
}

func (e *Engine) event(ev Event) {
	switch ev.Kind {
	case EventDrift:
		e.stats.Drifts++
	case EventAnomaly:
		e.stats.Anomalies++
	case EventInputDrift:
		e.stats.InputDrifts++
	}
	e.out.Events = append(e.out.Events, ev)
}

// localInputs is the number of inputs of the local learner: per numeric series its value and its
// last change, the target's change before that, and the time of day.
func localInputs(c *Config) int {
	n := 3
	for _, s := range c.Series {
		if len(s.Categories) == 0 {
			n += 2
		}
	}
	return n
}

// localRow fills the scratch row of the local learners for the row back rows ago.
func (e *Engine) localRow(back int) {
	row := e.hist.Row(back)
	k := 0
	var prev, prev2 []float64
	if back+1 < e.hist.Len() {
		prev = e.hist.Row(back + 1)
	}
	if back+2 < e.hist.Len() {
		prev2 = e.hist.Row(back + 2)
	}
	nan := math.NaN()
	for i := range e.cfg.Series {
		if len(e.cfg.Series[i].Categories) > 0 {
			continue
		}
		e.x[k], e.x[k+1] = row[i], nan
		if prev != nil {
			e.x[k+1] = row[i] - prev[i]
		}
		k += 2
	}
	e.x[k] = nan
	if prev2 != nil && e.cfg.Target >= 0 {
		e.x[k] = prev[e.cfg.Target] - prev2[e.cfg.Target]
	}
	e.x[k+1], e.x[k+2] = feature.TimeOfDay(e.hist.Time(back))
}

// Status returns the engine's state for people.
func (e *Engine) Status() Status {
	s := Status{
		Stats:           e.stats,
		Unmatched:       e.lost,
		Overtaken:       e.join.overtaken,
		Watermark:       e.join.watermark(),
		MAE:             e.mae.Mean(),
		MAELast:         e.base.Mean(),
		Coverage:        e.cover.Mean(),
		IntervalScore:   e.score.Mean(),
		IntervalPlain:   e.plain.Mean(),
		Scale:           e.scale.Mean(),
		PendingLabels:   e.pend.n,
		CoverageNominal: e.cfg.Level,
	}
	if e.scores != nil {
		s.Classes = e.scores.scores()
	}
	if e.champion.use {
		s.Champion = e.champion.ID
	}
	if e.shadow.use && !e.previous {
		s.Shadow = e.shadow.ID
	}
	if e.experts == nil {
		return s
	}
	total := 0.0
	for k, m := range e.experts.Members() {
		x := Expert{m.Name, e.experts.Weights()[k], e.experts.Loss(k)}
		if !e.champion.use && strings.HasPrefix(x.Name, learner.Model) {
			x.Weight = 0 // it predicts nothing: the others share the prediction
		}
		total += x.Weight
		s.Experts = append(s.Experts, x)
	}
	for k := range s.Experts {
		s.Experts[k].Weight /= total
	}
	return s
}

// String names the task.
func (e *Engine) String() string { return fmt.Sprintf("engine(%s)", e.cfg.Task) }
