package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/configs"
	"skerry.dev/hub/server"
	"skerry.dev/test/wait"
)

// count returns how many files lie below a folder.
func count(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.HasSuffix(e.Name(), ".tmp") {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAnotherDatabase starts a hub on a filled data folder with a database that is not the folder's:
// it refuses by name, says what to do and touches nothing, and takes the folder over when told to.
func TestAnotherDatabase(t *testing.T) {
	h := start(t, server.Options{Config: configs.HubConfig{DataDir: t.TempDir()}})
	a := h.agent("pump-1")
	a.hello()
	fill := func(first uint64) {
		t.Helper()
		if r := a.live(a.chunk(first, 100, 1)); !r.Applied {
			t.Fatalf("receipt = %+v", r)
		}
		if n, err := h.Lake.Compact(t.Context(), true); err != nil || n != 1 {
			t.Fatalf("Compact = %d, %v", n, err)
		}
	}
	fill(1)
	dir := h.opts.Config.DataDir
	lake := filepath.Join(dir, "lake")
	h.stop()
	files := count(t, lake)

	// an older copy of the database: of the same lake, of which it does not know the newest file
	db := filepath.Join(dir, "hub.db")
	old, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	h.up()
	a.h = h
	a.connect()
	fill(101)
	h.stop()
	files++
	newest, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		t.Helper()
		for _, suffix := range []string{"-wal", "-shm"} {
			if err := os.Remove(db + suffix); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(db, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(old)
	h.up()
	if err := h.Lake.Sweep(t.Context(), nil, 0); err != nil {
		t.Fatal(err)
	}
	h.stop()
	if n := count(t, lake); n != files {
		t.Errorf("after a start with an older database the lake has %d files, want %d", n, files)
	}
	put(newest)

	empty := h.opts
	empty.Config.DatabaseURL = filepath.Join(t.TempDir(), "empty.db")
	other, err := server.Open(t.Context(), empty)
	if err == nil {
		other.Close()
		t.Fatal("an empty database opens the data folder of another")
	}
	for _, word := range []string{"lake", lake, "another database", empty.Config.DatabaseURL, "--adopt"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("refusal %q does not name %q", err, word)
		}
	}
	if n := count(t, lake); n != files {
		t.Errorf("after the refusal the lake has %d files, want %d", n, files)
	}
	empty.Adopt = true
	other, err = server.Open(t.Context(), empty)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if n := count(t, lake); n != files {
		t.Errorf("after the takeover the lake has %d files, want %d", n, files)
	}
	if _, err := server.Open(t.Context(), h.opts); err == nil || !strings.Contains(err.Error(), "another database") {
		t.Errorf("the first database after the takeover: %v, want a refusal", err)
	}
	h.opts.Adopt = true
	h.up() // back
	wait.For(t, "the hub is ready", func() bool { code, _ := h.ready(); return code == 200 })
}

// TestUpgradeBinds opens a folder from before stores had an owner: its own database takes it, an
// empty one is refused.
func TestUpgradeBinds(t *testing.T) {
	h := start(t, server.Options{Config: configs.HubConfig{DataDir: t.TempDir()}})
	a := h.agent("pump-1")
	a.hello()
	if r := a.live(a.chunk(1, 100, 1)); !r.Applied {
		t.Fatalf("receipt = %+v", r)
	}
	if _, err := h.Lake.Compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	h.stop()
	for _, store := range []string{"lake", "blobs"} {
		if err := os.Remove(filepath.Join(h.opts.Config.DataDir, store, "owner")); err != nil {
			t.Fatal(err)
		}
	}
	empty := h.opts
	empty.Config.DatabaseURL = filepath.Join(t.TempDir(), "empty.db")
	if other, err := server.Open(t.Context(), empty); err == nil {
		other.Close()
		t.Fatal("an empty database opens a filled folder from before stores had an owner")
	}
	h.up()
}
