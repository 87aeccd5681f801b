package configs

import (
	"net/url"
	"strings"
	"time"

	"skerry.dev/sync/spec"
)

// HubConfig is hub.yaml. Units, defaults and dangers stand in the sample file.
type HubConfig struct {
	Environment string    `yaml:"environment" env:"ML_ENVIRONMENT"`
	Listen      string    `yaml:"listen"`
	PublicURL   string    `yaml:"public_url"`
	TLSCert     string    `yaml:"tls_cert"`
	TLSKey      string    `yaml:"tls_key"`
	NATSListen  string    `yaml:"nats_listen"`
	NATSURLs    []string  `yaml:"nats_urls"`
	DataDir     string    `yaml:"data_dir"`
	DatabaseURL string    `yaml:"database_url" env:"DATABASE_URL"`
	BlobURL     string    `yaml:"blob_url" env:"MODEL_STORAGE_PATH"`
	Workers     int       `yaml:"workers" env:"ML_WORKERS"`
	Auth        HubAuth   `yaml:"auth"`
	Training    HubTrain  `yaml:"training"`
	Retention   Retention `yaml:"retention"`
	Log         Log       `yaml:"log"`
}

// HubAuth says who may use the API.
type HubAuth struct {
	Required  bool   `yaml:"required" env:"API_KEY_REQUIRED"`
	JWTSecret string `yaml:"jwt_secret" env:"JWT_SECRET" secret:"true"`
	RateLimit bool   `yaml:"rate_limit" env:"RATE_LIMIT_ENABLED"`
}

// HubTrain says whether the hub trains by itself.
type HubTrain struct {
	Auto       bool `yaml:"auto" env:"ENABLE_AUTO_RETRAINING"`
	MaxWorkers int  `yaml:"max_workers" env:"MAX_WORKERS"`
}

// Retention says how long the hub keeps what it was sent.
type Retention struct {
	Lake      spec.Duration `yaml:"lake"`
	Streams   spec.Duration `yaml:"streams"`
	MaxStream spec.Bytes    `yaml:"max_stream"`
}

func defaultHub() *HubConfig {
	return &HubConfig{
		Environment: "production",
		Listen:      "127.0.0.1:8000",
		NATSListen:  "127.0.0.1:4222",
		DataDir:     "/var/lib/skerry-hub",
		Auth:        HubAuth{Required: true, RateLimit: true},
		Training:    HubTrain{Auto: true},
		Retention:   Retention{Lake: spec.Duration(365 * 24 * time.Hour), Streams: spec.Duration(7 * 24 * time.Hour), MaxStream: 8 << 30},
		Log:         Log{Level: "info", Format: "text"},
	}
}

func (c *HubConfig) check(bad report) {
	checkEnvironment(bad, c.Environment)
	checkListen(bad, "listen", c.Listen)
	checkListen(bad, "nats_listen", c.NATSListen)
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || !oneOf(u.Scheme, "http", "https") || u.Host == "" {
			bad("public_url", "must be the address that devices reach, for example https://hub.example:8000")
		}
	}
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
	if c.DatabaseURL != "" && !oneOf(strings.SplitN(c.DatabaseURL, ":", 2)[0], "sqlite", "file", "postgres", "postgresql") {
		bad("database_url", "must be sqlite:<path> or postgres://…; empty is SQLite in data_dir")
	}
	if c.BlobURL != "" && strings.Contains(c.BlobURL, "://") && !oneOf(strings.SplitN(c.BlobURL, ":", 2)[0], "file", "s3", "gs", "azblob") {
		bad("blob_url", "must be a directory, file://…, s3://…; empty is a folder in data_dir")
	}
	between(bad, "workers", float64(c.Workers), 0, 1024)
	between(bad, "training.max_workers", float64(c.Training.MaxWorkers), 0, 1024)
	if s := c.Auth.JWTSecret; s != "" && len(s) < 32 {
		bad("auth.jwt_secret", "must have at least 32 characters; empty makes one in data_dir/keys")
	}
	duration(bad, "retention.lake", c.Retention.Lake, 24*time.Hour, 100*365*24*time.Hour)
	duration(bad, "retention.streams", c.Retention.Streams, time.Hour, 365*24*time.Hour)
	size(bad, "retention.max_stream", c.Retention.MaxStream, 64<<20, 1<<50)
	c.Log.check(bad)
}

