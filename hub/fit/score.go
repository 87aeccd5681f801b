package fit

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/metric"
	"skerry.dev/hub/selection"
)

// Metrics are the figures of an artifact on rows. Those that do not apply are nil.
type Metrics struct {
	// two classes: of the second; more: mean of one against the rest
	AUC      *float64 `json:"auc,omitempty"`
	Accuracy *float64 `json:"accuracy,omitempty"`
	LogLoss  *float64 `json:"logloss,omitempty"`
	MacroF1  *float64 `json:"macro_f1,omitempty"`

	RMSE    *float64 `json:"rmse,omitempty"`
	MAE     *float64 `json:"mae,omitempty"`
	R2      *float64 `json:"r2,omitempty"`
	MAELast *float64 `json:"mae_last_value,omitempty"` // forecast
	// of the interval, as calibrated on held-out rows
	Coverage      *float64 `json:"coverage,omitempty"`
	IntervalScore *float64 `json:"interval_score,omitempty"`
}

// named returns the figures that apply.
func (m *Metrics) named() map[string]float64 {
	out := map[string]float64{}
	for name, v := range map[string]*float64{"auc": m.AUC, "accuracy": m.Accuracy, "log_loss": m.LogLoss, "macro_f1": m.MacroF1, "rmse": m.RMSE, "mae": m.MAE, "r2": m.R2} {
		if v != nil && !math.IsNaN(*v) && !math.IsInf(*v, 0) {
			out[name] = *v
		}
	}
	return out
}

// scored is a row with what was predicted for it.
type scored struct {
	y, pred, lower, upper, base float64
	probs                       []float64
}

// predict runs an artifact over a series, one row after the other, and returns the labelled rows
// from a time on.
func predict(ctx context.Context, a *artifact.Artifact, s *selection.Series, from int64) ([]scored, error) {
	runner, err := artifact.NewRunner(a)
	if err != nil {
		return nil, err
	}
	h := feature.NewHistory(len(a.Manifest.Inputs), max(a.Pipeline.Rows, 1))
	var out []scored
	for i, t := range s.Times {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		h.Push(t, s.Values[i])
		if t < from || math.IsNaN(s.Target[i]) {
			continue
		}
		r := scored{y: s.Target[i]}
		if a.Manifest.Kind == artifact.KindForecast {
			if r.base = s.Baseline[i]; math.IsNaN(r.base) {
				continue
			}
		}
		if r.pred, r.lower, r.upper, err = runner.Predict(h, 0); err != nil {
			return nil, err
		}
		if p := runner.Classes(); p != nil {
			r.probs = spread(p, len(a.Manifest.Output.Classes))
		} else {
			r.lower, r.upper = a.Calibration.Widen(r.pred, r.lower, r.upper)
		}
		r.pred, r.lower, r.upper = r.base+r.pred, r.base+r.lower, r.base+r.upper
		out = append(out, r)
	}
	return out, nil
}

// spread gives every class its probability; one number is that of class 1 of two.
func spread(p []float64, classes int) []float64 {
	if len(p) == 1 && classes == 2 {
		return []float64{1 - p[0], p[0]}
	}
	return slices.Clone(p)
}

var errNoRows = errors.New("no labelled row to score")

// measure computes the figures.
func measure(a *artifact.Artifact, rows []scored) (Metrics, error) {
	if len(rows) == 0 {
		return Metrics{}, errNoRows
	}
	if a.Manifest.Kind == artifact.KindClassification {
		return classMetrics(rows, len(a.Manifest.Output.Classes)), nil
	}
	var m Metrics
	n, mean := float64(len(rows)), 0.0
	for _, r := range rows {
		mean += r.y / n
	}
	var abs, sq, tot, base, covered, score, intervals float64
	for _, r := range rows {
		e := r.y - r.pred
		abs += math.Abs(e) / n
		sq += e * e / n
		tot += (r.y - mean) * (r.y - mean) / n
		base += math.Abs(r.y-r.base) / n
		if !math.IsNaN(r.lower) && !math.IsNaN(r.upper) {
			intervals++
			score += metric.IntervalScore(r.lower, r.upper, r.y, a.Calibration.Level)
			if r.y >= r.lower && r.y <= r.upper {
				covered++
			}
		}
	}
	rmse := math.Sqrt(sq)
	m.MAE, m.RMSE = &abs, &rmse
	if tot > 0 {
		r2 := 1 - sq/tot
		m.R2 = &r2
	}
	if a.Manifest.Kind == artifact.KindForecast {
		m.MAELast = &base
	}
	if intervals > 0 {
		covered, score = covered/intervals, score/intervals
		m.Coverage, m.IntervalScore = &covered, &score
	}
	return m, nil
}

func classMetrics(rows []scored, classes int) Metrics {
	y, p := make([]float64, len(rows)), make([]float64, 0, len(rows)*classes)
	for i, r := range rows {
		y[i] = r.y
		p = append(p, r.probs...)
	}
	said := metric.Classes(p, classes)
	accuracy, loss, f1 := metric.Accuracy(y, said, nil), metric.LogLoss(y, p, nil, classes), metric.MacroF1(y, said, nil)
	m := Metrics{Accuracy: &accuracy, LogLoss: &loss, MacroF1: &f1}
	if auc := metric.MulticlassAUC(y, p, nil, classes); !math.IsNaN(auc) {
		m.AUC = &auc
	}
	return m
}

// Gain is what an input is worth: the rise of the test loss (log loss, or absolute error) when
// its values are shuffled among the rows.
type Gain struct {
	Feature string  `json:"feature"`
	Gain    float64 `json:"gain"`
}

const importanceRows = 2000

// importance measures the inputs of an artifact whose rows are independent.
func importance(ctx context.Context, a *artifact.Artifact, s *selection.Series, seed uint64) ([]Gain, error) {
	rng := rand.New(rand.NewPCG(seed, 0x696d70))
	at := rng.Perm(len(s.Times))
	at = at[:min(len(at), importanceRows)]
	slices.Sort(at)
	x := selection.Series{Device: s.Device}
	for _, i := range at {
		x.Times, x.Values, x.Target = append(x.Times, s.Times[i]), append(x.Values, slices.Clone(s.Values[i])), append(x.Target, s.Target[i])
	}
	loss := func() (float64, error) {
		rows, err := predict(ctx, a, &x, math.MinInt64)
		if err != nil {
			return 0, err
		}
		m, err := measure(a, rows)
		if err != nil {
			return 0, err
		}
		if m.LogLoss != nil {
			return *m.LogLoss, nil
		}
		return *m.MAE, nil
	}
	base, err := loss()
	if err != nil {
		return nil, err
	}
	var out []Gain
	old := make([]float64, len(x.Values))
	for j, in := range a.Manifest.Inputs {
		perm := rng.Perm(len(x.Values))
		for i := range x.Values {
			old[i] = x.Values[i][j]
		}
		for i := range x.Values {
			x.Values[i][j] = old[perm[i]]
		}
		v, err := loss()
		if err != nil {
			return nil, err
		}
		for i := range x.Values {
			x.Values[i][j] = old[i]
		}
		out = append(out, Gain{in.Name, v - base})
	}
	slices.SortStableFunc(out, func(a, b Gain) int { return cmp.Compare(b.Gain, a.Gain) })
	return out, nil
}
