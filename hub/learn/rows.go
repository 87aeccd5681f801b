package learn

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"skerry.dev/compute/engine"
	"skerry.dev/compute/feature"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// Reading is one value of one series as the device stored it.
type Reading struct {
	Series  string
	Time    int64 // event time, microseconds
	Value   float64
	Arrival int64 // by the clock of the device, microseconds
	Flags   wire.Flags
}

// Source yields the readings of a device in the order in which the device accepted them, of all its
// series: the mark of a message's beginning may stand on one that the task does not use. The
// sequence ends after the first error.
type Source func(ctx context.Context, device string) iter.Seq2[Reading, error]

// Rows replays a device's readings through the task's engine and returns its rows with their
// truths.
func Rows(ctx context.Context, source Source, t *spec.Task, device string) (selection.Series, error) {
	out := selection.Series{Device: device}
	cfg := t.Engine()
	cfg.Adapt = false
	e, err := engine.New(cfg)
	if err != nil {
		return out, err
	}
	index := map[int64]int{}
	take := func(o *engine.Output) {
		for _, r := range o.Rows {
			index[r.Time] = len(out.Times)
			out.Times = append(out.Times, r.Time)
			out.Values = append(out.Values, slices.Clone(r.Values))
			out.Target = append(out.Target, math.NaN())
			base := math.NaN()
			if cfg.Kind == engine.Forecast {
				base = r.Values[cfg.Target]
			}
			out.Baseline = append(out.Baseline, base)
		}
		for _, l := range o.Labels {
			if i, ok := index[l.Row]; ok {
				out.Target[i] = l.Truth
			}
		}
	}
	var batch []engine.Reading
	arrival := int64(engine.NoArrival) // of the batch
	for r, err := range source(ctx, device) {
		if err != nil {
			return out, fmt.Errorf("read the lake: device %q: %w", device, err)
		}
		f := r.Flags
		if f&wire.FlagFirst != 0 && len(batch) > 0 {
			take(e.Ingest(arrival, batch))
			batch = batch[:0]
		}
		k, ok := t.EngineSeries(r.Series)
		if !ok || f&wire.Blocked != 0 {
			continue
		}
		v := r.Value
		if f&wire.Missing != 0 {
			v = math.NaN()
		}
		arrival = r.Arrival
		batch = append(batch, engine.Reading{Series: k, Time: r.Time, Value: v})
	}
	if len(batch) > 0 {
		take(e.Ingest(arrival, batch))
	}
	return out, nil
}

// shape is the learning problem of a task without rows.
func shape(t *spec.Task) selection.Problem {
	cfg := t.Engine()
	return selection.Problem{
		Task:          t.Name,
		Kind:          string(t.Kind),
		Inputs:        cfg.Inputs(),
		TargetIndex:   cfg.Target,
		TargetName:    t.Target.Series,
		Classes:       t.Target.Categories,
		HorizonUS:     cfg.Horizon,
		Level:         t.Interval,
		BudgetLatency: t.Budget.Latency.Std(),
		BudgetBytes:   int64(t.Budget.Size),
	}
}

// problem builds the learning problem of a task over the devices that have readings.
func problem(ctx context.Context, in *Input) (selection.Problem, error) {
	t := in.Task
	var err error
	var modules []string
	p := shape(t)
	if p.OffsetUS, p.Holidays, err = t.Calendar.Read(); err != nil {
		return p, fmt.Errorf("calendar of task %q: %w", t.Name, err)
	}
	if p.Features, modules, err = t.Columns(); err != nil {
		return p, fmt.Errorf("features of task %q: %w", t.Name, err)
	}
	for _, name := range modules {
		code, err := in.Module(ctx, name)
		if err != nil {
			return p, fmt.Errorf("features of task %q: %w", t.Name, err)
		}
		p.Modules = append(p.Modules, feature.Module{Name: name, Code: code})
	}
	for _, d := range in.Devices {
		s, err := Rows(ctx, in.Source, t, d)
		if err != nil {
			return p, err
		}
		if len(s.Times) == 0 || !slices.IsSorted(s.Times) {
			continue
		}
		if err := published(ctx, in, &s); err != nil {
			return p, err
		}
		p.Devices = append(p.Devices, s)
	}
	return p, nil
}

// published sets what a device published for its rows.
func published(ctx context.Context, in *Input, s *selection.Series) error {
	if in.Published == nil {
		return nil
	}
	s.Published = make([]float64, len(s.Times))
	for i := range s.Published {
		s.Published[i] = math.NaN()
	}
	for v, err := range in.Published(ctx, s.Device) {
		if err != nil {
			return fmt.Errorf("read what device %q published: %w", s.Device, err)
		}
		if i, ok := slices.BinarySearch(s.Times, v.Row); ok {
			s.Published[i] = v.Value
		}
	}
	return nil
}
