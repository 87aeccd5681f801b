package configs

import (
	"strings"
)

// Caching chooses where answers and artifacts are kept for a while.
type Caching struct {
	Enabled bool     `yaml:"enabled" env:"ENABLE_CACHING" unbuilt:"loaded models stay in memory; answers are computed anew"`
	Levels  []string `yaml:"levels" env:"CACHE_LEVELS" unbuilt:"there is one level: loaded models in memory"`
	// RedisURL is the cache that several share.
	RedisURL string `yaml:"redis_url" env:"REDIS_URL" unbuilt:"no Redis is used, nothing is shared between programs"`
}

func (c *Caching) check(bad report) {
	for _, l := range c.Levels {
		if !oneOf(l, "L1", "L2", "L3", "L4") {
			bad("caching.levels", "each must be L1, L2, L3 or L4")
			break
		}
	}
	checkURL(bad, "caching.redis_url", c.RedisURL, "redis", "rediss", "unix")
}

// HubStreaming turns the predictions of the hub over streams on.
type HubStreaming struct {
	Enabled bool `yaml:"enabled" env:"ENABLE_STREAMING" unbuilt:"the hub predicts by HTTP requests only (/v2/models); devices stream theirs"`
}

// AgentStreaming is the agent's stream of predictions by HTTP.
type AgentStreaming struct {
	Enabled bool `yaml:"enabled" env:"ENABLE_STREAMING" default:"true" unbuilt:"predictions are streamed at http.listen in any case"`
}

// HubMonitoring is what watches the hub from outside.
type HubMonitoring struct {
	PrometheusEndpoint string `yaml:"prometheus_endpoint" env:"PROMETHEUS_ENDPOINT" unbuilt:"the hub asks no Prometheus; let it read /metrics of the hub"`
	GrafanaURL         string `yaml:"grafana_url" env:"GRAFANA_URL" unbuilt:"the pages have no links to Grafana"`
	// AlertWebhookURL is a secret: whoever has it can write there.
	AlertWebhookURL string `yaml:"alert_webhook_url" env:"ALERT_WEBHOOK_URL" secret:"true" unbuilt:"nothing is sent; alarms of devices stand on the events page"`
}

func (m *HubMonitoring) check(bad report) {
	checkURL(bad, "monitoring.prometheus_endpoint", m.PrometheusEndpoint, "http", "https")
	checkURL(bad, "monitoring.grafana_url", m.GrafanaURL, "http", "https")
	checkURL(bad, "monitoring.alert_webhook_url", m.AlertWebhookURL, "http", "https")
}

// checkURL takes an address of one of the schemes, or none.
func checkURL(bad report, path, text string, schemes ...string) {
	if text != "" && !isAddress(text, schemes...) {
		bad(path, "must be an address that begins with "+strings.Join(schemes, ":// or ")+"://")
	}
}

// isPlaceholder reports whether a secret is the text of a sample that everybody can read.
func isPlaceholder(secret string) bool {
	s := strings.ToLower(secret)
	for _, begin := range []string{"your-", "your_", "change-me", "changeme", "change_me"} {
		if strings.HasPrefix(s, begin) {
			return true
		}
	}
	return false
}
