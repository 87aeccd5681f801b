package web

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"skerry.dev/hub/api"
)

// dist holds what npm built, or the placeholder alone.
//
//go:embed all:dist
var dist embed.FS

// policy lets the page load the hub's own files and nothing else. Styles set by script are not bound by it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Built reports whether the UI is in this program, and not only the page that says how to build it.
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
	assets := http.FileServerFS(files)
	page := "index.html"
	if _, err := fs.Stat(files, page); err != nil {
		page = "placeholder.html"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		switch {
		case name == "":
			b, err := fs.ReadFile(files, page)
			if err != nil {
				http.Error(w, "the web UI is missing from this program", http.StatusInternalServerError)
				return
			}
			h.Set("Cache-Control", "no-cache")
			h.Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(b) // the client may be gone
		case strings.HasPrefix(name, "assets/") && isFile(files, name):
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
			assets.ServeHTTP(w, r)
		default: // also a folder: there are no listings
			h.Set("Cache-Control", "no-store")
			http.NotFound(w, r)
		}
	})
}

func isFile(files fs.FS, name string) bool {
	st, err := fs.Stat(files, name)
	return err == nil && st.Mode().IsRegular()
}

// Routes adds the UI and what it needs beyond the rest of the interface. Call it once, before serving.
func Routes(s *api.Server) {
	h := Handler()
	s.Mux().Handle("GET /{$}", h)
	s.Mux().Handle("GET /assets/", h)
	fleetRoute(s)
}
