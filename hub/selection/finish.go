package selection

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/drift/inputs"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/neural"
)

// Sizes of what describes an artifact.
const (
	ReferencePoints   = 256 // quantiles of an input's reference
	calibrationScores = 201
	vectorTail        = 16
)

// finish trains the winner on every search row, adds the interval's models, and scores the whole
// on the holdout.
func (s *search) finish(ctx context.Context) (*Result, error) {
	best := &s.board[0]
	a := &artifact.Artifact{Manifest: s.manifest(s.t, best.config, s.t.search), Models: map[artifact.Role]artifact.Predictor{}}
	s.progress("refit", len(s.board))
	// A model that loses to the baseline is not shipped: the constant is.
	scaled := false
	if best.Relative < 1 {
		l := learnerOf(best.config.learner)
		v, err := s.view(ctx, l, s.t.search)
		if err != nil {
			return nil, err
		}
		j := job{
			config: best.config,
			train:  rowRange(0, s.t.search, 1),
			rounds: grownRounds(best.rounds, best.rows, s.t.search),
			bytes:  s.share(artifact.Point),
			seed:   s.p.Seed,
		}
		if a.Models[artifact.Point], _, err = l.fit(ctx, s.t, v, j); err != nil {
			return nil, fmt.Errorf("refit %s: %w", best.key(), err)
		}
		scaled = l.scaled
	} else {
		a.Models[artifact.Point] = s.t.baseline(s.t.search)
		a.Manifest.Learner, a.Manifest.Params = constant, nil
	}
	var jobs [2]job
	var err error
	if s.p.Kind != artifact.KindClassification {
		s.progress("interval", len(s.board))
		if jobs, err = s.intervalJobs(ctx, scaled); err != nil {
			return nil, err
		}
	}
	if err := s.t.learnFrom(s.t.search); err != nil {
		return nil, err
	}
	v, err := s.t.view(scaled)
	if err != nil {
		return nil, err
	}
	if s.p.Kind != artifact.KindClassification {
		if a.Models[artifact.Lower], a.Models[artifact.Upper], err = s.fitInterval(ctx, s.t, v, jobs, rowRange(0, s.t.search, 1)); err != nil {
			return nil, err
		}
	}
	s.progress("holdout", len(s.board))
	a.Pipeline = v.pipe
	hold, scores, err := s.t.score(a, v)
	if err != nil {
		return nil, err
	}
	return s.pack(a, s.t, v, packed{hold: hold, scores: scores, trial: best, past: s.pastRun()})
}

// intervalJobs are the trainings of the quantile models on the last fold, with the rounds that are
// best there. All models of an artifact share the view of the point's.
func (s *search) intervalJobs(ctx context.Context, scaled bool) (jobs [2]job, err error) {
	folds := s.t.windows()
	last := folds[len(folds)-1]
	if err := s.t.learnFrom(last.train); err != nil {
		return jobs, err
	}
	v, err := s.t.view(scaled)
	if err != nil {
		return jobs, err
	}
	for k, alpha := range [2]float64{(1 - s.p.Level) / 2, (1 + s.p.Level) / 2} {
		// Rounds come from every second row: the curve is flat near its best.
		jobs[k] = job{
			config: config{"gbdt", map[string]float64{"rate": 0.1, "leaves": 15, "min_rows": 50, "features": 0.5, "rows": 0.7, "l2": 1}},
			alpha:  alpha,
			train:  rowRange(0, last.train, 2),
			valid:  rowRange(last.from, last.to, 2),
			bytes:  s.share(intervalRoles[k]),
			seed:   s.p.Seed,
		}
		if _, jobs[k].rounds, err = fitGBDT(ctx, s.t, v, jobs[k]); err != nil {
			return jobs, fmt.Errorf("fit %s model: %w", intervalRoles[k], err)
		}
	}
	return jobs, nil
}

var intervalRoles = [2]artifact.Role{artifact.Lower, artifact.Upper}

