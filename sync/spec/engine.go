package spec

import (
	"math"

	"skerry.dev/compute/engine"
)

// ReachesBack reports a tolerance that would reach back to the row itself: the newest reading that a row
// was made from would be its own truth wherever no later one has come.
func (t *Task) ReachesBack() bool {
	return t.Kind == KindForecast && t.Target.Tolerance.Std() >= t.Horizon()
}

// tolerance is how far a truth may be from its time, microseconds.
func (t *Task) tolerance() int64 {
	if t.ReachesBack() {
		return t.Target.Horizon.Micros() - 1
	}
	return t.Target.Tolerance.Micros()
}

// Engine returns the engine configuration of the task. Agent, replay and hub use the same one, so
// that a row means the same everywhere.
func (t *Task) Engine() engine.Config {
	c := engine.Config{
		Task:         t.Name,
		Target:       -1,
		Horizon:      t.Target.Horizon.Micros(),
		Tolerance:    t.tolerance(),
		On:           -1,
		Every:        t.Rows.Every.Micros(),
		MaxAge:       t.Rows.MaxAge.Micros(),
		Lateness:     t.Rows.Lateness.Micros(),
		Idle:         t.Rows.Idle.Micros(),
		Level:        t.Interval,
		Adapt:        t.Adapts(),
		Share:        t.Adapt.Share,
		Learners:     t.Adapt.Learners,
		LearnerBytes: int(t.Adapt.MaxBytes),
		Detectors:    t.Adapt.Detectors,
	}
	switch t.Kind {
	case KindRegression:
		c.Kind = engine.Regression
	case KindClassification:
		c.Kind, c.Classes = engine.Classification, t.Target.Categories
	case KindAnomaly:
		c.Kind, c.Scorer, c.ScorerSet, c.AlarmRate = engine.Anomaly, t.Anomaly.Detector, t.Anomaly.Set, t.Anomaly.Rate
	default:
		c.Kind, c.Target = engine.Forecast, t.TargetIndex()
	}
	for i, in := range t.Inputs {
		s := engine.Series{
			Name:       in.Series,
			Unit:       in.Unit,
			Min:        math.NaN(),
			Max:        math.NaN(),
			Categories: in.Categories,
		}
		if in.Range != nil {
			s.Min, s.Max = in.Range[0], in.Range[1]
		}
		if in.Series == t.Rows.On {
			c.On = i
		}
		c.Series = append(c.Series, s)
	}
	bounds := t.Target.Range
	if bounds == nil && c.Target >= 0 {
		bounds = t.Inputs[c.Target].Range
	}
	if c.Low, c.High = math.NaN(), math.NaN(); bounds != nil {
		c.Low, c.High = bounds[0], bounds[1]
	}
	return c
}

// EngineSeries returns the engine's number of a series name: an input's position,
// engine.LabelSeries for labels that arrive by message, and false when the task does not use the
// series.
func (t *Task) EngineSeries(name string) (int, bool) {
	for i := range t.Inputs {
		if t.Inputs[i].Series == name {
			return i, true
		}
	}
	if t.Target.Topic != "" && t.Target.Series == name {
		return engine.LabelSeries, true
	}
	return 0, false
}
