package selection

import (
	"context"
	"errors"
	"math"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/metric"
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
// their horizon, with each of them; without artifacts it visits every labelled row.
func (p *Problem) drive(ctx context.Context, as []*artifact.Artifact, visit func(device int, s *Series, i int, r []*artifact.Runner, out [][3]float64)) error {
	var runners []*artifact.Runner
	rows, after := 1, int64(math.MinInt64)
	for _, a := range as {
		r, err := artifact.NewRunner(a)
		if err != nil {
			return err
		}
		if err := p.Fits(a); err != nil {
			return err
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
