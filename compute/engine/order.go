package engine

import (
	"fmt"
	"slices"

	"skerry.dev/compute/feature"
)

// A model whose inputs are the task's in another order sees the rows in its own: a task file's
// list may be reordered after a model was trained, or before the next is.

// slotOf returns a slot with m.
func (e *Engine) slotOf(m Loaded) (slot, error) {
	s := slot{Loaded: m, use: true}
	if m.Inputs == nil || slices.EqualFunc(m.Inputs, e.cfg.Series, func(name string, c Series) bool { return name == c.Name }) {
		return s, nil
	}
	if len(m.Inputs) != len(e.cfg.Series) {
		return slot{}, fmt.Errorf("engine: model %s has %d inputs, the task has %d", short(m.ID), len(m.Inputs), len(e.cfg.Series))
	}
	for _, name := range m.Inputs {
		k := slices.IndexFunc(e.cfg.Series, func(c Series) bool { return c.Name == name })
		if k < 0 {
			return slot{}, fmt.Errorf("engine: model %s reads input %q, which the task does not have", short(m.ID), name)
		}
		s.columns = append(s.columns, k)
	}
	s.hist = feature.NewHistory(len(s.columns), HistoryRows)
	s.row = make([]float64, len(s.columns))
	s.follow(e.hist)
	return s, nil
}

// follow takes over all rows of h.
func (s *slot) follow(h *feature.History) {
	if s.hist == nil {
		return
	}
	for back := h.Len() - 1; back >= 0; back-- {
		s.push(h.Time(back), h.Row(back))
	}
}

// push takes the newest row of the task.
func (s *slot) push(t int64, values []float64) {
	if s.hist != nil {
		s.hist.Push(t, s.ordered(values))
	}
}

// ordered returns values in the order of the model's inputs, valid until the next call.
func (s *slot) ordered(values []float64) []float64 {
	if s.columns == nil {
		return values
	}
	for i, k := range s.columns {
		s.row[i] = values[k]
	}
	return s.row
}