// MLConfig is ml_config.yml: how the hub selects, trains and retrains.
type MLConfig struct {
	ModelSelection     ModelSelection     `yaml:"model_selection"`
	FeatureEngineering FeatureEngineering `yaml:"feature_engineering"`
	Streaming          Streaming          `yaml:"streaming"`
}

// ModelSelection bounds the search for a challenger and says when it replaces the champion.
type ModelSelection struct {
	Families   []string      `yaml:"families"`
	Budget     spec.Duration `yaml:"budget"`
	MaxTrials  int           `yaml:"max_trials"`
	CVFolds    int           `yaml:"cv_folds"`
	MinGain    float64       `yaml:"min_gain"`
	MaxLatency spec.Duration `yaml:"max_latency"`
	MaxSize    spec.Bytes    `yaml:"max_size"`
	Seed       int64         `yaml:"seed"`
}

// FeatureEngineering bounds the automated features.
type FeatureEngineering struct {
	MaxFeatures int             `yaml:"max_features"`
	Lags        []int           `yaml:"lags"`
	Windows     []spec.Duration `yaml:"windows"`
	Calendar    bool            `yaml:"calendar"`
}

// Streaming is the learning from the running stream.
type Streaming struct {
	BatchSize        int              `yaml:"batch_size"`
	BufferTimeout    spec.Duration    `yaml:"buffer_timeout"`
	AdaptiveLearning AdaptiveLearning `yaml:"adaptive_learning"`
}

// AdaptiveLearning says when drift and loss lead to a training.
type AdaptiveLearning struct {
	Enabled             bool          `yaml:"enabled"`
	RetrainingThreshold float64       `yaml:"retraining_threshold"`
	MinLabels           int           `yaml:"min_labels"`
	Cooldown            spec.Duration `yaml:"cooldown"`
	Schedule            spec.Duration `yaml:"schedule"`
}

