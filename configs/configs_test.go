package configs

import (
	"encoding/pem"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/sync/spec"
)

func TestSamplesHoldEveryKeyWithItsDefault(t *testing.T) {
	check := func(file string, got, want any, settings []Setting, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
			return
		}
		values := map[string]string{}
		for _, s := range settings {
			if values[s.Key] = s.Value; s.Origin == "default" {
				t.Errorf("%s lacks the key %s", file, s.Key)
			}
			if s.Retired != "" || s.Instead != "" {
				t.Errorf("%s has the key %s, which has no effect", file, s.Key)
			}
		}
		for _, w := range leavesOf("", reflect.ValueOf(want).Elem()) {
			if w.retired == "" && values[w.key] != w.text() {
				t.Errorf("%s: %s is %s, the default is %s", file, w.key, values[w.key], w.text())
			}
		}
	}
	a, sa, err := Agent(Sources{File: "agent.yaml"})
	check("agent.yaml", a, withDefaults[AgentConfig](), sa, err)
	h, sh, err := Hub(Sources{File: "hub.yaml"})
	check("hub.yaml", h, withDefaults[HubConfig](), sh, err)
	m, sm, err := ML(Sources{File: "ml_config.yml"})
	check("ml_config.yml", m, withDefaults[MLConfig](), sm, err)
	w, sw, err := Monitoring(Sources{File: "monitoring_config.yml"})
	check("monitoring_config.yml", w, withDefaults[MonitoringConfig](), sw, err)
}

// TestServiceLinks holds that a service of Kubernetes named skerry-hub does not keep the programs in
// its namespace from starting, and that a misspelt variable still does.
func TestServiceLinks(t *testing.T) {
	links := []string{"SKERRY_HUB_SERVICE_HOST=10.0.0.1", "SKERRY_HUB_SERVICE_PORT=8000", "SKERRY_HUB_SERVICE_PORT_HTTP=8000",
		"SKERRY_HUB_PORT=tcp://10.0.0.1:8000", "SKERRY_HUB_PORT_8000_TCP=tcp://10.0.0.1:8000", "SKERRY_HUB_PORT_8000_TCP_ADDR=10.0.0.1"}
	if _, _, err := Agent(Sources{Environ: links}); err != nil {
		t.Errorf("agent: %v", err)
	}
	if _, _, err := Hub(Sources{Environ: links}); err != nil {
		t.Errorf("hub: %v", err)
	}
	if _, _, err := Hub(Sources{Environ: []string{"SKERRY_LISTNE=x"}}); err == nil {
		t.Error("a misspelt variable is taken")
	}
}

// TestRetiredKey holds that a file of an earlier release is read, and that its owner can see which
// key has lost its effect.
func TestRetiredKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hub.yaml")
	if err := os.WriteFile(file, []byte("streams:\n  telemetry: 8GiB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, settings, err := Hub(Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range settings {
		if s.Retired != "" {
			got = append(got, s.Key+" at "+filepath.Base(s.Origin)+": "+s.Retired)
		}
	}
	if want := []string{"streams.telemetry at hub.yaml:2: telemetry no longer waits in a stream, see ingest.queue"}; !slices.Equal(got, want) {
		t.Errorf("retired keys = %q, want %q", got, want)
	}
}

func TestSampleTasks(t *testing.T) {
	files, err := filepath.Glob("tasks/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no sample tasks", err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		task, err := spec.ParseTask(name, f)
		f.Close()
		if err != nil {
			t.Error(err)
		} else if task.Name+".yaml" != filepath.Base(name) {
			t.Errorf("%s holds task %q: name the file after the task", name, task.Name)
		}
	}
}

