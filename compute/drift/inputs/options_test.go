package inputs

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestRefused(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 0))
	rows := gaussian(rng, 200, 2)
	for _, c := range []struct {
		opts  Options
		words string
	}{
		{Options{Window: 210}, "multiple of the 25"}, {Options{Window: 7}, "from 20"}, {Options{Every: -1}, "every -1"}, {Options{Bins: 2}, "bins 2"}, {Options{Test: 9}, "ks, psi or wasserstein"}, {Options{FalseAlarms: -1}, "false_alarms -1"},
		{Options{Functions: 1 << 20}, "functions 1048576"},
	} {
		if _, err := NewReference(rows, c.opts); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%+v: %v, want %q", c.opts, err, c.words)
		}
	}
	if _, err := NewReference(rows[:50], Options{}); err == nil || !strings.Contains(err.Error(), "50 rows, at least 100") {
		t.Errorf("50 rows: %v", err)
	}
	if _, err := NewReference(append(slices.Clone(rows), []float64{1}), Options{}); err == nil || !strings.Contains(err.Error(), "row 200 has 1 values") {
		t.Errorf("an uneven row: %v", err)
	}
	if _, err := NewReference(make([][]float64, 100), Options{}); err == nil || !strings.Contains(err.Error(), "0 features") {
		t.Errorf("empty rows: %v", err)
	}
	if _, err := ParseTest("x"); err == nil {
		t.Error("a test named x")
	}
	defer func() {
		if s, _ := recover().(string); !strings.Contains(s, "inputs: a row of 1 values") {
			t.Errorf("a short row: %v", s)
		}
	}()
	NewWatcher(reference(t, rows, Options{})).Push([]float64{1})
}

// TestSettings holds that every option can be set by its name and that what cannot be is refused
// by a message that says what can.
func TestSettings(t *testing.T) {
	set := map[string]string{"window": "400", "every": "50", "bins": "16", "test": "psi", "false-alarms": "0.5", "functions": "-1", "seed": "7"}
	want := Options{Window: 400, Every: 50, Bins: 16, Test: PSI, FalseAlarms: 0.5, Functions: -1, Seed: 7}
	if o, err := ParseOptions(set); err != nil || o != want {
		t.Errorf("ParseOptions = %+v, %v, want %+v", o, err, want)
	}
	again := map[string]string{}
	for _, s := range Settings(want) {
		again[s.Name] = s.Value
	}
	if o, err := ParseOptions(again); err != nil || o != want {
		t.Errorf("ParseOptions(Settings) = %+v, %v", o, err)
	}
	for _, s := range Settings(Options{Test: 9, Window: -3}) { // what cannot be stands as it is
		if s.Name == "test" && s.Value != "9" || s.Name == "window" && s.Value != "-3" {
			t.Errorf("Settings of options that cannot be: %+v", s)
		}
	}
	for key, words := range map[string]string{"window": "window \"x\"", "every": "every \"x\"", "bins": "whole number", "test": "ks, psi or wasserstein", "false_alarms": "above 0", "functions": "functions", "seed": "from 0", "alpha": "there are window"} {
		if _, err := ParseOptions(map[string]string{key: "x"}); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", key, err, words)
		}
	}
}
