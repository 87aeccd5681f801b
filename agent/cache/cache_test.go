package cache

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	berrors "go.etcd.io/bbolt/errors"

	"skerry.dev/sync/outbox"
	"skerry.dev/sync/wire"
)

// TestMain lets this program serve as the child that looks at damaged files, as the agent's own
// does: bbolt panics in a goroutine of its own on some of them.
func TestMain(m *testing.M) {
	if job := os.Getenv("CACHE_CHILD"); job != "" {
		err := CheckFile(os.Args[1])
		if job == "salvage" {
			err = SalvageFile(os.Args[1], os.Args[2])
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		switch {
		case errors.Is(err, ErrDamaged):
			os.Exit(ExitDamaged)
		case err != nil:
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(job string, args ...string) error {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "CACHE_CHILD="+job)
	out, err := cmd.CombinedOutput()
	return ChildError(out, err)
}

// kill leaves a store as a process does that is killed.
func kill(t *testing.T, s *Store) {
	t.Helper()
	if err := errors.Join(s.db.Close(), s.lock.Release()); err != nil {
		t.Fatal(err)
	}
	s.db = nil
}

func options(dir string) Options {
	return Options{Dir: dir, Outbox: outbox.Options{Device: "dev"}, Check: func(p string) error { return child("check", p) }, Salvage: func(a, b string) error { return child("salvage", a, b) }}
}

func mustOpen(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func readings(n int, from int) outbox.Batch {
	var b outbox.Batch
	for i := range n {
		b.Readings = append(b.Readings, wire.Reading{Series: "s", Time: int64(from + i), Value: float64(i)})
	}
	return b
}

func commit(t *testing.T, s *Store, c *Commit) {
	t.Helper()
	if err := s.Commit(c); err != nil {
		t.Fatal(err)
	}
}

func journal(t *testing.T, s *Store) (out []string) {
	t.Helper()
	if err := s.Journal(func(pos uint64, e []byte) error { out = append(out, fmt.Sprintf("%d:%s", pos, e)); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCommitAndReopen holds that one transaction carries everything, that a snapshot trims
// exactly the journal it contains, and that a reopened store has it all.
func TestCommitAndReopen(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for i := 1; i <= 4; i++ {
		commit(t, s, &Commit{Batch: readings(10, i*10), Position: uint64(i), Journal: fmt.Appendf(nil, "e%d", i), Series: map[string]uint32{"s": 1}})
	}
	commit(t, s, &Commit{Position: 5, Journal: []byte("e5"), Snapshots: []Snapshot{{Name: "a", Hash: "h", Position: 5, Data: []byte("A")}, {Name: "b", Hash: "h", Position: 3, Data: []byte("B")}}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r := mustOpen(t, dir)
	if r.Damage() != "" {
		t.Errorf("damage %q in a clean file", r.Damage())
	}
	if got := strings.Join(journal(t, r), " "); got != "4:e4 5:e5" {
		t.Errorf("journal %q, want the entries behind the oldest snapshot", got)
	}
	snaps, err := r.Snapshots()
	if err != nil || string(snaps["a"].Data) != "A" || snaps["b"].Position != 3 || snaps["b"].Hash != "h" {
		t.Errorf("snapshots %v, %v", snaps, err)
	}
	ids, err := r.Series()
	if err != nil || ids["s"] != 1 {
		t.Errorf("series %v, %v", ids, err)
	}
	if n := r.Outbox().Stats().PendingRecords; n != 40 {
		t.Errorf("%d records pending, want 40", n)
	}
	commit(t, r, &Commit{Forget: []string{"b"}, Snapshots: []Snapshot{{Name: "a", Position: 5}}})
	if got := journal(t, r); len(got) != 0 {
		t.Errorf("journal %q after the last snapshot that needed it is gone", got)
	}
}

// TestKilledIsCheckedAndClean holds that a file that was not closed is checked, found whole and
// used.
func TestKilledIsCheckedAndClean(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	commit(t, s, &Commit{Batch: readings(10, 0)})
	kill(t, s)
	checked := 0
	r, err := Open(Options{Dir: dir, Outbox: outbox.Options{Device: "dev"}, Check: func(p string) error { checked++; return CheckFile(p) }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if checked != 1 || r.Damage() != "" || r.Outbox().Stats().PendingRecords != 10 {
		t.Errorf("checked %d times, damage %q, %d records", checked, r.Damage(), r.Outbox().Stats().PendingRecords)
	}
}

// TestDamage flips bits, zeroes pages and truncates: the store opens in any case, keeps the old
// file aside, and what it still offers is what was stored.
func TestDamage(t *testing.T) {
	build := func(t *testing.T) (dir string) {
		dir = t.TempDir()
		s := mustOpen(t, dir)
		for i := range 30 {
			commit(t, s, &Commit{Batch: readings(100, i*100), Position: uint64(i + 1), Journal: make([]byte, 500), Snapshots: []Snapshot{{Name: "a", Position: uint64(i + 1), Data: make([]byte, 20000)}}})
		}
		kill(t, s)
		return dir
	}
	damaged := 0
	for seed := range uint64(12) {
		dir := build(t)
		path := filepath.Join(dir, FileName)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		switch seed % 3 {
		case 0:
			for range 40 {
				b[rng.IntN(len(b))] ^= byte(1 << rng.IntN(8))
			}
		case 1:
			clear(b[4096*(2+rng.IntN(len(b)/4096-3)):][:4096])
		default:
			b = b[:4*4096] // half of it may be pages that hold nothing
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(options(dir))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		noticed := s.Damage() != ""
		if cut := seed%3 == 2; cut && !noticed {
			t.Errorf("seed %d: all but four pages are gone and nobody noticed", seed)
		}
		if noticed {
			damaged++
			if _, err := os.Stat(path + ".corrupt-1"); err != nil {
				t.Errorf("seed %d: the damaged file is gone: %v", seed, err)
			}
		}
		s.Outbox().Online(true)
		for {
			refs := s.Outbox().Next(outbox.Backfill, 1, 0)
			if len(refs) == 0 {
				break
			}
			raw, err := s.Outbox().Read(s.DB(), refs[0])
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			_, rec, err := wire.Decode(raw)
			if err != nil {
				t.Fatalf("seed %d: a damaged chunk is offered: %v", seed, err)
			}
			for i, r := range rec.Readings {
				if r.Value != float64(i) {
					t.Fatalf("seed %d: reading %d has value %v", seed, i, r.Value)
				}
			}
		}
		commit(t, s, &Commit{Batch: readings(1, 1)})
		s.Close()
	}
	t.Logf("%d of 12 damages were noticed; the others hit pages that hold nothing", damaged)
}

// TestLostWhileStopped holds that a file which is empty, cut off or gone at the start is damage, also
// when it was closed cleanly: a start that finds nothing must not look like a first one.
func TestLostWhileStopped(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"empty":             func(path string) error { return os.Truncate(path, 0) },
		"cut off":           func(path string) error { return os.Truncate(path, 8192) },
		"gone":              os.Remove,
		"empty, older mark": func(path string) error { return errors.Join(os.Truncate(path, 0), os.Truncate(path+".clean", 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir)
			if s.Damage() != "" {
				t.Fatalf("damage %q at the first start", s.Damage())
			}
			commit(t, s, &Commit{Batch: readings(10, 0)})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := lose(filepath.Join(dir, FileName)); err != nil {
				t.Fatal(err)
			}
			r := mustOpen(t, dir)
			if r.Damage() == "" {
				t.Error("no damage is reported")
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if r = mustOpen(t, dir); r.Damage() != "" {
				t.Errorf("damage %q at the start after", r.Damage())
			}
		})
	}
}

// TestNotADatabase starts over on a file that is something else.
func TestNotADatabase(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir)
	if s.Damage() == "" {
		t.Error("the damage is not reported")
	}
	commit(t, s, &Commit{Batch: readings(1, 1)})
}

func TestClassify(t *testing.T) {
	for err, want := range map[error]Trouble{
		&os.PathError{Op: "write", Err: syscall.ENOSPC}: Full, fmt.Errorf("commit: %w", berrors.ErrMaxSizeReached): Full,
		errors.New("file resize error: truncate x: no space left on device"): Full, errors.New("file resize error: truncate x: read-only file system"): ReadOnly,
		errors.New("mmap allocate error: read-only file system"): Unknown,
		&os.PathError{Op: "write", Err: syscall.EROFS}:           ReadOnly, errors.New("input/output error"): Unknown, syscall.EIO: Unknown,
	} {
		if got := Classify(err); got != want {
			t.Errorf("Classify(%v) = %v, want %v", err, got, want)
		}
	}
}

// TestDamagedRunRecord holds that a file which bbolt finds whole and the outbox cannot read is
// salvaged too: the chunks are there, with a new record of their run.
func TestDamagedRunRecord(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for i := range 5 {
		commit(t, s, &Commit{Batch: readings(100, i*100)})
	}
	kill(t, s)
	path := filepath.Join(dir, FileName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, []byte(`{"run":"`), []byte("{\"run\":`"))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r := mustOpen(t, dir)
	if r.Damage() == "" || r.Outbox().Stats().PendingRecords != 500 {
		t.Errorf("damage %q, %d records pending, want all 500 of a store whose run record cannot be read", r.Damage(), r.Outbox().Stats().PendingRecords)
	}
	for _, run := range r.Outbox().Chain() {
		if run.Run == (wire.Run{}) {
			t.Error("a run without a name")
		}
	}
}
