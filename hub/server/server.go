// Package server wires the whole hub: Open acquires everything, Run serves until its context
// ends, Close releases. The command and the tests use it alike.
//
// Other packages join by the fields of [Hub] before Run: routes on API, background work with Go.
package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"skerry.dev/configs"
	"skerry.dev/hub/api"
	"skerry.dev/hub/blob"
	"skerry.dev/hub/bus"
	"skerry.dev/hub/bus/embedded"
	"skerry.dev/hub/clock"
	"skerry.dev/hub/duty"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/health"
	"skerry.dev/hub/infer"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/ingest/natslanes"
	"skerry.dev/hub/keys"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/replay"
	"skerry.dev/hub/retain"
	"skerry.dev/sync/dirlock"
	"skerry.dev/sync/trust/signing"
)

// Options configure a hub: what the admin decides and what the program brings.
type Options struct {
	// Config is hub.yaml. What is zero takes the key's default, except DataDir, which is needed.
	Config configs.HubConfig
	// AdminPassword is given to the user admin on the first start. Default: generated and shown
	// once.
	AdminPassword string
	// ResetAdmin gives the user admin its role and a new password although there are users: for an
	// owner of the data folder who has lost the password.
	ResetAdmin bool
	// Adopt lets this database take over a lake and artifacts that belong to another.
	Adopt bool
	// NewKeys makes new keys where some of a data folder that was used are gone, and sets the rest
	// aside. Every device must be enrolled again.
	NewKeys bool
	// Version is shown by /health. Default "dev".
	Version string
	// Inspect reads an uploaded artifact; see api.Options.
	Inspect func(data []byte) (task, kind string, metrics any, err error)
	// Log receives everything. nil: nothing.
	Log *slog.Logger
}

// Hub is an open hub.
type Hub struct {
	DB       *meta.Store
	Clock    *clock.Clock
	Duties   *duty.Keeper
	Keys     *keys.Ring
	NATS     *embedded.Server
	Bus      *bus.Bus
	Blobs    *blob.Store
	Trust    *signing.Repository
	Registry *registry.Registry
	Fleet    *fleet.Fleet
	Ingest   *ingest.Ingester
	Lanes    *natslanes.Lanes
	Lake     *lake.Lake
	Replay   *replay.Replayer
	Disk     *health.Disk
	Monitor  *health.Monitor
	API      *api.Server
	Metrics  *prometheus.Registry
	Log      *slog.Logger
	// NewAdminPassword is the password of the user admin when this start created it, ""
	// otherwise. Show it once.
	NewAdminPassword string

	id        string // see hubID
	opts      Options
	lakeBlobs *blob.Store
	listener  net.Listener
	tasks     []func(context.Context) error
	lock      *dirlock.Lock // of the data folder
	closed    bool
}

