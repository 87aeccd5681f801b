package main

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"skerry.dev/configs"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/training"
)

// mlFlags are the flags of ml_config.yml; like those of hub.yaml they set keys, by the same rules.
var mlFlags = []keyFlag{
	{"train-min-labels", "adaptive_learning.first_labels", "labels a first model needs, over all devices (default 2000)"},
	{"train-min-new-labels", "adaptive_learning.min_labels", "labels since the last training before drift or schedule may ask for another (default 2000)"},
	{"train-new-labels", "adaptive_learning.new_labels", "labels that ask for a training by themselves (default never)"},
	{"train-drift-events", "adaptive_learning.drift_events", "drift events that ask for a training (default 3)"},
	{"train-cooldown", "adaptive_learning.cooldown", "event time between two trainings of a task with a model, unless its labels have doubled (default 30d)"},
	{"train-schedule", "adaptive_learning.schedule", "event time after which a task is trained anyway (default never)"},
	{"train-budget", "model_selection.budget", "wall time of one model selection (default 1m)"},
	{"train-trials", "model_selection.max_trials", "settings to try instead of a time budget; makes the result reproducible"},
	{"rollout-min-shadow", "rollout.min_shadow", "labelled rows a device needs in shadow (default 48)"},
	{"rollout-probation", "rollout.probation", "labelled rows a device runs on probation (default 48)"},
	{"rollout-max-regression", "rollout.max_regression", "share by which the candidate's loss may exceed the incumbent's (default 0.05)"},
	{"rollout-max-latency", "rollout.max_latency", "p99 of one prediction on a device (default 1ms)"},
}

// learnFlags are the options of training and rollouts.
type learnFlags struct {
	file, monitoring   string
	noTrain, noRollout bool
	approval           bool
}

func (f *learnFlags) bind(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.file, "ml-config", "", "ml_config.yml: model selection, training triggers")
	fl.StringVar(&f.monitoring, "monitoring-config", "", "monitoring_config.yml: metrics, alerts, SLA; read and checked, without effect in this version")
	fl.BoolVar(&f.noTrain, "no-auto-train", false, "train on command only")
	fl.BoolVar(&f.noRollout, "no-auto-rollout", false, "leave a better model in the registry until somebody rolls it out")
	fl.BoolVar(&f.approval, "rollout-approval", false, "automatic rollouts wait for an approval")
	bindKeys(c, mlFlags)
}

// load returns when tasks are trained, and the gates of automatic rollouts.
func (f *learnFlags) load(c *cobra.Command, hub *configs.HubConfig, log *slog.Logger) (training.Policy, rollout.Spec, error) {
	flags := changedKeys(c, mlFlags)
	for key, v := range map[string]struct {
		set   bool
		value string
	}{
		"adaptive_learning.enabled": {f.noTrain, "false"},
		"rollout.auto":              {f.noRollout, "false"},
		"rollout.approval":          {f.approval, "true"},
	} {
		if v.set {
			flags[key] = v.value
		}
	}
	ml, settings, err := configs.ML(configs.Sources{File: f.file, Environ: os.Environ(), Flags: flags})
	if err != nil {
		return training.Policy{}, rollout.Spec{}, fmt.Errorf("--ml-config: %w", err)
	}
	_, monitoring, err := configs.Monitoring(configs.Sources{File: f.monitoring, Environ: os.Environ()})
	if err != nil {
		return training.Policy{}, rollout.Spec{}, fmt.Errorf("--monitoring-config: %w", err)
	}
	configs.LogIneffective(log, slices.Concat(settings, monitoring))
	policy, gates := learning(hub, ml)
	return policy, gates, nil
}

// learning is what a configuration means for training and rollouts.
func learning(hub *configs.HubConfig, ml *configs.MLConfig) (training.Policy, rollout.Spec) {
	a, r := ml.AdaptiveLearning, ml.Rollout
	budget := ml.ModelSelection.Budget.Std()
	if ml.ModelSelection.MaxTrials > 0 {
		budget = 0 // trials bound the search instead
	}
	drifts, threshold := a.DriftEvents, a.RetrainingThreshold
	if !a.DriftDetection {
		drifts, threshold = math.MaxInt, math.Inf(1)
	}
	return training.Policy{
			Disabled:     !a.Enabled || !hub.Training.Auto,
			MinLabels:    int64(a.FirstLabels),
			DriftEvents:  drifts,
			MinNewLabels: int64(a.MinLabels),
			NewLabels:    int64(a.NewLabels),
			Cooldown:     a.Cooldown.Std(),
			Schedule:     a.Schedule.Std(),
			Threshold:    threshold,
			TimeBudget:   budget,
			Trials:       ml.ModelSelection.MaxTrials,
			Threads:      hub.Training.Threads,
			Learners:     ml.ModelSelection.Learners(),
			ColdStart:    !ml.ModelSelection.MetaLearning.Enabled || !ml.ModelSelection.MetaLearning.WarmStart,
			NoRollout:    !r.Auto,
		}, rollout.Spec{
			Approval:      r.Approval,
			MinShadow:     r.MinShadow,
			Probation:     r.Probation,
			MaxRegression: r.MaxRegression,
			MaxLatencyUS:  float64(r.MaxLatency.Std().Microseconds()),
		}
}
