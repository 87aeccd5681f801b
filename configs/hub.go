package configs

import (
	"net/url"
	"strings"
	"time"

	"skerry.dev/sync/spec"
)

// HubConfig is hub.yaml. Units, defaults and dangers stand in the sample file.
type HubConfig struct {
	Environment string     `yaml:"environment" env:"ML_ENVIRONMENT"`
	Listen      string     `yaml:"listen"`
	TLSCert     string     `yaml:"tls_cert"`
	TLSKey      string     `yaml:"tls_key"`
	NATSListen  string     `yaml:"nats_listen"`
	NATSURLs    []string   `yaml:"nats_urls"`
	DataDir     string     `yaml:"data_dir"`
	DatabaseURL string     `yaml:"database_url" env:"DATABASE_URL"`
	BlobURL     string     `yaml:"blob_url" env:"MODEL_STORAGE_PATH"`
	Auth        HubAuth    `yaml:"auth"`
	Training    HubTrain   `yaml:"training"`
	Streams     HubStreams `yaml:"streams"`
	Lake        HubLake    `yaml:"lake"`
	Inference   Inference  `yaml:"inference"`
	Log         Log        `yaml:"log"`
}

// HubAuth says who may use the API.
type HubAuth struct {
	JWTSecret string `yaml:"jwt_secret" env:"JWT_SECRET" secret:"true"`
	RateLimit bool   `yaml:"rate_limit" env:"RATE_LIMIT_ENABLED"`
}

// HubTrain says whether the hub trains by itself.
type HubTrain struct {
	Auto    bool `yaml:"auto" env:"ENABLE_AUTO_RETRAINING"`
	Threads int  `yaml:"threads" env:"ML_WORKERS"`
}

// HubStreams bounds what the transport keeps.
type HubStreams struct {
	Telemetry spec.Bytes `yaml:"telemetry"`
	Events    spec.Bytes `yaml:"events"`
}

// HubLake says when telemetry moves to the lake.
type HubLake struct {
	CompactEvery spec.Duration `yaml:"compact_every"`
	CompactAge   spec.Duration `yaml:"compact_age"`
	LabelAge     spec.Duration `yaml:"label_age"`
}

func defaultHub() *HubConfig {
	return &HubConfig{
		Environment: "production",
		Listen:      "127.0.0.1:8000",
		NATSListen:  "127.0.0.1:4222",
		DataDir:     "skerry-hub-data",
		Auth:        HubAuth{RateLimit: true},
		Inference:   Inference{Compile: true},
		Training:    HubTrain{Auto: true, Threads: 2},
		Streams:     HubStreams{Telemetry: 8 << 30, Events: 1 << 30},
		Lake: HubLake{
			CompactEvery: spec.Duration(time.Minute),
			CompactAge:   spec.Duration(15 * time.Minute),
			LabelAge:     spec.Duration(90 * 24 * time.Hour),
		},
		Log: Log{Level: "info", Format: "text"},
	}
}

func (c *HubConfig) check(bad report) {
	checkEnvironment(bad, c.Environment)
	checkListen(bad, "listen", c.Listen)
	checkListen(bad, "nats_listen", c.NATSListen)
	if (c.TLSCert == "") != (c.TLSKey == "") {
		bad("tls_key", "TLS needs both tls_cert and tls_key")
	}
	for _, u := range c.NATSURLs {
		if p, err := url.Parse(u); err != nil || !oneOf(p.Scheme, "nats", "tls", "ws", "wss") {
			bad("nats_urls", "each must be an address such as nats://hub.example:4222 or wss://hub.example:443")
		}
	}
	if c.DataDir == "" {
		bad("data_dir", "must name a directory")
	}
	if c.DatabaseURL != "" && !oneOf(strings.SplitN(c.DatabaseURL, ":", 2)[0], "sqlite", "postgres", "postgresql") && strings.Contains(c.DatabaseURL, "://") {
		bad("database_url", "must be a path of a SQLite file, sqlite:<path> or postgres://…; empty is SQLite in data_dir")
	}
	if c.BlobURL != "" && strings.Contains(c.BlobURL, "://") && !oneOf(strings.SplitN(c.BlobURL, ":", 2)[0], "file", "s3") {
		bad("blob_url", "must be a directory, file://… or s3://…; empty is a folder in data_dir")
	}
	between(bad, "training.threads", float64(c.Training.Threads), 1, 1024)
	if s := c.Auth.JWTSecret; s != "" && len(s) < 32 {
		bad("auth.jwt_secret", "must have at least 32 characters; empty makes one in data_dir/keys")
	}
	size(bad, "streams.telemetry", c.Streams.Telemetry, 64<<20, 1<<50)
	size(bad, "streams.events", c.Streams.Events, 16<<20, 1<<50)
	duration(bad, "lake.compact_every", c.Lake.CompactEvery, time.Second, 24*time.Hour)
	duration(bad, "lake.compact_age", c.Lake.CompactAge, time.Second, 30*24*time.Hour)
	duration(bad, "lake.label_age", c.Lake.LabelAge, 24*time.Hour, 10*365*24*time.Hour)
	c.Log.check(bad)
}

