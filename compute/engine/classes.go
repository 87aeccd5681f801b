package engine

import (
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/conformal"
	"skerry.dev/compute/metric"
	"skerry.dev/compute/online"
	"skerry.dev/compute/state"
)

// MaxClasses is how many classes a Classification may have. Every local learner keeps weights for
// each pair of a class and an input, and every class is an input itself (the newest labels, the
// model's probabilities), so that memory, time and snapshots grow with the square of the classes:
// with 256 a task's state comes to some 25 MB and a row to a few milliseconds.
const MaxClasses = online.MaxClasses

// classes is how many classes the task tells apart, 0 unless it is a Classification.
func (c *Config) classes() int {
	if c.Kind != Classification {
		return 0
	}
	return max(len(c.Classes), 2)
}

func (c *Config) checkClasses() error {
	if n := len(c.Classes); c.Kind != Classification && n > 0 || n == 1 || n > MaxClasses {
		return fmt.Errorf("engine: %d classes, must be 2 to %d of a classification and none otherwise", n, MaxClasses)
	}
	return nil
}

// many reports whether the task tells more than two classes apart. Of two it predicts one number,
// the probability of the second, with an interval like any number; of more it predicts every
// class's probability, and a set of classes.
func (e *Engine) many() bool { return e.sets != nil }

// ClassModel is a Model of more than two classes: Classes returns the probabilities of the last
// Predict, in the order of Loaded.Classes. The slice is not kept.
type ClassModel interface{ Classes() []float64 }

// ClassScores are what a classification's predictions have come to: shares of wrong classes and
// mean log losses in nats of the newest predictions, of what was published and of the baseline (the
// newest label as far as labels repeat, else how frequent each class is). NaN before the first.
type ClassScores struct {
	Error, ErrorLast     float64
	LogLoss, LogLossLast float64
	SetSize              float64 // mean number of classes in a set
}

// classTrails measure the newest predictions of a classification.
type classTrails struct{ wrong, wrongLast, nats, natsLast, size metric.Trail }

func (c *classTrails) all() []*metric.Trail {
	return []*metric.Trail{&c.wrong, &c.wrongLast, &c.nats, &c.natsLast, &c.size}
}

func newClassTrails() *classTrails {
	c := new(classTrails)
	for _, t := range c.all() {
		t.N = trailRows
	}
	return c
}

func (c *classTrails) scores() *ClassScores {
	mean := func(t *metric.Trail) float64 {
		if t.Count() == 0 {
			return math.NaN()
		}
		return t.Mean()
	}
	return &ClassScores{mean(&c.wrong), mean(&c.wrongLast), mean(&c.nats), mean(&c.natsLast), mean(&c.size)}
}

func (c *classTrails) save(w *state.Writer) {
	for _, t := range c.all() {
		t.Save(w)
	}
}

func (c *classTrails) load(r *state.Reader) {
	for _, t := range c.all() {
		t.Load(r)
	}
}

