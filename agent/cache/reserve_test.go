package cache

import (
	"os"
	"path/filepath"
	"testing"

	"skerry.dev/sync/outbox"
)

// TestReserve: space is kept while there is plenty, given up for a start on a full disk and on
// demand, and kept again once there is plenty.
func TestReserve(t *testing.T) {
	dir, free := t.TempDir(), uint64(1<<40)
	open := func() *Store {
		s, err := Open(Options{
			Dir:    dir,
			Free:   func(string) (uint64, error) { return free, nil },
			Outbox: outbox.Options{Device: "d", MaxBytes: 64 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "skerry.reserve"))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	s := open()
	for _, step := range []struct {
		free uint64
		want int64
	}{{3 << 20, 0}, {1 << 40, 2 << 20}, {0, 2 << 20}} { // what is there stays until it is needed
		free = step.free
		if err := s.Reserve(); err != nil || size() != step.want {
			t.Errorf("with %d bytes free: %v and a reserve of %d bytes, want %d", step.free, err, size(), step.want)
		}
	}
	if !s.Release() || size() != 0 || s.Release() {
		t.Error("the reserve is not given up once")
	}
	free = 1 << 40
	if err := s.Reserve(); err != nil || size() == 0 {
		t.Errorf("not made again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	free = 1 << 20
	s = open()
	defer s.Close()
	if size() != 0 {
		t.Error("a start on a full disk keeps the reserve")
	}
}
