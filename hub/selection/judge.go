package selection

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/metric"
	"skerry.dev/compute/sequential"
)

// Verdict is whether a challenger is better than what it is judged against, on rows that are newer
// than what either was trained on. Losses of numbers are those of the rollout gates:
// min(|y−ŷ|/scale, 4), where scale is the mean |y − baseline| of the device so far. Those of a
// classification are log losses, see [metric.ClassLoss]: errors of the more probable class would be
// blind to rare ones.
type Verdict struct {
	Outcome    sequential.Verdict `json:"outcome"`
	Against    string             `json:"against"`    // "the champion", or which baseline
	Champion   float64            `json:"champion"`   // mean loss
	Challenger float64            `json:"challenger"` // mean loss
	// instants compared, and rows; devices at the same instant err together, and so do neighbours:
	// the bounds come from blocks of event time
	N    int `json:"n"`
	Rows int `json:"rows"`
	// the mean difference, challenger less champion, lies between Lo and Hi with confidence 95 %,
	// however often and over however many of the newest rows it is looked at; 0 where too few rows
	// say nothing
	Lo     float64 `json:"lo"`
	Hi     float64 `json:"hi"`
	Reason string  `json:"reason"`
	// how many more rows would settle an inconclusive comparison if the difference stays; 0 where none
	// would
	Needed int `json:"needed,omitempty"`
	// what else the challenger must not lose to, on the newest rows
	Floors []Floor `json:"floors,omitempty"`
	// mean interval scores in units of the scale, of the intervals that a device would publish; 0 for
	// a classification
	IntervalChampion   float64 `json:"interval_champion,omitempty"`
	IntervalChallenger float64 `json:"interval_challenger,omitempty"`
}

// Floor is a simple prediction, or what devices published, beside the challenger on the newest rows.
type Floor struct {
	Name       string  `json:"name"`
	Loss       float64 `json:"loss"`
	Challenger float64 `json:"challenger"`
	Rows       int     `json:"rows"`
}

const (
	judgeAlpha = 0.05
	judgeRows  = 200
	// a challenger passes against a champion when it is surely not worse than this share of the
	// champion's loss; the rollout gates have the same
	judgeMargin = 0.05
	lossCap     = 4
	// rows of a class that chance does not leave out of those judged by: fewer than 1 in 20 times when
	// so many are to be expected
	expectedRows = 3
	// by how much a challenger's interval score may exceed the champion's, as a share of it
	intervalMargin = 0.1
	// a champion is judged over a week, which shows what a plant, an office or the weather goes
	// through, and three horizons, or over so many rows where they come fast
	cycleUS       = 7 * dayUS
	cycleHorizons = 3
	cycleRows     = 2000
	// a floor is held against the challenger where it has a prediction for this share of the rows
	floorRows = 0.9
)

// publishedName is the floor of what devices published.
const publishedName = "what the devices published"

// Judge compares an artifact with the champion, or with the baseline where that is nil, on the
// labelled rows that are newer than the training rows of both.
//
// Against a champion it passes when it is better on average and surely not worse by more than 5 %,
// and no worse than the baselines on the newest rows. Without one it passes when it is surely better
// than the best of the baselines: the last value and that of a day or a week before for a forecast,
// the mean so far of a regression, the shares of the classes so far. In both cases it must not be
// worse by more than 5 % than what devices published, where that is known, nor its intervals by
// more than 10 %. It fails when it is surely worse. Anything else is inconclusive, and so is a
// judgement on fewer than 200 rows, against a champion on less than a week or 2000 rows, or on rows
// that lack a class of which some were to be expected.
//
// The comparison is made on all these rows and on the newest half, quarter and so on, where they are
// enough, at a share of the error each: after a change of regime the newest decide.
func Judge(ctx context.Context, p Problem, champion, challenger *artifact.Artifact) (Verdict, error) {
	p.defaults()
	if err := p.check(); err != nil {
		return Verdict{}, err
	}
	c := &contest{p: &p, champion: champion, challenger: challenger}
	after := challenger.Manifest.TrainTo
	if champion != nil {
		after = max(after, champion.Manifest.TrainTo)
	}
	rows := p.places()
	rows = rows[before(rows, after+p.HorizonUS+1):]
	for n := len(rows); n >= judgeRows && len(c.spans) < maxOrigins; n /= 2 {
		c.spans = append(c.spans, rows[len(rows)-n].time)
	}
	return c.hold(ctx)
}

