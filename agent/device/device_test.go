package device

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats-server/v2/server"

	"skerry.dev/configs"
	"skerry.dev/test/wait"
)

const taskFile = `task: level
target: {series: y, horizon: 1h}
inputs:
  - {series: y, topic: s/a, path: $.y, range: [0, 1000]}
time: {path: $.ts, format: unix, max_past: 36500d}
rows: {on: y}
`

func broker(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	s, err := server.NewServer(&server.Options{ServerName: "b", Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, MQTT: server.MQTTOpts{Host: "127.0.0.1", Port: port}})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("no broker")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return "tcp://" + net.JoinHostPort("127.0.0.1", itoa(port))
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func config(t *testing.T, dir, broker, http string) *configs.AgentConfig {
	t.Helper()
	cfg, _, err := configs.Agent(configs.Sources{Flags: map[string]string{"state_dir": filepath.Join(dir, "state"), "task_dir": filepath.Join(dir, "tasks"), "mqtt.broker": broker, "http.listen": http}})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// begin opens and runs a device.
func begin(t *testing.T, cfg *configs.AgentConfig) (d *Device, stop func()) {
	t.Helper()
	d, err := Open(Options{Config: cfg, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	return d, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
}

// TestAlone runs a device without a hub: it predicts, shows itself, takes over changed task
// files, keeps the old ones when the new are faulty, and continues after a restart.
func TestAlone(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	url := broker(t)
	if err := os.MkdirAll(filepath.Join(dir, "tasks"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tasks", "level.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(taskFile)
	_, stop := begin(t, config(t, dir, url, addr))
	wait.For(t, "ready and connected", func() bool {
		var doc struct {
			Ready bool
			Links map[string]bool
		}
		return json.Unmarshal([]byte(get(t, "http://"+addr+"/health/detailed")), &doc) == nil && doc.Ready && doc.Links["mqtt"]
	})

	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("sensor"))
	if tok := c.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	defer c.Disconnect(50)
	said := make(chan string, 100)
	if tok := c.Subscribe("skerry/#", 0, func(_ mqtt.Client, m mqtt.Message) { said <- m.Topic() + " " + string(m.Payload()) }); !tok.WaitTimeout(5 * time.Second) {
		t.Fatal("not subscribed")
	}
	send := func(hour int, payload string) {
		if tok := c.Publish("s/a", 1, false, strings.ReplaceAll(payload, "TS", itoa(hour*3600))); !tok.WaitTimeout(5 * time.Second) {
			t.Fatal("the broker takes nothing")
		}
	}
	hears := func(what string) {
		t.Helper()
		limit := time.After(10 * time.Second)
		for {
			select {
			case s := <-said:
				if strings.Contains(s, what) {
					return
				}
			case <-limit:
				t.Fatalf("no message with %q", what)
			}
		}
	}
	for h := range 20 {
		send(h, `{"ts":TS,"y":`+itoa(40+h%5)+`}`)
	}
	hears(`"ts":"1970-01-01T19:00:00Z"`)

	write(strings.Replace(taskFile, "horizon: 1h", "horizon: -1h", 1))
	wait.For(t, "the faulty file is reported", func() bool {
		h := get(t, "http://"+addr+"/health")
		return strings.Contains(h, "degraded") && strings.Contains(h, "level.yaml")
	})
	send(20, `{"ts":TS,"y":41}`)
	hears(`"ts":"1970-01-01T20:00:00Z"`)
	write(strings.Replace(taskFile, "task: level", "task: depth", 1))
	wait.For(t, "the corrected file is in force", func() bool { return strings.Contains(get(t, "http://"+addr+"/health"), `"ok"`) })
	send(21, `{"ts":TS,"y":42}`)
	hears(`/depth/prediction`)
	stop()

	_, stop = begin(t, config(t, dir, url, addr))
	wait.For(t, "the rows from before the restart", func() bool {
		var doc struct {
			State struct {
				Tasks  map[string]struct{ Rows int }
				Outbox struct{ Stored map[string]int }
			}
		}
		return json.Unmarshal([]byte(get(t, "http://"+addr+"/health/detailed")), &doc) == nil && doc.State.Tasks["depth"].Rows == 1 && doc.State.Outbox.Stored["reading"] == 22
	})
	for _, path := range []string{"/alive", "/metrics", "/docs", "/v1/tasks", "/v2"} {
		if body := get(t, "http://"+addr+path); len(body) < 2 {
			t.Errorf("GET %s is empty", path)
		}
	}
	stop()
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(Options{Config: config(t, dir, "tcp://127.0.0.1:1", freeAddr(t))}); err == nil || !strings.Contains(err.Error(), "task directory") {
		t.Errorf("without a task directory: %v", err)
	}
}

// TestStartsBesideFaults: files of task_dir that cannot be read, a task that is there twice and a
// taken port of the pages keep no other task from running; health says what is left out, a task
// whose file is faulty goes on as it was, and each is put right without a restart.
func TestStartsBesideFaults(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	url := broker(t)
	tasks := filepath.Join(dir, "tasks")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(tasks, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(tasks, 0o755); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(taskFile, "task: level", "task: other", 1)
	write("level.yaml", taskFile)
	write("other.yaml", other)
	d, stop := begin(t, config(t, dir, url, addr))
	rows := func(task string) int64 { return d.Reported().Tasks[task].Rows }
	wait.For(t, "connected", func() bool { return d.Links()["mqtt"] })
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("sensor"))
	if tok := c.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	defer c.Disconnect(50)
	for h := range 20 {
		if tok := c.Publish("s/a", 1, false, fmt.Sprintf(`{"ts":%d,"y":%d}`, h*3600, 40+h%5)); !tok.WaitTimeout(5 * time.Second) {
			t.Fatal("the broker takes nothing")
		}
	}
	wait.For(t, "both tasks have rows", func() bool { return rows("level") >= 19 && rows("other") >= 19 })
	stop()

	write("other.yaml", "task: [1")
	write("twice.yaml", taskFile)
	write("empty.yaml", "")
	write(".#level.yaml", "an editor's")
	taken, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	d, stop = begin(t, config(t, dir, url, addr))
	for _, want := range []string{"other.yaml", "twice.yaml", "is that of", "empty.yaml", "no local pages"} {
		wait.For(t, "health names "+want, func() bool { return strings.Contains(strings.Join(d.Reported().Reasons, "\n"), want) })
	}
	if text := strings.Join(d.Reported().Reasons, "\n"); strings.Contains(text, ".#level") {
		t.Errorf("reasons %q name an editor's file", text)
	}
	if n := len(d.Tasks()); n != 2 {
		t.Errorf("%d tasks run, want the good one, and the other as its file was", n)
	}
	taken.Close()
	for _, name := range []string{"twice.yaml", "empty.yaml"} {
		if err := os.Remove(filepath.Join(tasks, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("other.yaml", other)
	wait.For(t, "both tasks run, with what they had learned", func() bool { return rows("level") >= 19 && rows("other") >= 19 })
	stop()
}
