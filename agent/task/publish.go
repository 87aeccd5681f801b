package task

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"skerry.dev/compute/engine"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// emit publishes and stores what an engine returned.
func (r *Runtime) emit(t *running, o *engine.Output, arrival int64) {
	r.note(t, o)
	t.rows += len(o.Rows)
	b := &r.open.Batch
	for i := range o.Predictions {
		p := &o.Predictions[i]
		if !math.IsNaN(p.Value) {
			r.publish(t, p, arrival)
			if sampled(t.share, p.Row) {
				b.Predictions = append(b.Predictions, predicted(t.spec.Name, p))
				r.open.records++
			}
		}
	}
	clear(t.shares)
	r.opts.Metrics.Predictions.Add(float64(len(o.Predictions)))
	r.opts.Metrics.Labels.Add(float64(len(o.Labels)))
	for i := range o.Labels {
		l := &o.Labels[i]
		sent := wire.Label{
			Task:        t.spec.Name,
			Row:         l.Row,
			At:          l.At,
			Truth:       l.Truth,
			Predicted:   l.Predicted,
			Lower:       l.Lower,
			Upper:       l.Upper,
			Persistence: l.Persistence,
			Champion:    l.Champion,
			Candidate:   l.Shadow,
			ChampionID:  l.ChampionID,
			ShadowID:    l.ShadowID,
			BaselineLo:  l.BaselineLo,
			BaselineHi:  l.BaselineHi,
		}
		if l.Classes > 2 {
			sent.Classes, sent.Chance, sent.SetSize, sent.Covered = l.Classes, l.Chance, l.SetSize, l.Covered
			sent.ChanceOf = wire.Chances{Champion: l.ChanceOf.Champion, Candidate: l.ChanceOf.Shadow, Baseline: l.ChanceOf.Baseline}
		}
		b.Labels = append(b.Labels, sent)
		r.open.records++
	}
	for i := range o.Events {
		e := &o.Events[i]
		switch e.Kind {
		case engine.EventAnomaly:
			r.opts.Metrics.Anomalies.Inc()
		case engine.EventDrift, engine.EventInputDrift:
			r.opts.Metrics.Drifts.Inc()
		}
		detail := map[string]any{"detector": e.Detector, "series": e.Series, "value": e.Value, "model": t.engine.Champion()}
		if len(e.Others) > 0 {
			detail["others"] = e.Others
		}
		if e.Kind == engine.EventDrift {
			weights := map[string]float64{}
			for _, x := range t.engine.Status().Experts {
				weights[x.Name] = math.Round(1e4*x.Weight) / 1e4
			}
			detail["weights"] = weights
		}
		r.event(string(e.Kind), t.spec.Name, e.Time, detail)
	}
}

// predicted is a prediction as the hub gets it. Of two classes the value says everything.
func predicted(task string, p *engine.Prediction) wire.Prediction {
	out := wire.Prediction{
		Task:  task,
		Row:   p.Row,
		For:   p.For,
		Value: p.Value,
		Lower: p.Lower,
		Upper: p.Upper,
		Model: p.Champion,
	}
	if len(p.Classes) > 2 {
		out.Set = p.Set
		for _, v := range p.Classes {
			out.Chances = append(out.Chances, float32(v))
		}
	}
	return out
}

// note keeps what the status shows of an output.
func (r *Runtime) note(t *running, o *engine.Output) {
	if n := len(o.Predictions); n > 0 {
		t.last = o.Predictions[n-1]
	}
}

// sampled decides by the row's time alone, so that a replay decides the same.
func sampled(share float64, row int64) bool {
	if share >= 1 {
		return true
	}
	h := uint64(row) * 0x9e3779b97f4a7c15
	h ^= h >> 32
	return float64(h&0xffffffff) < share*(1<<32)
}

// published is the payload on a task's prediction topic.
type published struct {
	Time      string   `json:"ts"`
	For       string   `json:"for"`
	Task      string   `json:"task"`
	Model     string   `json:"model"`
	HorizonS  float64  `json:"horizon_s"`
	Value     float64  `json:"value"`
	Lower     *float64 `json:"lo,omitempty"`
	Upper     *float64 `json:"hi,omitempty"`
	Base      float64  `json:"persistence"`
	Baselines bool     `json:"baseline,omitempty"` // no hub model yet
	Alarm     *bool    `json:"alarm,omitempty"`    // of an anomaly task, whose value is the score
	// of a classification task, whose value is the probability of the second of two classes, or the
	// number of the most probable of more, from 0: the most probable one,
	Class string `json:"class,omitempty"`
	// each class's probability,
	Probabilities probabilities `json:"probabilities,omitempty"`
	// and those that the truth is one of with the nominal coverage: the most probable at least, and
	// all while nothing is known of the errors
	Set []string `json:"set,omitempty"`
	// the largest contributions of the model's features to its score, where the task asks for them
	// and the model is one of trees; of several classes to that of the most probable
	Shares shareList `json:"shares,omitempty"`
}

