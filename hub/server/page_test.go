package server_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"skerry.dev/configs"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/server"
	"skerry.dev/hub/training"
	"skerry.dev/hub/web"
)

// TestPage mounts the page beside everything else: a clash of patterns panics, and the API's own
// answers must stay as they are.
func TestPage(t *testing.T) {
	h, err := server.Open(t.Context(), server.Options{
		Config:        configs.HubConfig{DataDir: t.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:-1"},
		AdminPassword: "correct horse battery",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	h.Learn(training.Policy{Disabled: true}, rollout.Spec{})
	h.Infer()
	web.Routes(h.API.Mux())
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
		{"GET", "/v2/none", "application/json", 401},
		{"GET", "/v1/fleet", "application/json", 401},
		{"GET", "/health", "application/json", 200},
		{"GET", "/docs", "text/html", 200},
		{"GET", "/openapi.json", "application/", 200},
		{"GET", "/metrics", "text/plain", 200},
	} {
		w := httptest.NewRecorder()
		h.API.Handler().ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.code || !strings.HasPrefix(w.Header().Get("Content-Type"), tt.kind) {
			t.Errorf("%s %s = %d %s, want %d %s", tt.method, tt.path, w.Code, w.Header().Get("Content-Type"), tt.code, tt.kind)
		}
	}
}
