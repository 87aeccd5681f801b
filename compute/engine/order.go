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
	if err := e.orderClasses(&s); err != nil {
		return slot{}, err
	}
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

// orderClasses finds the model's classes among the task's.
func (e *Engine) orderClasses(s *slot) error {
	if _, ok := s.Model.(ClassModel); e.many() && !ok {
		return fmt.Errorf("engine: model %s gives no probabilities of classes", short(s.ID))
	}
	names := e.cfg.Classes
	if len(names) == 0 || s.Classes == nil || slices.Equal(s.Classes, names) {
		return nil
	}
	if len(s.Classes) != len(names) {
		return fmt.Errorf("engine: model %s has %d classes, the task has %d", short(s.ID), len(s.Classes), len(names))
	}
	s.classes = make([]int, len(names))
	for k, name := range names {
		c := slices.Index(s.Classes, name)
		if c < 0 {
			return fmt.Errorf("engine: model %s does not know class %q", short(s.ID), name)
		}
		s.classes[c] = k
	}
	return nil
}

// class is the task's number of the model's class c.
func (s *slot) class(c int) int {
	if s.classes == nil {
		return c
	}
	return s.classes[c]
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
