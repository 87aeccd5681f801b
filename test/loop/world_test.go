package loop

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"skerry.dev/hub/api"
	"skerry.dev/hub/rollout"
	"skerry.dev/sync/spec"
	"skerry.dev/test/rig"
)

// task is the task of most tests: the level of a tank one hour ahead.
const task = "level"

const taskFile = `task: level
kind: forecast
target: {series: y, horizon: 1h}
inputs:
  - {series: y, topic: plant/SITE/reading, path: $.y, unit: bar}
  - {series: x, topic: plant/SITE/reading, path: $.x, unit: °C}
time: {path: $.ts, format: rfc3339}
rows: {on: y, max_age: 3h}
sync: {readings: all, predictions: 10%}
`

// world is a hub, a broker and the agents of one test.
type world struct {
	t      *testing.T
	ctx    context.Context
	dir    string
	broker string // tcp://host:port
	nats   string
	web    string // host:port of the hub's REST API
	hub    rig.Process
	api    *rig.Client
	agents []*rig.Agent
}

// newWorld starts a hub at the given broker; "" runs a broker in this process. The test ends
// after limit at the latest.
func newWorld(t *testing.T, broker string, limit time.Duration, hubArgs ...string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, dir: t.TempDir(), broker: broker}
	if broker == "" {
		srv, addr, err := rig.StartBroker(w.dir)
		w.must(err)
		t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
		w.broker = addr
	}
	w.nats, w.web = w.address(), w.address()
	password := rand.Text()
	passwordFile := filepath.Join(w.dir, "password")
	w.must(os.WriteFile(passwordFile, []byte(password), 0o600))
	w.hub = rig.Process{Name: "hub", Path: filepath.Join(bin, "skerry-hub"), Log: filepath.Join(w.dir, "hub.log"),
		Args: append([]string{"serve", "--data", filepath.Join(w.dir, "hub"), "--listen", w.web, "--nats-listen", w.nats, "--admin-password-file", passwordFile, "--no-auto-train"}, hubArgs...)}
	t.Cleanup(w.close)
	w.must(w.hub.Start())
	w.api = rig.NewClient(w.web, 30*time.Second)
	w.must(w.api.WaitReady(ctx, 30*time.Second))
	_, err := w.api.Login(ctx, "admin", password)
	w.must(err)
	return w
}

