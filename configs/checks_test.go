package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/sync/spec"
)

// loaders read each file of settings.
var loaders = map[string]func(Sources) (any, []Setting, error){
	"agent": func(s Sources) (any, []Setting, error) { return Agent(s) },
	"hub":   func(s Sources) (any, []Setting, error) { return Hub(s) },
	"ml":    func(s Sources) (any, []Setting, error) { return ML(s) },
}

// TestEveryBound gives a key the last value that is taken and the first that is not; want is what
// the operator reads.
func TestEveryBound(t *testing.T) {
	for _, tt := range []struct{ file, key, good, bad, want string }{
		{"agent", "environment", "staging", "prod", "must be production, staging, development or test"},
		{"agent", "state_dir", "/x", "", "must name a directory"},
		{"agent", "mqtt.broker", "mqtts://b:8883", "http://b:1883", "must be an address such as tcp://127.0.0.1:1883"},
		{"agent", "mqtt.broker", "unix:///run/mqtt.sock", "127.0.0.1:1883", "must be an address such as tcp://127.0.0.1:1883"},
		{"agent", "mqtt.broker", "wss://b/mqtt", "wsx://b", "wss://broker.site/mqtt"},
		{"agent", "mqtt.broker", "", "b", "empty for none"},
		{"agent", "mqtt.qos", "0", "2", "must be 0 to 1"},
		{"agent", "mqtt.qos", "1", "0.5", "must be a whole number"},
		{"agent", "mqtt.keep_alive", "18h", "18h1s", "must be 1s to 18h"},
		{"agent", "mqtt.max_backoff", "100ms", "99ms", "must be 100ms to 1h"},
		{"agent", "mqtt.max_payload", "64MiB", "65MiB", "must be 16 to 67108864 bytes"},
		{"agent", "http.listen", "[::1]:8088", "8088", "must be host:port"},
		{"agent", "http.listen", ":0", "127.0.0.1:", "must be host:port"},
		{"agent", "http.ingest", "false", "off-ish", "must be true or false"},
		{"agent", "hub.url", "https://hub.example:8000", "hub.example", "must be an address such as https://hub.example:8000"},
		{"agent", "hub.url", "", "ftp://hub.example", "must be an address such as https://hub.example:8000"},
		{"agent", "hub.nats_urls", "nats://a:4222, wss://b:443", "nats://a:4222, http://b", "each must be an address such as nats://hub.example:4222"},
		{"agent", "hub.bandwidth_back", "1KiB", "1023", "must be 1024 to 1073741824 bytes"},
		{"agent", "cache.max_bytes", "8MiB", "7MiB", "must be 8388608 to 1099511627776 bytes"},
		{"agent", "cache.commit_records", "500", "501", "must be 1 to 500"},
		{"agent", "cache.commit_interval", "1m", "61s", "must be 10ms to 1m"},
		{"agent", "cache.commit_acks", "65535", "65536", "must be 1 to 65535"},
		{"agent", "govern.interval", "1s", "500ms", "must be 1s to 1h"},
		{"agent", "govern.memory_limit", "0", "16MiB", "must be 33554432 to 1099511627776 bytes"},
		{"agent", "govern.max_workers", "1024", "-1", "must be 0 to 1024"},
		{"agent", "govern.min_free_share", "0.9", "0.91", "must be 0 to 0.9"},
		{"agent", "log.level", "DEBUG", "verbose", "must be debug, info, warn or error"},
		{"agent", "log.format", "json", "JSON", "must be text or json"},
		{"hub", "listen", "0.0.0.0:8000", "localhost", "must be host:port"},
		{"hub", "nats_listen", "127.0.0.1:-1", "4222", "must be host:port"},
		{"hub", "nats_urls", "tls://hub.example:4222", "hub.example", "each must be an address such as nats://hub.example:4222"},
		{"hub", "data_dir", "d", "", "must name a directory"},
		{"hub", "database_url", "/var/lib/hub.db", "mysql://db/hub", "must be a path of a SQLite file, sqlite:<path> or postgres://"},
		{"hub", "database_url", "sqlite:/var/lib/hub.db", "http://db", "must be a path of a SQLite file"},
		{"hub", "blob_url", "s3://bucket/prefix", "gs://bucket", "must be a directory, file://… or s3://…"},
		{"hub", "auth.jwt_secret", strings.Repeat("s", 32), strings.Repeat("s", 31), "must have at least 32 characters"},
		{"hub", "auth.login_ttl", "30d", "31d", "must be 1m to 720h"},
		{"hub", "training.threads", "1", "0", "must be 1 to 1024"},
		{"hub", "ingest.queue", "1MiB", "1000000", "must be 1048576 to 68719476736 bytes"},
		{"hub", "lake.compact_every", "1d", "25h", "must be 1s to 24h"},
		{"hub", "lake.label_age", "1d", "23h", "must be 24h to 87600h"},
		{"hub", "lake.grace", "0s", "3651d", "must be 0s to 87600h"},
		{"hub", "log.level", "warn", "loud", "must be debug, info, warn or error"},
		{"ml", "model_selection.families", "mlp", "gbdt, svm", "each must be gbdt, forest, linear or mlp"},
		{"ml", "model_selection.budget", "7d", "8d", "must be 1s to 168h"},
		{"ml", "model_selection.max_trials", "0", "-1", "must be 0 to 100000"},
		{"ml", "adaptive_learning.first_labels", "200", "199", "must be 200 to 1e+09"},
		{"ml", "adaptive_learning.drift_events", "1", "0", "must be 1 to 1e+06"},
		{"ml", "adaptive_learning.retraining_threshold", "0.001", "0", "must be 0.001 to 10"},
		{"ml", "rollout.min_shadow", "2", "1", "must be 2 to 1e+06"},
		{"ml", "rollout.max_regression", "0.999", "1", "must be 0.001 to 0.999"},
		{"ml", "rollout.max_latency", "1us", "100ns", "must be 1µs to 1m"},
	} {
		load := loaders[tt.file]
		if _, _, err := load(Sources{Flags: map[string]string{tt.key: tt.good}}); err != nil {
			t.Errorf("%s: %s=%s: %v, want it taken", tt.file, tt.key, tt.good, err)
		}
		_, settings, err := load(Sources{Flags: map[string]string{tt.key: tt.bad}})
		if err == nil || !strings.Contains(err.Error(), tt.key) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %s=%s: %v, want %q", tt.file, tt.key, tt.bad, err, tt.want)
		}
		if settings != nil {
			t.Errorf("%s: %s=%s: settings are returned beside an error", tt.file, tt.key, tt.bad)
		}
	}
}