// MLConfig is ml_config.yml: how the hub selects, trains, retrains and rolls out.
type MLConfig struct {
	ModelSelection ModelSelection `yaml:"model_selection"`
	Streaming      Streaming      `yaml:"streaming"`
	Rollout        Rollout        `yaml:"rollout"`
}

// ModelSelection bounds the search for a challenger.
type ModelSelection struct {
	Families  []string      `yaml:"families"`
	Budget    spec.Duration `yaml:"budget"`
	MaxTrials int           `yaml:"max_trials"`
}

// Streaming is the learning from the running stream.
type Streaming struct {
	AdaptiveLearning AdaptiveLearning `yaml:"adaptive_learning"`
}

// AdaptiveLearning says when labels, drift and loss lead to a training.
type AdaptiveLearning struct {
	Enabled             bool          `yaml:"enabled"`
	FirstLabels         int           `yaml:"first_labels"`
	DriftEvents         int           `yaml:"drift_events"`
	RetrainingThreshold float64       `yaml:"retraining_threshold"`
	MinLabels           int           `yaml:"min_labels"`
	Cooldown            spec.Duration `yaml:"cooldown"`
	Schedule            spec.Duration `yaml:"schedule"`
}

// Rollout holds the gates of automatic rollouts.
type Rollout struct {
	Auto          bool          `yaml:"auto"`
	Approval      bool          `yaml:"approval"`
	MinShadow     int           `yaml:"min_shadow"`
	Probation     int           `yaml:"probation"`
	MaxRegression float64       `yaml:"max_regression"`
	MaxLatency    spec.Duration `yaml:"max_latency"`
}

func defaultML() *MLConfig {
	return &MLConfig{
		ModelSelection: ModelSelection{
			Families: []string{"gbdt", "forest", "linear", "mlp"},
			Budget:   spec.Duration(time.Minute),
		},
		Streaming: Streaming{AdaptiveLearning: AdaptiveLearning{
			Enabled:             true,
			FirstLabels:         2000,
			DriftEvents:         3,
			RetrainingThreshold: 0.15,
			MinLabels:           2000,
			Cooldown:            spec.Duration(30 * 24 * time.Hour),
		}},
		Rollout: Rollout{
			Auto:          true,
			MinShadow:     48,
			Probation:     48,
			MaxRegression: 0.05,
			MaxLatency:    spec.Duration(time.Millisecond),
		},
	}
}

func (c *MLConfig) check(bad report) {
	m := &c.ModelSelection
	if len(m.Families) == 0 {
		bad("model_selection.families", "name at least one of gbdt, forest, linear, mlp")
	}
	for _, f := range m.Families {
		if !oneOf(f, "gbdt", "forest", "linear", "mlp") {
			bad("model_selection.families", "each must be gbdt, forest, linear or mlp")
		}
	}
	duration(bad, "model_selection.budget", m.Budget, time.Second, 7*24*time.Hour)
	between(bad, "model_selection.max_trials", float64(m.MaxTrials), 0, 100_000)
	a := &c.Streaming.AdaptiveLearning
	between(bad, "streaming.adaptive_learning.first_labels", float64(a.FirstLabels), 200, 1e9)
	between(bad, "streaming.adaptive_learning.drift_events", float64(a.DriftEvents), 1, 1e6)
	between(bad, "streaming.adaptive_learning.retraining_threshold", a.RetrainingThreshold, 0.001, 10)
	between(bad, "streaming.adaptive_learning.min_labels", float64(a.MinLabels), 1, 1e9)
	r := &c.Rollout
	between(bad, "rollout.min_shadow", float64(r.MinShadow), 2, 1e6)
	between(bad, "rollout.probation", float64(r.Probation), 2, 1e6)
	between(bad, "rollout.max_regression", r.MaxRegression, 0.001, 0.999)
	duration(bad, "rollout.max_latency", r.MaxLatency, time.Microsecond, time.Minute)
}
