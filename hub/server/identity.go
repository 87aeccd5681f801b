package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
