package selection

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/metric"
	"skerry.dev/compute/sequential"
)

// tally collects losses. Truths and predictions are absolute values, or class indices with their
// probability.
type tally struct {
	n, abs, sq, base, covered, width, logLoss, prior, hits float64
	intervals                                              float64
	scores                                                 []float64
	// shares of the classes in training
	classes []float64
	level   float64
}

func (c *tally) number(y, pred, base, lo, hi float64) {
	c.n++
	c.abs += math.Abs(y - pred)
	c.sq += (y - pred) * (y - pred)
	c.base += math.Abs(y - base)
	if math.IsNaN(lo) || math.IsNaN(hi) {
		c.scores = append(c.scores, math.Abs(y-pred))
		return
	}
	c.intervals++
	c.width += metric.IntervalScore(lo, hi, y, c.level)
	if y >= lo && y <= hi {
		c.covered++
	}
	if half := hi - pred; y >= pred && half > 0 {
		c.scores = append(c.scores, (y-pred)/half)
	} else if half := pred - lo; y < pred && half > 0 {
		c.scores = append(c.scores, (pred-y)/half)
	}
}

func (c *tally) class(y int, p []float64) {
	c.n++
	c.logLoss -= math.Log(max(p[y], 1e-15))
	best := 0
	for k := range p {
		if p[k] > p[best] {
			best = k
		}
	}
	if best == y {
		c.hits++
	}
	if c.classes != nil {
		c.prior -= math.Log(max(c.classes[y], 1e-15))
	}
}

func (c *tally) holdout() Holdout {
	n := max(c.n, 1)
	h := Holdout{Rows: int(c.n), MAE: c.abs / n, RMSE: math.Sqrt(c.sq / n), MAEBaseline: c.base / n,
		LogLoss: c.logLoss / n, LogLossPrior: c.prior / n, Accuracy: c.hits / n}
	if c.intervals > 0 {
		h.Coverage, h.IntervalScore = c.covered/c.intervals, c.width/c.intervals
	}
	return h
}

// metrics returns the figures that apply, by name.
func (h Holdout) metrics(kind string) map[string]float64 {
	if kind == artifact.KindClassification {
		return map[string]float64{"rows": float64(h.Rows), "log_loss": h.LogLoss, "log_loss_prior": h.LogLossPrior, "accuracy": h.Accuracy}
	}
	return map[string]float64{"rows": float64(h.Rows), "mae": h.MAE, "rmse": h.RMSE, "mae_persistence": h.MAEBaseline,
		"coverage": h.Coverage, "interval_score": h.IntervalScore}
}

// score runs the models over the holdout, as their view shows it, and returns the conformity
// scores too.
func (t *table) score(a *artifact.Artifact, v *view) (Holdout, []float64, error) {
	c := tally{level: t.p.Level}
	base := t.baseline(t.search)
	c.classes = base.Values
	width := v.width()
	m := a.Models[artifact.Point]
	out, lo, hi := make([]float64, m.Outputs()), []float64{math.NaN()}, []float64{math.NaN()}
	probs := make([]float64, max(2, m.Outputs()))
	for i := t.holdout; i < len(t.rows); i++ {
		x, r := v.x[i*width:(i+1)*width], &t.rows[i]
		if err := m.PredictInto(out, x); err != nil {
			return Holdout{}, nil, err
		}
		if t.p.Kind == artifact.KindClassification {
			for k := range probs {
				probs[k] = probability(out, k)
			}
			c.class(int(r.y), probs)
			continue
		}
		if a.Models[artifact.Lower] != nil {
			if err := a.Models[artifact.Lower].PredictInto(lo, x); err != nil {
				return Holdout{}, nil, err
			}
			if err := a.Models[artifact.Upper].PredictInto(hi, x); err != nil {
				return Holdout{}, nil, err
			}
		}
		c.number(r.base+r.y, r.base+out[0], r.base+base.Values[0], r.base+min(lo[0], hi[0]), r.base+max(lo[0], hi[0]))
	}
	return c.holdout(), c.scores, nil
}

// Evaluate runs an artifact over the labelled rows whose label came after everything it was
// trained on, as a device would, and returns how it did.
func Evaluate(ctx context.Context, p Problem, a *artifact.Artifact) (Holdout, error) {
	p.defaults()
	if err := p.check(); err != nil {
		return Holdout{}, err
	}
	c := tally{level: p.Level}
	follow := newFollowers(&p)
	err := p.drive(ctx, []*artifact.Artifact{a}, func(d int, s *Series, i int, r []*artifact.Runner, out [][3]float64) {
		if a.Manifest.Kind == artifact.KindClassification {
			c.class(int(s.Target[i]), r[0].Classes())
			return
		}
		base := p.base(s, i)
		follow[d].upTo(&p, s, i)
		c.number(s.Target[i], base+out[0][0], follow[d].predict(&p, base), base+out[0][1], base+out[0][2])
	})
	return c.holdout(), err
}

// ErrOtherProblem means that an artifact does not fit the problem's inputs or classes.
var ErrOtherProblem = errors.New("artifact has other inputs or classes than the problem")

