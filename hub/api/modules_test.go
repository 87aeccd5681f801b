package api_test

import (
	"net/http"
	"strings"
	"testing"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm/wasmtest"
)

// TestModules puts modules as an engineer; the authorisation of the routes is TestAuthorisation's.
func TestModules(t *testing.T) {
	f := newFixture(t)
	engineer, viewer := f.login("engineer"), f.login("viewer")
	do := func(method, path, token, body, want string, status int) {
		t.Helper()
		if code, got := f.do(method, path, token, body); code != status || !strings.Contains(got, want) {
			t.Errorf("%s %s = %d %s, want %d %q", method, path, code, got, status, want)
		}
	}
	do("PUT", "/v1/modules/air", engineer, string(wasmtest.Arithmetic()), `"functions":[{"name":"wet","args":2,"rows":false}`, http.StatusOK)
	do("GET", "/v1/modules/air", viewer, "", `"created_by":"user/engineer"`, http.StatusOK)
	do("PUT", "/v1/modules/air", engineer, "hello", "is no WebAssembly module", http.StatusUnprocessableEntity)
	do("PUT", "/v1/modules/air", engineer, string(wasmtest.Module{Imports: [][2]string{{"wasi_snapshot_preview1", "fd_write"}}}.Bytes()), "a module may import nothing, WASI neither", http.StatusUnprocessableEntity)
	do("PUT", "/v1/modules/a%20b", engineer, string(wasmtest.Arithmetic()), "must be 1 to 64 letters", http.StatusUnprocessableEntity)
	do("PUT", "/v1/modules/air", engineer, strings.Repeat("x", feature.MaxModuleBytes+1), "", http.StatusRequestEntityTooLarge)
	do("PUT", "/v1/modules/air", viewer, string(wasmtest.Arithmetic()), "needs the role engineer", http.StatusForbidden)
	do("GET", "/v1/modules", viewer, "", `"name":"air"`, http.StatusOK)
	do("DELETE", "/v1/modules/air", engineer, "", "", http.StatusNoContent)
	do("DELETE", "/v1/modules/air", engineer, "", "not_found", http.StatusNotFound)
	do("GET", "/v1/modules/air", viewer, "", "not_found", http.StatusNotFound)
	entries, err := f.db.Read().AuditEntries(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, e := range entries {
		if e.Object == "air" {
			seen = append(seen, e.Actor+" "+e.Action)
		}
	}
	if got := strings.Join(seen, ", "); got != "user/engineer module.put, user/engineer module.remove" {
		t.Errorf("the audit has %q", got)
	}
}
