package device

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/govern"
	"skerry.dev/agent/serve"
	"skerry.dev/agent/source"
	"skerry.dev/agent/task"
	"skerry.dev/agent/update"
	"skerry.dev/configs"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/link"
	"skerry.dev/sync/outbox"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/trust"
	"skerry.dev/sync/wire"
)

// Options of a device.
type Options struct {
	Config    *configs.AgentConfig
	Version   string
	Heartbeat func()                      // the service manager's watchdog; nil: none
	Ready     func()                      // called once predictions can be made; nil: nothing
	Check     func(path string) error     // see cache.Options
	Salvage   func(from, to string) error // see cache.Options
	NATS      []string                    // replaces the addresses of the enrolment, for a relay
	Log       *slog.Logger
}

// Device is the assembled agent. Use Open, Run, Close.
type Device struct {
	opts  Options
	cfg   *configs.AgentConfig
	log   *slog.Logger
	name  string
	site  string
	store *cache.Store
	id    *identity.Identity // nil without an enrolment

	web    *http.Client // for the hub
	hubTLS *tls.Config  // nil: the system's roots

	runtime *task.Runtime
	manager *update.Manager
	bridge  *bridge
	client  *source.Client
	ingest  *source.Ingest
	link    *link.Link
	server  *serve.Server
	stream  *serve.Stream
	host    *govern.Governor
	metrics *prometheus.Registry

	tasks    atomic.Pointer[[]*spec.Task]
	beat     atomic.Int64 // unix nanoseconds of the runtime's last heartbeat
	ready    atomic.Bool
	declared atomic.Bool            // what damage has lost was declared
	badFile  atomic.Pointer[string] // why the task files on disk are not in force
	began    time.Time
}

// Open reads configuration, identity, tasks and cache and restores the learned state. It connects
// nowhere.
func Open(opts Options) (_ *Device, err error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	d := &Device{
		opts:    opts,
		cfg:     opts.Config,
		log:     opts.Log,
		stream:  serve.NewStream(),
		metrics: prometheus.NewRegistry(),
		began:   time.Now(),
	}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if d.web, err = d.cfg.Hub.Client(0); err != nil {
		return nil, err
	}
	if d.hubTLS, err = d.cfg.Hub.TLS(); err != nil {
		return nil, err
	}
	if err := d.identify(); err != nil {
		return nil, err
	}
	tasks, plan, err := LoadTasks(d.cfg.TaskDir)
	if err != nil {
		return nil, err
	}
	d.tasks.Store(&tasks)
	d.store, err = cache.Open(cache.Options{
		Dir:     d.cfg.StateDir,
		Check:   opts.Check,
		Salvage: opts.Salvage,
		Log:     d.log,
		Outbox: outbox.Options{
			Device:    d.name,
			MaxBytes:  int64(d.cfg.Cache.MaxBytes),
			BootID:    bootID(),
			StartedAt: time.Now().UnixMicro(),
			ClockOK:   trusted(),
		},
	})
	if err != nil {
		return nil, err
	}
	d.bridge = &bridge{tasks: d.Tasks, loaded: map[string]*model{}}
	if err := d.openUpdater(); err != nil {
		return nil, err
	}
	d.bridge.manager = d.manager
	d.runtime, err = task.Open(task.Options{
		Device:     d.name,
		Store:      d.store,
		Tasks:      tasks,
		Plan:       plan,
		Models:     d.bridge.Models,
		Publish:    d.publish,
		Stream:     d.stream.Send,
		Heartbeat:  d.heartbeat,
		MaxRecords: d.cfg.Cache.CommitRecords,
		MaxAcks:    d.cfg.Cache.CommitAcks,
		MaxDelay:   d.cfg.Cache.CommitInterval.Std(),
		Log:        d.log,
		Metrics:    task.NewMetrics(d.metrics),
	})
	if err != nil {
		return nil, err
	}
	d.bridge.runtime = d.runtime
	return d, d.openEdges(plan)
}