// fitInterval trains the quantile models on rows of a table.
func (s *search) fitInterval(ctx context.Context, t *table, v *view, jobs [2]job, rows []int32) (lower, upper artifact.Predictor, err error) {
	var out [2]artifact.Predictor
	for k, j := range jobs {
		j.rounds = grownRounds(j.rounds, len(j.train), len(rows))
		j.train, j.valid = rows, nil
		if out[k], _, err = fitGBDT(ctx, t, v, j); err != nil {
			return nil, nil, fmt.Errorf("fit %s model: %w", intervalRoles[k], err)
		}
	}
	return out[0], out[1], nil
}

// manifest describes a model that learns from so many of a table's search rows.
func (s *search) manifest(t *table, c config, rows int) artifact.Manifest {
	m := artifact.Manifest{
		Task:            s.p.Task,
		Kind:            s.p.Kind,
		HorizonUS:       s.p.HorizonUS,
		Inputs:          s.p.Inputs,
		Learner:         c.learner,
		Output:          artifact.Output{Series: s.p.TargetName, Input: -1, Unit: s.p.TargetUnit, Classes: s.p.Classes},
		Params:          map[string]string{},
		Seed:            s.p.Seed,
		Rows:            int64(rows),
		TrainFrom:       t.rows[0].time,
		TrainTo:         t.rows[t.search-1].time,
		Budget:          artifact.Budget{LatencyUS: s.p.BudgetLatency.Microseconds(), Bytes: s.p.BudgetBytes},
		CreatedFrom:     s.p.Lineage,
		Champion:        s.p.Champion,
		MinAgentVersion: s.p.MinAgentVersion,
	}
	if s.p.Kind == artifact.KindForecast {
		m.Output.Input, m.Output.Unit = s.p.TargetIndex, s.p.Inputs[s.p.TargetIndex].Unit
	} else {
		m.HorizonUS = 0
	}
	for k, v := range c.params {
		m.Params[k] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return m
}

// packed is what an artifact and a result hold besides models.
type packed struct {
	hold   Holdout
	scores []float64 // conformity scores on the same rows
	trial  *trial
	past   PastRun
}

// pastRun describes the search for later ones.
func (s *search) pastRun() PastRun {
	return PastRun{
		Meta:     metaFeatures(s.t),
		Learner:  s.board[0].Learner,
		Params:   s.board[0].Params,
		Relative: s.board[0].Relative,
	}
}

// pack completes an artifact whose models learned from the search rows of a table, and encodes it.
func (s *search) pack(a *artifact.Artifact, t *table, v *view, p packed) (*Result, error) {
	hold, scores := p.hold, p.scores
	a.Manifest.Metrics = hold.metrics(s.p.Kind)
	a.Manifest.Metrics["validation"] = p.trial.Score
	a.Manifest.Metrics["validation_relative"] = p.trial.Relative
	for k, v := range a.Manifest.Metrics {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			delete(a.Manifest.Metrics, k)
		}
	}
	a.Calibration = artifact.Calibration{Level: s.p.Level, Scores: Thin(scores, calibrationScores)}
	a.Reference = s.p.reference(t.rows[t.search-1].time)
	var err error
	if a.Usual, err = t.usual(a.Models[artifact.Point], v); err != nil {
		return nil, err
	}
	if err := s.vectors(a); err != nil {
		return nil, err
	}
	b, err := artifact.Encode(a)
	if err != nil {
		return nil, err
	}
	d, err := artifact.DecodeBytes(b)
	if err != nil {
		return nil, err
	}
	if err := d.SelfTest(); err != nil {
		return nil, err
	}
	r := &Result{Artifact: d, Bytes: b, Holdout: hold, Features: v.pipe.Names(), Trials: len(s.board)}
	for i := range s.board {
		r.Leaderboard = append(r.Leaderboard, s.board[i].Entry)
	}
	r.Run = p.past
	return r, nil
}