// Fits returns ErrOtherProblem where an artifact does not fit the problem's kind, inputs or classes,
// and says in what.
func (p *Problem) Fits(a *artifact.Artifact) error {
	m := &a.Manifest
	if m.Kind != p.Kind {
		return fmt.Errorf("%w: it is a %s, the task a %s", ErrOtherProblem, m.Kind, p.Kind)
	}
	names := func(n int, at func(int) string) string {
		out := make([]string, n)
		for i := range out {
			out[i] = at(i)
		}
		return strings.Join(out, ", ")
	}
	has, wants := names(len(m.Inputs), func(i int) string { return m.Inputs[i].Name }), names(len(p.Inputs), func(i int) string { return p.Inputs[i].Name })
	if has != wants {
		return fmt.Errorf("%w: its inputs are %s, those of the task %s", ErrOtherProblem, has, wants)
	}
	if p.Kind == artifact.KindClassification && !slices.Equal(m.Output.Classes, p.Classes) {
		return fmt.Errorf("%w: its classes are %s, those of the task %s", ErrOtherProblem, strings.Join(m.Output.Classes, ", "), strings.Join(p.Classes, ", "))
	}
	if p.Kind == artifact.KindForecast && m.HorizonUS != 0 && m.HorizonUS != p.HorizonUS {
		return fmt.Errorf("%w: its horizon is %d µs, that of the task %d", ErrOtherProblem, m.HorizonUS, p.HorizonUS)
	}
	return nil
}

// contest compares a challenger with its rivals, row by row. The challenger is an artifact or, where
// that is nil, what predict returns.
type contest struct {
	p                    *Problem
	champion, challenger *artifact.Artifact
	predict              func(device, row int) (prediction, bool)
	spans                []int64 // beginnings of the rows looked at: all of them, then newer ones

	rivals []rival
	rows   []judged
	iv     *intervals
	from   int64 // what decided begins there
}

// rival is what the challenger is compared with: paired losses by span.
type rival struct {
	name  string
	spans []sequential.Blocks
}

// judged is a row with what was predicted for it.
type judged struct {
	time  int64
	truth float64
	base  float64 // the baseline's prediction, or the share it gives the class
	// of a classification the losses of the challenger and of the champion, or without one of the
	// baseline
	loss, incumbent float64
	prediction
}

func (c *contest) rival(name string) *rival {
	for i := range c.rivals {
		if c.rivals[i].name == name {
			return &c.rivals[i]
		}
	}
	c.rivals = append(c.rivals, rival{name, make([]sequential.Blocks, len(c.spans))})
	return &c.rivals[len(c.rivals)-1]
}

// against adds a pair of losses; one that is NaN is none.
func (c *contest) against(name string, t int64, incumbent, challenger float64) {
	r := c.rival(name)
	if math.IsNaN(incumbent) {
		return
	}
	for k, from := range c.spans {
		if t >= from {
			r.spans[k].Add(t, incumbent, challenger)
		}
	}
}

const championName = "the champion"

// hold compares on every row and returns the verdict.
func (c *contest) hold(ctx context.Context) (Verdict, error) {
	p := c.p
	var as []*artifact.Artifact
	if c.challenger != nil {
		as = append(as, c.challenger)
	}
	if c.champion != nil {
		as = append(as, c.champion)
	}
	c.iv = newIntervals(p)
	follow, seasons := newFollowers(p), p.seasons()
	if len(c.spans) == 0 {
		c.spans = []int64{math.MinInt64}
	}
	err := p.drive(ctx, as, func(d int, s *Series, i int, r []*artifact.Runner, out [][3]float64) {
		var q prediction
		if c.challenger == nil {
			var ok bool
			if q, ok = c.predict(d, i); !ok {
				return
			}
		} else {
			q = prediction{number: out[0], classes: r[0].Classes()}
			r, out = r[1:], out[1:]
		}
		truth, base, t := s.Target[i], p.base(s, i), s.Times[i]
		f := &follow[d]
		f.upTo(p, s, i)
		row := judged{time: t, truth: truth}
		if p.Kind == artifact.KindClassification {
			class := int(truth)
			row.classes, row.base = slices.Clone(q.classes), f.share(class)
			loss := metric.ClassLoss(q.classes[class])
			row.loss, row.incumbent = loss, metric.ClassLoss(row.base)
			c.against(p.baselineName(), t, row.incumbent, loss)
			if c.champion != nil {
				row.incumbent = metric.ClassLoss(r[0].Classes()[class])
				c.against(championName, t, row.incumbent, loss)
			}
			if v := s.published(i); !math.IsNaN(v) {
				c.against(publishedName, t, metric.ClassLoss(v), loss)
			}
		} else {
			row.base = f.predict(p, base)
			row.number = add(q.number, base)
			old := [3]float64{row.base, math.NaN(), math.NaN()}
			scale := f.scale(math.Abs(truth - base))
			loss := gateLoss(truth, row.number[0], scale)
			if c.champion != nil {
				old = add(out[0], base)
				c.against(championName, t, gateLoss(truth, old[0], scale), loss)
			}
			c.against(p.baselineName(), t, gateLoss(truth, row.base, scale), loss)
			for _, season := range seasons {
				c.against(season.name, t, gateLoss(truth, season.of(p, s, i), scale), loss)
			}
			c.against(publishedName, t, gateLoss(truth, s.published(i), scale), loss)
			c.iv.add(d, truth, scale, old, row.number)
		}
		c.rows = append(c.rows, row)
	})
	if err != nil {
		return Verdict{}, err
	}
	return c.verdict(), nil
}

