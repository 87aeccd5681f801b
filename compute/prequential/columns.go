package prequential

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/committee"
	"skerry.dev/compute/tabular"
)

// table is a file that is replayed.
type table struct {
	o       *TableOptions
	rep     *TableReport
	s       online.Schema // of the columns
	columns []*frame.Column
	code    [][]float64 // by input: the number of a category; nil for numbers
	clock   *frame.Column
	y       []float64
	c       *committee.Committee
	recent  *online.Recent
	echo    *online.Echo
	echoAt  int // where a row has it, behind the columns and the newest labels
	modelAt int // and where it has the model's prediction
	model   *tableModel
	same    float64 // rows whose label was that of the row before, and all
	seen    float64
}

func newTable(f *frame.Frame, o *TableOptions) (*table, error) {
	if o.Level == 0 {
		o.Level = 0.9
	}
	if len(o.Learners) == 0 {
		o.Learners = []string{Auto}
	}
	if o.Delay < 0 || o.Delay > MaxDelay {
		return nil, fmt.Errorf("delay %d: must be 0 to %d rows", o.Delay, MaxDelay)
	}
	t := &table{
		o: o,
		rep: &TableReport{
			File:     o.Name,
			Delay:    o.Delay,
			Detector: o.Watching,
			Learner:  strings.Join(o.Learners, ","),
			Drifts:   []int{},
		},
	}
	target, err := named(f, "target", o.Target)
	if err != nil {
		return nil, err
	}
	t.rep.Target = target.Name
	if err := t.labels(target); err != nil {
		return nil, err
	}
	if err := t.inputs(f, target); err != nil {
		return nil, err
	}
	if err := t.experts(); err != nil {
		return nil, err
	}
	return t, nil
}

func named(f *frame.Frame, what, name string) (*frame.Column, error) {
	c, err := tabular.Column(f, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return c, nil
}

// labels decides what the target is and numbers its classes: in the order of their names, or of
// the numbers.
func (t *table) labels(c *frame.Column) error {
	if c.Type == frame.Time || c.Missing() == c.Len() {
		return fmt.Errorf("target %q holds %s: must be numbers or classes, in some rows at least", c.Name, map[bool]string{
			true:  "times",
			false: "no value",
		}[c.Type == frame.Time])
	}
	classes := tabular.Classes(c, online.MaxClasses)
	kind := t.o.Kind
	if kind == "" {
		if kind = "regression"; tabular.AreClasses(c) {
			kind = "classification"
		}
	}
	t.rep.Kind, t.y = kind, c.Values
	switch {
	case kind == "regression" && c.Type == frame.Number:
		return nil
	case kind == "regression":
		return fmt.Errorf("target %q holds text: a regression needs numbers", c.Name)
	case kind != "classification":
		return fmt.Errorf("kind %q: must be classification or regression", kind)
	case c.Type == frame.Number && classes == nil:
		return fmt.Errorf("target %q holds fractions or more than %d different numbers: classes are text or few whole numbers", c.Name, online.MaxClasses)
	}
	if n := max(len(classes), len(c.Categories)); n < 2 || n > online.MaxClasses {
		return fmt.Errorf("target %q has %d classes, must be 2 to %d", c.Name, n, online.MaxClasses)
	}
	code, err := tabular.Codes(c, classes)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	t.rep.Classes, t.s.Classes, t.y = classes, len(classes), make([]float64, c.Len())
	for i := range t.y {
		t.y[i] = code(i)
	}
	return nil
}

func (t *table) inputs(f *frame.Frame, target *frame.Column) error {
	drop := map[string]bool{target.Name: true}
	for _, name := range t.o.Drop {
		c, err := named(f, "drop", name)
		if err != nil {
			return err
		}
		drop[c.Name] = true
	}
	if t.o.Time != "" {
		c, err := named(f, "time", t.o.Time)
		if err != nil {
			return err
		}
		if c.Type != frame.Time {
			return fmt.Errorf("time: column %q holds no times but %s", c.Name, c.Type)
		}
		t.clock, drop[c.Name] = c, true
	}
	for i := range f.Columns {
		c := &f.Columns[i]
		switch {
		case drop[c.Name]:
			continue
		case c.Type == frame.Time:
			t.rep.Dropped = append(t.rep.Dropped, c.Name+": a time")
			continue
		case c.Missing() == c.Len():
			t.rep.Dropped = append(t.rep.Dropped, c.Name+": no value")
			continue
		}
		in, code := online.Input{Name: c.Name}, []float64(nil)
		if c.Type == frame.Category {
			code = make([]float64, len(c.Categories))
			for k := range code {
				code[k] = math.NaN()
			}
			kept := c.Frequent(maxCategories)
			for k, name := range kept {
				code[slices.Index(c.Categories, name)] = float64(k)
			}
			if len(kept) < 2 {
				t.rep.Dropped = append(t.rep.Dropped, c.Name+": one category only")
				continue
			}
			if n := len(c.Categories) - len(kept); n > 0 {
				t.rep.Dropped = append(t.rep.Dropped, fmt.Sprintf("%s: the rarer %d of %d categories count as missing", c.Name, n, len(c.Categories)))
			}
			in.Categories = len(kept)
		}
		t.columns, t.code, t.s.Inputs = append(t.columns, c), append(t.code, code), append(t.s.Inputs, in)
	}
	if t.clock != nil {
		t.s.Inputs = append(t.s.Inputs, online.Input{Name: "time of day, sin"}, online.Input{Name: "time of day, cos"}, online.Input{Name: "time of week, sin"}, online.Input{Name: "time of week, cos"})
	}
	if len(t.s.Inputs) == 0 {
		return fmt.Errorf("no column is left to predict %q from (%s)", target.Name, strings.Join(t.rep.Dropped, "; "))
	}
	return nil
}