// probabilities writes classes in the order of the task.
type probabilities []probability

type probability struct {
	name string
	p    float64
}

// MarshalJSON writes an object by name, with six decimals.
func (ps probabilities) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, c := range ps {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(c.name)
		if err != nil {
			return nil, err
		}
		b = append(append(b, name...), ':')
		b = strconv.AppendFloat(b, math.Round(1e6*c.p)/1e6, 'f', -1, 64)
	}
	return append(b, '}'), nil
}

// publishes reports whether a prediction is far enough from the one that was published last.
func (t *running) publishes(p *engine.Prediction) bool {
	gap := t.spec.Publish.MinInterval.Micros()
	return gap <= 0 || t.published == math.MinInt64 || p.Row-t.published >= gap
}

func (r *Runtime) publish(t *running, p *engine.Prediction, arrival int64) {
	if !t.publishes(p) {
		return
	}
	t.published = p.Row
	doc := published{
		Time:      stamp(p.Row),
		For:       stamp(p.For),
		Task:      t.spec.Name,
		Model:     t.version(p.Champion),
		HorizonS:  float64(p.For-p.Row) / 1e6,
		Value:     p.Value,
		Base:      p.Persistence,
		Baselines: p.Champion == "",
	}
	if p.Champion == "" {
		doc.Model = "baseline"
	}
	if finite(p.Lower) && finite(p.Upper) {
		doc.Lower, doc.Upper = &p.Lower, &p.Upper
	}
	if !finite(doc.Base) {
		doc.Base = p.Value
	}
	if t.spec.Kind == spec.KindClassification {
		names := t.spec.Target.Categories
		doc.Class = names[p.Class()]
		for c, name := range names {
			doc.Probabilities = append(doc.Probabilities, probability{name, p.Classes[c]})
			if p.Set[c] {
				doc.Set = append(doc.Set, name)
			}
		}
	}
	doc.Shares = t.shares[p.Row]
	if t.spec.Kind == spec.KindAnomaly {
		doc.Model, doc.Baselines, doc.Alarm = "device", false, &p.Alarm
	}
	body, err := json.Marshal(doc)
	if err != nil {
		r.log.Error("prediction cannot be written", "err", err, "task", t.spec.Name)
		return
	}
	r.opts.Publish(t.topic, body, t.spec.Retains())
	r.opts.Stream("prediction", body)
	if arrival > 0 {
		r.latency.Total.Add(time.Duration(time.Now().UnixMicro()-arrival) * time.Microsecond)
	}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func stamp(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }

// event stores an event in the open commit.
func (r *Runtime) event(kind, task string, at int64, detail map[string]any) {
	r.open.Batch.Events = append(r.open.Batch.Events, r.makeEvent(kind, task, at, detail))
	r.open.records++
}

// alarm stores an event of the most important class.
func (r *Runtime) alarm(kind, task string, detail map[string]any) {
	r.log.Error("alarm", "kind", kind, "task", task, "detail", detail)
	r.open.Batch.Alarms = append(r.open.Batch.Alarms, r.makeEvent(kind, task, time.Now().UnixMicro(), detail))
	r.open.records++
}

func (r *Runtime) makeEvent(kind, task string, at int64, detail map[string]any) wire.Event {
	for k, v := range detail {
		if f, ok := v.(float64); ok && !finite(f) || v == "" {
			delete(detail, k)
		}
	}
	body, err := json.Marshal(detail)
	if err != nil {
		body = []byte("{}")
	}
	if r.open.began.IsZero() {
		r.open.began = time.Now()
	}
	e := wire.Event{Time: at, Kind: kind, Task: task, Detail: string(body)}
	if doc, err := json.Marshal(map[string]any{"ts": stamp(at), "kind": kind, "task": task, "detail": json.RawMessage(body)}); err == nil {
		r.opts.Stream("event", doc)
	}
	return e
}
