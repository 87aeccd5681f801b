package serve

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"skerry.dev/agent/source"
	"skerry.dev/sync/oip"
	"skerry.dev/sync/spec"
)

// Status is what the server reads of the running agent. Its methods are called concurrently and
// must not block.
type Status interface {
	// Reported is the state that is sent to the hub as well; its health and reasons are shown as
	// they are.
	Reported() spec.Reported
	// Ready reports whether predictions are being made, and why not.
	Ready() (ok bool, reason string)
	// Alive reports whether the loop that predicts still turns, and since when not.
	Alive() (ok bool, reason string)
	// Links reports which connections stand, by name ("mqtt", "hub").
	Links() map[string]bool
}

// Options of a Server.
type Options struct {
	Listen  string // default 127.0.0.1:8088
	Version string
	Status  Status
	Models  oip.Repository      // nil: no inference
	Metrics prometheus.Gatherer // nil: no /metrics
	Ingest  http.Handler        // POST /v1/ingest/{topic...}; nil: readings are not taken by HTTP
	Inputs  *source.Inputs      // what has arrived; nil: it is not shown
	Stream  *Stream             // nil: an empty stream
	Log     *slog.Logger
}

// Server is the agent's HTTP server.
type Server struct {
	opts    Options
	started time.Time
	handler http.Handler
	stop    chan struct{} // closed when the server stops: streams end
}

//go:embed index.html
var indexPage []byte

//go:embed docs.html
var docsPage []byte

// New returns a server that does not listen; [Server.Run] does.
func New(opts Options) *Server {
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:8088"
	}
	if opts.Stream == nil {
		opts.Stream = NewStream()
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: opts, started: time.Now(), stop: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page(indexPage))
	mux.HandleFunc("GET /docs", page(docsPage))
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /health/detailed", s.detailed)
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) { probe(w, opts.Status.Ready) })
	mux.HandleFunc("GET /alive", func(w http.ResponseWriter, _ *http.Request) { probe(w, opts.Status.Alive) })
	mux.HandleFunc("GET /v1/tasks", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, opts.Status.Reported().Tasks) })
	mux.HandleFunc("GET /v1/tasks/{task}", s.task)
	mux.HandleFunc("GET /v1/stream", s.stream)
	if opts.Metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(opts.Metrics, promhttp.HandlerOpts{}))
	}
	if opts.Ingest != nil {
		mux.Handle("POST /v1/ingest/{topic...}", opts.Ingest)
	}
	if opts.Models != nil {
		oip.New(opts.Models, oip.Options{
			Name:    "skerry-agent",
			Version: opts.Version,
			Ready:   func() bool { ok, _ := opts.Status.Ready(); return ok },
		}).Register(mux)
	}
	s.handler = http.NewCrossOriginProtection().Handler(topics(mux, opts.Ingest))
	return s
}

// topics takes readings of topics that begin with a slash or have an empty level, which is another
// topic to a broker, past the cleaning of paths.
func topics(mux, ingest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		topic, ok := strings.CutPrefix(r.URL.Path, "/v1/ingest/")
		if ingest == nil || !ok || r.Method != http.MethodPost || !strings.Contains(r.URL.Path, "//") {
			mux.ServeHTTP(w, r)
			return
		}
		r.SetPathValue("topic", topic)
		ingest.ServeHTTP(w, r)
	})
}

// Handler returns the server's routes.
func (s *Server) Handler() http.Handler { return s.handler }

// Listen opens the listener for Serve.
func (s *Server) Listen() (net.Listener, error) {
	l, err := net.Listen("tcp", s.opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for http on %s: %w (http.listen)", s.opts.Listen, err)
	}
	return l, nil
}

// Serve answers until ctx ends and finishes running requests, for at most five seconds. It closes
// the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelWarn),
	}
	s.opts.Log.Info("http listens", "address", l.Addr().String())
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	close(s.stop)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := srv.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		s.opts.Log.Warn("http requests were cut off at the stop")
		err = srv.Close()
	}
	<-failed
	return err
}

func page(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'")
		_, _ = w.Write(content) // the browser is gone when this fails
	}
}

// Health is the answer of /health: "ok", or "degraded" with reasons. It is HTTP 200 in both
// cases: a degraded agent predicts.
type Health struct {
	Status  string   `json:"status"`
	Reasons []string `json:"reasons"`
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, healthOf(s.opts.Status.Reported()))
}

func healthOf(r spec.Reported) Health {
	h := Health{Status: r.Health, Reasons: slices.Clone(r.Reasons)}
	if h.Status == "" {
		h.Status = "ok"
	}
	if h.Reasons == nil {
		h.Reasons = []string{}
	}
	return h
}

// Detailed is the answer of /health/detailed.
type Detailed struct {
	Health
	Version   string          `json:"version"`
	UptimeS   int64           `json:"uptime_s"`
	Ready     bool            `json:"ready"`
	Links     map[string]bool `json:"links"`
	HeapBytes uint64          `json:"heap_bytes"`
	Routines  int             `json:"goroutines"`
	State     spec.Reported   `json:"state"`
	// what has arrived for every series
	Inputs []source.InputStatus `json:"inputs,omitempty"`
}

func (s *Server) detailed(w http.ResponseWriter, _ *http.Request) {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	r := s.opts.Status.Reported()
	ok, reason := s.opts.Status.Ready()
	d := Detailed{
		Health:    healthOf(r),
		Version:   s.opts.Version,
		UptimeS:   int64(time.Since(s.started) / time.Second),
		Ready:     ok,
		Links:     s.opts.Status.Links(),
		HeapBytes: mem.HeapAlloc,
		Routines:  runtime.NumGoroutine(),
		State:     r,
	}
	if !ok {
		d.Reasons = append(d.Reasons, "not ready: "+reason)
	}
	if s.opts.Inputs != nil {
		d.Inputs = s.opts.Inputs.Status()
	}
	reply(w, http.StatusOK, d)
}

func (s *Server) task(w http.ResponseWriter, r *http.Request) {
	t, ok := s.opts.Status.Reported().Tasks[r.PathValue("task")]
	if !ok {
		reply(w, http.StatusNotFound, map[string]string{"error": fmt.Sprintf("no task %q", r.PathValue("task"))})
		return
	}
	reply(w, http.StatusOK, t)
}

func probe(w http.ResponseWriter, ask func() (bool, string)) {
	ok, reason := ask()
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	reply(w, status, map[string]any{"ok": ok, "reason": reason})
}

func reply(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the state cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client is gone when this fails
}
