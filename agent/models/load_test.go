package models

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
)

// faulty is a predictor that panics, fails or predicts on demand.
type faulty struct{ panics, fails bool }

func (f *faulty) Inputs() int  { return 1 }
func (f *faulty) Outputs() int { return 1 }
func (f *faulty) PredictInto(dst, _ []float64) error {
	if f.panics {
		panic("bad tensor")
	}
	if f.fails {
		return errors.New("no shape")
	}
	dst[0] = 2
	return nil
}

// TestPanicIsAnError holds that a model that panics neither ends the agent nor is it silent, and
// that it predicts again afterwards.
func TestPanicIsAnError(t *testing.T) {
	_, b := encoded(t, "level", 1)
	a, err := artifact.DecodeBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{}
	a.Models[artifact.Point] = f
	r, err := artifact.NewRunner(a)
	if err != nil {
		t.Fatal(err)
	}
	m := &model{runner: r, loader: newLoader(slog.New(slog.DiscardHandler), prometheus.NewRegistry())}
	h := feature.NewHistory(1, 4)
	h.Push(time.Hour.Microseconds(), []float64{5})
	for range 3 {
		f.panics = true
		if _, _, _, err := m.Predict(h, 0); err == nil || !strings.Contains(err.Error(), "model panicked: bad tensor") {
			t.Errorf("a model that panics gives %v", err)
		}
		f.panics = false
		if p, _, _, err := m.Predict(h, 0); err != nil || p != 2 {
			t.Errorf("afterwards it predicts %v, %v, want 2", p, err)
		}
	}
	f.fails = true
	if _, _, _, err := m.Predict(h, 0); err == nil || !strings.Contains(err.Error(), "no shape") {
		t.Errorf("a model that fails gives %v", err)
	}
	if p99, panics := m.stats(); panics != 3 || p99 <= 0 || math.IsNaN(p99) {
		t.Errorf("%d panics and a p99 of %v µs, want 3 panics: a failure is none", panics, p99)
	}
}

// TestLoadRefuses holds that only a whole artifact is loaded.
func TestLoadRefuses(t *testing.T) {
	_, b := encoded(t, "level", 1)
	l := newLoader(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if m, err := l.Load(bytes.NewReader(b), int64(len(b))); err != nil || m == nil {
		t.Fatalf("Load = %v, %v", m, err)
	}
	flipped := bytes.Clone(b)
	flipped[len(b)/2] ^= 1
	for name, bad := range map[string][]byte{"half": b[:len(b)/2], "flipped": flipped, "empty": nil} {
		if m, err := l.Load(bytes.NewReader(bad), int64(len(bad))); !errors.Is(err, artifact.ErrCorrupt) {
			t.Errorf("%s: Load = %v, %v, want it corrupt", name, m, err)
		}
	}
}

// TestShares: a model of trees explains what it predicted last, another kind has no shares.
func TestShares(t *testing.T) {
	_, b := encoded(t, "level", 1)
	m, err := newLoader(slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Load(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if s := m.(*model).Shares("", 3); s != nil {
		t.Errorf("a linear model has shares %v", s)
	}
	a, err := artifact.DecodeBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if a.Models[artifact.Point], err = ensemble.Build(ensemble.Spec{Inputs: 1, Base: []float64{1}, Covers: true}, []ensemble.Tree{{
		{Threshold: 4, Left: 1, Right: 2, Cover: 4},
		{Value: -3, Cover: 1},
		{Value: 5, Cover: 3},
	}}); err != nil {
		t.Fatal(err)
	}
	a.Vectors = artifact.Vectors{}
	if b, err = artifact.Encode(a); err != nil {
		t.Fatal(err)
	}
	if m, err = newLoader(slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Load(bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
	h := feature.NewHistory(1, 4)
	h.Push(time.Hour.Microseconds(), []float64{1})
	h.Push(2*time.Hour.Microseconds(), []float64{8}) // the model's feature is the difference, 7
	if p, _, _, err := m.(*model).Predict(h, 0); err != nil || p != 6 {
		t.Fatalf("Predict = %v, %v, want 6", p, err)
	}
	// three of four training rows went right: the mean is 1 + 3, and the row is 2 above it
	if s := m.(*model).Shares("", 3); len(s) != 1 || s[0].Share != 2 || s[0].Value != 7 {
		t.Errorf("Shares = %+v, want 2 of the value 7", s)
	}
}
