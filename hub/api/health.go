package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// healthRoutes adds health, metrics and the page of the documentation.
func (s *Server) healthRoutes() {
	text := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body + "\n")) // the client may be gone
		}
	}
	s.mux.HandleFunc("GET /alive", text(http.StatusOK, `{"status":"ok"}`))
	s.mux.HandleFunc("GET /health", text(http.StatusOK, `{"status":"ok","version":"`+s.opts.Version+`"}`))
	s.mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		var failed []string
		for name, c := range s.health(r.Context()) {
			if c.Error != "" {
				failed = append(failed, name)
			}
		}
		if len(failed) == 0 {
			text(http.StatusOK, `{"status":"ready"}`)(w, r)
			return
		}
		slices.Sort(failed)
		b, _ := json.Marshal(failed) // texts always encode
		text(http.StatusServiceUnavailable, `{"status":"not ready","failed":`+string(b)+`}`)(w, r)
	})
	s.mux.HandleFunc("GET /docs", docs)
	for path, summary := range map[string]string{
		"/alive":  "The process answers",
		"/health": "The version that answers",
		"/ready":  "Every part works; 503 and the names of those that do not otherwise",
	} {
		s.describe(Anyone, http.MethodGet, path, "health", summary)
	}
	if s.opts.Gatherer != nil {
		s.mux.Handle("GET /metrics", promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{}))
		s.describe(Anyone, http.MethodGet, "/metrics", "health", "Metrics of Prometheus")
	}
	register(s, Viewer, op("GET", "/health/detailed", "health-detailed", "health", "State of every part"),
		func(ctx context.Context, _ *struct{}) (*healthOut, error) {
			o := &healthOut{}
			o.Body.Status, o.Body.Version, o.Body.Checks = "ok", s.opts.Version, s.health(ctx)
			for _, c := range o.Body.Checks {
				if c.Error != "" {
					o.Body.Status = "degraded"
				}
			}
			return o, nil
		})
}

type healthOut struct {
	Body struct {
		Status  string           `json:"status" enum:"ok,degraded"`
		Version string           `json:"version"`
		Checks  map[string]check `json:"checks"`
	}
}

type check struct {
	Status  string  `json:"status" enum:"ok,failed"`
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"`
}

func (s *Server) health(ctx context.Context) map[string]check {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out := map[string]check{}
	for name, fn := range s.checks {
		start := time.Now()
		c := check{Status: "ok"}
		if err := fn(ctx); err != nil {
			c = check{Status: "failed", Error: err.Error()}
		}
		c.Seconds = time.Since(start).Seconds()
		out[name] = c
	}
	return out
}