// identify finds the device's name: that of the enrolment, else the host's.
func (d *Device) identify() error {
	id, err := identity.Open(d.cfg.IdentityDir(), identity.Options{HTTP: d.web, Version: d.opts.Version})
	switch {
	case errors.Is(err, identity.ErrNotEnrolled):
		host, _ := os.Hostname()
		d.name, d.site = spec.NameFrom(host), "local"
		d.log.Warn("not enrolled: predicting and keeping everything on this device", "device", d.name)
		return nil
	case err != nil:
		return err
	}
	d.id, d.name, d.site = id, id.Device(), id.Site()
	return nil
}

// hubURL is the configured address of the hub or the one of the enrolment.
func (d *Device) hubURL() string {
	if d.cfg.Hub.URL != "" || d.id == nil {
		return strings.TrimRight(d.cfg.Hub.URL, "/")
	}
	return d.id.Hub()
}

func (d *Device) openUpdater() error {
	var v update.Verifier = untrusting{}
	if d.id != nil {
		c, err := trust.Open(trust.Options{
			Dir:   d.cfg.TrustDir(),
			Root:  d.id.TUFRoot(),
			Fetch: trust.FetchFunc(d.fetchMetadata),
		})
		if err != nil {
			return fmt.Errorf("trust anchor: %w", err)
		}
		v = verifier{c}
	}
	var err error
	d.manager, err = update.Open(v, newLoader(d.log, d.metrics), d.bridge, update.Options{
		Dir:       d.cfg.SlotDir(),
		FloorFile: d.cfg.FloorPath(),
		HTTP:      d.web,
		Authorize: d.authorize,
		URL:       func(digest string) string { return d.hubURL() + identity.PathArtifact + digest },
		Events:    d.updateEvent,
		Log:       d.log,
		Tick:      250 * time.Millisecond,
	})
	return err
}

// authorize adds the device's credential to a download from the hub.
func (d *Device) authorize(r *http.Request) {
	if d.id != nil {
		d.id.Authorize(r)
	}
}

// untrusting is the verifier of a device without an enrolment: nothing may be installed.
type untrusting struct{}

func (untrusting) Refresh(context.Context) error { return identity.ErrNotEnrolled }
func (untrusting) Target(string) (int64, string, []byte, error) {
	return 0, "", nil, identity.ErrNotEnrolled
}

type verifier struct{ c *trust.Client }

func (v verifier) Refresh(ctx context.Context) error { return v.c.Refresh(ctx) }
func (v verifier) Target(path string) (int64, string, []byte, error) {
	t, err := v.c.Target(path)
	return t.Length, t.SHA256, t.Custom, err
}

// fetchMetadata reads a TUF file of the hub.
func (d *Device) fetchMetadata(ctx context.Context, name string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.hubURL()+identity.PathTUF+name, nil)
	if err != nil {
		return nil, err
	}
	resp, err := d.web.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", name, trust.ErrNotFound)
	default:
		return nil, fmt.Errorf("%s: the hub answers %s", name, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, trust.Limit(name)+1))
}