// look is a comparison with a rival over one of the spans.
type look struct {
	span   int
	limit  float64 // the challenger's mean loss less the rival's may be as much
	of     sequential.Estimate
	excess float64 // by how much it is above
}

// better reports whether the challenger is better on average and surely not worse than it may be,
// high whether it is surely worse.
func (l *look) better() bool { return l.excess+l.of.Half <= 0 && l.of.Mean < 0 }
func (l *look) high() bool   { return l.excess-l.of.Half > 0 }

// looks compares with a rival on every span that has enough rows and differs from the next, the
// longest first.
func (c *contest) looks(r *rival, margin float64) (out []look) {
	var spans []int
	for k := range r.spans {
		n := rowsOf(&r.spans[k])
		if n < judgeRows || k+1 < len(r.spans) && n == rowsOf(&r.spans[k+1]) || margin > 0 && !c.cycled(&r.spans[k], n) {
			continue
		}
		spans = append(spans, k)
	}
	alpha := judgeAlpha
	for i, k := range spans {
		if i+1 < len(spans) { // half of what is left for every shorter span, where a new regime is plain
			alpha /= 2
		}
		e := r.spans[k].Estimate(margin, alpha, rowsOf(&r.spans[k]))
		if b, ok := c.byClass(k, margin); ok {
			if s := b.Estimate(margin, alpha, rowsOf(&b)); s.Half < e.Half {
				e = s
			}
		}
		limit := margin * e.Incumbent
		out = append(out, look{span: k, limit: limit, of: e, excess: e.Mean - limit})
	}
	return out
}

// byClass is the comparison of a classification on a span where the challenger is within the margin
// on the rows of every class: every row's losses are moved by what those of its class have on
// average, so that the means stay and their variance is that within the classes. Classes come in
// blocks, a night or a failure, and are far apart in their losses; but with what share each comes
// does not matter where the challenger holds on each of them (poststratification).
func (c *contest) byClass(span int, margin float64) (b sequential.Blocks, ok bool) {
	if c.p.Kind != artifact.KindClassification {
		return b, false
	}
	type sums struct{ n, incumbent, diff float64 }
	classes, all := make([]sums, len(c.p.Classes)), sums{}
	for i := range c.rows {
		if r := &c.rows[i]; r.time >= c.spans[span] {
			for _, s := range []*sums{&classes[int(r.truth)], &all} {
				s.n++
				s.incumbent += r.incumbent
				s.diff += r.loss - r.incumbent
			}
		}
	}
	for k := range classes {
		s := &classes[k]
		if s.diff > margin*s.incumbent {
			return b, false
		}
		s.incumbent, s.diff = s.incumbent/max(s.n, 1)-all.incumbent/all.n, s.diff/max(s.n, 1)-all.diff/all.n
	}
	for i := range c.rows {
		if r := &c.rows[i]; r.time >= c.spans[span] {
			s := &classes[int(r.truth)]
			incumbent := r.incumbent - s.incumbent
			b.Add(r.time, incumbent, incumbent+r.loss-r.incumbent-s.diff)
		}
	}
	return b, true
}

// cycled reports whether rows show what the world goes through.
func (c *contest) cycled(b *sequential.Blocks, n float64) bool {
	return c.p.Independent || n >= cycleRows || int64(len(b.Sums))*b.Length >= max(cycleUS, cycleHorizons*c.p.HorizonUS)
}

