package configs

import (
	"strings"
	"testing"
)

// TestRedacted holds that no address shows a password, also where it is no valid address.
func TestRedacted(t *testing.T) {
	for address, want := range map[string]string{
		"tcp://broker.site:1883":                         "tcp://broker.site:1883",
		"tcp://anna@broker.site":                         "tcp://anna@broker.site",
		"tcp://anna:hunter2@broker.site:1883":            "tcp://anna:xxxxx@broker.site:1883",
		"tcp://anna:hun@ter2@broker.site":                "tcp://anna:xxxxx@broker.site",
		"tcp://anna:hun/ter2@broker.site":                "tcp://anna:xxxxx@broker.site",
		"tcp://anna:hun#ter2@broker.site":                "tcp://anna:xxxxx@broker.site",
		"tcp://anna:hun%zzter2@broker.site":              "tcp://anna:xxxxx@broker.site",
		"redis://:hunter2@cache":                         "redis://:xxxxx@cache",
		"nats://hunter2@hub.site:4222":                   "nats://xxxxx@hub.site:4222",
		"postgres://u:hunter2@db/x?password=hunter2&a=1": "postgres://u:xxxxx@db/x?password=xxxxx&a=1",
		"https://hub.site/?access_token=hunter2":         "https://hub.site/?access_token=xxxxx",
		"/var/lib/hub.db":                                "/var/lib/hub.db",
		"":                                               "",
	} {
		if got := Redacted(address); got != want {
			t.Errorf("Redacted(%q) = %q, want %q", address, got, want)
		}
	}
}

// TestAddresses holds which addresses are taken: a port that cannot be is found at the start, and
// no error shows a password.
func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		key, value string
		ok         bool
	}{
		{"http.listen", "127.0.0.1:65535", true},
		{"http.listen", "127.0.0.1:0", true},
		{"http.listen", ":8088", true},
		{"http.listen", "127.0.0.1:65536", false},
		{"http.listen", "127.0.0.1:-1", false},
		{"http.listen", "127.0.0.1:808O", false},
		{"http.listen", "8088", false},
		{"mqtt.broker", "tcp://127.0.0.1:1883", true},
		{"mqtt.broker", "unix:///run/mosquitto.sock", true},
		{"mqtt.broker", "tcp://u:hunter2@127.0.0.1:99999", false},
		{"mqtt.broker", "tcp://127.0.0.1:0", false},
		{"mqtt.broker", "tcp://:1883:1", false},
		{"mqtt.broker", "tcp://u:hun/ter2@127.0.0.1", false},
		{"mqtt.broker", "tcp://", false},
		{"hub.url", "https://hub.example:70000", false},
		{"hub.nats_urls", "nats://hub.example:70000", false},
	} {
		_, _, err := Agent(Sources{Flags: map[string]string{tt.key: tt.value}})
		if (err == nil) != tt.ok || err != nil && (!strings.Contains(err.Error(), tt.key) || strings.Contains(err.Error(), "hun")) {
			t.Errorf("%s=%s: %v, want ok = %v", tt.key, tt.value, err, tt.ok)
		}
	}
	for value, ok := range map[string]bool{"127.0.0.1:-1": true, "127.0.0.1:-2": false, "127.0.0.1:99999": false} {
		if _, _, err := Hub(Sources{Flags: map[string]string{"nats_listen": value}}); (err == nil) != ok {
			t.Errorf("nats_listen=%s: %v, want ok = %v", value, err, ok)
		}
	}
}

// TestNumbersAreDecimal holds that a number with a leading zero is the one that people mean, from
// every source.
func TestNumbersAreDecimal(t *testing.T) {
	path := file(t, "agent.yaml", "govern: {max_workers: 010, min_free_share: 00.5}\ncache: {commit_records: 0x1F, max_bytes: 012MiB}\nmqtt: {client_id: 010, keep_alive: 010s}\n")
	c, _, err := Agent(Sources{File: path, Environ: []string{"SKERRY_CACHE_COMMIT_ACKS=017"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Govern.MaxWorkers != 10 || c.Cache.CommitRecords != 31 || c.Cache.CommitAcks != 17 || c.MQTT.ClientID != "010" ||
		c.Cache.MaxBytes != 12<<20 || c.Govern.MinFreeShare != 0.5 || c.MQTT.KeepAlive.Std().Seconds() != 10 {
		t.Errorf("configuration = %+v", c)
	}
	for _, text := range []string{"govern: {max_workers: 1:30}", "govern: {max_workers: 0o9}", "govern: {max_workers: yes}", "mqtt: {qos: 1.5}", "http: {ingest: 1}", "http: {ingest: maybe}"} {
		if _, _, err := Agent(Sources{File: file(t, "agent.yaml", text+"\n")}); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
	for _, text := range []string{"yes", "no", "on", "off", "True", "FALSE"} {
		c, _, err := Agent(Sources{File: file(t, "agent.yaml", "http: {ingest: "+text+"}\nmqtt: {username: "+text+"}\n")})
		if err != nil || c.HTTP.Ingest != (text == "yes" || text == "on" || text == "True") || c.MQTT.Username != text {
			t.Errorf("%s: %v, want the meaning of a truth and the text as written", text, err)
		}
	}
}