// TestPairs are settings that only make sense together.
func TestPairs(t *testing.T) {
	for _, tt := range []struct{ file, one, other, want string }{
		{"agent", "mqtt.cert_file", "mqtt.key_file", "a client certificate needs both cert_file and key_file"},
		{"hub", "tls_cert", "tls_key", "TLS needs both tls_cert and tls_key"},
	} {
		for _, alone := range []string{tt.one, tt.other} {
			if _, _, err := loaders[tt.file](Sources{Flags: map[string]string{alone: "/x.pem"}}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s alone: %v, want %q", alone, err, tt.want)
			}
		}
		if _, _, err := loaders[tt.file](Sources{Flags: map[string]string{tt.one: "/x.pem", tt.other: "/y.pem"}}); err != nil {
			t.Errorf("%s and %s: %v", tt.one, tt.other, err)
		}
	}
}

// TestEveryKeyFromEverywhere sets each key by its variable, by a flag and in a file to the default
// that is shown for it, and demands the same configuration and the origin of each.
func TestEveryKeyFromEverywhere(t *testing.T) {
	for name, load := range loaders {
		want, settings, err := load(Sources{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, s := range settings {
			if s.Origin != "default" {
				t.Errorf("%s: %s comes from %q, want default", name, s.Key, s.Origin)
			}
			value := strings.Trim(s.Value, "[]") // lists are shown as a file has them
			text, depth := "", 0
			for part := range strings.SplitSeq(s.Key, ".") {
				text += "\n" + strings.Repeat("  ", depth) + part + ":"
				depth++
			}
			path := filepath.Join(t.TempDir(), "c.yaml")
			quoted := s.Value
			if quoted == "" {
				quoted = `""`
			}
			if err := os.WriteFile(path, []byte(text[1:]+" "+quoted+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			sources := map[string]Sources{
				"flag":                            {Flags: map[string]string{s.Key: value}},
				fmt.Sprintf("%s:%d", path, depth): {File: path},
				"env " + s.Env:                    {Environ: []string{s.Env + "=" + value}},
			}
			if value == "" {
				delete(sources, "env "+s.Env) // an empty variable is one that is not set
			}
			for origin, src := range sources {
				got, after, err := load(src)
				if err != nil {
					t.Errorf("%s: %s as shown, from %s: %v", name, s.Key, origin, err)
					continue
				}
				if !same(got, want) {
					t.Errorf("%s: %s as shown, from %s: %+v, want the defaults", name, s.Key, origin, got)
				}
				i := slices.IndexFunc(after, func(a Setting) bool { return a.Key == s.Key })
				if i < 0 || after[i].Origin != origin || after[i].Value != s.Value {
					t.Errorf("%s: %s from %s is shown as %+v", name, s.Key, origin, after[i])
				}
			}
		}
	}
}

// TestNoValue: a number, a time, a size or a switch without a value is refused by its key where it
// is set by a flag. An empty variable is one that is not set, a list of nothing is a list.
func TestNoValue(t *testing.T) {
	for _, tt := range []struct{ file, key, env string }{
		{"agent", "cache.max_bytes", "SKERRY_CACHE_MAX_BYTES"},
		{"agent", "mqtt.keep_alive", "SKERRY_MQTT_KEEP_ALIVE"},
		{"agent", "http.ingest", "SKERRY_HTTP_INGEST"},
		{"hub", "auth.login_ttl", "SKERRY_AUTH_LOGIN_TTL"},
		{"hub", "training.threads", "SKERRY_TRAINING_THREADS"},
		{"ml", "rollout.max_regression", "SKERRY_ROLLOUT_MAX_REGRESSION"},
	} {
		load := loaders[tt.file]
		for _, empty := range []string{"", "~", "null"} {
			_, _, err := load(Sources{Flags: map[string]string{tt.key: empty}})
			if err == nil || !strings.Contains(err.Error(), tt.key) || !strings.Contains(err.Error(), "needs a value") {
				t.Errorf("--set %s=%s: %v, want it refused by its key", tt.key, empty, err)
			}
		}
		if _, _, err := load(Sources{Environ: []string{tt.env + "=null"}}); err == nil || !strings.Contains(err.Error(), "needs a value") {
			t.Errorf("%s=null: %v, want it refused", tt.env, err)
		}
		_, settings, err := load(Sources{Environ: []string{tt.env + "="}})
		if err != nil {
			t.Errorf("%s=: %v, want the default", tt.env, err)
		}
		for _, s := range settings {
			if s.Key == tt.key && s.Origin != "default" {
				t.Errorf("%s=: %s comes from %s, want the default", tt.env, tt.key, s.Origin)
			}
		}
	}
}

// TestTextIsTakenAsItStands: a flag clears what a file sets, and words that YAML reads as something
// else are text.
func TestTextIsTakenAsItStands(t *testing.T) {
	path := write(t, "mqtt: {username: someone, password: secret}\n")
	for _, want := range []string{"", "null", "~", "true", "0x10", "1e3", "a: b", "[a]", "# a"} {
		c, _, err := Agent(Sources{File: path, Flags: map[string]string{"mqtt.username": want}})
		if err != nil || c.MQTT.Username != want {
			t.Errorf("--set mqtt.username=%s = %q, %v", want, c.MQTT.Username, err)
		}
		if want == "" {
			continue
		}
		c, _, err = Agent(Sources{File: path, Environ: []string{"SKERRY_MQTT_PASSWORD=" + want}})
		if err != nil || c.MQTT.Password != want {
			t.Errorf("SKERRY_MQTT_PASSWORD=%s = %q, %v", want, c.MQTT.Password, err)
		}
	}
}

// same compares configurations; a list without elements is none.
func same(a, b any) bool {
	text := func(v any) string { return fmt.Sprintf("%+v", reflect.ValueOf(v).Elem().Interface()) }
	return text(a) == text(b)
}

// TestBadFiles are files that are no configuration.
func TestBadFiles(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"not YAML":         {"mqtt: [", "agent.yaml"},
		"a list":           {"- a\n", "must be a mapping"},
		"a section of one": {"mqtt: tcp://x\n", "mqtt (line 1)"},
		"a list for one":   {"state_dir: [a]\n", "must be a single value"},
		"one for a list":   {"hub: {nats_urls: \"nats://x\"}\n", "hub.nats_urls (line 1)"},
		"too large":        {"# " + strings.Repeat("x", maxFileBytes), "larger than"},
		"a key of the hub": {"data_dir: x\n", `data_dir (line 1): unknown key`},
	} {
		if _, _, err := Agent(Sources{File: write(t, tt.text)}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Agent = %v, want %q", name, err, tt.want)
		}
	}
	if _, _, err := Agent(Sources{File: filepath.Join(t.TempDir(), "none.yaml")}); err == nil || !strings.Contains(err.Error(), "open configuration") {
		t.Errorf("a file that is not there: %v", err)
	}
	for _, text := range []string{"", "# only a comment\n", "mqtt:\n"} {
		if _, _, err := Agent(Sources{File: write(t, text)}); err != nil {
			t.Errorf("a file of %q: %v, want the defaults", text, err)
		}
	}
}

// TestAddressesAreMasked: what is shown of an address holds no password, in whatever place.
func TestAddressesAreMasked(t *testing.T) {
	for in, want := range map[string]string{
		"tcp://user:hunter2@broker:1883": "tcp://user:xxxxx@broker:1883",
		"tcp://broker:1883":              "tcp://broker:1883",
		"tcp://bro ker:hunter2@x":        "********",
	} {
		_, settings, err := Agent(Sources{Flags: map[string]string{"mqtt.broker": in}})
		if err != nil {
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("mqtt.broker=%s: the error shows the password: %v", in, err)
			}
			continue
		}
		for _, s := range settings {
			if s.Key == "mqtt.broker" && s.Value != want {
				t.Errorf("mqtt.broker=%s is shown as %s, want %s", in, s.Value, want)
			}
		}
	}
	_, settings, err := Hub(Sources{Flags: map[string]string{"nats_urls": "nats://u:hunter2@a:1, wss://b/?token=hunter2"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if strings.Contains(s.Value, "hunter2") {
			t.Errorf("%s shows a password: %s", s.Key, s.Value)
		}
	}
}

// TestPlaces holds where the agent keeps what: an agent of tomorrow must find it.
func TestPlaces(t *testing.T) {
	c := AgentConfig{StateDir: "state"}
	for what, tt := range map[string][2]string{
		"identity": {c.IdentityDir(), "state/identity"},
		"trust":    {c.TrustDir(), "state/trust"},
		"slots":    {c.SlotDir(), "state/slots"},
		"database": {c.DatabasePath(), "state/skerry.db"},
		"floors":   {c.FloorPath(), "state/floors.json"},
	} {
		if filepath.ToSlash(tt[0]) != tt[1] {
			t.Errorf("%s stands in %s, want %s", what, tt[0], tt[1])
		}
	}
}

func TestProgramVersion(t *testing.T) {
	defer func(v string) { Version = v }(Version)
	if Version = "v9.8.7"; ProgramVersion() != "v9.8.7" {
		t.Errorf("ProgramVersion() = %q, want what the linker set", ProgramVersion())
	}
	if Version = ""; ProgramVersion() == "" {
		t.Error("ProgramVersion() is empty without a version of the linker")
	}
}

// TestDurationsAreShownAsWritten: a value that is shown can be put into the file again.
func TestDurationsAreShownAsWritten(t *testing.T) {
	for in, want := range map[string]string{"90m": "1h30m", "1h": "1h", "60s": "1m", "10m": "10m", "3d": "72h", "1h0m1s": "1h0m1s", "0s": "0s", "20m": "20m"} {
		_, settings, err := ML(Sources{Flags: map[string]string{"adaptive_learning.cooldown": in}})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key == "adaptive_learning.cooldown" })
		got, err := spec.ParseDuration(settings[i].Value)
		if err != nil || settings[i].Value != want {
			t.Errorf("a duration of %s is shown as %q (%v), want %s", in, settings[i].Value, err, want)
		}
		if d, _ := spec.ParseDuration(in); got != d {
			t.Errorf("a duration of %s is shown as %s, which is %v", in, settings[i].Value, got.Round(time.Second))
		}
	}
}
