package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"skerry.dev/configs"
	"skerry.dev/hub/training"
)

// TestLearning holds what keys of ml_config.yml mean for training.
func TestLearning(t *testing.T) {
	for text, want := range map[string]func(training.Policy) bool{
		"": func(p training.Policy) bool {
			return !p.Disabled && !p.ColdStart && len(p.Learners) == 4 && p.Threshold == 0.15 && p.DriftEvents == 3
		},
		"model_selection: {algorithms: [neural_network, random_forest]}": func(p training.Policy) bool {
			return slices.Equal(p.Learners, []string{"mlp", "forest"})
		},
		"model_selection: {meta_learning: {enabled: false}}":    func(p training.Policy) bool { return p.ColdStart },
		"model_selection: {meta_learning: {warm_start: false}}": func(p training.Policy) bool { return p.ColdStart },
		"adaptive_learning: {drift_detection: false}": func(p training.Policy) bool {
			return p.DriftEvents == math.MaxInt && math.IsInf(p.Threshold, 1) && !p.Disabled
		},
		"adaptive_learning: {retraining_threshold: 0.3}":            func(p training.Policy) bool { return p.Threshold == 0.3 },
		"streaming: {adaptive_learning: {enabled: false}}":          func(p training.Policy) bool { return p.Disabled },
		"streaming: {adaptive_learning: {retraining_threshold: 2}}": func(p training.Policy) bool { return p.Threshold == 2 },
	} {
		path := filepath.Join(t.TempDir(), "ml_config.yml")
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		ml, _, err := configs.ML(configs.Sources{File: path})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		hub, _, err := configs.Hub(configs.Sources{})
		if err != nil {
			t.Fatal(err)
		}
		if p, _ := learning(hub, ml); !want(p) {
			t.Errorf("%s: policy %+v", text, p)
		}
	}
}
