package cache

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestDisplaced: a file that was moved, deleted or replaced under the running agent takes nothing
// more, since the next start would not find it, until it is back.
func TestDisplaced(t *testing.T) {
	for name, displace := range map[string]func(path string) error{
		"moved": func(path string) error { return os.Rename(path, path+".away") },
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".away"), os.WriteFile(path, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, t.TempDir())
			path := filepath.Join(s.dir, FileName)
			commit(t, s, &Commit{Batch: readings(10, 0)})
			if err := displace(path); err != nil {
				t.Fatal(err)
			}
			stored := s.Outbox().Bytes()
			err := s.Commit(&Commit{Batch: readings(10, 10)})
			if !errors.Is(err, ErrDisplaced) || Classify(err) != Displaced || s.Outbox().Bytes() != stored {
				t.Errorf("a commit into a file that is %s = %v, %d bytes more", name, err, s.Outbox().Bytes()-stored)
			}
			if err := os.Rename(path+".away", path); err != nil {
				t.Fatal(err)
			}
			commit(t, s, &Commit{Batch: readings(10, 10)})
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(s.cleanMark()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a file that is gone is marked as closed cleanly: %v", err)
			}
		})
	}
}
