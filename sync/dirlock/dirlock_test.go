package dirlock_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/sync/dirlock"
)

// TestMain lets this program hold a directory until it is ended.
func TestMain(m *testing.M) {
	if dir := os.Getenv("HOLD_DIR"); dir != "" {
		if _, err := dirlock.Acquire(dir); err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n")
		select {}
	}
	os.Exit(m.Run())
}

// TestHolderIsKilled holds that a lock ends with its process and that the error names it before.
func TestHolderIsKilled(t *testing.T) {
	dir := t.TempDir()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "HOLD_DIR="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the holder says %q, %v", line, err)
	}
	var held *dirlock.HeldError
	if _, err := dirlock.Acquire(dir); !errors.As(err, &held) || held.PID != c.Process.Pid {
		t.Fatalf("Acquire = %v, want an error with process %d", err, c.Process.Pid)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	l, err := dirlock.Acquire(dir)
	if err != nil {
		t.Fatalf("Acquire after the holder was killed = %v", err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

// TestAcquire walks through what lies in a directory beforehand and what cannot be locked.
func TestAcquire(t *testing.T) {
	dir := t.TempDir()
	l, err := dirlock.Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "skerry.pid"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dirlock.Acquire(dir); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("Acquire beside an unreadable number = %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if l, err = dirlock.Acquire(dir); err != nil {
		t.Fatalf("Acquire beside the files of an earlier holder = %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := dirlock.Acquire(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("Acquire of a missing directory = %v", err)
	}
	var none *dirlock.Lock
	if err := none.Release(); err != nil {
		t.Errorf("Release of no lock = %v", err)
	}
}