// openEdges makes what touches the world.
func (d *Device) openEdges(plan *source.Plan) error {
	m := d.cfg.MQTT
	tlsConfig, err := m.TLS()
	if err != nil {
		return err
	}
	d.client, err = source.New(plan, source.Options{
		Broker:     m.Broker,
		Device:     d.name,
		ClientID:   m.ClientID,
		Username:   m.Username,
		Password:   m.Password,
		TLS:        tlsConfig,
		NoQoS1:     m.QoS == 0,
		KeepAlive:  m.KeepAlive.Std(),
		MaxBackoff: m.MaxBackoff.Std(),
		MaxPayload: int(m.MaxPayload),
		Clock:      clock,
		Log:        d.log,
		Metrics:    d.metrics,
	})
	if err != nil {
		return err
	}
	var ingest http.Handler
	if d.cfg.HTTP.Ingest {
		d.ingest = source.NewIngest(plan, d.runtime, source.IngestOptions{
			MaxPayload: int(m.MaxPayload),
			Clock:      clock,
			Log:        d.log,
			Metrics:    d.metrics,
		})
		ingest = d.ingest
	}
	d.host = govern.New(govern.Options{
		Dir:          d.cfg.StateDir,
		Interval:     d.cfg.Govern.Interval.Std(),
		MinFreeBytes: int64(d.cfg.Govern.MinFreeBytes),
		MinFreeShare: d.cfg.Govern.MinFreeShare,
		MemoryLimit:  int64(d.cfg.Govern.MemoryLimit),
		MaxWorkers:   d.cfg.Govern.MaxWorkers,
		Samples:      d.samples,
		Log:          d.log,
		Metrics:      d.metrics,
	})
	if d.id != nil {
		d.link = link.New(d.store.Outbox(), d.store.DB(), link.Options{
			Device:        d.name,
			Site:          d.site,
			NATS:          d.natsOptions,
			Hello:         d.hello,
			Desired:       d.desired,
			Status:        d.linkChanged,
			Greeted:       d.declareLost,
			BackfillBytes: int(d.cfg.Hub.BandwidthBack),
			Log:           d.log,
		})
	}
	d.gauges()
	d.server = serve.New(serve.Options{
		Listen:  d.cfg.HTTP.Listen,
		Version: d.opts.Version,
		Status:  d,
		Models:  models{d},
		Metrics: d.metrics,
		Ingest:  ingest,
		Stream:  d.stream,
		Log:     d.log,
	})
	return nil
}

func (d *Device) natsOptions() ([]string, []nats.Option, error) {
	urls := d.id.NATS()
	if len(d.cfg.Hub.NATSURLs) > 0 {
		urls = d.cfg.Hub.NATSURLs
	}
	opts := d.id.Options()
	if d.hubTLS != nil {
		opts = append(opts, nats.Secure(d.hubTLS))
	}
	return urls, opts, nil
}

func (d *Device) hello() wire.Hello {
	return wire.Hello{Fingerprint: identity.Fingerprint(), JoinCounter: d.id.Join(), Version: d.opts.Version}
}

func (d *Device) desired(doc spec.Desired) {
	if doc.Suspect {
		d.log.Warn("the hub holds this device for a copy of another: nothing is installed until an operator decides")
	}
	if err := d.manager.Apply(doc); err != nil {
		d.log.Error("desired state not applied", "err", err)
	}
}

// declareLost tells the hub, once, what a damaged cache has lost for good.
func (d *Device) declareLost(a wire.Applied) {
	if d.store.Damage() == "" || d.declared.Swap(true) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, g := range d.store.Outbox().Holes(a) {
		detail := map[string]any{"run": g.Run.String(), "class": g.Class.String(), "from": g.From, "to": g.To, "reason": g.Reason}
		if err := d.runtime.Event(ctx, wire.GapKind, "", time.Now().UnixMicro(), detail); err != nil {
			d.declared.Store(false) // again at the next hello
			return
		}
		d.log.Warn("records lost to damage", "run", g.Run.String(), "class", g.Class.String(), "from", g.From, "to", g.To)
	}
}

func (d *Device) linkChanged(bool) { d.report() }

func (d *Device) publish(topic string, payload []byte, retain bool) {
	if d.client != nil {
		d.client.Publish(topic, payload, retain)
	}
}

func (d *Device) heartbeat() {
	d.beat.Store(time.Now().UnixNano())
	if d.opts.Heartbeat != nil {
		d.opts.Heartbeat()
	}
}

// Tasks returns the tasks in force.
func (d *Device) Tasks() []*spec.Task { return *d.tasks.Load() }

