package main

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestCAFile holds that the commands reach a hub whose certificate a private authority signed, that
// a login keeps the authority, and what to do is said without it.
func TestCAFile(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/login") {
			fmt.Fprint(w, `{"token":"t","expires_at":1}`)
			return
		}
		fmt.Fprint(w, `{"items":[]}`)
	}))
	defer srv.Close()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("SKERRY_TOKEN", "")
	t.Setenv("SKERRY_HUB", "")
	t.Setenv("SKERRY_PASSWORD", "secret")
	ca := writeTemp(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	run := func(args ...string) error {
		c := root()
		c.SetArgs(args)
		c.SetOut(&strings.Builder{})
		return c.ExecuteContext(t.Context())
	}
	err := run("task", "list", "--hub", srv.URL)
	if err == nil || !strings.Contains(hint(err), "--ca-file") {
		t.Errorf("a private authority: %v, hint %q", err, hint(err))
	}
	if err := run("task", "list", "--hub", srv.URL, "--ca-file", ca); err != nil {
		t.Errorf("with --ca-file: %v", err)
	}
	if err := run("login", "--hub", srv.URL, "--ca-file", ca); err != nil {
		t.Fatal(err)
	}
	if err := run("task", "list"); err != nil {
		t.Errorf("after a login with --ca-file: %v", err)
	}
	empty := writeTemp(t, "empty.pem", nil)
	for _, file := range []string{empty, empty + ".gone"} {
		if err := run("task", "list", "--ca-file", file); err == nil || !strings.Contains(err.Error(), "--ca-file: ") {
			t.Errorf("%s: %v", file, err)
		}
	}
}