func TestEnvExampleIsKnown(t *testing.T) {
	text, err := os.ReadFile(".env.example")
	if err != nil {
		t.Fatal(err)
	}
	var environ []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			environ = append(environ, line)
		}
	}
	if _, _, err := Agent(Sources{Environ: environ}); err != nil {
		t.Error(err)
	}
	if _, _, err := Hub(Sources{Environ: environ}); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLayers(t *testing.T) {
	path := write(t, "mqtt:\n  broker: tcp://file:1\n  username: file\n  client_id: file\nlog: {level: warn}\n")
	c, settings, err := Agent(Sources{File: path, Environ: []string{"SKERRY_MQTT_USERNAME=env", "SKERRY_MQTT_CLIENT_ID=env", "ML_LOG_LEVEL=debug", "SKERRY_MQTT_QOS=", "HOME=/"},
		Flags: map[string]string{"mqtt.client_id": "flag"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.MQTT.Broker != "tcp://file:1" || c.MQTT.Username != "env" || c.MQTT.ClientID != "flag" || c.Log.Level != "debug" || c.MQTT.QoS != 1 {
		t.Errorf("layers gave %+v, %+v", c.MQTT, c.Log)
	}
	want := map[string]string{"mqtt.broker": path + ":2", "mqtt.username": "env SKERRY_MQTT_USERNAME", "mqtt.client_id": "flag", "log.level": "env ML_LOG_LEVEL", "mqtt.qos": "default"}
	for _, s := range settings {
		if o, ok := want[s.Key]; ok && s.Origin != o {
			t.Errorf("origin of %s = %q, want %q", s.Key, s.Origin, o)
		}
	}
}

func TestEveryProblemAtOnce(t *testing.T) {
	path := write(t, "mqtt:\n  brokr: tcp://x\n  qos: high\n  keep_alive: soon\nlog:\n  level: info\n  level: warn\n")
	_, _, err := Agent(Sources{File: path, Environ: []string{"SKERRY_MQTT_BROKERS=x", "ML_LEVEL=x"}, Flags: map[string]string{"mqtt.nope": "1"}})
	for _, want := range []string{`did you mean "broker"`, "line 2", "mqtt.qos", "line 3", "mqtt.keep_alive", "duplicate key", `did you mean "SKERRY_MQTT_BROKER"`, "ML_LEVEL", "mqtt.nope"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	path = write(t, "state_dir: \"\"\nmqtt: {broker: \"http://x\", qos: 2}\nhttp:\n  listen: nowhere\nlog: {format: xml}\n")
	_, _, err = Agent(Sources{File: path, Environ: []string{"SKERRY_CACHE_MAX_BYTES=1"}})
	for _, want := range []string{"state_dir", "mqtt.broker", "mqtt.qos", "http.listen (line 4)", "log.format", "env SKERRY_CACHE_MAX_BYTES: cache.max_bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestSecretsAreMasked(t *testing.T) {
	_, settings, err := Hub(Sources{Environ: []string{"JWT_SECRET=0123456789012345678901234567890123456789", "DATABASE_URL=postgres://u:hunter2@db/x?password=hunter2"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if strings.Contains(s.Value, "0123456789") || strings.Contains(s.Value, "hunter2") {
			t.Errorf("%s shows its secret: %s", s.Key, s.Value)
		}
	}
	_, _, err = Hub(Sources{Environ: []string{"JWT_SECRET=hunter2"}})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a short secret = %v, want an error that does not show it", err)
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := AgentHub{CAFile: ca}.Client(5 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Get(srv.URL)
	if err != nil {
		t.Fatalf("with the hub's own authority: %v", err)
	}
	res.Body.Close()
	if client, err = (AgentHub{}).Client(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(srv.URL); err == nil {
		t.Error("a certificate of an unknown authority was accepted")
	}
	empty := filepath.Join(dir, "empty.pem")
	os.WriteFile(empty, nil, 0o600)
	for _, m := range []AgentMQTT{{CAFile: empty}, {CAFile: filepath.Join(dir, "gone")}, {CertFile: empty, KeyFile: empty}} {
		if _, err := m.TLS(); err == nil || !strings.Contains(err.Error(), "mqtt.") {
			t.Errorf("TLS of %+v = %v, want an error that names the key", m, err)
		}
	}
}

// TestEveryVariableIsKnown finds the variables that any program or test of ours reads. One that
// the loader does not know would keep agent and hub from starting wherever it is set.
func TestEveryVariableIsKnown(t *testing.T) {
	literal, found := regexp.MustCompile(`"(SKERRY_[A-Z_]*[A-Z])"`), 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" || filepath.Base(path) == "configs_test.go" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range literal.FindAllSubmatch(b, -1) {
			found++
			if name := string(m[1]); !knownEnv(name) {
				t.Errorf("%s reads %s, which the loader refuses: add it to otherEnvs", path, name)
			}
		}
		return nil
	})
	if err != nil || found < 10 {
		t.Errorf("%d variables found: %v", found, err)
	}
}

// TestNothingHidesAProblem: what cannot be read hides nothing else, and is reported once.
func TestNothingHidesAProblem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yaml")
	text := "mqtt: {qos: 3}\nhttp: {listen: 8088}\nlog: {level: loud}\nenvironment: prod\ncache: {commit_interval: 1}\nfoo: 1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := Agent(Sources{File: file, Environ: []string{"MAX_WORKERS=many"}})
	if err == nil {
		t.Fatal("Agent = no error")
	}
	for _, key := range []string{"mqtt.qos", "http.listen", "log.level", "environment (line", "cache.commit_interval", "foo (line", "govern.max_workers"} {
		if n := strings.Count(err.Error(), key); n != 1 {
			t.Errorf("%s is reported %d times, want once:\n%v", key, n, err)
		}
	}
}
