package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"skerry.dev/sync/spec"
)

// process is a program the driver started, with its log in a file.
type process struct {
	name string
	path string
	args []string
	env  []string
	log  string
	cmd  *exec.Cmd
	done chan error
}

func (p *process) start() error {
	f, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.SysProcAttr = ownGroup() // an interrupt at the terminal is for the driver, which then stops its processes in order
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(p.cmd, p.done)
	return nil
}

// kill ends the process at once, as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop asks the process to end and kills it when it does not.
func (p *process) stop(limit time.Duration) {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(limit):
		p.kill()
	}
}

// exited reports whether the process ended by itself.
func (p *process) exited() (error, bool) {
	select {
	case err := <-p.done:
		p.done <- err
		return err, true
	default:
		return nil, false
	}
}

// tail returns the end of the process's log.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// agent is one device of the demonstration.
type agent struct {
	process
	device string
	http   string
	dir    string
	link   *proxy // NATS
	web    *proxy // REST, artifacts and enrolment
}

const taskFile = `# One station of the demonstration: PM2.5 one hour ahead.
task: pm25-next-hour
kind: forecast
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: air/STATION/reading, path: $.pm25, unit: µg/m³, range: [0, 1500]}
  - {series: pm10, topic: air/STATION/reading, path: $.pm10, unit: µg/m³}
  - {series: so2, topic: air/STATION/reading, path: $.so2, unit: µg/m³}
  - {series: no2, topic: air/STATION/reading, path: $.no2, unit: µg/m³}
  - {series: co, topic: air/STATION/reading, path: $.co, unit: µg/m³}
  - {series: o3, topic: air/STATION/reading, path: $.o3, unit: µg/m³}
  - {series: temp, topic: air/STATION/reading, path: $.temp, unit: °C}
  - {series: pres, topic: air/STATION/reading, path: $.pres, unit: hPa}
  - {series: dewp, topic: air/STATION/reading, path: $.dewp, unit: °C}
  - {series: rain, topic: air/STATION/reading, path: $.rain, unit: mm}
  - {series: wd, topic: air/STATION/reading, path: $.wd, categories: [N, NNE, NE, ENE, E, ESE, SE, SSE, S, SSW, SW, WSW, W, WNW, NW, NNW]}
  - {series: wspm, topic: air/STATION/reading, path: $.wspm, unit: m/s}
time: {path: $.ts, format: rfc3339, max_future: 5m}
rows: {on: pm25, max_age: 3h, lateness: 0s}
publish: {topic: "skerry/{device}/{task}/prediction", retain: true}
interval: 0.9
sync: {readings: all, predictions: 10%}
budget: {latency: 1ms, size: 4MB}
`

// newAgent writes a device's files.
func newAgent(bin, dir, device, broker, natsAddr, hubAddr string) (*agent, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	a := &agent{device: device, dir: filepath.Join(dir, device), http: fmt.Sprintf("127.0.0.1:%d", port)}
	if a.link, err = newProxy(natsAddr); err != nil {
		return nil, err
	}
	if a.web, err = newProxy(hubAddr); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(a.dir, "tasks"), 0o755); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("state_dir: %s\ntask_dir: %s\nmqtt:\n  broker: %s\nhttp:\n  listen: %s\nhub:\n  nats_urls: [\"nats://%s\"]\n  bandwidth_back: 8MiB\ncache:\n  commit_records: 450\n  commit_acks: 32\nlog:\n  level: info\n",
		filepath.Join(a.dir, "state"), filepath.Join(a.dir, "tasks"), broker, a.http, a.link.addr())
	if err := os.WriteFile(a.config(), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	task := strings.ReplaceAll(taskFile, "STATION", device)
	if err := os.WriteFile(filepath.Join(a.dir, "tasks", "pm25.yaml"), []byte(task), 0o644); err != nil {
		return nil, err
	}
	a.process = process{name: "agent " + device, path: filepath.Join(bin, "skerry-agent"), args: []string{"run", "--config", a.config()}, log: filepath.Join(a.dir, "agent.log")}
	return a, nil
}

func (a *agent) config() string { return filepath.Join(a.dir, "agent.yaml") }

// enroll gives the device its identity, with the command a technician would type.
func (a *agent) enroll(ctx context.Context, token string) error {
	cmd := exec.CommandContext(ctx, a.path, "enroll", "--config", a.config(), "--hub", "http://"+a.web.addr(), "--token", token)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("enrol %s: %w\n%s", a.device, err, out)
	}
	return nil
}

// state asks the agent's own HTTP server.
func (a *agent) state(ctx context.Context) (spec.Reported, error) {
	var out struct {
		State spec.Reported `json:"state"`
	}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+a.http+"/health/detailed", nil)
	if err != nil {
		return out.State, err
	}
	c := http.Client{Timeout: 2 * time.Second}
	resp, err := c.Do(req)
	if err != nil {
		return out.State, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&out)
	return out.State, err
}

// setCut drops the device's link to the hub, or restores it.
func (a *agent) setCut(cut bool) {
	a.link.setCut(cut)
	a.web.setCut(cut)
}
