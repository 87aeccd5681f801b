package field

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"skerry.dev/agent/serve"
	"skerry.dev/test/rig"
	"skerry.dev/test/wait"
)

// programs is where the programs are built.
var programs string

// program is the agent, built once.
var program = sync.OnceValues(func() (string, error) { return build("skerry.dev/agent/cmd/skerry-agent") })

func build(pkg string) (string, error) {
	path := filepath.Join(programs, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "skerry-field-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(programs)
	os.Exit(code)
}

// mosquitto starts a broker and returns its port, and that of its WebSocket.
func mosquitto(t *testing.T) (port, ws int) {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto"
		if _, err := os.Stat(path); err != nil {
			t.Skip("mosquitto is not installed: Debian package mosquitto")
		}
	}
	dir := t.TempDir()
	for _, p := range []*int{&port, &ws} {
		if *p, err = rig.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	conf := fmt.Sprintf("listener %d 127.0.0.1\nlistener %d 127.0.0.1\nprotocol websockets\nallow_anonymous true\npersistence false\nmax_queued_messages 10000\n", port, ws)
	if err := os.WriteFile(filepath.Join(dir, "m.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &rig.Process{Name: "mosquitto", Path: path, Args: []string{"-c", filepath.Join(dir, "m.conf")}, Log: filepath.Join(dir, "m.log")}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(5 * time.Second) })
	wait.For(t, "the broker listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return port, ws
}

// agent is one process of the agent.
type agent struct {
	t    *testing.T
	dir  string
	web  string
	proc *rig.Process

	broker string
	client string // its MQTT client id
	more   string // further lines of its configuration
}

// stateIn makes a directory the one of its state.
func (a *agent) stateIn(dir string) {
	a.t.Helper()
	a.write("agent.yaml", fmt.Sprintf("state_dir: %s\ntask_dir: %s/tasks\nmqtt: {broker: %q, client_id: %s}\nhttp: {listen: %s}\n%s", dir, a.dir, a.broker, a.client, a.web, a.more))
}

// newAgent prepares an agent with a state directory of its own; broker is an address, "" for none.
func newAgent(t *testing.T, broker string, tasks map[string]string) *agent {
	t.Helper()
	a := &agent{t: t, dir: t.TempDir()}
	port, err := rig.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	a.web = fmt.Sprintf("127.0.0.1:%d", port)
	for _, d := range []string{"state", "tasks"} {
		if err := os.Mkdir(filepath.Join(a.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a.broker, a.client = broker, "field"
	a.stateIn(filepath.Join(a.dir, "state"))
	for name, text := range tasks {
		a.write("tasks/"+name+".yaml", text)
	}
	t.Cleanup(func() {
		a.stop()
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(a.dir, "agent.log"))
			t.Logf("--- agent\n%s", b)
		}
	})
	return a
}

func (a *agent) write(name, text string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

// start runs the agent and waits until it takes readings.
func (a *agent) start() {
	a.t.Helper()
	path, err := program()
	if err != nil {
		a.t.Fatal(err)
	}
	a.proc = &rig.Process{Name: "agent", Path: path, Args: []string{"run", "--config", filepath.Join(a.dir, "agent.yaml")}, Log: filepath.Join(a.dir, "agent.log")}
	if err := a.proc.Start(); err != nil {
		a.t.Fatal(err)
	}
	wait.For(a.t, "the agent is up", func() bool {
		d, err := a.detail()
		up, broker := d.Links["mqtt"]
		return err == nil && d.Ready && (up || !broker)
	})
}

func (a *agent) stop() {
	if a.proc != nil {
		a.proc.Stop(10 * time.Second)
		a.proc = nil
	}
}

// command runs another command of the agent with its configuration.
func (a *agent) command(args ...string) (string, error) {
	a.t.Helper()
	path, err := program()
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := exec.Command(path, append(args, "--config", filepath.Join(a.dir, "agent.yaml"))...).CombinedOutput()
	return string(out), err
}

func (a *agent) detail() (d serve.Detailed, err error) {
	res, err := http.Get("http://" + a.web + "/health/detailed")
	if err != nil {
		return d, err
	}
	defer res.Body.Close()
	return d, json.NewDecoder(res.Body).Decode(&d)
}

// rows returns how many rows a task has had, -1 for no such task.
func (a *agent) rows(task string) int64 {
	d, err := a.detail()
	if t, ok := d.State.Tasks[task]; err == nil && ok {
		return int64(t.Rows)
	}
	return -1
}

// reasons are those of its health, in one text.
func (a *agent) reasons() string {
	d, _ := a.detail()
	return strings.Join(d.Reasons, "\n")
}

// metric reads one value of /metrics.
func (a *agent) metric(name string) string {
	res, err := http.Get("http://" + a.web + "/metrics")
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func (a *agent) log() string {
	b, _ := os.ReadFile(filepath.Join(a.dir, "agent.log"))
	return string(b)
}

// sensor is a client that publishes and hears what agents publish.
type sensor struct {
	t   *testing.T
	cli mqtt.Client
	mu  sync.Mutex
	got map[string]string // newest payload by topic
}

func newSensor(t *testing.T, port int) *sensor {
	t.Helper()
	s := &sensor{t: t, got: map[string]string{}}
	cli, err := rig.Connect(fmt.Sprintf("tcp://127.0.0.1:%d", port), "sensor-"+t.Name())
	if err != nil {
		t.Fatal(err)
	}
	s.cli = cli
	t.Cleanup(func() { cli.Disconnect(0) })
	token := cli.Subscribe("skerry/#", 1, func(_ mqtt.Client, m mqtt.Message) {
		s.mu.Lock()
		s.got[m.Topic()] = string(m.Payload())
		s.mu.Unlock()
	})
	if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatal("no subscription", token.Error())
	}
	return s
}

func (s *sensor) publish(topic, payload string, retain bool) {
	s.t.Helper()
	token := s.cli.Publish(topic, 1, retain, payload)
	if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		s.t.Fatalf("publish to %s: %v", topic, token.Error())
	}
}

// heard returns the newest payload on a topic that ends so, "" for none.
func (s *sensor) heard(suffix string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, p := range s.got {
		if strings.HasSuffix(topic, suffix) {
			return p
		}
	}
	return ""
}
