package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/sync/oip"
	"skerry.dev/sync/spec"
)

type fakeStatus struct{ notReady, dead string }

func (f *fakeStatus) Reported() spec.Reported {
	r := spec.Reported{Device: "dev1", Site: "north", Health: "ok", Tasks: map[string]spec.ReportedTask{"air": {Kind: "forecast", Rows: 7}}}
	if f.notReady != "" {
		r.Health, r.Reasons = "degraded", []string{f.notReady}
	}
	return r
}
func (f *fakeStatus) Ready() (bool, string)  { return f.notReady == "", f.notReady }
func (f *fakeStatus) Alive() (bool, string)  { return f.dead == "", f.dead }
func (f *fakeStatus) Links() map[string]bool { return map[string]bool{"mqtt": true} }

type noModels struct{}

func (noModels) List() []string                    { return nil }
func (noModels) Get(_, _ string) (oip.Model, bool) { return nil, false }

func newServer(st Status, stream *Stream) *Server {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "skerry_test_total"})
	reg.MustRegister(c)
	return New(Options{Status: st, Metrics: reg, Models: noModels{}, Stream: stream, Version: "v1",
		Ingest: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.PathValue("topic"))) })})
}

func TestRoutes(t *testing.T) {
	st := &fakeStatus{}
	srv := httptest.NewServer(newServer(st, nil).Handler())
	defer srv.Close()
	get := func(method, path string, header ...string) (int, string) {
		t.Helper()
		req, _ := http.NewRequest(method, srv.URL+path, nil)
		if len(header) == 2 {
			req.Header.Set(header[0], header[1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	check := func(path string, status int, want string) {
		t.Helper()
		if code, body := get("GET", path); code != status || !strings.Contains(body, want) {
			t.Errorf("GET %s = %d %.200s, want %d %s", path, code, body, status, want)
		}
	}
	check("/", 200, "/v1/stream")
	check("/docs", 200, "/v1/ingest")
	check("/health", 200, `{"status":"ok","reasons":[]}`)
	check("/health/detailed", 200, `"device":"dev1"`)
	check("/ready", 200, `"ok":true`)
	check("/alive", 200, `"ok":true`)
	check("/metrics", 200, "skerry_test_total 0")
	check("/v1/tasks", 200, `"rows":7`)
	check("/v1/tasks/air", 200, `"kind":"forecast"`)
	check("/v1/tasks/none", 404, `no task \"none\"`)
	check("/v2", 200, "skerry-agent")
	check("/v2/models/air", 404, `{"error":"no model air"}`)
	check("/nothing", 404, "")
	st.notReady, st.dead = "no task files", "the loop stands still for 40s"
	check("/health", 200, `"degraded"`)
	check("/ready", 503, "no task files")
	check("/alive", 503, "stands still")
	check("/v2/health/ready", 503, `"ready":false`)

	if code, body := get("POST", "/v1/ingest/air/s1"); code != 200 || body != "air/s1" {
		t.Errorf("POST ingest = %d %s", code, body)
	}
	if code, _ := get("POST", "/v1/ingest/air/s1", "Sec-Fetch-Site", "cross-site"); code != 403 {
		t.Errorf("a POST that another site's page sends = %d, want 403", code)
	}
}

func TestPagesUseNothingFromElsewhere(t *testing.T) {
	for name, p := range map[string][]byte{"index": indexPage, "docs": docsPage} {
		for _, bad := range []string{"src=\"http", "href=\"http", "@import", "url("} {
			if strings.Contains(string(p), bad) {
				t.Errorf("%s page contains %s: it must work offline", name, bad)
			}
		}
	}
}

func TestStream(t *testing.T) {
	stream := NewStream()
	s := newServer(&fakeStatus{}, stream)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stream.Send("prediction", []byte(`{}`)) // nobody listens
	res, err := http.Get("http://" + l.Addr().String() + "/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	next := func() (event, data string) {
		for lines.Scan() {
			if v, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = v
			}
			if v, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return event, v
			}
		}
		return "", ""
	}
	event, data := next()
	var doc struct{ State spec.Reported }
	if err := json.Unmarshal([]byte(data), &doc); event != "state" || err != nil || doc.State.Tasks["air"].Rows != 7 {
		t.Fatalf("first event %s %s, %v", event, data, err)
	}
	stream.Send("prediction", []byte(`{"task":"air","value":3}`))
	if event, data = next(); event != "prediction" || data != `{"task":"air","value":3}` {
		t.Errorf("event %s %s", event, data)
	}
	cancel() // an open stream does not hold up the stop
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(4 * time.Second):
		t.Fatal("the server does not stop")
	}
}

func TestSlowListenerDoesNotHoldUp(t *testing.T) {
	s := NewStream()
	l := s.join()
	for range 3 * listenerLag {
		s.Send("event", []byte("{}"))
	}
	if got := l.missed.Load(); got != 2*listenerLag {
		t.Errorf("missed %d, want %d", got, 2*listenerLag)
	}
	s.leave(l)
	for range maxListeners {
		s.join()
	}
	if s.join() != nil {
		t.Error("more listeners than the limit")
	}
}

// TestDetailed reads the document that people and monitors read of an agent.
func TestDetailed(t *testing.T) {
	st := &fakeStatus{notReady: "no task files"}
	srv := httptest.NewServer(newServer(st, nil).Handler())
	defer srv.Close()
	res, err := http.Get(srv.URL + "/health/detailed")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if ct := res.Header.Get("Content-Type"); res.StatusCode != 200 || ct != "application/json" {
		t.Errorf("GET /health/detailed = %d of %q, want 200: a degraded agent predicts", res.StatusCode, ct)
	}
	var d Detailed
	dec := json.NewDecoder(res.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatal(err)
	}
	if d.Status != "degraded" || len(d.Reasons) == 0 || d.Version != "v1" || d.Ready || !d.Links["mqtt"] || d.HeapBytes == 0 || d.Routines < 1 || d.State.Tasks["air"].Rows != 7 || d.UptimeS < 0 {
		t.Errorf("GET /health/detailed = %+v", d)
	}
}

// TestWithoutParts: what an agent was not given is not there, and everything else is.
func TestWithoutParts(t *testing.T) {
	srv := httptest.NewServer(New(Options{Status: &fakeStatus{}}).Handler())
	defer srv.Close()
	for path, want := range map[string]int{"/metrics": 404, "/v2": 404, "/v2/models/air": 404, "/v1/tasks": 200, "/": 200, "/health": 200, "/v1/tasks/": 404} {
		res, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("GET %s = %d, want %d", path, res.StatusCode, want)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		req, err := http.NewRequest(method, srv.URL+"/v1/tasks", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s /v1/tasks = %d, want 405", method, res.StatusCode)
		}
	}
}

// TestPageHeaders: pages may run nothing of others and stand in no frame.
func TestPageHeaders(t *testing.T) {
	srv := httptest.NewServer(newServer(&fakeStatus{}, nil).Handler())
	defer srv.Close()
	for _, path := range []string{"/", "/docs"} {
		res, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") || res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("GET %s has the policy %q and type %q", path, csp, res.Header.Get("Content-Type"))
		}
	}
}

// TestRunNamesTheAddress: an address in use is reported with the key that sets it, and a stopped
// server gives its address free.
func TestRunNamesTheAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_, err = New(Options{Status: &fakeStatus{}, Listen: addr}).Listen()
	if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "(http.listen)") {
		t.Errorf("Run on an address in use = %v, want the address and its key", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- New(Options{Status: &fakeStatus{}}).Serve(ctx, l) }()
	res, err := http.Get("http://" + addr + "/alive") // is answered as soon as it serves
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve = %v after its context ended", err)
	}
	again, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the address of a stopped server is not free: %v", err)
	}
	again.Close()
}
