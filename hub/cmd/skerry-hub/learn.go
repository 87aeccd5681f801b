package main

import (
	"cmp"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/configs"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/training"
)

// learnFlags are the options of training and rollouts. A file (ml_config.yml) gives the defaults,
// flags win.
type learnFlags struct {
	file       string
	policy     training.Policy
	rollout    rollout.Spec
	maxLatency time.Duration
}

func (f *learnFlags) bind(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.file, "ml-config", "", "ml_config.yml: model selection, training triggers")
	fl.BoolVar(&f.policy.Disabled, "no-auto-train", false, "train on command only")
	fl.Int64Var(&f.policy.MinLabels, "train-min-labels", 0, "labels a first model needs, over all devices (default 2000)")
	fl.Int64Var(&f.policy.MinNewLabels, "train-min-new-labels", 0, "labels since the last training before drift or schedule may ask for another (default 2000)")
	fl.Int64Var(&f.policy.NewLabels, "train-new-labels", 0, "labels that ask for a training by themselves (default never)")
	fl.IntVar(&f.policy.DriftEvents, "train-drift-events", 0, "drift events that ask for a training (default 3)")
	fl.DurationVar(&f.policy.Cooldown, "train-cooldown", 0, "event time between two trainings (default 720h)")
	fl.DurationVar(&f.policy.Schedule, "train-schedule", 0, "event time after which a task is trained anyway (default never)")
	fl.DurationVar(&f.policy.TimeBudget, "train-budget", 0, "wall time of one model selection (default 1m)")
	fl.IntVar(&f.policy.Trials, "train-trials", 0, "settings to try instead of a time budget; makes the result reproducible")
	fl.IntVar(&f.policy.Threads, "train-threads", 0, "threads of one model selection (default 2)")
	fl.BoolVar(&f.policy.NoRollout, "no-auto-rollout", false, "leave a better model in the registry until somebody rolls it out")
	fl.IntVar(&f.rollout.MinShadow, "rollout-min-shadow", 0, "labelled rows a device needs in shadow (default 48)")
	fl.IntVar(&f.rollout.Probation, "rollout-probation", 0, "labelled rows a device runs on probation (default 48)")
	fl.Float64Var(&f.rollout.MaxRegression, "rollout-max-regression", 0, "share by which the candidate's loss may exceed the incumbent's (default 0.05)")
	fl.DurationVar(&f.maxLatency, "rollout-max-latency", 0, "p99 of one prediction on a device (default 1ms)")
	fl.BoolVar(&f.rollout.Approval, "rollout-approval", false, "automatic rollouts wait for an approval")
}

// finish fills from the file what no flag has set.
func (f *learnFlags) finish(hub *configs.HubConfig) error {
	ml, _, err := configs.ML(configs.Sources{File: f.file, Environ: os.Environ()})
	if err != nil {
		return fmt.Errorf("--ml-config: %w", err)
	}
	a, p, r := ml.Streaming.AdaptiveLearning, &f.policy, &f.rollout
	p.Disabled = p.Disabled || !a.Enabled || !hub.Training.Auto
	p.NoRollout = p.NoRollout || !ml.Rollout.Auto
	p.Threshold = a.RetrainingThreshold
	p.Learners = ml.ModelSelection.Families
	p.MinLabels = cmp.Or(p.MinLabels, int64(a.FirstLabels))
	p.MinNewLabels = cmp.Or(p.MinNewLabels, int64(a.MinLabels))
	p.DriftEvents = cmp.Or(p.DriftEvents, a.DriftEvents)
	p.Cooldown = cmp.Or(p.Cooldown, a.Cooldown.Std())
	p.Schedule = cmp.Or(p.Schedule, a.Schedule.Std())
	p.Threads = cmp.Or(p.Threads, hub.Training.Threads)
	p.Trials = cmp.Or(p.Trials, ml.ModelSelection.MaxTrials)
	if p.Trials == 0 {
		p.TimeBudget = cmp.Or(p.TimeBudget, ml.ModelSelection.Budget.Std())
	}
	r.Approval = r.Approval || ml.Rollout.Approval
	r.MinShadow = cmp.Or(r.MinShadow, ml.Rollout.MinShadow)
	r.Probation = cmp.Or(r.Probation, ml.Rollout.Probation)
	r.MaxRegression = cmp.Or(r.MaxRegression, ml.Rollout.MaxRegression)
	r.MaxLatencyUS = float64(cmp.Or(f.maxLatency, ml.Rollout.MaxLatency.Std()).Microseconds())
	return nil
}