// LoadTasks reads every *.yaml and *.yml file of a directory and compiles their plan. All
// problems are reported together.
func LoadTasks(dir string) ([]*spec.Task, *source.Plan, error) {
	var paths []string
	for _, p := range []string{"*.yaml", "*.yml"} {
		found, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			return nil, nil, err
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	var tasks []*spec.Task
	var errs []error
	if _, err := os.Stat(dir); err != nil {
		errs = append(errs, fmt.Errorf("task directory: %w: create it and put a task file into it (see configs/tasks)", err))
	}
	names := map[string]string{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err == nil {
			var t *spec.Task
			if t, err = spec.ParseTask(p, bytes.NewReader(b)); err == nil {
				if other := names[t.Name]; other != "" {
					err = fmt.Errorf("task file %s: task %q is already defined in %s", p, t.Name, other)
				}
				names[t.Name] = p
				tasks = append(tasks, t)
			}
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	plan, err := source.Compile(tasks)
	return tasks, plan, err
}

// Run works until ctx ends. Readings are taken last and given up first, so that nothing is
// acknowledged that is not kept.
func (d *Device) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// the runtime outlives what feeds it
	inner, stopInner := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInner()
	var core, edges sync.WaitGroup
	var errs errorList
	start := func(wg *sync.WaitGroup, ctx context.Context, name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				errs.add(fmt.Errorf("%s: %w", name, err))
				cancel(err)
			}
		})
	}
	start(&core, inner, "runtime", d.runtime.Run)
	start(&edges, ctx, "http", d.server.Run)

	names := make([]string, 0, len(d.Tasks()))
	for _, t := range d.Tasks() {
		names = append(names, t.Name)
	}
	err := d.manager.Restore(ctx, names)
	if err == nil {
		err = d.bridge.reconcile(ctx)
	}
	if err != nil && ctx.Err() == nil {
		errs.add(fmt.Errorf("restore models: %w", err))
		cancel(err)
	}
	start(&edges, ctx, "updater", d.manager.Run)
	start(&edges, ctx, "mqtt", func(ctx context.Context) error { return d.client.Run(ctx, d.runtime) })
	start(&edges, ctx, "host", d.host.Run)
	start(&edges, ctx, "tasks", d.watchTasks)
	start(&edges, ctx, "state", d.reportLoop)
	if d.link != nil {
		start(&edges, ctx, "link", d.link.Run)
		start(&edges, ctx, "identity", func(ctx context.Context) error { return d.id.Run(ctx, d.log) })
	}
	d.ready.Store(true)
	if d.opts.Ready != nil {
		d.opts.Ready()
	}
	d.log.Info("agent is up", "device", d.name, "tasks", len(d.Tasks()), "http", d.cfg.HTTP.Listen, "ms", time.Since(d.began).Milliseconds())
	confirm := time.AfterFunc(time.Minute, func() {
		if err := d.manager.Confirm(); err != nil {
			d.log.Error("start not confirmed", "err", err)
		}
	})
	defer confirm.Stop()
	<-ctx.Done()
	edges.Wait()
	stopInner()
	core.Wait()
	return errs.join()
}

// Close releases the cache. It may be called twice.
func (d *Device) Close() error {
	if d.store == nil {
		return nil
	}
	return d.store.Close()
}

type errorList struct {
	mu   sync.Mutex
	errs []error
}

func (l *errorList) add(err error) {
	l.mu.Lock()
	l.errs = append(l.errs, err)
	l.mu.Unlock()
}

func (l *errorList) join() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

// samples stores host telemetry.
func (d *Device) samples(hs []wire.Host) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := d.runtime.Hosts(ctx, hs); err != nil {
		d.log.Warn("host telemetry not stored", "err", err)
	}
}

// watchTasks reloads the task files when their directory changes. Editors and Kubernetes replace
// files, so the directory is watched and changes are collected.
func (d *Device) watchTasks(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		d.log.Warn("task files are not watched: restart the agent after a change", "err", err)
		<-ctx.Done()
		return nil
	}
	defer w.Close()
	if err := w.Add(d.cfg.TaskDir); err != nil {
		d.log.Warn("task files are not watched: restart the agent after a change", "err", err)
	}
	var settle <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.Events:
			if ok {
				settle = time.After(300 * time.Millisecond)
			}
		case err, ok := <-w.Errors:
			if ok {
				d.log.Warn("watching task files", "err", err)
			}
		case <-settle:
			settle = nil
			d.reload(ctx)
		}
	}
}