// Thin returns n values of v evenly spread over its order, or all when there are no more; sorted.
func Thin(v []float64, n int) []float64 {
	v = slices.DeleteFunc(slices.Clone(v), func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
	slices.Sort(v)
	if len(v) <= n {
		return v
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = v[i*(len(v)-1)/(n-1)]
	}
	return out
}

// reference describes the inputs over the rows up to a time, labelled or not.
func (p *Problem) reference(upTo int64) []artifact.Reference {
	out := make([]artifact.Reference, len(p.Inputs))
	for j := range out {
		var v []float64
		var n float64
		for i := range p.Devices {
			s := &p.Devices[i]
			for k, row := range s.Values {
				if s.Times[k] > upTo {
					break
				}
				if n++; !math.IsNaN(row[j]) {
					v = append(v, row[j])
				}
			}
		}
		out[j] = artifact.Reference{
			Missing:   (n - float64(len(v))) / max(n, 1),
			Quantiles: Thin(v, ReferencePoints),
		}
	}
	return out
}

// usualRows bounds the rows of the reference for input drift: nearly two years of hours.
const usualRows = 16_384

// usual describes the newest labelled rows in the order in which they came, device after device,
// with what the model predicts for them. It is nil when there are too few.
func (t *table) usual(m artifact.Predictor, v *view) (*inputs.Reference, error) {
	byDevice := make([][]int, len(t.p.Devices))
	for i, r := range t.rows {
		byDevice[r.device] = append(byDevice[r.device], i)
	}
	width, share := v.width(), usualRows/len(byDevice)
	out := make([]float64, m.Outputs())
	var rows [][]float64
	for _, at := range byDevice {
		for _, i := range at[max(0, len(at)-share):] {
			if err := m.PredictInto(out, v.x[i*width:(i+1)*width]); err != nil {
				return nil, err
			}
			r := &t.rows[i]
			rows = append(rows, append(slices.Clone(t.p.Devices[r.device].Values[r.row]), out[len(out)-1]))
		}
	}
	if len(rows) < 4*inputs.MinRows {
		return nil, nil
	}
	return inputs.NewReference(rows, inputs.Options{Seed: t.p.Seed})
}

// vectors records what the models predict for the newest rows of the device that has most of them.
func (s *search) vectors(a *artifact.Artifact) error {
	longest := &s.p.Devices[0]
	for i := range s.p.Devices {
		if len(s.p.Devices[i].Times) > len(longest.Times) {
			longest = &s.p.Devices[i]
		}
	}
	n := min(len(longest.Times), a.Pipeline.Rows+vectorTail, artifact.MaxVectorBytes/8/len(s.p.Inputs))
	times := longest.Times[len(longest.Times)-n:]
	var values []float64
	for _, row := range longest.Values[len(longest.Values)-n:] {
		values = append(values, row...)
	}
	var err error
	a.Vectors, err = artifact.MakeVectors(a, times, values, min(vectorTail, n))
	return err
}

// size returns the bytes of a model.
func size(m artifact.Predictor) int {
	switch m := m.(type) {
	case *ensemble.Ensemble:
		return m.Size()
	case *neural.Network:
		return m.Size()
	case *linear.Model:
		return m.Size()
	}
	return 0
}

// cost estimates a prediction's time on a small device from counts alone, so that the choice does
// not depend on the load of this machine: a tree takes about 60 ns there, a weight 1 ns, a row of
// a window 4 ns.
func cost(pipe *feature.Pipeline, m artifact.Predictor) time.Duration {
	ns := 0.0
	for _, c := range pipe.Columns {
		ns += 10
		if c.Window > 0 || c.HalfLife > 0 || c.Rows > 0 {
			ns += 4 * float64(pipe.Rows)
		}
	}
	switch m := m.(type) {
	case *ensemble.Ensemble:
		ns += 60 * float64(m.Trees())
	default:
		ns += float64(size(m)) / 8
	}
	return time.Duration(ns)
}
