package main

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats-server/v2/server"

	"skerry.dev/hub/rollout"
	"skerry.dev/hub/training"
	"skerry.dev/test/rig"
)

//go:embed tasks
var tasks embed.FS

// world is a broker, a hub, an agent with it and one without, of one set.
type world struct {
	set    *set
	dir    string
	broker *server.Server
	hub    rig.Process
	api    *rig.Client
	agents [2]*rig.Agent // with the hub and alone
	pub    mqtt.Client
	sub    mqtt.Client
	heard  [2]*listener

	mu       sync.Mutex // guards what the watcher writes
	jobs     []training.Job
	rollouts []rollout.Rollout
	pending  int64 // records that the agent holds for the hub
	told     map[string]bool
}

// The two agents.
const (
	withHub = iota
	alone
)

// newWorld starts everything. Stop it, also after an error.
func newWorld(ctx context.Context, s settings, of *set) (*world, error) {
	w := &world{set: of, dir: filepath.Join(s.dir, of.name), told: map[string]bool{}}
	return w, w.start(ctx, s)
}

func (w *world) start(ctx context.Context, s settings) error {
	of := w.set
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	srv, broker, err := rig.StartBroker(w.dir)
	if err != nil {
		return err
	}
	w.broker = srv
	var ports [2]int
	for i := range ports {
		if ports[i], err = rig.FreePort(); err != nil {
			return err
		}
	}
	listen, nats := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	var word [12]byte
	rand.Read(word[:]) // never fails
	password := filepath.Join(w.dir, "admin-password")
	if err := os.WriteFile(password, []byte(hex.EncodeToString(word[:])), 0o600); err != nil {
		return err
	}
	w.hub = rig.Process{
		Name: "hub",
		Path: filepath.Join(s.bin, "skerry-hub"),
		Log:  filepath.Join(w.dir, "hub.log"),
		Args: append([]string{"serve", "--data", filepath.Join(w.dir, "hub"), "--listen", listen, "--nats-listen", nats, "--admin-password-file", password}, strings.Fields(s.hubArgs)...),
	}
	if err := w.hub.Start(); err != nil {
		return err
	}
	w.api = rig.NewClient(listen, time.Minute)
	if err := w.api.WaitReady(ctx, time.Minute); err != nil {
		return fmt.Errorf("%w\n%s", err, w.hub.Tail())
	}
	if _, err := w.api.Login(ctx, "admin", hex.EncodeToString(word[:])); err != nil {
		return err
	}
	text, err := tasks.ReadFile("tasks/" + of.file)
	if err != nil {
		return err
	}
	for i, name := range []string{of.name, of.name + "-alone"} {
		o := rig.AgentOptions{
			Bin:    s.bin,
			Dir:    w.dir,
			Device: name,
			Broker: broker,
			Tasks:  map[string]string{of.file: string(text)},
		}
		if i == withHub {
			o.NATS, o.Hub = nats, listen
		}
		if w.agents[i], err = rig.NewAgent(o); err != nil {
			return err
		}
		if i == withHub {
			tok, err := w.api.CreateEnrollToken(ctx, name, "plant", "", 60)
			if err != nil {
				return err
			}
			if err := w.agents[i].Enroll(ctx, "", tok.Token); err != nil {
				return err
			}
		}
		w.heard[i] = newListener()
		if err := w.agents[i].Start(); err != nil {
			return err
		}
		if err := w.agents[i].WaitUp(ctx, i == withHub); err != nil {
			return err
		}
	}
	return w.connect(broker)
}

// connect listens to what both agents publish: the one without a hub has the name of its host.
func (w *world) connect(broker string) (err error) {
	if w.sub, err = rig.Connect(broker, "domains-listener"); err != nil {
		return err
	}
	t := w.sub.Subscribe("skerry/+/+/prediction", 1, func(_ mqtt.Client, m mqtt.Message) {
		device := strings.Split(m.Topic(), "/")[1]
		if device == w.set.name {
			w.heard[withHub].take(m.Payload())
		} else {
			w.heard[alone].take(m.Payload())
		}
	})
	if !t.WaitTimeout(time.Minute) || t.Error() != nil {
		return fmt.Errorf("subscribe: %v", t.Error())
	}
	w.pub, err = rig.Connect(broker, "domains-sensors")
	return err
}

