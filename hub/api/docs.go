package api

import (
	_ "embed"
	"net/http"
)

//go:embed docs.html
var docsPage []byte

// docs serves the page that renders /openapi.json. It loads nothing from elsewhere.
func docs(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'")
	_, _ = w.Write(docsPage) // the client may be gone
}