func (w *world) address() string {
	port, err := rig.FreePort()
	w.must(err)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// must ends the test with the ends of all logs.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// close stops the processes and shows their logs when the test has failed.
func (w *world) close() {
	var wg sync.WaitGroup
	for _, a := range w.agents {
		wg.Go(func() { a.Stop(5 * time.Second); a.Close() })
	}
	wg.Wait()
	w.hub.Stop(10 * time.Second)
	if w.t.Failed() {
		w.t.Logf("--- hub\n%s", w.hub.Tail())
		for _, a := range w.agents {
			w.t.Logf("--- %s\n%s", a.Name, a.Tail())
		}
	}
}

// agent enrols and starts a device. Its sensors publish to plant/<site>/reading.
func (w *world) agent(device, site string, change func(*rig.AgentOptions)) *rig.Agent {
	w.t.Helper()
	a := w.newAgent(device, site, change)
	w.enrol(a, "")
	w.must(a.Start())
	w.must(a.WaitUp(w.ctx, true))
	return a
}

// newAgent writes a device's files.
func (w *world) newAgent(device, site string, change func(*rig.AgentOptions)) *rig.Agent {
	w.t.Helper()
	o := rig.AgentOptions{Bin: bin, Dir: w.dir, Device: device, Broker: w.broker, NATS: w.nats, Hub: w.web,
		Tasks: map[string]string{"level.yaml": strings.ReplaceAll(taskFile, "SITE", site)}}
	if change != nil {
		change(&o)
	}
	a, err := rig.NewAgent(o)
	w.must(err)
	w.agents = append(w.agents, a)
	return a
}

func (w *world) enrol(a *rig.Agent, hub string) {
	w.t.Helper()
	var tok struct{ Token string }
	w.must(w.api.Call(w.ctx, "POST", "/v1/enroll-tokens", map[string]string{"device": a.Device, "site": "site"}, &tok))
	w.must(a.Enroll(w.ctx, hub, tok.Token))
}

// until waits for a condition. It tells what was missing when the time is over or an agent has
// ended by itself.
func (w *world) until(limit time.Duration, what string, ok func() (bool, string)) {
	w.t.Helper()
	began, missing := time.Now(), ""
	for time.Since(began) < limit && w.ctx.Err() == nil {
		done := false
		if done, missing = ok(); done {
			return
		}
		time.Sleep(30 * time.Millisecond)
	}
	w.t.Fatalf("after %s: %s: %s", time.Since(began).Round(time.Millisecond), what, missing)
}

// phase waits until a device reports a phase of an artifact.
func (w *world) phase(limit time.Duration, a *rig.Agent, digest string, want ...spec.Phase) spec.ReportedAssignment {
	w.t.Helper()
	var got spec.ReportedAssignment
	w.until(limit, fmt.Sprintf("%s: phase %v of %.12s", a.Device, want, digest), func() (bool, string) {
		st, err := a.State(w.ctx)
		if err != nil {
			return false, err.Error()
		}
		r := st.Tasks[task].Assignment
		if r == nil {
			return false, "nothing is assigned"
		}
		got = *r
		for _, p := range want {
			if r.Digest == digest && r.Phase == p {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%.12s is %s %s, %d labelled rows, %.0f µs", r.Digest, r.Phase, r.Reason, r.Stats.Labelled, r.Stats.LatencyP99US)
	})
	return got
}

// device is what the hub tells of a device.
type device struct {
	Health   string            `json:"health"`
	Reasons  []string          `json:"reasons"`
	Suspect  string            `json:"suspect"`
	Applied  map[string]uint64 `json:"applied"`
	Desired  spec.Desired      `json:"desired"`
	Reported *spec.Reported    `json:"reported"`
	Runs     []json.RawMessage `json:"runs"`
	Why      map[string]struct{ Desired, Running, Reason string }
}

func (w *world) device(name string) (d device) {
	w.t.Helper()
	w.must(w.api.Call(w.ctx, "GET", "/v1/devices/"+name, nil, &d))
	return d
}

// event is an event or alarm at the hub.
type event struct {
	Device, Class, Kind, Task string
	Detail                    map[string]any
}

func (w *world) events(query string) []event {
	w.t.Helper()
	var out rig.Items[event]
	w.must(w.api.Call(w.ctx, "GET", "/v1/events?limit=1000&"+query, nil, &out))
	return out.Items
}

// drained waits until the agent has read everything up to the newest hour, has stored at least so
// many readings, and the hub has applied everything the agent holds.
func (w *world) drained(limit time.Duration, a *rig.Agent, newest, readings int) {
	w.t.Helper()
	want := at(newest).UnixMicro()
	w.until(limit, a.Device+" has read and handed over everything", func() (bool, string) {
		st, err := a.State(w.ctx)
		if err != nil {
			return false, err.Error()
		}
		if m := st.Tasks[task].Watermark; m < want {
			return false, fmt.Sprintf("it has read until %s, published is %s", time.UnixMicro(m).UTC(), at(newest))
		}
		if n := st.Outbox.Stored["reading"]; n < uint64(readings) {
			return false, fmt.Sprintf("it has stored %d readings of %d", n, readings)
		}
		return st.Outbox.PendingRecords == 0, fmt.Sprintf("it holds %d records", st.Outbox.PendingRecords)
	})
}

// exactlyOnce compares what the broker took from the sensors with the hub: every reading once,
// nothing else, no gap, no conflict, applied == accepted.
func (w *world) exactlyOnce(a *rig.Agent, took map[rig.Key]bool) {
	w.t.Helper()
	w.holds(a, took)
	st, err := a.State(w.ctx)
	w.must(err)
	d := w.device(a.Device)
	if d.Applied["reading"] != st.Outbox.Stored["reading"] || d.Applied["reading"] != uint64(len(took)) {
		w.t.Errorf("%s: the hub has applied %d readings, the agent has accepted %d, the broker took %d", a.Device, d.Applied["reading"], st.Outbox.Stored["reading"], len(took))
	}
	var gaps, conflicts rig.Items[json.RawMessage]
	w.must(w.api.Call(w.ctx, "GET", "/v1/gaps?device="+a.Device, nil, &gaps))
	w.must(w.api.Call(w.ctx, "GET", "/v1/conflicts?device="+a.Device, nil, &conflicts))
	if len(gaps.Items) > 0 || len(conflicts.Items) > 0 {
		w.t.Errorf("%s: gaps %s, conflicts %s", a.Device, gaps.Items, conflicts.Items)
	}
	if d.Suspect != "" {
		w.t.Errorf("%s: suspect: %s", a.Device, d.Suspect)
	}
}

// holds compares the lake with what the broker took.
func (w *world) holds(a *rig.Agent, took map[rig.Key]bool) {
	w.t.Helper()
	lake, err := w.api.LakeReadings(w.ctx, a.Device)
	w.must(err)
	lost, twice, foreign := 0, 0, 0
	for k := range took {
		switch n := lake[k]; {
		case n == 0:
			if lost++; lost < 5 {
				w.t.Logf("%s: lost: %s at %s", a.Device, k.Series, time.UnixMicro(k.At).UTC())
			}
		case n > 1:
			if twice++; twice < 5 {
				w.t.Logf("%s: %d times: %s at %s", a.Device, n, k.Series, time.UnixMicro(k.At).UTC())
			}
		}
	}
	for k := range lake {
		if !took[k] {
			foreign++
		}
	}
	if lost+twice+foreign > 0 {
		w.t.Errorf("%s: of %d readings that the broker took %d are not in the lake, %d more than once, %d are there that nobody sent", a.Device, len(took), lost, twice, foreign)
	}
}

// upload registers an artifact and returns its digest.
func (w *world) upload(artifact []byte) string {
	w.t.Helper()
	m, err := w.api.Upload(w.ctx, artifact, "", "test")
	w.must(err)
	return m.Digest
}

// rollOut starts a rollout and returns its id.
func (w *world) rollOut(s rollout.Spec) string {
	w.t.Helper()
	r, err := w.api.CreateRollout(w.ctx, s)
	w.must(err)
	return r.ID
}

func (w *world) rollout(id string) api.RolloutDetail {
	w.t.Helper()
	r, err := w.api.Rollout(w.ctx, id)
	w.must(err)
	return r
}

// mosquitto starts a broker with its defaults and the given lines of configuration.
func mosquitto(t *testing.T, lines ...string) string {
	t.Helper()
	path := tool(t, "mosquitto", "mosquitto", "/usr/sbin/mosquitto")
	port, err := rig.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\n%s\n", port, strings.Join(lines, "\n"))
	if err := os.WriteFile(filepath.Join(dir, "mosquitto.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &rig.Process{Name: "mosquitto", Path: path, Args: []string{"-c", filepath.Join(dir, "mosquitto.conf")}, Log: filepath.Join(dir, "mosquitto.log")}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop(5 * time.Second)
		if t.Failed() {
			t.Logf("--- mosquitto\n%s", p.Tail())
		}
	})
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			c.Close()
			return "tcp://" + addr
		}
		if time.Now().After(limit) {
			t.Fatalf("mosquitto does not listen\n%s", p.Tail())
		}
	}
}

// anyBroker is mosquitto with a queue that holds a restart of the agent, or "" (the broker in
// this process) where it is not installed.
func anyBroker(t *testing.T) string {
	if _, err := exec.LookPath("mosquitto"); err != nil {
		if _, err := os.Stat("/usr/sbin/mosquitto"); err != nil {
			t.Log("mosquitto is not installed (Debian package mosquitto): using the MQTT broker of nats-server")
			return ""
		}
	}
	return mosquitto(t, "max_queued_messages 100000")
}

// tool finds a program or skips the test.
func tool(t *testing.T, name, pkg string, elsewhere ...string) string {
	t.Helper()
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, p := range elsewhere {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	t.Skipf("%s is not installed: apt-get install %s", name, pkg)
	return ""
}

// at is the event time of hour i. The year leaves room for 200,000 hours before the wall clock:
// readings of the future do not move a watermark.
func at(i int) time.Time {
	return time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Hour)
}

// series is a level that returns to 50 and a second sensor near it.
type series struct {
	rng  *mrand.Rand
	y    []float64
	x    []float64
	took map[rig.Key]bool // readings that the broker has acknowledged
	mu   sync.Mutex       // guards took
}

func newSeries(seed uint64) *series {
	return &series{rng: mrand.New(mrand.NewPCG(seed, 7)), took: map[rig.Key]bool{}}
}

// message renders hour i.
func (s *series) message(i int) string {
	for len(s.y) <= i {
		last := 50.0
		if n := len(s.y); n > 0 {
			last = s.y[n-1]
		}
		y := 50 + 0.7*(last-50) + 4*s.rng.NormFloat64()
		s.y = append(s.y, float64(int(y*100))/100)
		s.x = append(s.x, float64(int((y+s.rng.NormFloat64())*100))/100)
	}
	return fmt.Sprintf(`{"ts":%q,"y":%g,"x":%g}`, at(i).Format(time.RFC3339), s.y[i], s.x[i])
}

// acknowledged notes the readings of hour i.
func (s *series) acknowledged(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{"y", "x"} {
		s.took[rig.Key{Series: name, At: at(i).UnixMicro()}] = true
	}
}

// sensor publishes series to a broker with QoS 1.
type sensor struct {
	w     *world
	cli   mqtt.Client
	topic string
	s     *series
	next  int
	wg    sync.WaitGroup
}

func (w *world) sensor(site string, s *series) *sensor {
	w.t.Helper()
	cli, err := rig.Connect(w.broker, "sensor-"+site)
	w.must(err)
	w.t.Cleanup(func() { cli.Disconnect(50) })
	return &sensor{w: w, cli: cli, topic: "plant/" + site + "/reading", s: s}
}

// publish sends the next n hours; acknowledged when the broker has said so.
func (p *sensor) publish(n int) {
	for range n {
		i := p.next
		p.next++
		tok := p.cli.Publish(p.topic, 1, false, p.s.message(i))
		p.wg.Go(func() {
			if tok.WaitTimeout(60*time.Second) && tok.Error() == nil {
				p.s.acknowledged(i)
			}
		})
	}
}

// steadily publishes at a rate until stop is closed.
func (p *sensor) steadily(perSecond int, stop <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	began, sent := time.Now(), 0
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			want := int(time.Since(began).Seconds() * float64(perSecond))
			p.publish(want - sent)
			sent = want
		}
	}
}

// settle waits until the broker has answered for everything sent.
func (p *sensor) settle() { p.wg.Wait() }

// count is n, or less with -short.
func count(full, short int) int {
	if testing.Short() {
		return short
	}
	return full
}