func (w *world) stop() {
	for _, c := range []mqtt.Client{w.pub, w.sub} {
		if c != nil {
			c.Disconnect(100)
		}
	}
	for _, a := range w.agents {
		if a != nil {
			a.Stop(10 * time.Second)
			a.Close()
		}
	}
	w.hub.Stop(15 * time.Second)
	if w.broker != nil {
		w.broker.Shutdown()
	}
}

func (w *world) logs() string {
	out := "--- hub\n" + w.hub.Tail()
	for _, a := range w.agents {
		out += "\n--- " + a.Name + "\n" + a.Tail()
	}
	return out
}

// watch follows the hub until ctx ends, and prints what it decides.
func (w *world) watch(ctx context.Context) {
	for ctx.Err() == nil {
		jobs, err1 := w.api.Jobs(ctx, "", "")
		rolls, err2 := w.api.Rollouts(ctx, "", "")
		st, err3 := w.agents[withHub].State(ctx)
		w.mu.Lock()
		if err := errors.Join(err1, err2); err == nil {
			w.jobs, w.rollouts = jobs, rolls
		}
		if err3 == nil {
			w.pending = st.Outbox.PendingRecords
		}
		w.tell()
		w.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// tell prints jobs that ended and steps of rollouts, once each. The caller holds mu.
func (w *world) tell() {
	once := func(key, format string, args ...any) {
		if !w.told[key] {
			w.told[key] = true
			fmt.Printf("  "+format+"\n", args...)
		}
	}
	for i := len(w.jobs) - 1; i >= 0; i-- {
		switch j := &w.jobs[i]; j.State {
		case training.Done:
			once(j.ID, "%s: %s after %d labels (%s; %s): %s", j.Task, j.Result.Model, j.Result.Labels, j.Result.Learner, j.Spec.Trigger, j.Result.Outcome)
		case training.Failed:
			once(j.ID, "%s: training failed: %s", j.Task, j.Error)
		}
	}
	for i := len(w.rollouts) - 1; i >= 0; i-- {
		for k, h := range w.rollouts[i].Status.History {
			once(fmt.Sprint(w.rollouts[i].ID, k), "rollout of %s: %s %s %s", w.rollouts[i].Model, h.Stage, h.State, h.Reason)
		}
	}
}

// holds reports whether event time must stand still for the hub, and whether a rollout is under way.
func (w *world) holds() (still, rolling bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.jobs {
		if s := w.jobs[i].State; s == training.Queued || s == training.Started {
			still = true
		}
	}
	for i := range w.rollouts {
		r := &w.rollouts[i]
		if r.State != rollout.Running {
			continue
		}
		rolling = true
		if r.Status.Step == "rolling" && r.Status.Counts.Waiting > 0 {
			still = true
		}
	}
	return still || w.pending > maxPending, rolling
}

// maxPending is how many records the agent may hold for the hub before event time waits for it.
const maxPending = 4000

// said is what an agent publishes.
type said struct {
	Time  time.Time `json:"ts"`
	For   time.Time `json:"for"`
	Task  string    `json:"task"`
	Model string    `json:"model"`
	Value float64   `json:"value"`
	Lower *float64  `json:"lo"`
	Upper *float64  `json:"hi"`
	Base  float64   `json:"persistence"`
	Bare  bool      `json:"baseline"` // no model of the hub yet
	Alarm bool      `json:"alarm"`
	Set   []string  `json:"set"`
}

// listener collects what one agent publishes, in its order.
type listener struct {
	mu     sync.Mutex
	all    []said
	newest int64 // row, microseconds
	broken error
}

func newListener() *listener { return &listener{} }

func (l *listener) take(payload []byte) {
	var p said
	err := json.Unmarshal(payload, &p)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.broken = fmt.Errorf("%w: %s", err, payload)
		return
	}
	l.all = append(l.all, p)
	l.newest = max(l.newest, p.Time.UnixMicro())
}

func (l *listener) seen(at int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest >= at
}

func (l *listener) mark(at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest = max(l.newest, at)
}

// why says what the newest training of a task came to, "" when there was none.
func (w *world) why(task string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range w.jobs { // newest first
		if v := j.Result.Verdict; j.Task == task && v != nil {
			return string(v.Outcome) + ", " + v.Reason
		}
	}
	return ""
}
