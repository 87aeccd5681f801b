package configs

import "skerry.dev/sync/spec"

// MLConfig is ml_config.yml: how the hub selects, trains, retrains and rolls out.
type MLConfig struct {
	ModelSelection ModelSelection `yaml:"model_selection"`
	Streaming      Streaming      `yaml:"streaming"`
	Rollout        Rollout        `yaml:"rollout"`
}

// ModelSelection bounds the search for a challenger.
type ModelSelection struct {
	Families []string `yaml:"families" default:"gbdt, forest, linear, mlp" check:"gbdt|forest|linear|mlp"`
	// Budget is the wall time of one search.
	Budget spec.Duration `yaml:"budget" default:"1m" check:"1s..7d"`
	// MaxTrials bounds the search by settings tried instead, which makes it reproducible; 0:
	// Budget.
	MaxTrials int `yaml:"max_trials" check:"0..100000"`
}

// Streaming is the learning from the running stream.
type Streaming struct {
	AdaptiveLearning AdaptiveLearning `yaml:"adaptive_learning"`
}

// AdaptiveLearning defines when labels, drift and loss lead to a training.
type AdaptiveLearning struct {
	Enabled bool `yaml:"enabled" default:"true"`
	// FirstLabels is how many labels a first model needs, over all devices.
	FirstLabels int `yaml:"first_labels" default:"2000" check:"200..1000000000"`
	// DriftEvents is how many drift events since the last training start another.
	DriftEvents int `yaml:"drift_events" default:"3" check:"1..1000000"`
	// RetrainingThreshold is the relative rise of the champion's loss that starts a training.
	RetrainingThreshold float64 `yaml:"retraining_threshold" default:"0.15" check:"0.001..10"`
	// MinLabels and Cooldown are the new labels and the event time between two trainings.
	MinLabels int           `yaml:"min_labels" default:"2000" check:"1..1000000000"`
	Cooldown  spec.Duration `yaml:"cooldown" default:"30d"`
	// NewLabels is the number of new labels that starts a training; 0: never.
	NewLabels int `yaml:"new_labels" check:"0..1000000000"`
	// Schedule is the event time after which a training starts; 0: never.
	Schedule spec.Duration `yaml:"schedule"`
}

// Rollout holds the gates of automatic rollouts.
type Rollout struct {
	// Auto rolls a better model out; else it waits in the registry.
	Auto     bool `yaml:"auto" default:"true"`
	Approval bool `yaml:"approval"`
	// MinShadow and Probation are labelled rows of a device.
	MinShadow int `yaml:"min_shadow" default:"48" check:"2..1000000"`
	Probation int `yaml:"probation" default:"48" check:"2..1000000"`
	// MaxRegression is the share by which the candidate's mean loss may exceed the incumbent's.
	MaxRegression float64 `yaml:"max_regression" default:"0.05" check:"0.001..0.999"`
	// MaxLatency is the p99 of one prediction on a device.
	MaxLatency spec.Duration `yaml:"max_latency" default:"1ms" check:"1us..1m"`
}

func (c *MLConfig) check(report) {}
