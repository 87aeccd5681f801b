package web

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
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

// TestRoutes mounts the page beside the API of a hub: it answers GET and HEAD of its own paths, and
// nothing else.
func TestRoutes(t *testing.T) {
	mux := http.NewServeMux()
	Routes(mux)
	mux.HandleFunc("GET /v1/devices", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, tt := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/", 200}, {"HEAD", "/", 200}, {"POST", "/", 405}, {"PUT", "/assets/a.js", 405},
		{"GET", "/assets/none.js", 404}, {"GET", "/favicon.ico", 404}, {"GET", "/v1/devices", 418}, {"GET", "/v2", 404},
	} {
		if w := get(mux, tt.method, tt.path, ""); w.Code != tt.code {
			t.Errorf("%s %s = %d, want %d", tt.method, tt.path, w.Code, tt.code)
		}
	}
	w := get(mux, "GET", "/", "")
	if built := !strings.Contains(w.Body.String(), "make web build"); built != Built() {
		t.Errorf("Built() = %v, the page is %.200q", Built(), w.Body)
	}
}

// TestEncodings: an unpacked and a packed answer hold the same bytes, of the length they announce.
func TestEncodings(t *testing.T) {
	want := "body { color: #123; }\n" + strings.Repeat("/* long */", 100)
	h := handler(fstest.MapFS{"index.html": {Data: []byte("page")}, "assets/s-1.css": {Data: []byte(want)}, "assets/x-1.bin": {Data: []byte{0, 1}}})
	plain, packed := get(h, "GET", "/assets/s-1.css", "br"), get(h, "GET", "/assets/s-1.css", "gzip")
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(z)
	if err != nil || string(unpacked) != want || plain.Body.String() != want {
		t.Errorf("unpacked are %d bytes, %v, plain %d, want %d of both", len(unpacked), err, plain.Body.Len(), len(want))
	}
	if plain.Header().Get("Content-Encoding") != "" || plain.Header().Get("Content-Length") != strconv.Itoa(len(want)) {
		t.Errorf("headers of the plain file = %v", plain.Header())
	}
	for _, path := range []string{"/", "/assets/s-1.css", "/none"} {
		head := get(h, "GET", path, "").Header()
		if head.Get("X-Content-Type-Options") != "nosniff" || head.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(head.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("GET %s has the headers %v", path, head)
		}
	}
}

// TestUnreadable is a program whose files cannot be read: an error at every path, without details.
func TestUnreadable(t *testing.T) {
	h := handler(broken{fstest.MapFS{"index.html": {Data: []byte("page")}}})
	for _, path := range []string{"/", "/assets/a.js"} {
		if w := get(h, "GET", path, ""); w.Code != 500 || !strings.Contains(w.Body.String(), "cannot be read") || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("GET %s = %d %s, want 500 without the reason", path, w.Code, w.Body)
		}
	}
}

// broken is a file system whose files can be found and not read.
type broken struct{ fstest.MapFS }

func (broken) ReadFile(name string) ([]byte, error) { return nil, errors.New("secret path " + name) }
