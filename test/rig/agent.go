package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"skerry.dev/sync/spec"
)

// AgentOptions define what an agent's files hold.
type AgentOptions struct {
	Bin    string // folder of skerry-agent
	Dir    string // the device's folder becomes Dir/Device
	Device string
	Broker string            // tcp://host:port
	NATS   string            // host:port of the hub's NATS listener
	Hub    string            // host:port of the hub's REST API; "" for a device without a hub
	Tasks  map[string]string // task files by name
	Config string            // further lines of agent.yaml, at top level
	Back   string            // bandwidth of backfill, default 8MiB
}

// Agent is one device: a skerry-agent with files of its own and with links that can be cut.
type Agent struct {
	Process
	Device string
	HTTP   string // host:port of its own server
	Dir    string
	Link   *Proxy // NATS
	Web    *Proxy // REST, artifacts and enrolment
}

// NewAgent writes a device's files and opens its links. It starts nothing.
func NewAgent(o AgentOptions) (*Agent, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	a := &Agent{
		Device: o.Device,
		Dir:    filepath.Join(o.Dir, o.Device),
		HTTP:   fmt.Sprintf("127.0.0.1:%d", port),
	}
	hub := ""
	if o.Hub != "" {
		if a.Link, err = NewProxy(o.NATS); err != nil {
			return nil, err
		}
		if a.Web, err = NewProxy(o.Hub); err != nil {
			return nil, err
		}
		if o.Back == "" {
			o.Back = "8MiB"
		}
		hub = fmt.Sprintf("hub:\n  nats_urls: [\"nats://%s\"]\n  bandwidth_back: %s\n", a.Link.Addr(), o.Back)
	}
	if err := os.MkdirAll(a.TaskDir(), 0o755); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("state_dir: %s\ntask_dir: %s\nmqtt:\n  broker: %s\nhttp:\n  listen: %s\n%slog:\n  level: info\n%s",
		a.StateDir(), a.TaskDir(), o.Broker, a.HTTP, hub, o.Config)
	if err := os.WriteFile(a.Config(), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	for name, text := range o.Tasks {
		if err := os.WriteFile(filepath.Join(a.TaskDir(), name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	a.Process = Process{
		Name: "agent " + o.Device,
		Path: filepath.Join(o.Bin, "skerry-agent"),
		Args: []string{"run", "--config", a.Config()},
		Log:  filepath.Join(a.Dir, "agent.log"),
	}
	return a, nil
}

// Config returns the path of agent.yaml.
func (a *Agent) Config() string { return filepath.Join(a.Dir, "agent.yaml") }

// StateDir returns the directory of the agent's state.
func (a *Agent) StateDir() string { return filepath.Join(a.Dir, "state") }

// TaskDir returns the directory of the task files.
func (a *Agent) TaskDir() string { return filepath.Join(a.Dir, "tasks") }

// Enroll gives the device its identity, with the command a technician would type. hub is the
// address to enrol at; "" is the one behind the agent's own proxy.
func (a *Agent) Enroll(ctx context.Context, hub, token string) error {
	if hub == "" {
		hub = "http://" + a.Web.Addr()
	}
	cmd := exec.CommandContext(ctx, a.Path, "enroll", "--config", a.Config(), "--hub", hub, "--token", token)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("enrol %s: %w\n%s", a.Device, err, out)
	}
	return nil
}

// Detail is what the tests and the demonstration read of /health/detailed.
type Detail struct {
	Status  string          `json:"status"`
	Reasons []string        `json:"reasons"`
	Links   map[string]bool `json:"links"`
	State   spec.Reported   `json:"state"`
}

// Detail queries the agent's own HTTP server.
func (a *Agent) Detail(ctx context.Context) (d Detail, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+a.HTTP+"/health/detailed", nil)
	if err != nil {
		return d, err
	}
	c := http.Client{Timeout: 2 * time.Second}
	resp, err := c.Do(req)
	if err != nil {
		return d, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&d)
	return d, err
}

// State returns what the agent would report to the hub.
func (a *Agent) State(ctx context.Context) (spec.Reported, error) {
	d, err := a.Detail(ctx)
	return d.State, err
}

// WaitUp waits until the agent has its broker and, if required, its hub.
func (a *Agent) WaitUp(ctx context.Context, hub bool) error {
	limit := time.Now().Add(20 * time.Second)
	for time.Now().Before(limit) && ctx.Err() == nil {
		if err, gone := a.Exited(); gone {
			return fmt.Errorf("%s ended: %v\n%s", a.Name, err, a.Tail())
		}
		d, err := a.Detail(ctx)
		if err == nil && d.Links["mqtt"] && (!hub || d.Links["hub"]) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s is not up after 20 s\n%s", a.Name, a.Tail())
}

// SetCut drops the device's link to the hub, or restores it.
func (a *Agent) SetCut(cut bool) {
	a.Link.SetCut(cut)
	a.Web.SetCut(cut)
}

// Close closes the links. Stop the agent first.
func (a *Agent) Close() {
	for _, p := range []*Proxy{a.Link, a.Web} {
		if p != nil {
			p.Close()
		}
	}
}
