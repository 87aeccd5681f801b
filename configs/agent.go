package configs

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"skerry.dev/sync/spec"
)

// AgentConfig is agent.yaml. Dangers stand in the sample file.
type AgentConfig struct {
	// Environment is a label in logs and reports.
	Environment string `yaml:"environment" env:"ML_ENVIRONMENT" default:"production" check:"production|staging|development|test"`
	// StateDir holds everything the agent keeps.
	StateDir string `yaml:"state_dir" default:"/var/lib/skerry-agent"`
	// TaskDir holds the task files, *.yaml.
	TaskDir string `yaml:"task_dir" default:"/etc/skerry/tasks"`

	MQTT      AgentMQTT  `yaml:"mqtt"`
	HTTP      AgentHTTP  `yaml:"http"`
	Hub       AgentHub   `yaml:"hub"`
	Cache     AgentCache `yaml:"cache"`
	Govern    Govern     `yaml:"govern"`
	Inference Inference  `yaml:"inference"`

	Caching   Caching        `yaml:"caching"`
	Streaming AgentStreaming `yaml:"streaming"`

	Log Log `yaml:"log"`
}

// AgentMQTT is the connection to the broker.
type AgentMQTT struct {
	// Broker is empty for none: readings then come by HTTP only.
	Broker string `yaml:"broker" default:"tcp://127.0.0.1:1883"`
	// ClientID is the name of the session; empty: skerry-<device>.
	ClientID string `yaml:"client_id"`
	Username string `yaml:"username"`
	Password string `yaml:"password" secret:"true"`
	// CAFile, CertFile and KeyFile are PEM files for TLS.
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	QoS      int    `yaml:"qos" default:"1" check:"0..1"`
	// KeepAlive is the silence after which the broker is pinged, MaxBackoff the longest wait
	// between two attempts to connect.
	KeepAlive  spec.Duration `yaml:"keep_alive" default:"30s" check:"1s..18h"`
	MaxBackoff spec.Duration `yaml:"max_backoff" default:"30s" check:"100ms..1h"`
	// MaxPayload is the largest payload that is read.
	MaxPayload spec.Bytes `yaml:"max_payload" default:"256KiB" check:"16..64MiB"`
}

// AgentHTTP is the agent's own HTTP server.
type AgentHTTP struct {
	Listen string `yaml:"listen" default:"127.0.0.1:8088"`
	// Ingest takes readings by POST /v1/ingest/<topic>.
	Ingest bool `yaml:"ingest" default:"true"`
}

// AgentHub defines where the hub is. Everything else about it comes from the enrolment.
type AgentHub struct {
	URL    string `yaml:"url"`
	CAFile string `yaml:"ca_file"`
	// NATSURLs take the place of those received at enrolment.
	NATSURLs []string `yaml:"nats_urls"`
	// BandwidthBack is bytes a second for what was recorded while the link was away.
	BandwidthBack spec.Bytes `yaml:"bandwidth_back" default:"256KiB" check:"1KiB..1GiB"`
}

// AgentCache bounds what is kept on disk and when it is committed.
type AgentCache struct {
	MaxBytes spec.Bytes `yaml:"max_bytes" default:"256MiB" check:"8MiB..1024GiB"`
	// A commit is due at the first of these records, this time, or these MQTT acknowledgements
	// owed (a broker's window is often 20).
	CommitRecords  int           `yaml:"commit_records" default:"100" check:"1..500"`
	CommitInterval spec.Duration `yaml:"commit_interval" default:"1s" check:"10ms..1m"`
	CommitAcks     int           `yaml:"commit_acks" default:"16" check:"1..65535"`
}

// Govern bounds what the agent takes from its host and sets how often it measures it.
type Govern struct {
	Interval spec.Duration `yaml:"interval" default:"30s" check:"1s..1h"`
	// MemoryLimit is Go's soft limit, 0: none.
	MemoryLimit spec.Bytes `yaml:"memory_limit" default:"256MiB" check:"0|32MiB..1024GiB"`
	// MaxWorkers is the number of processors used at once, 0: all.
	MaxWorkers int `yaml:"max_workers" env:"MAX_WORKERS" check:"0..1024"`
	// Health is degraded when the disk has less free than both.
	MinFreeBytes spec.Bytes `yaml:"min_free_bytes" default:"64MiB" check:"0..1024GiB"`
	MinFreeShare float64    `yaml:"min_free_share" default:"0.1" check:"0..0.9"`
}

// Inference describes how models predict.
type Inference struct {
	// Compile lays tree models out for this processor when they are loaded.
	Compile bool `yaml:"compile" env:"ENABLE_JIT_COMPILATION" default:"true"`
	GPU     bool `yaml:"gpu" env:"ENABLE_GPU_ACCELERATION" unbuilt:"models run on the processor"`
}

// Log describes what is logged and how.
type Log struct {
	Level  string `yaml:"level" env:"ML_LOG_LEVEL" default:"info"`
	Format string `yaml:"format" default:"text" check:"text|json"`
}

func (c *AgentConfig) check(bad report) {
	if c.StateDir == "" {
		bad("state_dir", "must name a directory")
	}
	switch {
	case c.MQTT.Broker == "" && !c.HTTP.Ingest:
		bad("mqtt.broker", "without a broker readings come by HTTP: set http.ingest, or the broker's address")
	case c.MQTT.Broker != "" && !isAddress(c.MQTT.Broker, "tcp", "mqtt", "tls", "ssl", "mqtts", "ws", "wss", "unix"):
		bad("mqtt.broker", "must be an address such as tcp://127.0.0.1:1883, tls://broker.site:8883 or wss://broker.site/mqtt, with a port of 1 to 65535; empty for none")
	}
	if (c.MQTT.CertFile == "") != (c.MQTT.KeyFile == "") {
		bad("mqtt.key_file", "a client certificate needs both cert_file and key_file")
	}
	checkListen(bad, "http.listen", c.HTTP.Listen)
	if c.Hub.URL != "" && !isAddress(c.Hub.URL, "http", "https") {
		bad("hub.url", "must be an address such as https://hub.example:8000")
	}
	checkNATS(bad, "hub.nats_urls", c.Hub.NATSURLs)
	c.Caching.check(bad)
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

// check takes levels in capitals as well.
func (l *Log) check(bad report) {
	if !oneOf(strings.ToLower(l.Level), "debug", "info", "warn", "error") {
		bad("log.level", "must be debug, info, warn or error")
	}
}

func checkListen(bad report, path, addr string) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		bad(path, "must be host:port, for example 127.0.0.1:8088 (this machine only) or 0.0.0.0:8088 (everybody)")
		return
	}
	if n, err := strconv.Atoi(port); err == nil && n == -1 && path == "nats_listen" {
		return
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		bad(path, fmt.Sprintf("port %s: must be a number from 0 (chosen by the system) to 65535", port))
	}
}

// isAddress reports whether a text is an address of one of the schemes, with a port that can be.
func isAddress(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	if err != nil || !slices.Contains(schemes, u.Scheme) {
		return false
	}
	host := u.Hostname()
	if host == "" || strings.Contains(host, ":") && !strings.HasPrefix(u.Host, "[") {
		return u.Scheme == "unix" && u.Path != ""
	}
	if u.Port() == "" {
		return true
	}
	n, err := strconv.Atoi(u.Port())
	return err == nil && n >= 1 && n <= 65535
}

func checkNATS(bad report, path string, urls []string) {
	for _, u := range urls {
		if !isAddress(u, "nats", "tls", "ws", "wss") {
			bad(path, "each must be an address such as nats://hub.example:4222 or wss://hub.example:443")
			return
		}
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
