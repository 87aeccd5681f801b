package device

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/govern"
	"skerry.dev/agent/models"
	"skerry.dev/agent/serve"
	"skerry.dev/agent/source"
	"skerry.dev/agent/task"
	"skerry.dev/agent/update"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/link"
	"skerry.dev/sync/outbox"
	"skerry.dev/sync/trust"
)

// Open reads configuration, identity, cache and tasks and restores the learned state. It connects
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

		happenings: make(chan happened, 64),
	}
	d.inputs = source.NewInputs(d.metrics)
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
	if err := os.MkdirAll(d.cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	named := d.identify()
	d.store, err = cache.Open(cache.Options{
		Dir:     d.cfg.StateDir,
		Check:   opts.Check,
		Salvage: opts.Salvage,
		Free:    free,
		Log:     d.log,
		Outbox: outbox.Options{
			Device:    d.name,
			Inherit:   !named,
			MaxBytes:  int64(d.cfg.Cache.MaxBytes),
			BootID:    bootID(),
			StartedAt: time.Now().UnixMicro(),
			ClockOK:   trusted(),
		},
	})
	if err != nil {
		return nil, err
	}
	d.name = d.store.Outbox().Device()
	d.tellIdentity()
	if d.names, err = openNames(d.cfg.StateDir); err != nil {
		d.log.Warn("names of series", "err", err)
	}
	madeFor, err := d.store.MadeFor()
	if err != nil {
		return nil, err
	}
	d.names.learn(madeFor)
	if d.origins, err = openOrigins(d.cfg.StateDir); err != nil {
		d.log.Warn("files of tasks", "err", err)
	}
	files, problem, err := d.readable(d.origins.tasks(d.cfg.TaskDir), true)
	if err != nil {
		return nil, err
	}
	if d.captures, err = openCaptures(d.cfg.StateDir); err != nil {
		d.log.Warn("devices of captured topics", "err", err)
	}
	if err = d.captures.question(files, madeFor); err != nil {
		d.log.Warn("devices of captured topics", "err", err)
	}
	tasks, plan, err := d.compile(files)
	if err != nil {
		return nil, err
	}
	d.inForce(files)
	if problem != nil {
		msg := problem.Error()
		d.badFile.Store(&msg)
		d.log.Error("task files left out: what they were when the agent ran last stays in force, where that is known", "err", problem)
	}
	d.tasks.Store(&tasks)
	d.models = models.New(d.Tasks, d.log, d.metrics)
	if err := d.openUpdater(); err != nil {
		return nil, err
	}
	d.models.Use(d.manager)
	d.runtime, err = task.Open(task.Options{
		Device:     d.name,
		Store:      d.store,
		Tasks:      tasks,
		Plan:       plan,
		Keep:       problem != nil || d.captures.doubt,
		Models:     d.models.Loaded,
		Publish:    d.publish,
		Stream:     d.stream.Send,
		Ahead:      func(series string, arrival, ahead int64) { d.inputs.Ahead(series, arrival, ahead) },
		Clash:      func(series string, arrival int64) { d.inputs.Clash(series, arrival) },
		ByID:       func(series, id string, found bool, arrival int64) { d.inputs.ByID(series, id, found, arrival) },
		Forgive:    func(series string, f source.Forgiven) { d.inputs.Forgive(series, f) },
		Heartbeat:  d.heartbeat,
		AgentCache: d.cfg.Cache,
		Log:        d.log,
		Metrics:    task.NewMetrics(d.metrics),
	})
	if err != nil {
		return nil, err
	}
	d.models.In(d.runtime)
	return d, d.openEdges(plan)
}

// hubURL is the configured address of the hub or the one of the enrolment.
func (d *Device) hubURL() string {
	if d.cfg.Hub.URL != "" || d.id == nil {
		return strings.TrimRight(d.cfg.Hub.URL, "/")
	}
	return d.id.Hub()
}

