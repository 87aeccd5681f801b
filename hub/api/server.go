package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"skerry.dev/configs"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/keys"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/replay"
	"skerry.dev/sync/trust/signing"
)

// Options configure the interface.
type Options struct {
	// Version is reported by /health and the OpenAPI document.
	Version string
	// Auth defines who may use the interface, and how much.
	Auth configs.HubAuth
	// DeviceQuota is how many bytes a device may send a day, to be shown.
	DeviceQuota int64
	// KeyDir is where a secret is kept that is made because Auth has none.
	KeyDir string
	// Inspect checks an uploaded artifact and returns its task, kind and metrics. nil: the upload
	// is taken as described by the caller.
	Inspect func(data []byte) (task, kind string, metrics any, err error)
	// Gatherer is what /metrics shows. nil: nothing.
	Gatherer prometheus.Gatherer
	// Log receives failures of the hub's own. nil: nowhere.
	Log *slog.Logger
}

// Parts are what the interface shows and changes.
type Parts struct {
	DB       *meta.Store
	Keys     *keys.Ring
	Fleet    *fleet.Fleet
	Registry *registry.Registry
	Lake     *lake.Lake
	Replay   *replay.Replayer
	Trust    *signing.Repository
	// Checks report what is wrong with the parts of the hub, by name, nil for what works. They
	// answer at once: the hub tries its parts out by itself (package health).
	Checks map[string]func() error
}

// Server is the interface. Safe for concurrent use once serving.
type Server struct {
	Parts
	opts   Options
	mux    *http.ServeMux
	huma   huma.API
	auth   auth
	checks map[string]func(context.Context) error
	facts  factCache

	mu    sync.Mutex // guards table and pace
	table []Row
	pace  map[string]*rate.Limiter // by caller, nil without a limit
}

// New makes the interface with every route of the hub's core.
func New(p Parts, opts Options) (*Server, error) {
	configs.FillDefaults(&opts.Auth)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	secret, err := loadSecret(opts)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Parts:  p,
		opts:   opts,
		mux:    http.NewServeMux(),
		pace:   map[string]*rate.Limiter{},
		checks: map[string]func(context.Context) error{},
	}
	s.auth = auth{
		db:      p.DB,
		keys:    p.Keys,
		secret:  secret,
		ttl:     opts.Auth.LoginTTL.Std(),
		hashing: make(chan struct{}, 2),
		dummy:   dummyHash(),
	}
	cfg := huma.DefaultConfig("Skerry hub", opts.Version)
	cfg.DocsPath, cfg.SchemasPath, cfg.CreateHooks = "", "", nil
	cfg.Formats = map[string]huma.Format{"application/json": {Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: strictUnmarshal}}
	cfg.DefaultFormat = "application/json"
	cfg.RejectUnknownQueryParameters = true
	cfg.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer"}}
	s.huma = humago.New(s.mux, cfg)
	s.huma.UseMiddleware(s.identify)
	s.checks["database"] = p.DB.Ping
	for name, fn := range p.Checks {
		s.checks[name] = func(context.Context) error { return fn() }
	}
	s.healthRoutes()
	s.loginRoutes()
	s.userRoutes()
	s.tokenRoutes()
	s.auditRoutes()
	s.enrollRoutes()
	s.deviceRoutes()
	s.fleetRoutes()
	s.eventRoutes()
	s.taskRoutes()
	s.lakeRoutes()
	s.predictionRoutes()
	s.modelRoutes()
	s.moduleRoutes()
	return s, nil
}

func loadSecret(opts Options) ([]byte, error) {
	if opts.Auth.JWTSecret != "" {
		if len(opts.Auth.JWTSecret) < 32 {
			return nil, errors.New("JWT_SECRET: must have at least 32 characters")
		}
		return []byte(opts.Auth.JWTSecret), nil
	}
	if opts.KeyDir == "" {
		return nil, errors.New("api: neither a secret nor a key directory is given")
	}
	file := filepath.Join(opts.KeyDir, "jwt-secret")
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		b = make([]byte, 32)
		rand.Read(b) // never fails
		b = []byte(hex.EncodeToString(b))
		err = errors.Join(os.MkdirAll(opts.KeyDir, 0o700), os.WriteFile(file, b, 0o600))
	}
	if err == nil && len(b) < 32 {
		err = fmt.Errorf("%s: has %d bytes, must have at least 32: put it back from a backup, or remove it (a new one is made, and every login ends)", file, len(b))
	}
	return b, err
}

// Huma is the API that operations are registered on.
func (s *Server) Huma() huma.API { return s.huma }

// Mux is the router, for the page of the web UI, which is no operation and needs no credential.
func (s *Server) Mux() *http.ServeMux { return s.mux }

// Handler is the whole interface.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		defer func() {
			v := recover()
			if v == http.ErrAbortHandler {
				panic(v) // breaks the connection off, so that a cut answer does not look complete
			}
			if v != nil {
				s.opts.Log.Error("request panicked", "path", r.URL.Path, "panic", v)
				writeError(w, http.StatusInternalServerError, "internal", "the hub made a mistake; its log has the details")
			}
		}()
		if err := checkURL(r); err != nil {
			writeError(w, http.StatusUnprocessableEntity, "invalid", err.Error())
			return
		}
		if _, pattern := s.mux.Handler(r); pattern == "" {
			writeError(w, http.StatusNotFound, "not_found", "no such path or method: "+r.Method+" "+r.URL.Path)
			return
		}
		s.mux.ServeHTTP(w, r)
	})
}

// Serve answers on a listener until ctx ends, then lets running requests finish for ten seconds.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		err = errors.Join(err, srv.Close())
	}
	<-done
	return err
}
