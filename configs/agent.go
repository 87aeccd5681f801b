package configs

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"skerry.dev/sync/spec"
)

// AgentConfig is agent.yaml. Units, defaults and dangers stand in the sample file.
type AgentConfig struct {
	Environment string     `yaml:"environment" env:"ML_ENVIRONMENT"`
	StateDir    string     `yaml:"state_dir"`
	TaskDir     string     `yaml:"task_dir"`
	MQTT        AgentMQTT  `yaml:"mqtt"`
	HTTP        AgentHTTP  `yaml:"http"`
	Hub         AgentHub   `yaml:"hub"`
	Cache       AgentCache `yaml:"cache"`
	Govern      Govern     `yaml:"govern"`
	Inference   Inference  `yaml:"inference"`
	Log         Log        `yaml:"log"`
}

// AgentMQTT is the connection to the broker.
type AgentMQTT struct {
	Broker     string        `yaml:"broker"`
	ClientID   string        `yaml:"client_id"`
	Username   string        `yaml:"username"`
	Password   string        `yaml:"password" secret:"true"`
	CAFile     string        `yaml:"ca_file"`
	CertFile   string        `yaml:"cert_file"`
	KeyFile    string        `yaml:"key_file"`
	QoS        int           `yaml:"qos"`
	KeepAlive  spec.Duration `yaml:"keep_alive"`
	MaxBackoff spec.Duration `yaml:"max_backoff"`
	MaxPayload spec.Bytes    `yaml:"max_payload"`
}

// AgentHTTP is the agent's own HTTP server.
type AgentHTTP struct {
	Listen string `yaml:"listen"`
	Ingest bool   `yaml:"ingest"`
}

// AgentHub says where the hub is. Everything else about it comes from the enrolment.
type AgentHub struct {
	URL           string     `yaml:"url"`
	CAFile        string     `yaml:"ca_file"`
	NATSURLs      []string   `yaml:"nats_urls"`
	BandwidthBack spec.Bytes `yaml:"bandwidth_back"`
}

// AgentCache bounds what is kept on disk and when it is committed.
type AgentCache struct {
	MaxBytes       spec.Bytes    `yaml:"max_bytes"`
	CommitRecords  int           `yaml:"commit_records"`
	CommitInterval spec.Duration `yaml:"commit_interval"`
	CommitAcks     int           `yaml:"commit_acks"`
}

// Govern bounds what the agent takes from its host and says how often it looks at it.
type Govern struct {
	Interval     spec.Duration `yaml:"interval"`
	MemoryLimit  spec.Bytes    `yaml:"memory_limit"`
	MaxWorkers   int           `yaml:"max_workers" env:"MAX_WORKERS"`
	MinFreeBytes spec.Bytes    `yaml:"min_free_bytes"`
	MinFreeShare float64       `yaml:"min_free_share"`
}

// Inference says how models predict.
type Inference struct {
	Compile bool `yaml:"compile" env:"ENABLE_JIT_COMPILATION"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level" env:"ML_LOG_LEVEL"`
	Format string `yaml:"format"`
}

func defaultAgent() *AgentConfig {
	return &AgentConfig{
		Environment: "production",
		StateDir:    "/var/lib/skerry-agent",
		TaskDir:     "/etc/skerry/tasks",
		MQTT: AgentMQTT{Broker: "tcp://127.0.0.1:1883", QoS: 1, KeepAlive: spec.Duration(30 * time.Second),
			MaxBackoff: spec.Duration(30 * time.Second), MaxPayload: 256 << 10},
		HTTP: AgentHTTP{Listen: "127.0.0.1:8088", Ingest: true},
		Hub:  AgentHub{BandwidthBack: 256 << 10},
		Cache: AgentCache{MaxBytes: 256 << 20, CommitRecords: 100, CommitInterval: spec.Duration(time.Second),
			CommitAcks: 16},
		Govern: Govern{
			Interval:     spec.Duration(30 * time.Second),
			MemoryLimit:  256 << 20,
			MinFreeBytes: 64 << 20,
			MinFreeShare: 0.1,
		},
		Inference: Inference{Compile: true},
		Log:       Log{Level: "info", Format: "text"},
	}
}

