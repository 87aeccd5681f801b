package tasks

import (
	"encoding/json"
	"slices"
	"strings"

	"skerry.dev/sync/spec"
)

// meaning is what two task files must have in common to be one task at the hub: everything that a
// model is trained from and judged by. Where a device finds its readings, how it reads times and
// where it publishes are its own affair, as are comments, order and spelling. A text that this
// program cannot read means itself.
func meaning(text string) string {
	t, err := spec.ParseTask("task", strings.NewReader(text))
	if err != nil {
		return text
	}
	type input struct {
		Series, Unit string
		Range        *[2]float64
		Categories   []string
	}
	m := struct {
		Name, Target       string
		Kind               spec.Kind
		Horizon, Tolerance spec.Duration
		Bounds             *[2]float64
		Classes            []string
		Inputs             []input
		Rows               spec.Rows
		Features           []spec.Feature
		Calendar           spec.Calendar
		Anomaly            spec.Anomaly
		Interval           float64
		Budget             spec.Budget
	}{
		Name:      t.Name,
		Target:    t.Target.Series,
		Kind:      t.Kind,
		Horizon:   t.Target.Horizon,
		Tolerance: t.Target.Tolerance,
		Bounds:    t.Target.Range,
		Classes:   t.Target.Categories,
		Rows:      t.Rows,
		Features:  t.Features,
		Calendar:  t.Calendar,
		Anomaly:   t.Anomaly,
		Interval:  t.Interval,
		Budget:    t.Budget,
	}
	for _, i := range t.Inputs {
		m.Inputs = append(m.Inputs, input{i.Series, i.Unit, i.Range, i.Categories})
	}
	slices.SortFunc(m.Inputs, func(a, b input) int { return strings.Compare(a.Series, b.Series) })
	b, err := json.Marshal(m)
	if err != nil { // an infinite bound
		return text
	}
	return string(b)
}
