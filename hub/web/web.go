package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// dist holds what npm built, or the placeholder alone.
//
//go:embed all:dist
var dist embed.FS

// policy lets the page load the hub's own files and nothing else. Styles set by script are not
// bound by it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Built reports whether the UI is in this program, and not only the page that describes how to
// build it.
func Built() bool {
	_, err := fs.Stat(dist, "dist/index.html")
	return err == nil
}

// Handler serves the page at "/" and its files below "/assets/". Other paths are not found.
func Handler() http.Handler {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("web: " + err.Error()) // the embedded folder is part of the program
	}
	return handler(files)
}

func handler(files fs.FS) http.Handler {
	page := "index.html"
	if _, err := fs.Stat(files, page); err != nil {
		page = "placeholder.html"
	}
	// at the first visit: most hubs are never looked at
	load := sync.OnceValues(func() (map[string]file, error) { return loadAll(files) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		all, err := load()
		if err != nil {
			http.Error(w, "the web UI in this program cannot be read", http.StatusInternalServerError)
			return
		}
		name, cache := strings.TrimPrefix(r.URL.Path, "/"), "public, max-age=31536000, immutable"
		if name == "" {
			name, cache = page, "no-cache"
		} else if !strings.HasPrefix(name, "assets/") {
			name = ""
		}
		f, ok := all[name]
		if !ok { // also a folder: there are no listings
			h.Set("Cache-Control", "no-store")
			http.NotFound(w, r)
			return
		}
		h.Set("Cache-Control", cache)
		h.Set("Content-Type", f.kind)
		h.Set("Vary", "Accept-Encoding")
		b := f.plain
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			b = f.packed
		}
		h.Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b) // the client may be gone; for HEAD the server drops the body
	})
}

// file is a file of the UI, as it is and packed.
type file struct {
	kind          string
	plain, packed []byte
}

func loadAll(files fs.FS) (map[string]file, error) {
	out := map[string]file{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := z.Write(b); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		out[name] = file{kinds[path.Ext(name)], b, packed.Bytes()}
		return nil
	})
	return out, err
}

// kinds are the types of what npm builds; the machine's own table of types may differ.
var kinds = map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2"}

// Routes adds the page to a router. Call it once, before serving.
func Routes(mux *http.ServeMux) {
	h := Handler()
	mux.Handle("GET /{$}", h)
	mux.Handle("GET /assets/", h)
}