func rowsOf(b *sequential.Blocks) (n float64) {
	for _, s := range b.Sums {
		n += s.Rows
	}
	return n
}

// main is what decides: the champion, or the best of the baselines over all rows.
func (c *contest) main() *rival {
	if c.champion != nil {
		return c.rival(championName)
	}
	best := c.rival(c.p.baselineName())
	least := c.of(best, 0)
	for i := range c.rivals {
		if r := &c.rivals[i]; r.name != publishedName {
			if e := c.of(r, 0); e.Rows >= floorRows*least.Rows && e.Incumbent < least.Incumbent {
				best, least = r, e
			}
		}
	}
	return best
}

// of is a rival's mean loss and the challenger's difference to it over a span.
func (c *contest) of(r *rival, span int) sequential.Estimate {
	return r.spans[span].Estimate(0, judgeAlpha, judgeRows)
}

func (c *contest) verdict() Verdict {
	r, margin := c.main(), 0.0
	c.from = math.MinInt64
	if c.champion != nil {
		margin = judgeMargin
	}
	v := Verdict{Outcome: sequential.Inconclusive, Against: r.name}
	looks := c.looks(r, margin)
	if len(looks) == 0 {
		e := c.of(r, 0)
		c.figures(&v, e, c.from)
		v.Reason, v.Needed = fmt.Sprintf("too few labelled rows after the training rows of both: %d, at least %d are needed", int(e.Rows), judgeRows), judgeRows-int(e.Rows)
		if e.Rows >= judgeRows {
			v.Reason = fmt.Sprintf("%d rows after the training rows of both span less than what the task goes through: a week and three horizons, or %d rows, are needed", int(e.Rows), cycleRows)
			v.Needed = cycleRows - int(e.Rows)
		}
		return v
	}
	decided := decisive(looks)
	c.from = c.spans[decided.span]
	c.figures(&v, decided.of, c.from)
	if !math.IsInf(decided.of.Half, 0) {
		v.Lo, v.Hi = decided.of.Mean-decided.of.Half, decided.of.Mean+decided.of.Half
	}
	newest := looks[len(looks)-1]
	v.Floors = c.floors(r, newest.span)
	v.IntervalChampion, v.IntervalChallenger = c.iv.means()
	c.decide(&v, looks, decided, newest)
	return v
}

// decisive is the newest look that says something, or the longest that says the same; the longest of
// all where none does.
func decisive(looks []look) look {
	out, found := looks[0], false
	for i := len(looks) - 1; i >= 0; i-- {
		l := looks[i]
		says := l.better() || l.high()
		if found && (!says || l.high() != out.high()) {
			break
		}
		if says {
			out, found = l, true
		}
	}
	return out
}

// decide sets the outcome and its reason.
func (c *contest) decide(v *Verdict, looks []look, decided, newest look) {
	lost := slices.IndexFunc(v.Floors, func(f Floor) bool {
		if f.Name == publishedName {
			return f.Challenger > (1+judgeMargin)*f.Loss
		}
		return f.Challenger >= f.Loss
	})
	missing := c.missingClasses()
	switch {
	case len(missing) > 0:
		v.Reason = fmt.Sprintf("no row to judge by is of class %s, although others are: more time is needed", strings.Join(missing, " or "))
	case decided.high():
		v.Outcome, v.Reason = sequential.Fail, fmt.Sprintf("surely worse than %s", v.Against)
	case !decided.better():
		v.Reason, v.Needed = undecided(looks)
	case newest.of.Mean >= 0:
		v.Reason = fmt.Sprintf("better over %d rows, but not on the newest %d of them", v.Rows, int(newest.of.Rows))
	case lost >= 0:
		f := v.Floors[lost]
		v.Reason = fmt.Sprintf("better than %s, but not than %s on the newest %d rows: mean loss %.3g against %.3g", v.Against, f.Name, f.Rows, f.Challenger, f.Loss)
	case v.IntervalChallenger > (1+intervalMargin)*v.IntervalChampion:
		v.Reason = fmt.Sprintf("its intervals are worse: score %.3g against %.3g of %s", v.IntervalChallenger, v.IntervalChampion, v.Against)
	case c.champion == nil:
		v.Outcome, v.Reason = sequential.Pass, fmt.Sprintf("surely better than %s", v.Against)
	default:
		v.Outcome, v.Reason = sequential.Pass, "better on average, and surely not worse by more than 5 %"
	}
}

// hopeless is how many times as many rows nobody waits for.
const hopeless = 50