func indicator(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

// frequencies are the baseline of more than two classes: the newest label with the probability by
// which labels repeat more often than chance would have it, else each class as often as it was
// lately.
type frequencies struct {
	shares  []metric.Trail
	repeat  metric.Trail
	newest  float64 // label; NaN before the first
	labels  int64
	scratch []float64
}

func newFrequencies(classes int) *frequencies {
	f := &frequencies{
		shares:  make([]metric.Trail, classes),
		repeat:  metric.Trail{N: trailRows},
		newest:  math.NaN(),
		scratch: make([]float64, classes),
	}
	for c := range f.shares {
		f.shares[c].N = trailRows
	}
	return f
}

// into writes the probabilities, NaN before the first label.
func (f *frequencies) into(dst []float64) {
	n, same := float64(min(f.labels, trailRows)), 0.0
	if n == 0 {
		fill(dst, math.NaN())
		return
	}
	for c := range dst { // as if one more row had been a bit of each class
		dst[c] = (float64(n*f.shares[c].Mean()) + 1/float64(len(dst))) / (n + 1)
		same += float64(dst[c] * dst[c])
	}
	again := 0.0
	if f.repeat.Count() > 0 && same < 1 {
		again = min(max((f.repeat.Mean()-same)/(1-same), 0), n/(n+1))
	}
	for c := range dst {
		dst[c] = float64(dst[c] * (1 - again))
	}
	dst[int(f.newest)] += again
}

// add takes the next label, and the newest that was known when its row was predicted.
func (f *frequencies) add(label, before float64) {
	if !math.IsNaN(before) {
		f.repeat.Add(indicator(label == before))
	}
	for c := range f.shares {
		f.shares[c].Add(indicator(float64(c) == label))
	}
	f.newest = label
	f.labels++
}

func (f *frequencies) save(w *state.Writer) {
	for c := range f.shares {
		f.shares[c].Save(w)
	}
	f.repeat.Save(w)
	w.Float(f.newest)
	w.Int(f.labels)
}

func (f *frequencies) load(r *state.Reader) {
	for c := range f.shares {
		f.shares[c].Load(r)
	}
	f.repeat.Load(r)
	f.newest, f.labels = r.Float(), r.Int()
	if !isClass(f.newest, len(f.shares)) && !(math.IsNaN(f.newest) && f.labels == 0) || f.labels < 0 {
		r.Fail()
	}
}

func isClass(v float64, classes int) bool {
	return v >= 0 && v < float64(classes) && v == math.Floor(v)
}

func fill(dst []float64, v float64) {
	for i := range dst {
		dst[i] = v
	}
}

// top is the most probable class, the first of equals; NaN of no prediction.
func top(p []float64) float64 {
	if math.IsNaN(p[0]) {
		return math.NaN()
	}
	best := 0
	for c, v := range p {
		if v > p[best] {
			best = c
		}
	}
	return float64(best)
}

// said writes the probabilities that a slot's model gives the row back rows ago, in the order of
// the task's classes, and returns that of the model's last class; both are NaN for no model. bad
// says that it gave none where it should have.
func (e *Engine) said(dst []float64, s *slot, back int) (last float64, bad bool) {
	fill(dst, math.NaN())
	if !s.use {
		return math.NaN(), false
	}
	rows := e.hist
	if s.hist != nil {
		rows = s.hist
	}
	if _, _, _, err := s.Model.Predict(rows, back); err != nil {
		return math.NaN(), true
	}
	p, sum := s.Model.(ClassModel).Classes(), 0.0
	for _, v := range p {
		if !(v >= 0) || math.IsInf(v, 1) { // NaN as well
			return math.NaN(), true
		}
		sum += v
	}
	if len(p) != len(dst) || !(sum > 0) || math.IsInf(sum, 1) {
		return math.NaN(), true
	}
	for c, v := range p {
		dst[s.class(c)] = v / sum
	}
	return dst[s.class(len(p)-1)], false
}

// predictClasses predicts the newest row of a task of more than two classes.
func (e *Engine) predictClasses(t int64) {
	k := e.cfg.classes()
	champ, shadow := e.x[e.at:e.at+k], e.tried
	of, bad := e.said(champ, &e.champion, 0)
	if bad {
		e.stats.NonFinite++
	}
	_, shadowBad := e.said(shadow, &e.shadow, 0)
	if e.shadow.use || e.previous {
		e.trial.Rows++
		if (shadowBad && !e.previous) || (bad && e.previous) {
			e.trial.NonFinite++
		}
		if !math.IsNaN(shadow[0]) && !math.IsNaN(champ[0]) {
			apart := 0.0
			for c := range shadow {
				apart += math.Abs(shadow[c] - champ[c])
			}
			e.trial.SumDisagreement += apart / 2
		}
	}
	e.watchInputs(t, of)
	base := e.out1[(len(e.experts.Members())-1)*k:][:k]
	e.usual.into(base)
	e.voices(0)
	e.experts.Predict(e.p, e.out1, e.x)
	p := slices.Clone(e.p)
	if !e.cfg.Adapt && !math.IsNaN(champ[0]) {
		copy(p, champ)
	}
	pr := Prediction{
		Row:         t,
		For:         t + e.cfg.Horizon,
		Value:       math.NaN(),
		Lower:       math.NaN(),
		Upper:       math.NaN(),
		Persistence: top(base),
		Champion:    e.champion.ID,
	}
	limit := e.sets.Factor(1)
	if e.stats.Labels > 0 || !math.IsNaN(champ[0]) { // else nothing has been learned yet
		pr.Value, pr.Classes, pr.Set = top(p), p, make([]bool, k)
		conformal.Set(pr.Set, p, limit)
	}
	e.out.Predictions = append(e.out.Predictions, pr)
	e.stats.Predictions++
	e.makeRoom(t)
	w := e.pend.push()
	w.row, w.due, w.done, w.epoch = t, t+e.cfg.Horizon, false, e.epoch
	w.value, w.limit, w.last, w.shadowBad = pr.Value, limit, e.usual.newest, shadowBad
	copy(w.said, p)
	copy(w.tried, shadow)
	copy(w.out, e.out1)
	copy(w.x, e.x)
}

// learnClasses scores a matured prediction of more than two classes and updates everything that
// learns.
func (e *Engine) learnClasses(p *pending, truth float64, at int64) {
	k, y := e.cfg.classes(), int(truth)
	champ, base := p.x[e.at:e.at+k], p.out[(len(e.experts.Members())-1)*k:][:k]
	l := Label{
		Row:         p.row,
		At:          at,
		Truth:       truth,
		Predicted:   p.value,
		Lower:       math.NaN(),
		Upper:       math.NaN(),
		Persistence: top(base),
		Champion:    top(champ),
		Shadow:      top(p.tried),
		ChampionID:  e.idAt(p, &e.champion),
		ShadowID:    e.idAt(p, &e.shadow),
		BaselineLo:  math.NaN(),
		BaselineHi:  math.NaN(),
		Classes:     k,
		Chance:      p.said[y],
		ChanceOf:    Chances{champ[y], p.tried[y], base[y]},
	}
	if math.IsNaN(p.value) {
		l.Chance = math.NaN()
	} else {
		l.SetSize = conformal.Set(e.set, p.said, p.limit)
		l.Covered = e.set[y]
		e.cover.Add(indicator(l.Covered))
		// The aim follows the sets as the quantile makes them: that the most probable class always
		// belongs to them would else let it run away on rows that are easy.
		score := conformal.SetScore(l.Chance)
		e.sets.Update(score, score <= p.limit, e.late)
	}
	e.out.Labels = append(e.out.Labels, l)
	e.stats.Labels++
	e.scores.add(&l)
	// what the models said has its part in the trial before teach forgets it
	loss := func(chanceOf float64) float64 { return min(metric.LogLossOf(chanceOf), maxLoss) }
	if p.epoch == e.epoch && (e.shadow.use || e.previous) {
		e.pair(p, l.ChanceOf.Champion, l.ChanceOf.Shadow, l.ChanceOf.Baseline, loss)
	}
	of := l.ChanceOf.Champion
	if math.IsNaN(of) {
		of = l.Chance
	}
	e.errorDrift(of, at, loss)
	e.teach(p, truth)
	e.usual.add(truth, p.last)
}

// newScores sets up what a classification has beside, or instead of, what a number has.
func (e *Engine) newScores() {
	k := e.cfg.classes()
	if k == 0 {
		return
	}
	if e.scores = newClassTrails(); k > 2 {
		e.sets, e.usual = conformal.NewAdaptive(e.cfg.Level, scoreWindow), newFrequencies(k)
		e.tried, e.set = make([]float64, k), make([]bool, k)
	}
}

// ofTruth is the probability of the truth, 0 or 1, when v is that of 1.
func ofTruth(v, truth float64) float64 {
	if truth >= 0.5 {
		return v
	}
	return 1 - v
}

// twoClasses fills in what a label of two classes has beside that of a number.
func (l *Label) twoClasses(p *pending) {
	l.Classes = 2
	l.Chance = ofTruth(p.value, l.Truth)
	l.ChanceOf = Chances{ofTruth(p.champ, l.Truth), ofTruth(p.shadow, l.Truth), ofTruth(p.last, l.Truth)}
	if !math.IsNaN(p.value) {
		first, second := !(p.lower > 0), !(p.upper < 1) // both while nothing is known
		l.SetSize = int(indicator(first) + indicator(second))
		l.Covered = second && l.Truth >= 0.5 || first && l.Truth < 0.5
	}
}

// Wrong reports whether another class than that of the truth was the most probable, for what was
// published and for the baseline. It is false without a prediction.
func (l *Label) Wrong() (published, baseline bool) {
	wrong := func(v float64) bool { return math.Round(v) != math.Round(l.Truth) && !math.IsNaN(v) }
	return wrong(l.Predicted), wrong(l.Persistence)
}

// LogLoss is the log loss of what was published and of the baseline, in nats, with probabilities no
// less than 0.0001; NaN without a prediction.
func (l *Label) LogLoss() (published, baseline float64) {
	return metric.LogLossOf(l.Chance), metric.LogLossOf(l.ChanceOf.Baseline)
}

// add scores a label.
func (c *classTrails) add(l *Label) {
	wrong, wrongLast := l.Wrong()
	nats, natsLast := l.LogLoss()
	if !math.IsNaN(l.Predicted) {
		c.wrong.Add(indicator(wrong))
		c.size.Add(float64(l.SetSize))
	}
	if !math.IsNaN(l.Persistence) {
		c.wrongLast.Add(indicator(wrongLast))
	}
	c.nats.Add(nats) // NaN is no value
	c.natsLast.Add(natsLast)
}