// reload takes over changed task files; a faulty set changes nothing.
func (d *Device) reload(ctx context.Context) {
	tasks, plan, err := LoadTasks(d.cfg.TaskDir)
	if err == nil && sameTasks(tasks, d.Tasks()) {
		d.badFile.Store(nil)
		return
	}
	if err == nil {
		if err = d.runtime.Replace(ctx, tasks, plan); err == nil {
			d.tasks.Store(&tasks)
			d.client.Replace(plan)
			if d.ingest != nil {
				d.ingest.Replace(plan)
			}
			d.badFile.Store(nil)
			d.log.Info("task files reloaded", "tasks", len(tasks))
			d.report()
			return
		}
	}
	msg := err.Error()
	d.badFile.Store(&msg)
	d.log.Error("task files not reloaded: the ones before stay in force", "err", err)
}

func sameTasks(a, b []*spec.Task) bool {
	return slices.EqualFunc(a, b, func(x, y *spec.Task) bool { return x.Name == y.Name && x.Hash == y.Hash })
}

// updateEvent stores a step of an assignment as an event and tells the hub at once. The updater
// calls it without locks.
func (d *Device) updateEvent(e update.Event) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	detail := map[string]any{"phase": string(e.Phase), "digest": e.Digest, "version": e.Version, "rollout": e.Rollout, "reason": e.Reason}
	if err := d.runtime.Version(ctx, e.Task, e.Digest, e.Version); err != nil {
		return // stopping: the state is reported again after the next start
	}
	var err error
	switch e.Phase {
	case spec.PhaseVetoed, spec.PhaseReverted, spec.PhaseFailed:
		err = d.runtime.Alarm(ctx, "assignment", e.Task, detail)
	default:
		err = d.runtime.Event(ctx, "assignment", e.Task, time.Now().UnixMicro(), detail)
	}
	if err != nil {
		d.log.Warn("update event not stored", "err", err)
	}
	d.report()
}

// reportLoop publishes reported state when it changes and at least every 30 s.
func (d *Device) reportLoop(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last []byte
	var sent time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		r := d.Reported()
		r.Time = 0
		doc, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if !bytes.Equal(doc, last) || time.Since(sent) > 20*time.Second {
			d.report()
			last, sent = doc, time.Now()
		}
	}
}

// report offers the present state to the link.
func (d *Device) report() {
	if d.link == nil || !d.link.Up() || d.runtime == nil {
		return
	}
	doc, err := json.Marshal(d.Reported())
	if err != nil {
		d.log.Error("reported state cannot be written", "err", err)
		return
	}
	d.link.PublishState(doc)
}

// Reported implements serve.Status: what the hub is told.
func (d *Device) Reported() spec.Reported {
	r := spec.Reported{
		Device:     d.name,
		Site:       d.site,
		Version:    d.opts.Version,
		Run:        d.store.Outbox().Run().String(),
		Generation: d.manager.Generation(),
		Time:       time.Now().UnixMicro(),
		Class:      runtime.GOOS + "/" + runtime.GOARCH,
		Tasks:      map[string]spec.ReportedTask{},
		Health:     "ok",
	}
	if d.id != nil {
		r.Cohort = d.id.Cohort()
	}
	o := d.store.Outbox().Stats()
	r.Outbox = spec.ReportedOutbox{
		PendingRecords: o.PendingRecords,
		PendingBytes:   o.PendingBytes,
		CapBytes:       o.CapBytes,
		BytesPerDay:    o.BytesPerDay,
		OfflineDays:    o.OfflineDays,
		Stored:         map[string]uint64{},
	}
	for c, n := range o.Stored {
		r.Outbox.Stored[c.String()] = n
	}
	st := d.runtime.Status()
	r.LatencyUS = map[string]float64{"predict_p50": st.Latency.PredictP50, "predict_p99": st.Latency.PredictP99, "mqtt_to_prediction_p50": st.Latency.TotalP50, "mqtt_to_prediction_p99": st.Latency.TotalP99}
	for _, t := range st.Tasks {
		e := t.Engine
		r.Tasks[t.Spec.Name] = spec.ReportedTask{
			Kind:        string(t.Spec.Kind),
			Spec:        t.Spec.Source,
			SpecHash:    t.Spec.Hash,
			Watermark:   max(e.Watermark, 0),
			Rows:        e.Rows,
			Labels:      e.Labels,
			Drifts:      e.Drifts,
			Champion:    e.Champion,
			Version:     t.Version,
			MAE:         e.MAE,
			MAEBaseline: e.MAELast,
			Coverage:    e.Coverage,
			Assignment:  d.manager.Reported(t.Spec.Name),
		}
	}
	if r.Reasons = d.reasons(st); len(r.Reasons) > 0 {
		r.Health = "degraded"
	}
	return r
}

