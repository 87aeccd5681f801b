package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"skerry.dev/agent/models"
	"skerry.dev/agent/source"
	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/sync/spec"
)

// Prediction is what an artifact predicts for one row, in the target's unit. Lower and Upper are
// NaN without models or calibration for them.
type Prediction struct {
	Row, For            int64
	Value, Lower, Upper float64
	Classes             []float64 // class probabilities; belongs to the predictor
}

// Table describes an artifact's inputs as the series of a file, so that columns are found by
// their names. A task, when there is one, adds its declared ranges.
func Table(a *artifact.Artifact, t *spec.Task) (*source.Plan, error) {
	if t != nil {
		if err := models.Fits(a, t); err != nil {
			return nil, err
		}
		return source.Compile([]*spec.Task{t})
	}
	s := &spec.Task{Name: a.Manifest.Task, Path: "artifact", Kind: spec.Kind(a.Manifest.Kind)}
	for _, in := range a.Manifest.Inputs {
		s.Inputs = append(s.Inputs, spec.Input{
			Series:     in.Name,
			Topic:      "file",
			Unit:       in.Unit,
			Categories: in.Categories,
		})
	}
	return source.Compile([]*spec.Task{s})
}

// Predict reads rows, brings them into event-time order and runs each through the artifact's
// pipeline with the rows before it as its history. Values outside the declared range count as
// missing, as on a device. It returns the number of rows.
func Predict(ctx context.Context, name string, r io.Reader, a *artifact.Artifact, plan *source.Plan, files source.FileOptions, visit func(i, n int, p *Prediction) error) (int, error) {
	c := collector{plan: plan, width: len(a.Manifest.Inputs), inputs: map[int]int{}}
	for i, in := range a.Manifest.Inputs {
		if k, ok := plan.Index(in.Name); ok {
			c.inputs[k] = i
			if rg := plan.Series()[k].Range; rg == nil && (in.Min != 0 || in.Max != 0) {
				c.ranges = append(c.ranges, bound{i, in.Min, in.Max})
			}
		}
	}
	if _, err := source.ReadTable(ctx, name, r, plan, files, &c); err != nil {
		return 0, fmt.Errorf("read rows %s: %w", name, err)
	}
	if len(c.rows) == 0 {
		return 0, fmt.Errorf("read rows %s: no line holds a value", name)
	}
	slices.SortStableFunc(c.rows, func(x, y row) int { return cmp.Compare(x.time, y.time) })
	runner, err := artifact.NewRunner(a)
	if err != nil {
		return 0, err
	}
	h := feature.NewHistory(c.width, max(a.Pipeline.Rows, 1))
	for i := range c.rows {
		if i%1024 == 0 && ctx.Err() != nil {
			return i, ctx.Err()
		}
		w := &c.rows[i]
		h.Push(w.time, w.values)
		p := Prediction{Row: w.time, For: w.time + a.Manifest.HorizonUS}
		if p.Value, p.Lower, p.Upper, err = runner.Predict(h, 0); err != nil {
			return i, fmt.Errorf("predict row %d: %w", i+1, err)
		}
		if p.Classes = runner.Classes(); p.Classes == nil {
			p.Lower, p.Upper = a.Calibration.Widen(p.Value, p.Lower, p.Upper)
		}
		if a.Manifest.Kind == artifact.KindForecast {
			base := w.values[a.Manifest.Output.Input]
			p.Value, p.Lower, p.Upper = base+p.Value, base+p.Lower, base+p.Upper
		}
		if err := visit(i, len(c.rows), &p); err != nil {
			return i, err
		}
	}
	return len(c.rows), nil
}

type row struct {
	time   int64
	values []float64
}

type bound struct {
	input    int
	min, max float64
}

// collector is a sink that keeps every line as a row.
type collector struct {
	plan   *source.Plan
	width  int
	inputs map[int]int // by plan series
	ranges []bound
	rows   []row
}

// maxRows bounds the memory of a prediction.
const maxRows = 50_000_000

// Message implements source.Sink.
func (c *collector) Message(_ context.Context, m source.Message) error {
	if len(c.rows) == maxRows {
		return errors.New("too many rows: split the file")
	}
	w := row{m.Arrival, make([]float64, c.width)}
	for i := range w.values {
		w.values[i] = math.NaN()
	}
	for _, x := range m.Readings {
		i, ok := c.inputs[x.Series]
		if !ok {
			continue
		}
		w.values[i] = x.Value
		if rg := c.plan.Series()[x.Series].Range; rg != nil && (x.Value < rg[0] || x.Value > rg[1]) {
			w.values[i] = math.NaN()
		}
	}
	for _, b := range c.ranges {
		if v := w.values[b.input]; v < b.min || v > b.max {
			w.values[b.input] = math.NaN()
		}
	}
	c.rows = append(c.rows, w)
	return nil
}