func (c *AgentConfig) check(bad report) {
	checkEnvironment(bad, c.Environment)
	if c.StateDir == "" {
		bad("state_dir", "must name a directory")
	}
	if u, err := url.Parse(c.MQTT.Broker); err != nil || !oneOf(u.Scheme, "tcp", "mqtt", "tls", "ssl", "mqtts", "unix") {
		bad("mqtt.broker", "must be an address such as tcp://127.0.0.1:1883 or tls://broker.site:8883")
	}
	if (c.MQTT.CertFile == "") != (c.MQTT.KeyFile == "") {
		bad("mqtt.key_file", "a client certificate needs both cert_file and key_file")
	}
	between(bad, "mqtt.qos", float64(c.MQTT.QoS), 0, 1)
	duration(bad, "mqtt.keep_alive", c.MQTT.KeepAlive, time.Second, 18*time.Hour)
	duration(bad, "mqtt.max_backoff", c.MQTT.MaxBackoff, 100*time.Millisecond, time.Hour)
	size(bad, "mqtt.max_payload", c.MQTT.MaxPayload, 16, 64<<20)
	checkListen(bad, "http.listen", c.HTTP.Listen)
	if c.Hub.URL != "" {
		if u, err := url.Parse(c.Hub.URL); err != nil || !oneOf(u.Scheme, "http", "https") || u.Host == "" {
			bad("hub.url", "must be an address such as https://hub.example:8000")
		}
	}
	for _, u := range c.Hub.NATSURLs {
		if p, err := url.Parse(u); err != nil || !oneOf(p.Scheme, "nats", "tls", "ws", "wss") {
			bad("hub.nats_urls", "each must be an address such as nats://relay.example:4222 or wss://relay.example:443")
		}
	}
	size(bad, "hub.bandwidth_back", c.Hub.BandwidthBack, 1024, 1<<30)
	size(bad, "cache.max_bytes", c.Cache.MaxBytes, 8<<20, 1<<40)
	between(bad, "cache.commit_records", float64(c.Cache.CommitRecords), 1, 500)
	duration(bad, "cache.commit_interval", c.Cache.CommitInterval, 10*time.Millisecond, time.Minute)
	between(bad, "cache.commit_acks", float64(c.Cache.CommitAcks), 1, 65535)
	duration(bad, "govern.interval", c.Govern.Interval, time.Second, time.Hour)
	if c.Govern.MemoryLimit != 0 {
		size(bad, "govern.memory_limit", c.Govern.MemoryLimit, 32<<20, 1<<40)
	}
	between(bad, "govern.max_workers", float64(c.Govern.MaxWorkers), 0, 1024)
	size(bad, "govern.min_free_bytes", c.Govern.MinFreeBytes, 0, 1<<40)
	between(bad, "govern.min_free_share", c.Govern.MinFreeShare, 0, 0.9)
	c.Log.check(bad)
}

// IdentityDir is where key and enrolment stand.
func (c *AgentConfig) IdentityDir() string { return filepath.Join(c.StateDir, "identity") }

// TrustDir is where the TUF metadata stand.
func (c *AgentConfig) TrustDir() string { return filepath.Join(c.StateDir, "trust") }

// SlotDir is where artifacts are installed.
func (c *AgentConfig) SlotDir() string { return filepath.Join(c.StateDir, "slots") }

// DatabasePath is the agent's one database file.
func (c *AgentConfig) DatabasePath() string { return filepath.Join(c.StateDir, "skerry.db") }

// FloorPath is the file of the generation floors.
func (c *AgentConfig) FloorPath() string { return filepath.Join(c.StateDir, "floors.json") }

func (l *Log) check(bad report) {
	if !oneOf(strings.ToLower(l.Level), "debug", "info", "warn", "error") {
		bad("log.level", "must be debug, info, warn or error")
	}
	if !oneOf(l.Format, "text", "json") {
		bad("log.format", "must be text or json")
	}
}

func checkEnvironment(bad report, env string) {
	if !oneOf(env, "production", "staging", "development", "test") {
		bad("environment", "must be production, staging, development or test")
	}
}

func checkListen(bad report, path, addr string) {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		bad(path, "must be host:port, for example 127.0.0.1:8088 (this machine only) or 0.0.0.0:8088 (everybody)")
	}
}

func oneOf(s string, allowed ...string) bool {
	for _, a := range allowed {
		if s == a {
			return true
		}
	}
	return false
}

func between(bad report, path string, v, lo, hi float64) {
	if !(v >= lo && v <= hi) {
		bad(path, fmt.Sprintf("must be %g to %g", lo, hi))
	}
}

func duration(bad report, path string, v spec.Duration, lo, hi time.Duration) {
	if v.Std() < lo || v.Std() > hi {
		bad(path, fmt.Sprintf("must be %s to %s", shortDuration(lo), shortDuration(hi)))
	}
}

func size(bad report, path string, v spec.Bytes, lo, hi int64) {
	if int64(v) < lo || int64(v) > hi {
		bad(path, fmt.Sprintf("must be %d to %d bytes", lo, hi))
	}
}
