package health

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestMonitor runs checks on their own: one that fails is found, is tried more often and is well
// again by itself; one that hangs is given up; none holds another.
func TestMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMonitor(nil)
		var mu sync.Mutex // guards what follows
		var broken error
		n := 0
		m.Add("part", time.Minute, func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			n++
			return broken
		})
		tries := func(next error) int {
			mu.Lock()
			defer mu.Unlock()
			broken = next
			return n
		}
		damaged := errors.New("damaged")
		m.Add("hangs", time.Minute, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()

		time.Sleep(time.Second)
		if err, n := m.Err("part"), tries(damaged); err != nil || n != 1 {
			t.Errorf("after a second Err = %v, %d tries, want one that succeeds", err, n)
		}
		time.Sleep(2 * time.Minute)
		if err, n := m.Err("part"), tries(damaged); !errors.Is(err, damaged) || n < 10 {
			t.Errorf("Err = %v after %d tries, want %v and more frequent ones", err, n, damaged)
		}
		if err := m.Err("hangs"); err == nil || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("Err of what hangs = %v", err)
		}
		tries(nil)
		time.Sleep(6 * time.Second)
		if err := m.Err("part"); err != nil {
			t.Errorf("Err = %v after it was mended", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// TestDisk compares the room with a bound: a file system that has less is full.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := room(dir); err != nil {
		t.Skip("this system does not tell the room of a disk:", err)
	}
	if err := WatchDisk(1, nil, dir).Err(); err != nil {
		t.Errorf("Err with room = %v", err)
	}
	d := &Disk{dirs: []string{dir}, minFree: 1 << 62, log: NewMonitor(nil).log}
	free, size, err := room(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.look()
	if got := d.Err(); (got != nil) != (free < size/10) {
		t.Errorf("Err = %v with %d of %d bytes free: a tenth is enough whatever is demanded", got, free, size)
	}
}
