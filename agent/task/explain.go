package task

import (
	"math"

	"skerry.dev/compute/artifact/shares"
	"skerry.dev/compute/engine"
)

// Sharer is a model that can say what its features contributed to the row that it has predicted
// last: the n largest, of a classification to the score of a class. nil: it cannot.
type Sharer interface {
	Shares(class string, n int) []shares.Share
}

// shareList are the shares that are published with a prediction.
type shareList []share

type share struct {
	Feature string  `json:"feature"`
	Share   float64 `json:"share"`
}

// explain has the engine of a task that publishes shares look at each row as it is predicted: later
// rows of the same call change what the model has computed.
func (r *Runtime) explain(t *running) {
	n := t.spec.Publish.Explain
	if n == 0 {
		return
	}
	t.shares = map[int64]shareList{}
	t.engine.Probe(func(p *engine.Prediction) {
		m, ok := t.engine.Model().(Sharer)
		if !ok || math.IsNaN(p.Value) || !t.publishes(p) {
			return
		}
		class := ""
		if names := t.spec.Target.Categories; len(names) > 0 {
			class = names[p.Class()]
		}
		var list shareList
		for _, s := range m.Shares(class, n) {
			list = append(list, share{s.Feature, s.Share})
		}
		t.shares[p.Row] = list
	})
}
