package engine

import (
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/drift/inputs"
)

// calm makes a stream whose series move around fixed levels; from row shifted on, series 6 lies
// two deviations higher for as many rows as lasts.
func calm(n int, seed uint64, shifted, lasts int) batches {
	rng := rand.New(rand.NewPCG(seed, 8))
	var state [11]float64
	var out batches
	for i := range n {
		var b []Reading
		for s := range state {
			state[s] = 0.5*state[s] + rng.NormFloat64()
			v := 50 + state[s]
			if s == 6 && i >= shifted && i < shifted+lasts {
				v += 2.3
			}
			b = append(b, Reading{s, int64(i) * hour, v})
		}
		out = append(out, b)
	}
	return out
}

// usualRows makes the reference of a model from the rows of a stream, as the hub does.
func usualRows(t *testing.T, stream batches, m Model) *inputs.Reference {
	t.Helper()
	e := mustNew(t, airConfig())
	var rows [][]float64
	for _, b := range stream {
		e.Ingest(NoArrival, b)
		says, _, _, err := m.Predict(e.History(), 0)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, append(append([]float64{}, e.History().Row(0)...), says))
	}
	ref, err := inputs.NewReference(rows, inputs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestInputsAreWatched moves one input and back: the engine names it, once, and says when it is
// over. What only a model's own words can show is told as that.
func TestInputsAreWatched(t *testing.T) {
	m := halfway{0.2}
	usual := usualRows(t, calm(4000, 1, -1, 0), m)
	const shifted, lasts = 1500, 600
	e := mustNew(t, airConfig())
	if err := e.Install(Loaded{ID: "a", Model: m, Usual: usual}); err != nil {
		t.Fatal(err)
	}
	var drifts, backs []Event
	for _, b := range calm(4000, 2, shifted, lasts) {
		for _, ev := range e.Ingest(NoArrival, b).Events {
			switch ev.Kind {
			case EventInputDrift:
				drifts = append(drifts, ev)
			case EventInputBack:
				backs = append(backs, ev)
			}
		}
	}
	if len(drifts) == 0 || len(backs) != 1 {
		t.Fatalf("%d drifts and %d returns, want at least one and one", len(drifts), len(backs))
	}
	at, back := drifts[0].Time/hour, backs[0].Time/hour
	t.Logf("reported at row %d of %d, over at %d of %d, shift %.2f", at, shifted, back, shifted+lasts, drifts[0].Value)
	if at < shifted || at > shifted+300 || back < shifted+lasts || back > shifted+lasts+300 {
		t.Errorf("reported at row %d and over at %d: moved from %d to %d", at, back, shifted, shifted+lasts)
	}
	if d := drifts[0]; d.Series != "temp" || d.Detector != "inputs" || d.Value < 0.5 {
		t.Errorf("the first report is %+v, want temp, higher", d)
	}
	if got := e.Status().InputDrifts; got != int64(len(drifts)) {
		t.Errorf("status counts %d, want %d", got, len(drifts))
	}

	e = mustNew(t, airConfig())
	// says something else than it did
	if err := e.Install(Loaded{ID: "b", Model: halfway{3}, Usual: usual}); err != nil {
		t.Fatal(err)
	}
	var first *Event
	for _, b := range calm(1000, 3, -1, 0) {
		for _, ev := range e.Ingest(NoArrival, b).Events {
			if ev.Kind == EventInputDrift && first == nil {
				first = &ev
			}
		}
	}
	if first == nil || first.Series != PredictionSeries {
		t.Errorf("a model that says something else is reported as %+v, want %s", first, PredictionSeries)
	}
}
