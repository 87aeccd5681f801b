// Command demo shows the whole loop on one machine: a hub, four agents as processes of their own,
// an MQTT broker, and years of hourly readings of real stations as sensor messages, fast-forward.
// One station loses its link for 60 days, one agent is killed, the hub trains, rolls out and
// retrains. At the end it compares what it published with the hub's lake, reading by reading, and
// judges the predictions from the outside.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"skerry.dev/hub/rollout"
	"skerry.dev/hub/training"
	"skerry.dev/test/rig"
)

// settings are the knobs of a run.
type settings struct {
	once    bool
	hours   int
	data    string
	dir     string
	bin     string
	listen  string
	cutFrom float64
	cutFor  int
	killAt  float64
	summary string
	hubArgs string
}

func main() {
	var s settings
	flag.BoolVar(&s.once, "once", os.Getenv("ONCE") == "1", "end after the replay and write the summary")
	flag.IntVar(&s.hours, "hours", 26280, "hours of readings to replay per station, 0 for all")
	flag.StringVar(&s.data, "data", defaultData(), "folder of the real readings")
	flag.StringVar(&s.dir, "dir", "run", "folder of everything the demonstration writes; emptied at the start")
	flag.StringVar(&s.bin, "bin", binFolder(), "folder of skerry-agent and skerry-hub")
	flag.StringVar(&s.listen, "listen", "127.0.0.1:8000", "address of the hub's REST API and web UI")
	flag.Float64Var(&s.cutFrom, "cut-from", 0.45, "when one station loses its link, as a fraction of the replay")
	flag.IntVar(&s.cutFor, "cut-hours", 60*24, "for how many event hours")
	flag.Float64Var(&s.killAt, "kill-at", 0.15, "when one agent is killed with SIGKILL, as a fraction of the replay")
	flag.StringVar(&s.summary, "summary", "run-summary.json", "file of the summary")
	flag.StringVar(&s.hubArgs, "hub-args", "", "further options of skerry-hub serve, for example thresholds for a short run; they win")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// binFolder is where this program lies. It is absolute: a bare name would be looked for in PATH.
func binFolder() string {
	dir, err := filepath.Abs(filepath.Dir(os.Args[0]))
	if err != nil {
		return "bin"
	}
	return dir
}

func defaultData() string {
	if d := os.Getenv("SKERRY_DATA"); d != "" {
		return d
	}
	return filepath.Join("..", "shared", "data")
}

// demo is a run under way.
type demo struct {
	settings
	subject
	began    time.Time
	source   string
	stations []*station
	scores   []*score
	agents   []*rig.Agent
	hub      rig.Process
	api      *rig.Client
	pub      mqtt.Client
	show     *display

	mu        sync.Mutex // guards what the watcher writes and the replay reads
	jobs      []training.Job
	rollouts  []rollout.Rollout
	published []int         // messages per station
	pending   map[int]int64 // records an agent holds for the hub
}

func run(ctx context.Context, s settings) error {
	d := &demo{settings: s, began: time.Now()}
	if err := d.load(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	d.dir = dir
	d.show = newDisplay(os.Stdout)
	defer d.stopAll()
	if err := d.startAll(ctx); err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { d.watch(watching) })
	failed := d.play(ctx)
	stopWatching() // nothing changes any more
	wg.Wait()
	d.show.done()
	if s.once || ctx.Err() != nil {
		return failed
	}
	if failed != nil { // everything stays up, so that one can look at what is wrong
		fmt.Fprintln(os.Stderr, "demo:", failed)
	}
	fmt.Printf("\nStill running: web UI and API at http://%s (user admin, password in %s), agents at", s.listen, filepath.Join(s.dir, "admin-password"))
	for _, a := range d.agents {
		fmt.Printf(" http://%s", a.HTTP)
	}
	fmt.Println("\nInterrupt to end.")
	<-ctx.Done()
	return failed
}

// play replays the readings and judges the run.
func (d *demo) play(ctx context.Context) error {
	if err := d.replay(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, d.logs())
	}
	if err := d.settle(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, d.logs())
	}
	sum, err := d.summarise(ctx)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, d.logs())
	}
	d.show.done()
	sum.print(os.Stdout)
	b, err := json.MarshalIndent(sum, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.summary, append(b, '\n'), 0o644); err != nil {
		return err
	}
	if problems := sum.problems(); len(problems) > 0 {
		return errors.New("checks that failed:\n  " + strings.Join(problems, "\n  "))
	}
	return nil
}

// load reads the real stations, or reports that it simulates.
func (d *demo) load() error {
	var err error
	if _, serr := os.Stat(filepath.Join(d.data, "fleet")); serr == nil {
		d.subject = air
		d.source = "real hourly readings of four air-quality stations"
		d.stations, err = loadAir(d.data, d.hours)
	} else {
		d.subject = pumps
		d.source = "SIMULATED pumping stations"
		fmt.Printf("No readings at %s: using the built-in simulator of pumping stations instead. Set SKERRY_DATA to the data folder for the real ones.\n", d.data)
		n := d.hours
		if n == 0 {
			n = 35064
		}
		d.stations = simulate(n)
	}
	if err != nil {
		return err
	}
	for _, s := range d.stations {
		d.scores = append(d.scores, newScore(s, d.target))
	}
	d.published = make([]int, len(d.stations))
	d.pending = map[int]int64{}
	return nil
}