func defaultML() *MLConfig {
	return &MLConfig{
		ModelSelection: ModelSelection{Families: []string{"gbdt", "forest", "linear", "mlp"}, Budget: spec.Duration(10 * time.Minute), MaxTrials: 60, CVFolds: 4,
			MinGain: 0.01, MaxLatency: spec.Duration(time.Millisecond), MaxSize: 4e6, Seed: 1},
		FeatureEngineering: FeatureEngineering{MaxFeatures: 128, Lags: []int{1, 2, 3, 6, 12, 24},
			Windows: []spec.Duration{spec.Duration(3 * time.Hour), spec.Duration(12 * time.Hour), spec.Duration(24 * time.Hour)}, Calendar: true},
		Streaming: Streaming{BatchSize: 100, BufferTimeout: spec.Duration(time.Second), AdaptiveLearning: AdaptiveLearning{Enabled: true,
			RetrainingThreshold: 0.15, MinLabels: 500, Cooldown: spec.Duration(24 * time.Hour), Schedule: spec.Duration(7 * 24 * time.Hour)}},
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
	between(bad, "model_selection.max_trials", float64(m.MaxTrials), 1, 100_000)
	between(bad, "model_selection.cv_folds", float64(m.CVFolds), 2, 20)
	between(bad, "model_selection.min_gain", m.MinGain, 0, 1)
	duration(bad, "model_selection.max_latency", m.MaxLatency, time.Microsecond, time.Minute)
	size(bad, "model_selection.max_size", m.MaxSize, 1000, 1<<30)
	between(bad, "feature_engineering.max_features", float64(c.FeatureEngineering.MaxFeatures), 1, 10_000)
	for _, l := range c.FeatureEngineering.Lags {
		between(bad, "feature_engineering.lags", float64(l), 1, 10_000)
	}
	s := &c.Streaming
	between(bad, "streaming.batch_size", float64(s.BatchSize), 1, 100_000)
	duration(bad, "streaming.buffer_timeout", s.BufferTimeout, time.Millisecond, time.Hour)
	between(bad, "streaming.adaptive_learning.retraining_threshold", s.AdaptiveLearning.RetrainingThreshold, 0.001, 10)
	between(bad, "streaming.adaptive_learning.min_labels", float64(s.AdaptiveLearning.MinLabels), 1, 1e9)
}

// MonitoringConfig is monitoring_config.yml: what the hub watches and whom it tells.
type MonitoringConfig struct {
	Metrics Metrics `yaml:"metrics"`
	Alerts  Alerts  `yaml:"alerts"`
	SLA     SLA     `yaml:"sla"`
}

// Metrics says where metrics go.
type Metrics struct {
	PrometheusEndpoint string        `yaml:"prometheus_endpoint" env:"PROMETHEUS_ENDPOINT"`
	GrafanaURL         string        `yaml:"grafana_url" env:"GRAFANA_URL"`
	Interval           spec.Duration `yaml:"interval"`
}

// Alerts says when somebody is told.
type Alerts struct {
	WebhookURL   string        `yaml:"webhook_url" env:"ALERT_WEBHOOK_URL"`
	DeviceSilent spec.Duration `yaml:"device_silent"`
	DriftEvents  int           `yaml:"drift_events"`
	DiskFree     float64       `yaml:"disk_free"`
	Repeat       spec.Duration `yaml:"repeat"`
}

// SLA is what the installation promises.
type SLA struct {
	PredictionLatencyP99 spec.Duration `yaml:"prediction_latency_p99"`
	DeliveryDelay        spec.Duration `yaml:"delivery_delay"`
	DeliveredShare       float64       `yaml:"delivered_share"`
	Coverage             float64       `yaml:"coverage"`
}

func defaultMonitoring() *MonitoringConfig {
	return &MonitoringConfig{
		Metrics: Metrics{PrometheusEndpoint: "/metrics", Interval: spec.Duration(15 * time.Second)},
		Alerts: Alerts{DeviceSilent: spec.Duration(15 * time.Minute), DriftEvents: 3, DiskFree: 0.1,
			Repeat: spec.Duration(4 * time.Hour)},
		SLA: SLA{PredictionLatencyP99: spec.Duration(time.Millisecond), DeliveryDelay: spec.Duration(time.Minute), DeliveredShare: 0.999, Coverage: 0.88},
	}
}

func (c *MonitoringConfig) check(bad report) {
	for path, s := range map[string]string{"metrics.grafana_url": c.Metrics.GrafanaURL, "alerts.webhook_url": c.Alerts.WebhookURL} {
		if u, err := url.Parse(s); s != "" && (err != nil || !oneOf(u.Scheme, "http", "https") || u.Host == "") {
			bad(path, "must be an http or https address")
		}
	}
	duration(bad, "metrics.interval", c.Metrics.Interval, time.Second, time.Hour)
	duration(bad, "alerts.device_silent", c.Alerts.DeviceSilent, time.Minute, 30*24*time.Hour)
	between(bad, "alerts.drift_events", float64(c.Alerts.DriftEvents), 1, 1000)
	between(bad, "alerts.disk_free", c.Alerts.DiskFree, 0, 0.9)
	duration(bad, "alerts.repeat", c.Alerts.Repeat, time.Minute, 30*24*time.Hour)
	duration(bad, "sla.prediction_latency_p99", c.SLA.PredictionLatencyP99, time.Microsecond, time.Minute)
	duration(bad, "sla.delivery_delay", c.SLA.DeliveryDelay, time.Second, 24*time.Hour)
	between(bad, "sla.delivered_share", c.SLA.DeliveredShare, 0, 1)
	between(bad, "sla.coverage", c.SLA.Coverage, 0, 1)
}
