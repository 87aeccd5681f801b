package api

import (
	"cmp"
	_ "embed"
	"net/http"
	"path"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// keptNames are the names in the OpenAPI document of types that once stood elsewhere or were named
// otherwise: clients that were made from the document use them.
var keptNames = map[string]string{
	"Fleet":                "WebFleet",
	"FleetDevice":          "WebDevice",
	"DeviceTask":           "WebDeviceTask",
	"FleetTask":            "WebTask",
	"ListRolloutBody":      "ListOutBody",
	"RolloutDetail":        "GetOutBody",
	"RolloutCommandInBody": "DoInBody",
	"ListJobBody":          "JobsOutBody",
	"TaskDetail":           "TaskOut",
	"Lineage":              "LineageOut",
	"Login":                "LoginOut",
	"Me":                   "MeOut",
	"EnrollToken":          "EnrollTokenOut",
	"APIToken":             "TokenOut",
}

// schemaName names a type in the OpenAPI document. Types of other packages carry their package,
// so that equal names do not meet.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if pkg := path.Base(t.PkgPath()); t.Name() != "" && pkg != "api" && pkg != "." {
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return cmp.Or(keptNames[name], name)
}

//go:embed docs.html
var docsPage []byte

// docs serves the page that renders /openapi.json. It loads nothing from elsewhere.
func docs(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'")
	_, _ = w.Write(docsPage) // the client may be gone
}
