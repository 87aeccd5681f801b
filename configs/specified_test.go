package configs

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The specified files and variables, which must be accepted as they stand.
const (
	specifiedML = `
model_selection:
  algorithms: [random_forest, gradient_boosting, neural_network]
  meta_learning: {enabled: true, warm_start: true}
feature_engineering: {auto_scaling: true, domain_specific: true, polynomial_features: 2}
streaming: {kafka_enabled: true, websocket_enabled: true, batch_size: 1000, buffer_timeout: 5000}
adaptive_learning: {drift_detection: true, online_learning: true, retraining_threshold: 0.15}
`
	specifiedMonitoring = `
monitoring:
  metrics: {collection_interval: 30, retention_days: 90}
  alerts:
    - {name: high_error_rate, condition: error_rate > 0.05, severity: critical}
    - {name: high_latency, condition: p95_latency > 5000, severity: warning}
    - {name: low_accuracy, condition: model_accuracy < 0.80, severity: critical}
  sla: {availability: 99.9, response_time_p95: 2000, error_rate: 0.01}
`
	specifiedEnvironment = `
ML_ENVIRONMENT=production
ML_LOG_LEVEL=INFO
ML_WORKERS=4
DATABASE_URL=postgresql://user:pass@localhost:5432/mldb
REDIS_URL=redis://localhost:6379
MODEL_STORAGE_PATH=/data/models
ENABLE_AUTO_RETRAINING=true
ENABLE_STREAMING=true
ENABLE_CACHING=true
ENABLE_GPU_ACCELERATION=true
ENABLE_JIT_COMPILATION=true
CACHE_LEVELS=L1,L2,L3
MAX_WORKERS=16
PROMETHEUS_ENDPOINT=http://prometheus:9090
GRAFANA_URL=http://grafana:3000
ALERT_WEBHOOK_URL=https://hooks.slack.com/your-webhook
API_KEY_REQUIRED=true
JWT_SECRET=your-secret-key
RATE_LIMIT_ENABLED=true
`
)

// file writes a configuration under its usual name.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// instead returns the keys that do not have the effect they ask for.
func instead(settings []Setting) []string {
	var out []string
	for _, s := range settings {
		if s.Instead != "" {
			out = append(out, s.Key)
		}
	}
	slices.Sort(out)
	return out
}

