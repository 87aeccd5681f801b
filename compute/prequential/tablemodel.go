package prequential

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

// tableModel runs an artifact over the rows of a table.
type tableModel struct {
	inputs []func(row int) float64 // numbers, and the artifact's numbers of categories
	class  []int                   // by the artifact's classes, in the table; -1: none
	clock  *frame.Column
	run    *artifact.Runner
	h      *feature.History
	row    []float64
	at     int64
}

// newModel finds the artifact's inputs among the columns of the file.
func (t *table) newModel(a *artifact.Artifact) (*tableModel, error) {
	if want := t.rep.Kind; a.Manifest.Kind != want {
		return nil, fmt.Errorf("the model is a %s, the target a %s", a.Manifest.Kind, want)
	}
	m := &tableModel{clock: t.clock, row: make([]float64, len(a.Manifest.Inputs))}
	for _, in := range a.Manifest.Inputs {
		k := slices.IndexFunc(t.columns, func(c *frame.Column) bool { return c.Name == in.Name })
		if k < 0 {
			return nil, fmt.Errorf("the model needs a column %q", in.Name)
		}
		c := t.columns[k]
		if (c.Type == frame.Category) != (len(in.Categories) > 0) {
			return nil, fmt.Errorf("column %q holds %s, the model was trained on another kind", c.Name, c.Type)
		}
		if err := tabular.CheckUnit(c.Name, c.Unit, in.Unit); err != nil {
			return nil, err
		}
		if n := tabular.Unknown(c, in.Categories); n != "" && t.o.Table.Note != nil {
			t.o.Table.Note(n)
		}
		values, err := tabular.Codes(c, in.Categories)
		if err != nil {
			return nil, err
		}
		m.inputs = append(m.inputs, values)
	}
	book := tabular.NewCodebook(t.rep.Classes)
	for _, name := range a.Manifest.Output.Classes {
		m.class = append(m.class, book.Index(name))
	}
	if t.s.Classes > 0 && !slices.ContainsFunc(m.class, func(c int) bool { return c >= 0 }) {
		return nil, fmt.Errorf("the model has the classes %s, the target holds %s", strings.Join(a.Manifest.Output.Classes, ", "), strings.Join(t.rep.Classes, ", "))
	}
	var err error
	if m.run, err = artifact.NewRunner(a); err != nil {
		return nil, err
	}
	m.h = feature.NewHistory(len(m.row), max(a.Pipeline.Rows, 1))
	return m, nil
}

// predict writes the model's prediction for a row: probabilities by the table's classes, or a
// number; NaN when it has no answer. Rows must come in order.
func (m *tableModel) predict(dst []float64, row int) {
	for i, value := range m.inputs {
		m.row[i] = value(row)
	}
	at := int64(row) * 1_000_000 // without times a row is a second
	if m.clock != nil {
		if at = m.clock.Times[row]; at == frame.NoTime {
			at = m.at
		}
	}
	m.at = max(m.at, at)
	m.h.Push(m.at, m.row)
	y, _, _, err := m.run.Predict(m.h, 0)
	p := m.run.Classes()
	if err != nil || math.IsNaN(y) {
		for i := range dst {
			dst[i] = math.NaN()
		}
		return
	}
	if p == nil {
		dst[0] = y
		return
	}
	clear(dst)
	sum := 0.0
	for k, c := range m.class {
		if c >= 0 {
			dst[c] = p[k]
			sum += p[k]
		}
	}
	for c := range dst { // a class the model does not have keeps a thousandth
		dst[c] = (dst[c] + 1e-3) / (sum + 1e-3*float64(len(dst)))
	}
}
