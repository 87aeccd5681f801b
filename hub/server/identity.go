package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"skerry.dev/hub/keys"
	"skerry.dev/sync/trust/signing"
)

// hubID returns the name of this hub among those that share a database: random, made at the first
// start and kept in the data directory, which no two hubs share.
func hubID(dir string) (string, error) {
	path := filepath.Join(dir, "hub-id")
	b, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(b)); err == nil && id != "" {
		return id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the hub's name: %w", err)
	}
	id := "hub-" + strings.ToLower(rand.Text()) // another after a crash in the middle does no harm
	if err := os.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("store the hub's name: %w", err)
	}
	return id, nil
}

// secrets finds the keys and the trust metadata beside data that was made with them, and refuses a
// start without them: devices know this hub by its keys, and with new ones every device would be
// lost. Keys that are gone for good are made anew by NewKeys, which deletes nothing.
func (h *Hub) secrets(ctx context.Context, keyDir, tufDir string) error {
	var missing []string
	for _, path := range append(keys.Files(keyDir), signing.Files(keyDir, tufDir)...) {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, path)
		} else if err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	used, err := h.used(ctx)
	if err != nil || !used {
		return err
	}
	if !h.opts.NewKeys {
		return fmt.Errorf("%s was used before, and these of its files are gone: %s; put them back from a backup (devices know this hub by them); "+
			"if they are lost for good, start once with --new-keys (nothing is deleted), and enrol every device again", h.opts.Config.DataDir, strings.Join(missing, ", "))
	}
	lost := ".lost-" + time.Now().UTC().Format("20060102T150405")
	for _, dir := range []string{keyDir, tufDir} {
		if err := os.Rename(dir, dir+lost); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set aside what is left of the keys: %w", err)
		}
	}
	h.Log.Warn("new keys were made, because some were gone: every device must be enrolled again", "gone", missing, "what_is_left", keyDir+lost)
	return nil
}

// used reports whether a hub has started in this data folder before. A database in the network tells
// nothing of that: hubs that share it have keys of their own.
func (h *Hub) used(ctx context.Context) (bool, error) {
	if _, err := os.Lstat(filepath.Join(h.opts.Config.DataDir, "hub-id")); !errors.Is(err, fs.ErrNotExist) {
		return true, err
	}
	if h.DB.Dialect() != "sqlite" {
		return false, nil
	}
	users, err := h.DB.Read().Accounts(ctx)
	return len(users) > 0, err
}
