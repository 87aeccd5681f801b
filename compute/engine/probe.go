package engine

import (
	"math"
	"slices"
)

// StateVersion is the newest version that Save writes: with another one the same inputs may lead to
// other bits.
const StateVersion int64 = snapshotVersion

// Voice is what an expert predicted for a row, and the weight that it had in the mixture.
type Voice struct {
	Name   string
	Weight float64 // 0 to 1; all add up to 1
	// Value is in units of the target, of two classes the probability of the second, of more the
	// number of the most probable; NaN when the expert had no prediction
	Value   float64
	Chances []float64 // of a classification: the probability of each class; nil without one
}

// Model returns the champion, nil without one.
func (e *Engine) Model() Model {
	if !e.champion.use {
		return nil
	}
	return e.champion.Model
}

// Unit is what absolute errors are divided by to become losses: the target's usual change, or its
// mean absolute deviation where labels come by message.
func (e *Engine) Unit() float64 { return e.unit() }

// Settled reports whether a silence since the newest message has fired the rows that waited for the
// watermark; [Engine.End] does what it did.
func (e *Engine) Settled() bool { return e.settled }

// Silent reports whether readings had stopped before now, microseconds of arrival time: a message
// that arrives then is preceded by what [Idle] does.
func (e *Engine) Silent(now int64) bool {
	return e.arrived != NoArrival && now > e.arrived && now-e.arrived > e.cfg.silence()
}

// Probe sets what is called after each row, before anything is learned from later labels: with it
// the rows of one call can be looked at one by one. f may read the engine and the prediction, must
// change neither and must not keep the prediction. It is not part of a snapshot; nil ends it.
func (e *Engine) Probe(f func(*Prediction)) { e.probe = f }

// probed calls the probe for the newest prediction.
func (e *Engine) probed() {
	if e.probe != nil {
		e.probe(&e.out.Predictions[len(e.out.Predictions)-1])
	}
}

// Voices returns what the experts predicted for the newest row, nil for an anomaly task and for a
// row that nothing can be predicted from. It is to be called by the probe: after a label it tells
// of other weights. It allocates.
func (e *Engine) Voices() []Voice {
	if e.experts == nil || e.hist.Len() == 0 || math.IsNaN(e.origin(0)) {
		return nil
	}
	w := e.experts.Width()
	voices := make([]Voice, 0, len(e.experts.Members()))
	for k, x := range e.Status().Experts {
		v := Voice{Name: x.Name, Weight: x.Weight}
		out := e.out1[k*w : (k+1)*w]
		switch {
		case e.cfg.Kind != Classification:
			v.Value = e.value(out, e.origin(0))
		case math.IsNaN(out[0]):
			v.Value = math.NaN()
		default:
			v.Chances = slices.Clone(out)
			v.Value = out[len(out)-1]
			if e.many() {
				v.Value = top(out)
			}
		}
		voices = append(voices, v)
	}
	return voices
}