func TestSpecifiedML(t *testing.T) {
	c, settings, err := ML(Sources{File: file(t, "ml_config.yml", specifiedML)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.ModelSelection.Learners(), []string{"forest", "gbdt", "mlp"}; !slices.Equal(got, want) {
		t.Errorf("learners = %v, want %v", got, want)
	}
	if c.AdaptiveLearning.RetrainingThreshold != 0.15 || !c.AdaptiveLearning.DriftDetection {
		t.Errorf("adaptive learning = %+v", c.AdaptiveLearning)
	}
	want := []string{"feature_engineering.domain_specific", "feature_engineering.polynomial_features", "streaming.batch_size",
		"streaming.buffer_timeout", "streaming.kafka_enabled", "streaming.websocket_enabled"}
	if got := instead(settings); !slices.Equal(got, want) {
		t.Errorf("without effect: %v, want %v", got, want)
	}
}

func TestSpecifiedMonitoring(t *testing.T) {
	c, settings, err := Monitoring(Sources{File: file(t, "monitoring_config.yml", specifiedMonitoring)})
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Monitoring.Alerts; len(a) != 3 || a[1] != (AlertRule{Name: "high_latency", Condition: "p95_latency > 5000", Severity: "warning"}) {
		t.Errorf("alerts = %+v", a)
	}
	want := []string{"monitoring.alerts", "monitoring.metrics.collection_interval", "monitoring.metrics.retention_days",
		"monitoring.sla.availability", "monitoring.sla.error_rate", "monitoring.sla.response_time_p95"}
	if got := instead(settings); !slices.Equal(got, want) {
		t.Errorf("without effect: %v, want %v", got, want)
	}
}

func TestSpecifiedEnvironment(t *testing.T) {
	environ := strings.Fields(specifiedEnvironment)
	hub, settings, err := Hub(Sources{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	if hub.Training.Threads != 4 || hub.BlobURL != "/data/models" || hub.DatabaseURL == "" || !hub.Inference.Compile {
		t.Errorf("hub = %+v", hub)
	}
	if hub.Auth.JWTSecret != "" {
		t.Error("logins are signed by a placeholder")
	}
	want := []string{"auth.jwt_secret", "caching.enabled", "caching.levels", "caching.redis_url", "inference.gpu",
		"monitoring.alert_webhook_url", "monitoring.grafana_url", "monitoring.prometheus_endpoint", "streaming.enabled"}
	if got := instead(settings); !slices.Equal(got, want) {
		t.Errorf("hub, without effect: %v, want %v", got, want)
	}
	agent, settings, err := Agent(Sources{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	if agent.Govern.MaxWorkers != 16 || agent.Log.Level != "INFO" {
		t.Errorf("agent = %+v", agent)
	}
	if got, want := instead(settings), []string{"caching.enabled", "caching.levels", "caching.redis_url", "inference.gpu"}; !slices.Equal(got, want) {
		t.Errorf("agent, without effect: %v, want %v", got, want)
	}
	for _, program := range []func() error{
		func() error { _, _, err := ML(Sources{Environ: environ}); return err },
		func() error { _, _, err := Monitoring(Sources{Environ: environ}); return err },
	} {
		if err := program(); err != nil {
			t.Error(err)
		}
	}
}

// TestLogIneffective holds that each setting without effect is named once, with where it was set and
// without a secret.
func TestLogIneffective(t *testing.T) {
	_, settings, err := Hub(Sources{Environ: []string{"REDIS_URL=redis://u:hunter2@cache:6379", "API_KEY_REQUIRED=false", "ALERT_WEBHOOK_URL=https://chat.example/hunter2"}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	LogIneffective(slog.New(slog.NewTextHandler(&b, nil)), settings)
	for _, want := range []string{"key=caching.redis_url", "env REDIS_URL", "key=auth.api_key_required", "key=monitoring.alert_webhook_url"} {
		if strings.Count(b.String(), want) != 1 {
			t.Errorf("log lacks %q once:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "hunter2") {
		t.Errorf("the log shows a secret:\n%s", b.String())
	}
}

// TestMovedSection holds that a file and an environment of an earlier release set the same keys.
func TestMovedSection(t *testing.T) {
	old := "model_selection: {budget: 2m}\nstreaming:\n  adaptive_learning:\n    first_labels: 300\n    schedule: 7d\n"
	path := file(t, "ml_config.yml", old)
	c, settings, err := ML(Sources{File: path, Environ: []string{"SKERRY_STREAMING_ADAPTIVE_LEARNING_NEW_LABELS=9"}})
	if err != nil {
		t.Fatal(err)
	}
	if a := c.AdaptiveLearning; a.FirstLabels != 300 || a.Schedule.Std().Hours() != 7*24 || a.NewLabels != 9 || c.ModelSelection.Budget.Std().Minutes() != 2 {
		t.Errorf("configuration = %+v", c)
	}
	for _, s := range settings {
		if s.Key == "adaptive_learning.first_labels" && s.Origin != path+":4" {
			t.Errorf("origin = %s, want line 4", s.Origin)
		}
	}
	if _, _, err := ML(Sources{File: file(t, "ml_config.yml", old+"adaptive_learning: {first_labels: 400}\n")}); err == nil || !strings.Contains(err.Error(), "same as adaptive_learning on line 6") {
		t.Errorf("both places: %v", err)
	}
}

// TestUnbuiltIsChecked holds that a key without effect is read as strictly as any other.
func TestUnbuiltIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"model_selection: {algorithms: [random_forrest]}":                 "each must be gradient_boosting",
		"model_selection: {algorithms: [random_forest], families: [mlp]}": "set one of them",
		"feature_engineering: {polynomial_features: two}":                 "whole number",
		"feature_engineering: {auto_scale: true}":                         `did you mean "auto_scaling"`,
		"streaming: {buffer_timeout: -1}":                                 "must be 0 to",
	} {
		if _, _, err := ML(Sources{File: file(t, "ml_config.yml", text+"\n")}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: %v, want %q and the line", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"{condition: a > 1, severity: critical}":                                                   "needs a name",
		"{name: a, condition: a is large, severity: critical}":                                     "a comparison",
		"{name: a, condition: a > 1, severity: fatal}":                                             "info, warning or critical",
		"{name: a, condition: a > 1, severity: info}, {name: a, condition: b > 1, severity: info}": "taken",
		"{name: a, condition: a > 1, severity: info, fro: 5m}":                                     "unknown key",
	} {
		text = "monitoring:\n  alerts: [" + text + "]\n"
		if _, _, err := Monitoring(Sources{File: file(t, "monitoring_config.yml", text)}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: %v, want %q and the line", text, err, want)
		}
	}
	for _, env := range []string{"CACHE_LEVELS=L1,L5", "REDIS_URL=localhost:6379", "GRAFANA_URL=grafana", "ENABLE_CACHING=maybe"} {
		if _, _, err := Hub(Sources{Environ: []string{env}}); err == nil {
			t.Errorf("%s is accepted", env)
		}
	}
}
