package server_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"skerry.dev/configs"
	"skerry.dev/hub/server"
)

// TestPrivate opens a folder that everybody may read, with a database that everybody may read: both
// are the hub's alone afterwards.
func TestPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("rights are inherited there")
	}
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hub.db"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, server.Options{Config: configs.HubConfig{DataDir: dir}})
	seen := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := e.Info()
		if err != nil {
			return err
		}
		if path == dir && i.Mode().Perm() != 0o700 {
			t.Errorf("the data folder has mode %v, want 0700", i.Mode().Perm())
		}
		if strings.HasPrefix(e.Name(), "hub.db") {
			if seen++; i.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, want 0600", e.Name(), i.Mode().Perm())
			}
		}
		return nil
	})
	if err != nil || seen < 2 {
		t.Errorf("%d files of the database (%v), want it and its log", seen, err)
	}
}
