package engine

import (
	"errors"
	"math"
	"strings"
	"testing"

	"skerry.dev/compute/feature"
)

// asymmetric tells its inputs apart: the first by one factor, the second by another.
type asymmetric struct{ first, second float64 }

func (m asymmetric) Predict(h *feature.History, back int) (float64, float64, float64, error) {
	row := h.Row(back)
	d := m.first*row[0] + m.second*row[1]
	if back+1 < h.Len() {
		d += h.Row(back + 1)[1]
	}
	return d, math.NaN(), math.NaN(), nil
}

// TestInputsInAnotherOrder: a model that was trained with the inputs in another order predicts as
// one in the task's, also after a restart; a model with other inputs is refused.
func TestInputsInAnotherOrder(t *testing.T) {
	cfg := airConfig()
	cfg.Series, cfg.Adapt = cfg.Series[:2], false
	names := []string{cfg.Series[1].Name, cfg.Series[0].Name}
	swap := Loaded{ID: "m", Model: secondFirst{}, Inputs: names}
	same := Loaded{ID: "m", Model: asymmetric{2, 3}}
	a, b := mustNew(t, cfg), mustNew(t, cfg)
	for i, msg := range synthetic(300, 9) {
		var two []Reading
		for _, r := range msg {
			if r.Series < 2 {
				two = append(two, r)
			}
		}
		if i == 50 {
			if err := errors.Join(a.Install(same), b.Install(swap)); err != nil {
				t.Fatal(err)
			}
		}
		if i == 200 {
			again := mustNew(t, cfg)
			if err := again.Load(b.Save(nil), func(string) (Loaded, error) { return swap, nil }); err != nil {
				t.Fatal(err)
			}
			b = again
		}
		if x, y := trace(a.Ingest(NoArrival, two)), trace(b.Ingest(NoArrival, two)); x != y {
			t.Fatalf("message %d: %s in the task's order, %s in the model's", i, x, y)
		}
	}
	for _, bad := range [][]string{{"a"}, {cfg.Series[0].Name, "nobody's"}} {
		if err := b.Shadow(Loaded{ID: "x", Model: same.Model, Inputs: bad}); err == nil {
			t.Errorf("a model of %v is taken", bad)
		}
	}
}

// secondFirst is asymmetric{2, 3} for rows with their columns exchanged.
type secondFirst struct{}

func (secondFirst) Predict(h *feature.History, back int) (float64, float64, float64, error) {
	row := h.Row(back)
	d := float64(2*row[1]) + 3*row[0]
	if back+1 < h.Len() {
		d += h.Row(back + 1)[0]
	}
	return d, math.NaN(), math.NaN(), nil
}

// TestModelGone: a state whose model cannot be loaded any more is restored without it.
func TestModelGone(t *testing.T) {
	e := mustNew(t, airConfig())
	stream := synthetic(200, 3)
	for i, msg := range stream[:150] {
		if i == 80 {
			ref := usualRows(t, stream, halfway{})
			if err := e.Install(Loaded{ID: "m", Model: halfway{}, Usual: ref}); err != nil {
				t.Fatal(err)
			}
		}
		e.Ingest(NoArrival, msg)
	}
	again := mustNew(t, airConfig())
	err := again.Load(e.Save(nil), func(string) (Loaded, error) { return Loaded{}, errors.New("the file is gone") })
	var gone *ModelGoneError
	if !errors.As(err, &gone) || gone.ID != "m" || !strings.Contains(err.Error(), "the file is gone") {
		t.Fatalf("Load = %v, want a *ModelGoneError of m", err)
	}
	if s := again.Status(); s.Champion != "" || s.Rows != e.Status().Rows || s.Labels != e.Status().Labels {
		t.Errorf("status %+v, want everything but the model", s)
	}
	for _, msg := range stream[150:] {
		for _, p := range again.Ingest(NoArrival, msg).Predictions {
			if p.Champion != "" || math.IsNaN(p.Value) {
				t.Fatalf("prediction %+v without the model", p)
			}
		}
	}
}
