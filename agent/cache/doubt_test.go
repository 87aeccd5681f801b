package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"skerry.dev/sync/dirlock"
)

// TestDoubtChangesNothing holds that a store is set aside for proven damage alone: a check that was
// killed, refused, out of time or out of memory leaves every file as it is, and the next start
// finds everything.
func TestDoubtChangesNothing(t *testing.T) {
	sh := func(script string) func(string) error {
		return func(string) error { return ChildError(exec.Command("sh", "-c", script).CombinedOutput()) }
	}
	tests := map[string]func(string) error{
		"killed":        sh("kill -9 $$"),
		"terminated":    sh("kill $$"),
		"out of memory": sh("echo 'fatal error: runtime: out of memory' >&2; exit 2"),
		"no program":    func(string) error { return ChildError(exec.Command("/nonexistent").CombinedOutput()) },
		"another error": sh("echo 'permission denied' >&2; exit 1"),
		"not permitted": func(string) error { return &os.PathError{Op: "open", Path: "x", Err: os.ErrPermission} },
		"time is up": func(string) error {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			defer cancel()
			return ChildError(exec.CommandContext(ctx, "sleep", "60").CombinedOutput())
		},
	}
	for name, check := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir)
			commit(t, s, &Commit{Batch: readings(10, 0)})
			kill(t, s)
			before := files(t, dir)
			o := options(dir)
			o.Check = check
			if s, err := Open(o); err == nil || errors.Is(err, ErrDamaged) {
				t.Errorf("Open = %v, %v, want an error that is no proof of damage", s, err)
			}
			if after := files(t, dir); !slices.Equal(after, before) {
				t.Errorf("files = %v, want %v", after, before)
			}
			r := mustOpen(t, dir)
			if r.Damage() != "" || r.Outbox().Stats().PendingRecords != 10 {
				t.Errorf("afterwards: damage %q, %d records, want none and 10", r.Damage(), r.Outbox().Stats().PendingRecords)
			}
		})
	}
}

// TestCrashIsDamage holds that a child which the runtime ended over a file proves damage.
func TestCrashIsDamage(t *testing.T) {
	for script, want := range map[string]bool{
		"echo 'fatal error: stack overflow' >&2; exit 2":   true,
		"echo 'unexpected fault address 0x7f' >&2; exit 2": true,
		fmt.Sprintf("exit %d", ExitDamaged):                true,
		"exit 1":                                           false,
		"exit 0":                                           false,
	} {
		err := ChildError(exec.Command("sh", "-c", script).CombinedOutput())
		if errors.Is(err, ErrDamaged) != want {
			t.Errorf("ChildError after %q = %v, want damage: %v", script, err, want)
		}
	}
}

// TestSecondProcess opens a store while another has it: an error that names the holder, and every
// file as it was.
func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	commit(t, s, &Commit{Batch: readings(10, 0)})
	before := files(t, dir)
	_, err := Open(options(dir))
	var held *dirlock.HeldError
	if !errors.As(err, &held) || held.PID != os.Getpid() || held.Dir != dir {
		t.Errorf("second Open = %v, want an error with process %d", err, os.Getpid())
	}
	if after := files(t, dir); !slices.Equal(after, before) {
		t.Errorf("files = %v, want %v", after, before)
	}
	commit(t, s, &Commit{Batch: readings(10, 10)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := mustOpen(t, dir).Outbox().Stats().PendingRecords; n != 20 {
		t.Errorf("%d records afterwards, want 20", n)
	}
}

// files lists the names in a directory; the clean mark, which only says how a store was closed, is
// left out.
func files(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, p := range paths {
		if n := filepath.Base(p); n != FileName+".clean" && n != "skerry.pid" {
			names[n] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
