package configs

import (
	"maps"
	"slices"

	"skerry.dev/sync/spec"
)

// MLConfig is ml_config.yml: how the hub selects, trains, retrains and rolls out.
type MLConfig struct {
	ModelSelection     ModelSelection     `yaml:"model_selection"`
	FeatureEngineering FeatureEngineering `yaml:"feature_engineering"`
	Streaming          Streaming          `yaml:"streaming"`
	AdaptiveLearning   AdaptiveLearning   `yaml:"adaptive_learning" was:"streaming.adaptive_learning"`
	Rollout            Rollout            `yaml:"rollout"`
}

// ModelSelection bounds the search for a challenger.
type ModelSelection struct {
	Families []string `yaml:"families" default:"gbdt, forest, linear, mlp" check:"gbdt|forest|linear|mlp"`
	// Algorithms are families by the names of other tools; empty: Families.
	Algorithms   []string     `yaml:"algorithms"`
	MetaLearning MetaLearning `yaml:"meta_learning"`
	// Budget is the wall time of one search.
	Budget spec.Duration `yaml:"budget" default:"1m" check:"1s..7d"`
	// MaxTrials bounds the search by settings tried instead, which makes it reproducible; 0:
	// Budget.
	MaxTrials int `yaml:"max_trials" check:"0..100000"`
}

// algorithms are the names of families elsewhere.
var algorithms = map[string]string{
	"random_forest":     "forest",
	"gradient_boosting": "gbdt",
	"neural_network":    "mlp",
	"linear_model":      "linear",
}

// Learners returns the families to try, by their names here.
func (m ModelSelection) Learners() []string {
	if len(m.Algorithms) == 0 {
		return m.Families
	}
	out := make([]string, len(m.Algorithms))
	for i, a := range m.Algorithms {
		out[i] = algorithms[a]
	}
	return out
}

// MetaLearning is what earlier searches are good for.
type MetaLearning struct {
	// Enabled and WarmStart together try first what won on similar data.
	Enabled   bool `yaml:"enabled" default:"true"`
	WarmStart bool `yaml:"warm_start" default:"true"`
}

// FeatureEngineering chooses which features are tried.
type FeatureEngineering struct {
	AutoScaling        bool `yaml:"auto_scaling" default:"true" unbuilt:"inputs are always scaled for the families that need it"`
	DomainSpecific     bool `yaml:"domain_specific" unbuilt:"lags, windows, rates, calendar and spectra are tried for every domain alike"`
	PolynomialFeatures int  `yaml:"polynomial_features" check:"0..3" unbuilt:"no powers and products of inputs are tried"`
}

// Streaming is the inference of the hub over streams.
type Streaming struct {
	KafkaEnabled     bool `yaml:"kafka_enabled" unbuilt:"the hub reads no Kafka topics; devices predict over MQTT"`
	WebsocketEnabled bool `yaml:"websocket_enabled" unbuilt:"the hub predicts by HTTP requests only (/v2/models); devices stream theirs"`
	// BatchSize is in rows, BufferTimeout in milliseconds.
	BatchSize     int `yaml:"batch_size" check:"0..1000000" unbuilt:"the hub does not predict over streams: a request is its own batch"`
	BufferTimeout int `yaml:"buffer_timeout" check:"0..3600000" unbuilt:"the hub does not predict over streams: nothing is buffered"`
}

// AdaptiveLearning defines when labels, drift and loss lead to a training.
type AdaptiveLearning struct {
	Enabled bool `yaml:"enabled" default:"true"`
	// DriftDetection lets drift events and a risen loss start a training.
	DriftDetection bool `yaml:"drift_detection" default:"true"`
	OnlineLearning bool `yaml:"online_learning" default:"true" unbuilt:"each task file chooses by adapt.enabled whether its devices learn"`
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

func (c *MLConfig) check(bad report) {
	m := c.ModelSelection
	for _, a := range m.Algorithms {
		if algorithms[a] == "" {
			bad("model_selection.algorithms", "each must be "+alternatives(slices.Sorted(maps.Keys(algorithms))))
			break
		}
	}
	if len(m.Algorithms) > 0 && !slices.Equal(m.Families, withDefaults[ModelSelection]().Families) {
		bad("model_selection.algorithms", "says the same as model_selection.families: set one of them")
	}
}