// startAll brings up broker, hub and agents, with the commands people would type.
func (d *demo) startAll(ctx context.Context) error {
	// Another hub there would answer in place of this one.
	l, err := net.Listen("tcp", d.listen)
	if err != nil {
		return fmt.Errorf("the hub of the demonstration cannot listen: %w; end what does, or choose another address: make run DEMO_FLAGS='--listen 127.0.0.1:8010'", err)
	}
	if err := l.Close(); err != nil {
		return err
	}
	_, broker, err := rig.StartBroker(d.dir)
	if err != nil {
		return err
	}
	natsPort, err := rig.FreePort()
	if err != nil {
		return err
	}
	natsAddr := fmt.Sprintf("127.0.0.1:%d", natsPort)
	password := filepath.Join(d.dir, "admin-password")
	if err := os.WriteFile(password, []byte(randomPassword()), 0o600); err != nil {
		return err
	}
	d.hub = rig.Process{
		Name: "hub",
		Path: filepath.Join(d.bin, "skerry-hub"),
		Log:  filepath.Join(d.dir, "hub.log"),
		Args: []string{"serve", "--data", filepath.Join(d.dir, "hub"), "--listen", d.listen, "--nats-listen", natsAddr, "--admin-password-file", password,
			"--train-min-labels", "20000", "--train-min-new-labels", "12000", "--train-drift-events", "4", "--train-cooldown", "5040h", "--train-budget", "24s",
			"--rollout-min-shadow", "48", "--rollout-probation", "48", "--rollout-max-latency", "5ms"},
	}
	d.hub.Args = append(d.hub.Args, strings.Fields(d.hubArgs)...)
	if err := d.hub.Start(); err != nil {
		return err
	}
	d.api = rig.NewClient(d.listen, 2*time.Minute)
	if err := d.api.WaitReady(ctx, 2*time.Minute); err != nil {
		return fmt.Errorf("%w\n%s", err, d.hub.Tail())
	}
	b, err := os.ReadFile(password)
	if err != nil {
		return err
	}
	if _, err := d.api.Login(ctx, "admin", string(b)); err != nil {
		return err
	}
	for i, s := range d.stations {
		a, err := newAgent(d.subject, d.bin, d.dir, s.name, broker, natsAddr, d.listen)
		if err != nil {
			return err
		}
		d.agents = append(d.agents, a)
		var tok struct{ Token string }
		if err := d.api.Call(ctx, "POST", "/v1/enroll-tokens", map[string]string{"device": s.name, "site": fmt.Sprintf("site-%d", i+1)}, &tok); err != nil {
			return err
		}
		if err := a.Enroll(ctx, "", tok.Token); err != nil {
			return err
		}
		if err := a.Start(); err != nil {
			return err
		}
	}
	return d.connectAll(ctx, broker)
}

// connectAll waits for the agents and listens to what they publish.
func (d *demo) connectAll(ctx context.Context, broker string) error {
	for _, a := range d.agents {
		if err := a.WaitUp(ctx, true); err != nil {
			return err
		}
	}
	sub, err := rig.Connect(broker, "demo-listener")
	if err != nil {
		return err
	}
	for i, a := range d.agents {
		t := sub.Subscribe("skerry/"+a.Device+"/"+d.task+"/prediction", 1, func(_ mqtt.Client, m mqtt.Message) { d.scores[i].take(m.Payload()) })
		if !t.WaitTimeout(time.Minute) || t.Error() != nil {
			return fmt.Errorf("subscribe: %v", t.Error())
		}
	}
	d.pub, err = rig.Connect(broker, "demo-sensors")
	return err
}

// watch follows jobs and rollouts and refreshes the display.
func (d *demo) watch(ctx context.Context) {
	for ctx.Err() == nil {
		jobs, err1 := d.api.Jobs(ctx, "", "")
		rolls, err2 := d.api.Rollouts(ctx, "", "")
		if err1 == nil && err2 == nil {
			d.mu.Lock()
			d.jobs, d.rollouts = jobs, rolls
			d.mu.Unlock()
		}
		for k, a := range d.agents {
			if st, err := a.State(ctx); err == nil {
				d.mu.Lock()
				d.pending[k] = st.Outbox.PendingRecords
				d.mu.Unlock()
			}
		}
		d.show.update(d)
		select {
		case <-ctx.Done():
		case <-time.After(150 * time.Millisecond):
		}
	}
}

func (d *demo) stopAll() {
	if d.pub != nil {
		d.pub.Disconnect(100)
	}
	var wg sync.WaitGroup
	for _, a := range d.agents {
		wg.Go(func() { a.Stop(10 * time.Second) })
	}
	wg.Wait()
	d.hub.Stop(15 * time.Second)
	for _, a := range d.agents {
		a.Close()
	}
}

// logs returns the ends of all logs, for an error message.
func (d *demo) logs() string {
	out := "--- hub\n" + d.hub.Tail()
	for _, a := range d.agents {
		out += "\n--- " + a.Name + "\n" + a.Tail()
	}
	return out
}