// undecided says what an inconclusive comparison lacks: the half-width falls with the root of the
// rows.
func undecided(looks []look) (reason string, needed int) {
	for _, l := range looks {
		if l.of.Mean < 0 && l.excess < 0 && !math.IsInf(l.of.Half, 0) {
			n := int(math.Ceil(l.of.Rows * (math.Pow(l.of.Half/l.excess, 2) - 1)))
			if needed == 0 || n < needed {
				needed = n
			}
		}
	}
	rows := int(looks[0].of.Rows)
	switch {
	case needed > hopeless*rows:
		return fmt.Sprintf("as good as equal over %d rows: more than %d times as many are needed to tell", rows, hopeless), needed
	case needed > 0:
		return fmt.Sprintf("better on average, which chance explains as well on %d rows: some %d more would settle it if it stays", rows, needed), needed
	case looks[0].of.Mean < 0:
		return fmt.Sprintf("better on average over %d rows, which are too few blocks of time or lean too much on each other to tell it from chance", rows), 0
	}
	return fmt.Sprintf("not better on average over %d rows", rows), 0
}

// figures fills in what was compared.
func (c *contest) figures(v *Verdict, e sequential.Estimate, from int64) {
	v.Champion, v.Challenger, v.Rows = e.Incumbent, e.Incumbent+e.Mean, int(e.Rows)
	times := make([]int64, 0, len(c.rows))
	for _, r := range c.rows {
		if r.time >= from {
			times = append(times, r.time)
		}
	}
	slices.Sort(times)
	v.N = len(slices.Compact(times))
}

// floors are the other rivals over a span.
func (c *contest) floors(main *rival, span int) (out []Floor) {
	n := c.of(main, span).Rows
	for i := range c.rivals {
		r := &c.rivals[i]
		e := c.of(r, span)
		if r.name == main.name || e.Rows < floorRows*n && r.name != publishedName || e.Rows < judgeRows {
			continue
		}
		out = append(out, Floor{r.name, e.Incumbent, e.Incumbent + e.Mean, int(e.Rows)})
	}
	return out
}

// tally returns how the challenger did on the rows that decided, and its conformity scores.
func (c *contest) tally() (Holdout, []float64) {
	t := tally{level: c.p.Level}
	for _, r := range c.rows {
		if r.time < c.from {
			continue
		}
		if c.p.Kind == artifact.KindClassification {
			t.class(int(r.truth), r.classes)
			t.prior -= math.Log(max(r.base, 1e-15))
		} else {
			t.number(r.truth, r.number[0], r.base, r.number[1], r.number[2])
		}
	}
	return t.holdout(), t.scores
}

// missingClasses are those with no judged row although, by their share of all labelled rows, some
// were to be expected.
func (c *contest) missingClasses() (missing []string) {
	p := c.p
	if p.Kind != artifact.KindClassification {
		return nil
	}
	all, seen, total := make([]float64, len(p.Classes)), make([]bool, len(p.Classes)), 0.0
	for _, r := range p.places() {
		all[int(r.y)]++
		total++
	}
	for _, r := range c.rows {
		seen[int(r.truth)] = true
	}
	for k := range all {
		if !seen[k] && all[k]*float64(len(c.rows)) >= expectedRows*total {
			missing = append(missing, strconv.Quote(p.Classes[k]))
		}
	}
	return missing
}

// season is the baseline of a forecast that repeats what was a day or a week before the instant to
// be predicted.
type season struct {
	name string
	back int64 // from the row, microseconds
	near int64 // how far a row may be from there
}

// seasons are those that the rows cover twice and that are known at the time of the row.
func (p *Problem) seasons() (out []season) {
	if p.Kind != artifact.KindForecast {
		return nil
	}
	first, last := span(p)
	dist := p.rowDistance()
	for _, s := range []struct {
		name   string
		length int64
	}{{"the value a day before", dayUS}, {"the value a week before", 7 * dayUS}} {
		if back := s.length - p.HorizonUS; back >= 0 && last-first >= 2*s.length && dist <= s.length/4 {
			out = append(out, season{s.name, back, max(dist/2, 1)})
		}
	}
	return out
}

// of returns the prediction for a row, NaN where there was no value.
func (n season) of(p *Problem, s *Series, i int) float64 {
	at := s.Times[i] - n.back
	k, _ := slices.BinarySearch(s.Times[:i+1], at-n.near)
	if k > i || s.Times[k] > at+n.near {
		return math.NaN()
	}
	return s.Values[k][p.TargetIndex]
}
