package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func get(h http.Handler, method, path, encoding string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Accept-Encoding", encoding)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	h := handler(fstest.MapFS{
		"index.html":       {Data: []byte("<html>the page")},
		"placeholder.html": {Data: []byte("<html>not built")},
		"assets/a-1.js":    {Data: []byte(strings.Repeat("let a = 1;", 500))},
	})
	for _, tt := range []struct {
		path, encoding, cache, kind, body string
		code                              int
	}{
		{"/", "", "no-cache", "text/html; charset=utf-8", "the page", 200},
		{"/assets/a-1.js", "", "public, max-age=31536000, immutable", "text/javascript; charset=utf-8", "let a", 200},
		{"/assets/a-1.js", "br, gzip", "public, max-age=31536000, immutable", "text/javascript; charset=utf-8", "\x1f\x8b", 200},
		{"/assets/", "", "no-store", "", "not found", 404},
		{"/assets", "", "no-store", "", "not found", 404},
		{"/assets/b.js", "", "no-store", "", "not found", 404},
		{"/assets/../placeholder.html", "", "no-store", "", "not found", 404},
		{"/placeholder.html", "", "no-store", "", "not found", 404},
		{"/index.html", "", "no-store", "", "not found", 404},
	} {
		w := get(h, "GET", tt.path, tt.encoding)
		if w.Code != tt.code || w.Header().Get("Cache-Control") != tt.cache || !strings.Contains(w.Body.String(), tt.body) || tt.kind != "" && w.Header().Get("Content-Type") != tt.kind {
			t.Errorf("GET %s = %d %v %.40q, want %d %q %q %q", tt.path, w.Code, w.Header(), w.Body, tt.code, tt.cache, tt.kind, tt.body)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("GET %s: Content-Security-Policy = %q", tt.path, csp)
		}
	}
	if w := get(h, "GET", "/assets/a-1.js", "gzip"); w.Body.Len() > 500 || w.Header().Get("Content-Encoding") != "gzip" || w.Header().Get("Vary") == "" {
		t.Errorf("a packed asset has %d bytes, %v", w.Body.Len(), w.Header())
	}
}

// TestPlaceholder is a program built without Node.js.
func TestPlaceholder(t *testing.T) {
	b, err := dist.ReadFile("dist/placeholder.html")
	if err != nil {
		t.Fatal(err)
	}
	w := get(handler(fstest.MapFS{"placeholder.html": {Data: b}}), "GET", "/", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "make web build") {
		t.Errorf("without a build GET / = %d %s, want 200 and how to build it", w.Code, w.Body)
	}
}