// drive predicts every labelled row that is newer than all training rows of the artifacts, by
// their horizon, with each of them.
func (p *Problem) drive(ctx context.Context, as []*artifact.Artifact, visit func(device int, s *Series, i int, r []*artifact.Runner, out [][3]float64)) error {
	var runners []*artifact.Runner
	rows, after := 1, int64(math.MinInt64)
	for _, a := range as {
		r, err := artifact.NewRunner(a)
		if err != nil {
			return err
		}
		if len(a.Manifest.Inputs) != len(p.Inputs) || a.Manifest.Kind != p.Kind || p.Kind == artifact.KindClassification && len(r.Classes()) != len(p.Classes) {
			return ErrOtherProblem
		}
		for i := range p.Inputs {
			if a.Manifest.Inputs[i].Name != p.Inputs[i].Name {
				return ErrOtherProblem
			}
		}
		runners = append(runners, r)
		rows, after = max(rows, a.Pipeline.Rows), max(after, a.Manifest.TrainTo+p.HorizonUS)
	}
	out := make([][3]float64, len(as))
	for d := range p.Devices {
		s := &p.Devices[d]
		h := feature.NewHistory(len(p.Inputs), rows)
		for i, t := range s.Times {
			if i%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			h.Push(t, s.Values[i])
			if t <= after || !p.labelled(s, i) {
				continue
			}
			for k, r := range runners {
				var err error
				if out[k][0], out[k][1], out[k][2], err = r.Predict(h, 0); err != nil {
					return err
				}
			}
			visit(d, s, i, runners, out)
		}
	}
	return nil
}

// Verdict is which of two artifacts is better on rows that neither was trained on. Losses of numbers
// are those of the rollout gates: min(|y−ŷ|/scale, 4), where scale is the mean |y − baseline| of the
// device so far. Those of a classification are log losses, see [metric.ClassLoss]: errors of the
// more probable class would be blind to rare ones.
type Verdict struct {
	Outcome    sequential.Verdict `json:"outcome"`
	Against    string             `json:"against"`    // "the champion", or which baseline
	Champion   float64            `json:"champion"`   // mean loss
	Challenger float64            `json:"challenger"` // mean loss
	// instants compared; devices at the same instant are averaged first, since they err together
	N    int `json:"n"`
	Rows int `json:"rows"`
	// the mean difference, challenger less champion, lies between
	Lo float64 `json:"lo"`
	// Lo and Hi with confidence 95 %, however often it is looked at
	Hi     float64 `json:"hi"`
	Reason string  `json:"reason"`
	// mean interval scores in units of the scale, of the intervals that a device would publish; 0 for
	// a classification
	IntervalChampion   float64 `json:"interval_champion,omitempty"`
	IntervalChallenger float64 `json:"interval_challenger,omitempty"`
}

const (
	judgeAlpha    = 0.05
	judgeInstants = 100
	// a challenger that is better on average passes when it is surely not worse than this share
	// of the champion's loss
	judgeMargin = 0.02
	lossCap     = 4
	// rows of a class that chance does not leave out of those judged by: fewer than 1 in 20 times when
	// so many are to be expected
	expectedRows = 3
	// by how much a challenger's interval score may exceed the champion's, as a share of it
	intervalMargin = 0.1
)

