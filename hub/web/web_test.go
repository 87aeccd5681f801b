package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/server"
	"skerry.dev/hub/training"
	"skerry.dev/hub/web"
)

func open(t *testing.T) *server.Hub {
	t.Helper()
	h, err := server.Open(t.Context(), server.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:-1", AdminPassword: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	h.Learn(training.Policy{Disabled: true}, rollout.Spec{})
	return h
}

func do(h *server.Hub, method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.API.Handler().ServeHTTP(w, r)
	return w
}

// TestRoutes mounts the UI beside everything else: a clash of patterns panics, and the API's own
// answers must stay as they are.
func TestRoutes(t *testing.T) {
	h := open(t)
	web.Routes(h.API)
	for _, tt := range []struct {
		method, path, kind string
		code               int
	}{
		{"GET", "/", "text/html", 200},
		{"HEAD", "/", "text/html", 200},
		{"GET", "/assets/none.js", "text/plain", 404},
		{"POST", "/", "application/json", 404},
		{"GET", "/fleet", "application/json", 404},
		{"GET", "/v1/none", "application/json", 404},
		{"GET", "/v2/none", "application/json", 404},
		{"GET", "/v1/fleet", "application/json", 401},
		{"GET", "/health", "application/json", 200},
		{"GET", "/docs", "text/html", 200},
		{"GET", "/openapi.json", "application/", 200},
		{"GET", "/metrics", "text/plain", 200},
	} {
		if w := do(h, tt.method, tt.path, "", ""); w.Code != tt.code || !strings.HasPrefix(w.Header().Get("Content-Type"), tt.kind) {
			t.Errorf("%s %s = %d %s, want %d %s", tt.method, tt.path, w.Code, w.Header().Get("Content-Type"), tt.code, tt.kind)
		}
	}
}

func TestFleet(t *testing.T) {
	h := open(t)
	web.Routes(h.API)
	ctx := t.Context()
	err := h.DB.Tx(ctx, func(q *meta.Queries) error {
		for _, name := range []string{"a", "b"} {
			if err := q.InsertDevice(ctx, meta.Device{Name: name, Site: "north", PublicKey: name}); err != nil {
				return err
			}
		}
		if err := q.PutTask(ctx, meta.Task{Name: "flow", Kind: "forecast", Spec: "task: flow\nkind: forecast\ntarget: {series: q, horizon: 1h}\ninputs:\n  - {series: q, topic: t, unit: l/s}\nrows: {on: q}\n"}, "a"); err != nil {
			return err
		}
		if err := q.PutTask(ctx, meta.Task{Name: "newer", Kind: "forecast", Spec: "task: newer\nunheard_of: 1\n"}, "a"); err != nil {
			return err
		}
		return q.PutReported(ctx, meta.Document{Device: "a", Document: `{"health":"degraded","reasons":["hot"],"tasks":{"flow":{"kind":"forecast","mae":2,"mae_persistence":4,"coverage":0.9,"labels":5,
			"assignment":{"phase":"shadow","digest":"d","reason":"r"}}},"outbox":{"offline_days":-1}}`, At: 7})
	})
	if err != nil {
		t.Fatal(err)
	}
	var login struct{ Token string }
	if err := json.Unmarshal(do(h, "POST", "/v1/login", "", `{"user":"admin","password":"correct horse battery"}`).Body.Bytes(), &login); err != nil {
		t.Fatal(err)
	}
	w := do(h, "GET", "/v1/fleet", login.Token, "")
	var f web.Fleet
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Code != http.StatusOK {
		t.Fatalf("GET /v1/fleet = %d %s: %v", w.Code, w.Body, err)
	}
	if len(f.Devices) != 2 || len(f.Tasks) != 2 {
		t.Fatalf("GET /v1/fleet has %d devices and %d tasks, want 2 and 2", len(f.Devices), len(f.Tasks))
	}
	a, b := f.Devices[0], f.Devices[1]
	if a.Health != "degraded" || a.ReportedAt != 7 || len(a.Tasks) != 1 || a.Tasks[0].MAE != 2 || a.Tasks[0].Baseline != 4 || a.Tasks[0].Phase != "shadow" || a.Outbox == nil {
		t.Errorf("device a = %+v", a)
	}
	if b.Health != "unknown" || b.Outbox != nil || b.Tasks == nil || b.Reasons == nil {
		t.Errorf("a device that never reported = %+v, want unknown health and empty lists", b)
	}
	if x := f.Tasks[0]; x.Unit != "l/s" || x.Horizon != 3600 || x.Target != "q" || x.Devices != 1 || x.Champion != "" {
		t.Errorf("task flow = %+v", x)
	}
	if x := f.Tasks[1]; x.Name != "newer" || x.Unit != "" {
		t.Errorf("a task this hub cannot read = %+v, want its name alone", x)
	}
}