func (d *Device) openUpdater() error {
	v, err := d.verifier()
	if err != nil {
		d.noTrust = err.Error()
		d.log.Error("no model is installed", "err", err)
	}
	d.manager, err = update.Open(v, d.models, d.models, update.Options{
		Dir:       d.cfg.SlotDir(),
		FloorFile: d.cfg.FloorPath(),
		HTTP:      d.web,
		Authorize: d.authorize,
		URL:       func(digest string) string { return d.hubURL() + identity.PathArtifact + digest },
		Events:    d.updateEvent,
		Log:       d.log,
		Tick:      250 * time.Millisecond,
		Free: func() (uint64, error) {
			free, _, err := govern.Disk(d.cfg.SlotDir())
			return free, err
		},
	})
	return err
}

// authorize adds the device's credential to a download from the hub.
func (d *Device) authorize(r *http.Request) {
	if d.id != nil {
		d.id.Authorize(r)
	}
}

// verifier returns what checks models before they are installed. Without an enrolment, or a root of
// trust, which the error is about, it lets none be installed; those that are go on.
func (d *Device) verifier() (update.Verifier, error) {
	if d.id == nil {
		return untrusting{identity.ErrNotEnrolled}, nil
	}
	c, err := trust.Open(trust.Options{
		Dir:   d.cfg.TrustDir(),
		Root:  d.id.TUFRoot(),
		Fetch: trust.FetchFunc(d.fetchMetadata),
	})
	if err != nil {
		err = fmt.Errorf("%w: put %s back from a backup, or move it away, so that the root of trust of the enrolment is taken anew, or enrol again (skerry-agent enroll)", err, filepath.Join(d.cfg.TrustDir(), "root.json"))
		return untrusting{err}, err
	}
	return verifier{c}, nil
}

// untrusting is the verifier of a device without a root of trust: nothing may be installed.
type untrusting struct{ why error }

func (u untrusting) Refresh(context.Context) error { return u.why }

func (u untrusting) Target(string) (int64, string, []byte, error) { return 0, "", nil, u.why }

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
	d.inputs.Event, d.inputs.Offset, d.inputs.Broker = d.happen, d.offset, d.cfg.MQTT.Broker != ""
	d.inputs.Use(plan)
	for _, s := range plan.Series() {
		d.inputs.Expect(s.Name, d.runtime.Usual(s.Name))
	}
	if d.cfg.MQTT.Broker == "" {
		d.log.Info("no broker: readings come by HTTP, predictions go to /v1/stream", "ingest", "POST http://"+d.cfg.HTTP.Listen+"/v1/ingest/<topic>")
	} else {
		var err error
		d.client, err = source.New(plan, source.Options{
			AgentMQTT: d.cfg.MQTT,
			Device:    d.name,
			Clock:     clock,
			Behind:    d.behind,
			Log:       d.log,
			Metrics:   d.metrics,
			Inputs:    d.inputs,
			Seen:      d.sighted,
			Trouble:   d.runtime.Trouble,

			SessionFile: filepath.Join(d.cfg.StateDir, "session.json"),
		})
		if err != nil {
			return err
		}
	}
	var ingest http.Handler
	if d.cfg.HTTP.Ingest {
		d.ingest = source.NewIngest(plan, d.runtime, source.IngestOptions{
			MaxPayload: d.cfg.MQTT.MaxPayload,
			Clock:      clock,
			Behind:     d.behind,
			Log:        d.log,
			Metrics:    d.metrics,
			Inputs:     d.inputs,
			Seen:       d.sighted,
		})
		ingest = d.ingest
	}
	d.host = govern.New(govern.Options{
		Govern:  d.cfg.Govern,
		Dir:     d.cfg.StateDir,
		Samples: d.samples,
		Log:     d.log,
		Metrics: d.metrics,
	})
	if d.id != nil && d.store.Borrowed() == nil { // a copy has no outbox to go on with
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
		Models:  d.models,
		Metrics: d.metrics,
		Ingest:  ingest,
		Inputs:  d.inputs,
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

// free returns the free bytes of the file system that holds dir.
func free(dir string) (uint64, error) {
	n, _, err := govern.Disk(dir)
	return n, err
}

// bootID names the boot of the host, "" where it cannot be read.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