// Judge compares challenger with champion on the labelled rows that are newer than the training
// rows of both. A nil champion is the baseline: the last value of a forecast, the mean so far of a
// regression, the shares of the classes so far. Pass: the challenger is better on average and
// surely not worse by more than 2 %, and its intervals are not worse by more than 10 %; fail: it is
// surely worse; anything else is inconclusive, and so is a judgement on fewer than 100 instants, or
// on rows that lack a class of which some were to be expected.
func Judge(ctx context.Context, p Problem, champion, challenger *artifact.Artifact) (Verdict, error) {
	p.defaults()
	if err := p.check(); err != nil {
		return Verdict{}, err
	}
	as := []*artifact.Artifact{challenger}
	if champion != nil {
		as = append(as, champion)
	}
	type pair struct{ a, b, n float64 } // summed losses of champion and challenger at an instant
	at := map[int64]*pair{}
	var order []int64
	follow := newFollowers(&p)
	iv := newIntervals(&p)
	judged := make([]float64, len(p.Classes))
	rows := 0
	err := p.drive(ctx, as, func(d int, s *Series, i int, r []*artifact.Runner, out [][3]float64) {
		truth, base := s.Target[i], p.base(s, i)
		follow[d].upTo(&p, s, i)
		var a, b float64
		if p.Kind == artifact.KindClassification {
			class := int(truth)
			judged[class]++
			a, b = metric.ClassLoss(follow[d].share(class)), metric.ClassLoss(r[0].Classes()[class])
			if champion != nil {
				a = metric.ClassLoss(r[1].Classes()[class])
			}
		} else {
			old := [3]float64{follow[d].predict(&p, base), math.NaN(), math.NaN()}
			if champion != nil {
				old = add(out[1], base)
			}
			scale := follow[d].scale(math.Abs(truth - base))
			a, b = gateLoss(truth, old[0], scale), gateLoss(truth, base+out[0][0], scale)
			iv.add(d, truth, scale, old, add(out[0], base))
		}
		q := at[s.Times[i]]
		if q == nil {
			q = &pair{}
			at[s.Times[i]] = q
			order = append(order, s.Times[i])
		}
		rows++
		q.n++
		q.a += a
		q.b += b
	})
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{N: len(order), Rows: rows, Outcome: sequential.Inconclusive, Against: "the champion"}
	if champion == nil {
		v.Against = p.baselineName()
	}
	v.IntervalChampion, v.IntervalChallenger = iv.means()
	var sum, sum2 float64
	for _, t := range order {
		q := at[t]
		v.Champion += q.a / q.n
		v.Challenger += q.b / q.n
		d := (q.b - q.a) / q.n
		sum += d
		sum2 += d * d
	}
	n := float64(len(order))
	if v.N < judgeInstants {
		v.Reason = "too few labelled rows after the training rows of both"
		v.Champion, v.Challenger = v.Champion/max(n, 1), v.Challenger/max(n, 1)
		return v, nil
	}
	v.Champion, v.Challenger = v.Champion/n, v.Challenger/n
	alpha := judgeAlpha
	if p.Changes { // the second look at the same rows, see package learn
		alpha /= 2
	}
	v.Lo, v.Hi = sequential.Bound(n, sum, sum2, alpha, max(n, judgeInstants))
	missing := p.missingClasses(judged)
	switch {
	case len(missing) > 0:
		v.Reason = fmt.Sprintf("no row to judge by is of class %s, although others are: more time is needed", strings.Join(missing, " or "))
	case v.Lo > 0:
		v.Outcome, v.Reason = sequential.Fail, "surely worse than "+v.Against
	case v.IntervalChallenger > (1+intervalMargin)*v.IntervalChampion:
		v.Reason = fmt.Sprintf("its intervals are worse: score %.3g against %.3g of %s", v.IntervalChallenger, v.IntervalChampion, v.Against)
	case sum < 0 && v.Hi <= judgeMargin*v.Champion:
		v.Outcome, v.Reason = sequential.Pass, "better, and surely not worse beyond the margin"
	default:
		v.Reason = "the difference is within what chance explains"
	}
	return v, nil
}

// add moves a prediction and the ends of its interval.
func add(p [3]float64, by float64) [3]float64 { return [3]float64{p[0] + by, p[1] + by, p[2] + by} }

func gateLoss(truth, pred, scale float64) float64 {
	return min(math.Abs(truth-pred)/scale, lossCap)
}

// baselineName says what a task without a champion is judged against.
func (p *Problem) baselineName() string {
	switch p.Kind {
	case artifact.KindForecast:
		return "the last value"
	case artifact.KindRegression:
		return "the mean so far"
	}
	return "the shares of the classes so far"
}

// missingClasses are those with no judged row although, by their share of all labelled rows, some
// were to be expected. judged counts rows by class.
func (p *Problem) missingClasses(judged []float64) (missing []string) {
	all, total, n := make([]float64, len(judged)), 0.0, 0.0
	for d := range p.Devices {
		s := &p.Devices[d]
		for i := range s.Times {
			if p.Kind == artifact.KindClassification && p.labelled(s, i) {
				all[int(s.Target[i])]++
				total++
			}
		}
	}
	for _, c := range judged {
		n += c
	}
	for k := range all {
		if judged[k] == 0 && all[k]*n >= expectedRows*total && total > 0 {
			missing = append(missing, strconv.Quote(p.Classes[k]))
		}
	}
	return missing
}

// follower is the baseline of one device: the last value of a forecast, the mean so far of a
// regression, the shares of the classes so far of a classification. It holds the truths of the rows
// before the one it predicts, and its own mean absolute error on them.
type follower struct {
	next   int // first row not yet seen
	n      float64
	sum    float64
	err    float64
	counts []float64
}

func newFollowers(p *Problem) []follower {
	f := make([]follower, len(p.Devices))
	for i := range f {
		f[i].counts = make([]float64, len(p.Classes))
	}
	return f
}

// upTo takes in the rows before i.
func (f *follower) upTo(p *Problem, s *Series, i int) {
	for ; f.next < i; f.next++ {
		if !p.labelled(s, f.next) {
			continue
		}
		y := s.Target[f.next]
		if p.Kind == artifact.KindClassification {
			f.counts[int(y)]++
		} else {
			f.err += math.Abs(y - f.predict(p, p.base(s, f.next)))
			f.sum += y
		}
		f.n++
	}
}

// share is a class's share of the labels so far, by Laplace's rule of succession.
func (f *follower) share(class int) float64 {
	return (f.counts[class] + 1) / (f.n + float64(len(f.counts)))
}

func (f *follower) predict(p *Problem, base float64) float64 {
	if p.Kind == artifact.KindForecast || f.n == 0 {
		return base
	}
	return f.sum / f.n
}

func (f *follower) scale(fallback float64) float64 {
	switch {
	case f.n > 0 && f.err > 0:
		return f.err / f.n
	case fallback > 0:
		return fallback
	}
	return 1
}
