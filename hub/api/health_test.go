package api_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestHealth keeps apart whether the program lives, whether it may be asked, and what is wrong.
func TestHealth(t *testing.T) {
	f := newFixture(t)
	viewer := f.login("viewer")
	expect := func(path, token string, status int, words string) {
		t.Helper()
		if code, reply := f.do("GET", path, token, ""); code != status || !strings.Contains(reply, words) {
			t.Errorf("GET %s = %d %s, want %d %s", path, code, reply, status, words)
		}
	}
	expect("/alive", "", http.StatusOK, `"ok"`)
	expect("/health", "", http.StatusOK, `"version":"1"`)
	expect("/ready", "", http.StatusOK, `"ready"`)
	expect("/health/detailed", viewer, http.StatusOK, `"status":"ok"`)
	expect("/health/detailed", "", http.StatusUnauthorized, "unauthorized")
	f.bus.Close()
	expect("/health/detailed", viewer, http.StatusOK, `"status":"degraded"`)
	expect("/ready", "", http.StatusServiceUnavailable, "not ready")
	f.db.Close()
	expect("/alive", "", http.StatusOK, `"ok"`)
	expect("/ready", "", http.StatusServiceUnavailable, "not ready")
}
