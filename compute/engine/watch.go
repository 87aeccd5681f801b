package engine

import "skerry.dev/compute/drift/inputs"

// beginWatch starts to compare rows with those the champion was trained on.
func (e *Engine) beginWatch() {
	e.watch = nil
	if u := e.champion.Usual; e.champion.use && u != nil && u.NumFeatures() == len(e.watched) {
		e.watch = inputs.NewWatcher(u)
	}
}

// watchInputs takes the newest row and the champion's prediction for it, without the origin or of
// classes the probability of the model's last (of two the task's last), and
// reports when they are no longer what the champion was trained on.
func (e *Engine) watchInputs(t int64, says float64) {
	if e.watch == nil {
		return
	}
	copy(e.watched, e.champion.ordered(e.hist.Row(0)))
	if e.champion.classes != nil && !e.many() { // of two classes, in the other order
		says = 1 - says
	}
	e.watched[len(e.watched)-1] = says
	report := e.watch.Push(e.watched)
	if report == nil {
		return
	}
	ev := Event{Kind: EventInputBack, Time: t, Detector: "inputs"}
	if report.Drift {
		ev.Kind = EventInputDrift
		for k, f := range report.Features {
			name := PredictionSeries
			if k := f.Index; k < len(e.cfg.Series) {
				if e.champion.columns != nil {
					k = e.champion.columns[k]
				}
				name = e.cfg.Series[k].Name
			}
			if k == 0 {
				ev.Series, ev.Value = name, f.Shift
			} else {
				ev.Others = append(ev.Others, name)
			}
		}
	}
	e.event(ev)
}