// reasons tells what is wrong and what to do.
func (d *Device) reasons(st *task.Status) []string {
	var out []string
	if st.Trouble != "" {
		out = append(out, "nothing can be stored: "+st.Trouble)
	}
	if p := d.badFile.Load(); p != nil {
		out = append(out, "task files not reloaded: "+*p)
	}
	if dmg := d.store.Damage(); dmg != "" {
		out = append(out, "the cache was damaged and salvaged at start: "+dmg)
	}
	if d.client != nil {
		if !d.client.Connected() {
			out = append(out, "no connection to the MQTT broker "+d.cfg.MQTT.Broker)
		}
		for _, f := range d.client.Refused() {
			out = append(out, "the broker refused the subscription "+f+": check its access list")
		}
	}
	if d.host != nil {
		out = append(out, d.host.Reasons()...)
	}
	return out
}

// Ready implements serve.Status.
func (d *Device) Ready() (bool, string) {
	if !d.ready.Load() {
		return false, "starting"
	}
	return true, ""
}

// Alive implements serve.Status.
func (d *Device) Alive() (bool, string) {
	last := d.beat.Load()
	if since := time.Since(time.Unix(0, last)); last != 0 && since > 15*time.Second {
		return false, fmt.Sprintf("no prediction loop for %s", since.Round(time.Second))
	}
	return true, ""
}

// Links implements serve.Status.
func (d *Device) Links() map[string]bool {
	m := map[string]bool{"mqtt": d.client != nil && d.client.Connected()}
	if d.link != nil {
		m["hub"] = d.link.Up()
	}
	return m
}

// gauges exports what is read rather than counted.
func (d *Device) gauges() {
	gauge := func(name, help string, f func() float64) {
		d.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "skerry_agent_" + name,
			Help: help,
		}, f))
	}
	gauge("outbox_pending_records", "Records the hub has not applied yet.", func() float64 { return float64(d.store.Outbox().Stats().PendingRecords) })
	gauge("outbox_pending_bytes", "Bytes of these records on disk.", func() float64 { return float64(d.store.Outbox().Stats().PendingBytes) })
	gauge("outbox_dropped_records", "Records dropped under pressure and replaced by gap records, since the start.", func() float64 { return float64(d.store.Outbox().Stats().Dropped) })
	gauge("outbox_offline_days", "Days this device can stay offline at the present rate, -1 when unknown.", func() float64 { return d.store.Outbox().Stats().OfflineDays })
	gauge("hub_link_up", "1 while the hub answers.", func() float64 {
		if d.link != nil && d.link.Up() {
			return 1
		}
		return 0
	})
}

// bootID names the boot of the host, "" where it cannot be read.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// builtAfter is a time that every right clock is past: a box without a real-time clock starts in 1970.
var builtAfter = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// trusted reports whether the device's clock can be right.
func trusted() bool { return time.Now().After(builtAfter) }

func clock() (int64, bool) { return time.Now().UnixMicro(), trusted() }
