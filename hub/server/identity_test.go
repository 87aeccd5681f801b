package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/configs"
	"skerry.dev/hub/server"
)

// TestKeysGone starts a hub on data whose keys are gone: it makes none, which would lose every
// device, says what is missing, and starts again once they are back. Only NewKeys makes new ones,
// and deletes nothing.
func TestKeysGone(t *testing.T) {
	dir := t.TempDir()
	o := server.Options{
		Config:        configs.HubConfig{DataDir: dir, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:-1"},
		AdminPassword: "correct horse battery",
	}
	open := func() error {
		h, err := server.Open(t.Context(), o)
		if err != nil {
			return err
		}
		return h.Close()
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	away := t.TempDir()
	for _, gone := range []string{"keys", "keys/nats-account.nk", "keys/tuf-models.pem", "tuf", "tuf/timestamp.json"} {
		t.Run(strings.ReplaceAll(gone, "/", "-"), func(t *testing.T) {
			to := filepath.Join(away, filepath.Base(gone))
			if err := os.Rename(at(gone), to); err != nil {
				t.Fatal(err)
			}
			err := open()
			if err == nil || !strings.Contains(err.Error(), at(gone)) || !strings.Contains(err.Error(), "backup") || !strings.Contains(err.Error(), "--new-keys") {
				t.Errorf("Open = %v, want an error that names %s and what to do", err, at(gone))
			}
			if _, err := os.Lstat(at(gone)); err == nil {
				t.Errorf("the refused start made %s", gone)
			}
			if err := os.Rename(to, at(gone)); err != nil {
				t.Fatal(err)
			}
			if err := open(); err != nil {
				t.Errorf("Open with everything back: %v", err)
			}
		})
	}
	// an earlier release left no name of the hub: its users tell that it was used
	for _, gone := range []string{"hub-id", "keys/nats-account.nk"} {
		if err := os.Remove(at(gone)); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(); err == nil {
		t.Error("Open made a key although the database has users")
	}
	o.NewKeys = true
	if err := open(); err != nil {
		t.Fatal(err)
	}
	if kept, _ := filepath.Glob(at("keys.lost-*/nats-operator.nk")); len(kept) != 1 {
		t.Errorf("what was left of the keys is at %v, want it set aside", kept)
	}
	o.NewKeys = false
	if err := open(); err != nil {
		t.Errorf("the start after: %v", err)
	}
	if err := os.WriteFile(at("keys/jwt-secret"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "jwt-secret") {
		t.Errorf("Open with an empty secret = %v, want an error that names its file", err)
	}
}