// Open creates or opens the hub's data, starts NATS and listens. Nothing is served before Run.
func Open(ctx context.Context, opts Options) (_ *Hub, err error) {
	if opts.Config.DataDir == "" {
		return nil, errors.New("open hub: data_dir is not set")
	}
	configs.FillDefaults(&opts.Config)
	cfg := &opts.Config
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Version == "" {
		opts.Version = "dev"
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("open hub: %w", err)
	}
	if err := os.Chmod(cfg.DataDir, 0o700); err != nil { // it may have been made by somebody else
		return nil, fmt.Errorf("open hub: keep others out of data_dir: %w", err)
	}
	h := &Hub{opts: opts, Log: opts.Log, Metrics: prometheus.NewRegistry()}
	h.Metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			err = fmt.Errorf("open hub: %w", errors.Join(err, h.Close()))
		}
	}()
	if h.lock, err = dirlock.Acquire(cfg.DataDir); err != nil {
		return nil, err
	}
	if h.DB, err = meta.Open(ctx, meta.Options{URL: strings.TrimPrefix(cfg.DatabaseURL, "sqlite:"), Dir: cfg.DataDir, Log: opts.Log}); err != nil {
		return nil, err
	}
	if h.Blobs, err = blob.Open(ctx, cfg.BlobURL, cfg.DataDir, "blobs"); err != nil {
		return nil, err
	}
	if h.lakeBlobs, err = blob.Open(ctx, cfg.BlobURL, cfg.DataDir, "lake"); err != nil {
		return nil, err
	}
	keyDir, tufDir := filepath.Join(cfg.DataDir, "keys"), filepath.Join(cfg.DataDir, "tuf")
	if err := h.secrets(ctx, keyDir, tufDir); err != nil {
		return nil, err
	}
	if h.Trust, err = signing.Open(signing.Options{Keys: keyDir, Dir: tufDir, Log: opts.Log}); err != nil {
		return nil, err
	}
	if err := h.bind(ctx); err != nil {
		return nil, err
	}
	h.Disk = health.WatchDisk(int64(cfg.Disk.MinFree), opts.Log, h.folders()...)
	h.Registry = registry.New(h.DB, h.Blobs, h.Trust)
	if err := h.Registry.Repair(ctx); err != nil {
		return nil, err
	}
	if err := h.openBus(ctx, keyDir); err != nil {
		return nil, err
	}
	if h.id, err = hubID(cfg.DataDir); err != nil {
		return nil, err
	}
	h.Clock = clock.New(h.DB, clock.Options{Log: opts.Log})
	h.Duties = duty.New(h.DB, h.id, duty.Options{Log: opts.Log})
	h.Fleet = fleet.New(h.DB, h.Bus, h.Keys, fleet.Options{
		Hub:       h.id,
		TrustRoot: h.Trust.Root,
		Log:       opts.Log,
	})
	if err := h.Fleet.Watch(); err != nil {
		return nil, err
	}
	h.Ingest = ingest.New(h.DB, ingest.Options{
		HubIngest:  cfg.Ingest,
		Room:       h.Disk.Err,
		Registerer: h.Metrics,
		Log:        opts.Log,
	})
	h.Lanes = natslanes.New(h.Bus, h.Ingest, opts.Log)
	h.Lake = lake.New(h.DB, h.lakeBlobs, lake.Options{
		HubLake:    cfg.Lake,
		Keep:       cfg.Keep.Lake.Std(),
		Clock:      h.Clock.Now,
		Registerer: h.Metrics,
		Log:        opts.Log,
	})
	h.Replay = replay.New(h.DB, h.Lake, h.Registry.Load)
	h.monitor()
	if h.API, err = api.New(api.Parts{
		DB:       h.DB,
		Keys:     h.Keys,
		Checks:   h.checks(),
		Fleet:    h.Fleet,
		Registry: h.Registry,
		Lake:     h.Lake,
		Replay:   h.Replay,
		Trust:    h.Trust,
	},
		api.Options{
			Version:     opts.Version,
			Auth:        cfg.Auth,
			DeviceQuota: int64(cfg.Ingest.DeviceQuota),
			KeyDir:      keyDir,
			Inspect:     opts.Inspect,
			Gatherer:    h.Metrics,
			Log:         opts.Log,
		}); err != nil {
		return nil, err
	}
	if h.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("%w: choose another address with --listen", err)
	}
	if cfg.TLSCert != "" {
		conf, err := configs.ServerTLS(cfg.TLSCert, cfg.TLSKey, opts.Log)
		if err != nil {
			return nil, fmt.Errorf("tls_cert: %w", err)
		}
		conf.NextProtos = []string{"http/1.1"}
		h.listener = tls.NewListener(h.listener, conf)
	}
	// Last: its password is shown by a start that succeeds.
	if err := h.firstAdmin(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// openBus opens the key ring, starts NATS and connects to it.
func (h *Hub) openBus(ctx context.Context, keyDir string) (err error) {
	cfg := &h.opts.Config
	if h.Keys, err = keys.Open(keyDir); err != nil {
		return err
	}
	if err := fleet.EnforceRevocations(ctx, h.DB, h.Keys); err != nil {
		return err
	}
	if h.NATS, err = embedded.Open(embedded.Options{
		Dir:     cfg.DataDir,
		Listen:  cfg.NATSListen,
		TLSCert: cfg.TLSCert,
		TLSKey:  cfg.TLSKey,
		Violation: func(ctx context.Context, device, what string) {
			err := h.Ingest.Note(ctx, device, "violation", map[string]any{
				"reason":     "the device did what its credential does not allow: " + what,
				"what_to_do": "an agent never does; revoke the credential if it is in other hands: skerry-hub device revoke " + device,
			})
			if err != nil && ctx.Err() == nil {
				h.Log.Error("raising an alarm failed", "device", device, "err", err)
			}
		},
		Log: h.Log,
	}, h.Keys); err != nil {
		return err
	}
	advertise := cfg.NATSURLs
	if len(advertise) == 0 {
		advertise = []string{h.NATS.URL()}
		if reachesOthers(cfg.Listen) && !reachesOthers(strings.TrimPrefix(advertise[0], "nats://")) || strings.HasPrefix(cfg.NATSListen, "0.0.0.0") || strings.HasPrefix(cfg.NATSListen, "[::]") || strings.HasPrefix(cfg.NATSListen, ":") {
			h.Log.Warn("devices on other machines cannot reach the address that they are told", "address", advertise[0],
				"what_to_do", "listen for them by nats_listen (--nats-listen 0.0.0.0:4222) and name the address they reach by nats_urls (--advertise-nats nats://<name of this machine>:4222)")
		}
	}
	h.Bus, err = bus.Open(ctx, bus.Options{
		Connect:   []nats.Option{h.NATS.InProcess()},
		Advertise: advertise,
		Log:       h.Log,
	}, h.Keys)
	return err
}

// reachesOthers reports whether an address to listen on takes connections of other machines.
func reachesOthers(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "localhost" {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || !ip.IsLoopback()
}

// folders are where the hub writes: the data folder, and those of the blob stores that are folders.
func (h *Hub) folders() []string {
	out := []string{h.opts.Config.DataDir}
	for _, b := range []*blob.Store{h.Blobs, h.lakeBlobs} {
		if dir := b.Dir(); dir != "" {
			out = append(out, dir)
		}
	}
	return out
}

// How often the parts are tried out. The database and the bus are local; objects of a store in the
// network cost money, and looking through a database costs time.
const (
	probeEvery  = 10 * time.Second
	blobEvery   = time.Minute
	verifyEvery = 6 * time.Hour
)

// monitor lists what is tried out, and how.
func (h *Hub) monitor() {
	h.Monitor = health.NewMonitor(h.Log)
	h.Monitor.Add("database_write", probeEvery, func(ctx context.Context) error { return h.DB.Probe(ctx, h.id) })
	h.Monitor.Add("database_file", verifyEvery, h.DB.Verify)
	h.Monitor.Add("lake", blobEvery, func(ctx context.Context) error { return h.lakeBlobs.Probe(ctx, h.id) })
	h.Monitor.Add("blobs", blobEvery, func(ctx context.Context) error { return h.Blobs.Probe(ctx, h.id) })
	failures := 0
	h.Monitor.Add("bus", probeEvery, func(ctx context.Context) error {
		err := h.Bus.Probe(ctx)
		if failures++; err == nil || ctx.Err() != nil {
			failures = 0
		}
		if failures >= 2 && h.Disk.Err() == nil {
			h.Log.Warn("the message bus stores nothing, starting JetStream again", "err", err)
			err = errors.Join(err, h.NATS.Reopen())
			failures = 0
		}
		return err
	})
}

// checks are what the API shows of the health of the parts.
func (h *Hub) checks() map[string]func() error {
	out := map[string]func() error{"nats": h.busErr, "disk": h.Disk.Err, "lake_files": h.Lake.Err}
	for _, name := range h.Monitor.Names() {
		out[name] = func() error { return h.Monitor.Err(name) }
	}
	return out
}

// busErr reports what is wrong with the message bus, nil when it works.
func (h *Hub) busErr() error { return errors.Join(h.NATS.Err(), h.Bus.Err()) }

// firstAdmin creates the user admin where there is no user, or gives it a new password and its role
// back when that was requested. There is no default password.
func (h *Hub) firstAdmin(ctx context.Context) error {
	users, err := h.DB.Read().Accounts(ctx)
	if err != nil {
		return err
	}
	if len(users) > 0 && !h.opts.ResetAdmin {
		if h.opts.AdminPassword != "" {
			h.Log.Info("the given password of admin is not used: there are users already")
		}
		return nil
	}
	password := h.opts.AdminPassword
	if password == "" {
		password = strings.ToLower(rand.Text())
	}
	if slices.ContainsFunc(users, func(a meta.Account) bool { return a.Name == "admin" }) {
		err = api.ResetAccount(ctx, h.DB, "hub", "admin", "admin", password)
	} else {
		err = api.CreateAccount(ctx, h.DB, "hub", "admin", "admin", password)
	}
	if err != nil {
		return fmt.Errorf("create the user admin: %w", err)
	}
	h.NewAdminPassword = password
	return nil
}

// Infer serves the champions of the tasks by the Open Inference Protocol. Call it between Open
// and Run.
func (h *Hub) Infer() {
	h.API.AddInference(infer.Handler(h.DB, h.Registry, infer.Options{
		Version: h.opts.Version,
		Ready:   func() bool { return h.busErr() == nil },
		Log:     h.Log,
	}))
}

// Go adds background work that Run starts and waits for. Call it before Run.
func (h *Hub) Go(fn func(context.Context) error) { h.tasks = append(h.tasks, fn) }

// URL is the address of the REST API.
func (h *Hub) URL() string {
	if h.opts.Config.TLSCert != "" {
		return "https://" + h.listener.Addr().String()
	}
	return "http://" + h.listener.Addr().String()
}

// Run serves until ctx ends or a part fails, and returns when everything it started has stopped.
func (h *Hub) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.Fleet.Run(ctx) })
	g.Go(func() error { return h.Ingest.Run(ctx) })
	g.Go(func() error { return h.Lanes.Run(ctx) })
	g.Go(func() error { return h.Clock.Run(ctx) })
	g.Go(func() error { return h.Duties.Run(ctx, "lake", h.Lake.Run) })
	g.Go(func() error {
		return h.Duties.Run(ctx, "retention", retain.New(h.DB, h.opts.Config.Keep, h.Clock.Now, h.Log).Run)
	})
	g.Go(func() error {
		return h.Duties.Run(ctx, "artifacts", func(ctx context.Context, l *duty.Lease) error {
			return h.Registry.RunRemoval(ctx, l, h.opts.Config.Keep.Models.Std(), h.Clock.Now, h.Log)
		})
	})
	g.Go(func() error { return feed.Run(ctx, h.DB, feed.Limits{}, h.Clock.Now, h.Log) })
	g.Go(func() error {
		return h.Duties.Run(ctx, "trust", func(ctx context.Context, _ *duty.Lease) error {
			return h.Trust.Run(ctx, func(err error) { h.Log.Error("signing trust metadata again failed", "err", err) })
		})
	})
	g.Go(func() error { return h.API.Serve(ctx, h.listener) })
	g.Go(func() error { return h.NATS.Run(ctx) })
	g.Go(func() error { return h.Disk.Run(ctx) })
	g.Go(func() error { return h.Monitor.Run(ctx) })
	for _, fn := range h.tasks {
		g.Go(func() error { return fn(ctx) })
	}
	h.Log.Info("hub is up", "url", h.URL(), "nats", h.Bus.URLs(), "database", h.DB.Dialect(), "data_dir", h.opts.Config.DataDir)
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("run hub: %w", err)
	}
	return nil
}

// Close releases everything. It is idempotent; call it after Run has returned.
func (h *Hub) Close() error {
	if h.closed {
		return nil
	}
	h.closed = true
	var errs []error
	if h.listener != nil {
		if err := h.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if h.Bus != nil {
		errs = append(errs, h.Bus.Close())
	}
	if h.NATS != nil {
		errs = append(errs, h.NATS.Close())
	}
	for _, b := range []*blob.Store{h.Blobs, h.lakeBlobs} {
		if b != nil {
			errs = append(errs, b.Close())
		}
	}
	if h.DB != nil {
		errs = append(errs, h.DB.Close())
	}
	return errors.Join(append(errs, h.lock.Release())...)
}
