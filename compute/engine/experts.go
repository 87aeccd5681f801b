package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/drift"
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/committee"
	"skerry.dev/compute/online/learner"
)

// Defaults of Config.
var (
	DefaultLearners  = []string{"linear"}
	DefaultDetectors = []string{"adwin", "page-hinkley"}
)

// DefaultLearnerBytes bounds what a learner that grows may take; it is stored with every snapshot.
const DefaultLearnerBytes = 4 << 20

// lastPrior is how much more the last value counts at first than a local learner.
const lastPrior = 4

// newExperts sets the committee up. What they predict is a change against the target's value at
// the row for a forecast, else the target itself. A learner's row has the inputs of localRow, the
// newest labels where those do not come from an input series, the hub's model's predictions of the
// rows before, and that of the row.
func (e *Engine) newExperts() error {
	s := online.Schema{Inputs: make([]online.Input, localInputs(&e.cfg))}
	s.Classes = e.cfg.classes()
	if e.cfg.Kind != Forecast {
		e.recent = online.NewRecent(s)
		s.Inputs = append(s.Inputs, e.recent.Inputs()...)
	}
	var err error
	if !e.many() {
		if e.spread, err = online.NewSpread(s.Inputs); err != nil {
			return fmt.Errorf("engine: %w", err)
		}
	}
	e.own, e.echo = len(s.Inputs), online.NewEcho(s)
	e.at = e.own + len(e.echo.Inputs())
	wide := s
	wide.Inputs = slices.Concat(s.Inputs, e.echo.Inputs())
	members, err := learner.WithModel(wide, e.at)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if e.ofModel = len(members); !e.cfg.Adapt {
		e.ofModel = 1
	}
	if members = members[:e.ofModel]; e.cfg.Adapt {
		for k, name := range e.cfg.Learners {
			set := learner.Settings{}
			if learner.Grows(name) {
				set["max_bytes"] = fmt.Sprint(e.cfg.LearnerBytes)
			}
			m := committee.Member{Name: name}
			if s.Classes > 0 {
				m.Class, err = learner.Classifier(name, s, set, uint64(k+1))
			} else {
				m.Value, err = learner.Regressor(name, s, set, uint64(k+1))
			}
			if err != nil {
				return fmt.Errorf("engine: %w", err)
			}
			members = append(members, learner.Narrow(m, e.own))
		}
	}
	members = append(members, committee.Member{Name: learner.Last, Prior: lastPrior})
	if e.experts, err = committee.New(s, members, e.cfg.Share); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	e.x, e.out1, e.p = make([]float64, e.at+e.experts.Width()), make([]float64, e.experts.Room()), make([]float64, e.experts.Width())
	return nil
}

// detector is a drift detector of the scaled error with its name.
type detector struct {
	name string
	drift.Detector
}

func (e *Engine) newDetectors() error {
	for _, name := range e.cfg.Detectors {
		set := map[string]string{}
		// suits scaled errors in [0, 1] whose mean lies near 0.2: a rise of the mean by a quarter
		// of the scale is found within about a hundred rows
		if name == "page-hinkley" {
			set = map[string]string{"delta": "0.05", "threshold": "15", "mode": "up"}
		}
		d, err := drift.New(name, set)
		if err != nil {
			return fmt.Errorf("engine: %w", err)
		}
		e.detectors = append(e.detectors, detector{name, d})
	}
	return nil
}

// offer writes what an outsider predicts, as the committee takes it: a change, a number or the
// probabilities of two classes.
func (e *Engine) offer(dst []float64, v, origin float64) {
	if e.cfg.Kind == Classification {
		dst[0], dst[1] = 1-v, v
		if !math.IsNaN(v) {
			dst[1] = min(max(v, 0), 1)
			dst[0] = 1 - dst[1]
		}
		return
	}
	dst[0] = v - origin
}

// value returns the committee's prediction p in units of the target.
func (e *Engine) value(p []float64, origin float64) float64 { return origin + p[len(p)-1] }

// expertsAt fills the scratch row and the outsiders' places for the row back rows ago. champ and
// last are the model's and the last value.
func (e *Engine) expertsAt(back int, champ, last, origin float64) {
	e.offer(e.x[e.at:], champ, origin)
	e.offer(e.out1[(len(e.experts.Members())-1)*e.experts.Width():], last, origin)
	e.voices(back)
}

// voices fills the scratch row and the model's place for the row back rows ago, whose model's
// prediction stands in the scratch row already.
func (e *Engine) voices(back int) {
	e.localRow(back)
	if e.recent != nil {
		e.recent.Into(e.x[localInputs(&e.cfg):e.own])
	}
	e.echo.Into(e.x[e.own:e.at], e.x[e.at:])
	copy(e.out1[:e.experts.Width()], e.x[e.at:])
}

// target is the label as the learners see it.
func (e *Engine) target(truth, origin float64) float64 {
	if k := e.cfg.classes(); k > 0 {
		return math.Round(min(max(truth, 0), float64(k-1)))
	}
	return truth - origin
}

// teach moves the weights and lets the learners learn from a matured prediction. What another
// model than today's predicted is not held against today's.
func (e *Engine) teach(p *pending, truth float64) {
	if p.epoch != e.epoch && e.champion.use {
		w := e.experts.Width()
		for i := range p.x[e.own:] {
			p.x[e.own+i] = math.NaN()
		}
		for i := range p.out[:e.ofModel*w] {
			p.out[i] = math.NaN()
		}
	}
	if y := e.target(truth, p.origin); !math.IsNaN(y) {
		e.experts.Learn(p.x, p.out, y, 1, e.late)
	}
	if e.recent != nil {
		e.recent.Add(e.target(truth, 0))
	}
}

// checkLearning reports settings of local learning that cannot be.
func (c *Config) checkLearning() error {
	var errs []error
	for _, name := range c.Learners {
		if err := learner.Known(name, c.Kind == Classification); err != nil {
			errs = append(errs, fmt.Errorf("engine: %w", err))
		}
	}
	for _, name := range c.Detectors {
		if _, err := drift.New(name, nil); err != nil {
			errs = append(errs, fmt.Errorf("engine: %w", err))
		}
	}
	return errors.Join(errs...)
}
