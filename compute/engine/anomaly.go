package engine

import (
	"errors"
	"fmt"
	"maps"
	"math"

	"skerry.dev/compute/anomaly"
	"skerry.dev/compute/state"
)

// errNoModels is returned for a model by a task that takes none.
var errNoModels = errors.New("engine: an anomaly task learns on the device and takes no model of the hub")

// refreshRows is how often pca learns anew.
const refreshRows = "256"

// rowScorer scores rows of an anomaly task.
type rowScorer struct {
	anomaly.Scorer
	name string
	// of the scores' own distribution; without a rate of the task's a row must pass the scorer's
	// limit too
	alarm   *anomaly.Alarm
	limit   bool
	columns []int // of a row: the series of numbers
	x       []float64
	on      bool // the last row was unusual
}

func newRowScorer(c *Config) (*rowScorer, error) {
	r := &rowScorer{name: c.Scorer}
	if r.name == "" {
		r.name = "auto"
	}
	schema := anomaly.Schema{Timed: true}
	for i, s := range c.Series {
		if len(s.Categories) == 0 {
			r.columns, schema.Columns = append(r.columns, i), append(schema.Columns, s.Name)
		}
	}
	if len(r.columns) == 0 {
		return nil, errors.New("engine: an anomaly task needs an input of numbers")
	}
	r.x = make([]float64, len(r.columns))
	r.name = anomaly.Resolve(r.name, schema)
	set := c.ScorerSet
	if r.name == "pca" && set["refresh"] == "" { // a task runs for years: what is usual moves
		set = maps.Clone(set)
		if set == nil {
			set = map[string]string{}
		}
		set["refresh"] = refreshRows
	}
	var err error
	if r.Scorer, err = anomaly.New(r.name, set, schema); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	rate := c.AlarmRate
	if rate == 0 {
		rate, r.limit = defaultAlarmRate, true
	}
	if r.alarm, err = anomaly.NewAlarm(rate); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return r, nil
}

// rate scores the newest row. The first of unusual rows is an event.
func (e *Engine) rate(t int64) {
	s, row := e.scorer, e.hist.Row(0)
	for k, i := range s.columns {
		s.x[k] = row[i]
	}
	score := s.Update(s.x, t)
	on := s.alarm.Update(score) && (!s.limit || score >= s.Limit())
	nan := math.NaN()
	e.out.Predictions = append(e.out.Predictions, Prediction{
		Row:         t,
		For:         t,
		Value:       score,
		Lower:       nan,
		Upper:       nan,
		Persistence: nan,
		Alarm:       on,
	})
	e.stats.Predictions++
	if on && !s.on {
		e.event(Event{Kind: EventAnomaly, Time: t, Detector: s.name, Value: score})
	}
	s.on = on
}

func (s *rowScorer) save(w *state.Writer) {
	w.Bool(s.on)
	s.alarm.Save(w)
	s.Save(w)
}

func (s *rowScorer) load(r *state.Reader, version int64) {
	s.on = r.Bool()
	if !s.limit || version > oneInterval { // earlier builds had none without a rate
		s.alarm.Load(r)
	}
	s.Load(r)
}
