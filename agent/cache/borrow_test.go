package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"skerry.dev/sync/outbox"
)

// TestBorrow: a copy in memory has what was learned and no outbox, stores nothing, and says when the
// directory can be written again. The file itself stays as it is. That Open makes one where the file
// system is read-only is tried by test/field.
func TestBorrow(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for i := 1; i <= 4; i++ {
		commit(t, s, &Commit{Batch: readings(10, i*10), Position: uint64(i), Journal: fmt.Appendf(nil, "e%d", i), Series: map[string]uint32{"s": 1},
			Seen: []SeenPage{{Series: 1, Start: int64(i), Data: fmt.Appendf(nil, "p%d", i)}}})
	}
	commit(t, s, &Commit{Snapshots: []Snapshot{{Name: "a", Position: 2, Data: []byte("A")}}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cause := fmt.Errorf("open %s: %w", path, syscall.EROFS)
	b := &Store{dir: dir, maxBytes: 1 << 20}
	if err := b.borrow(path, outbox.Options{Device: "dev"}, cause); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(journal(t, b), " "); got != "3:e3 4:e4" {
		t.Errorf("the copy's journal is %q", got)
	}
	snaps, err := b.Snapshots()
	ids, err2 := b.Series()
	if err := errors.Join(err, err2); err != nil || string(snaps["a"].Data) != "A" || ids["s"] != 1 {
		t.Errorf("the copy has the snapshots %v and series %v, %v", snaps, ids, err)
	}
	for i := int64(1); i <= 4; i++ {
		if _, page, err := b.Page(1, i); err != nil || string(page) != fmt.Sprint("p", i) {
			t.Errorf("page %d of the copy = %s, %v", i, page, err)
		}
	}
	if n := b.Outbox().Stats().PendingRecords; n != 0 {
		t.Errorf("the copy's outbox has %d records", n)
	}
	if err := b.Commit(&Commit{}); !errors.Is(err, ErrWritable) {
		t.Errorf("Commit beside a directory that can be written = %v, want ErrWritable", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".writable*")); err != nil || len(left) > 0 {
		t.Errorf("trial files are left: %v, %v", left, err)
	}
	moved := dir + "-moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(&Commit{}); Classify(err) != ReadOnly || err != b.Borrowed() || !strings.Contains(err.Error(), dir) {
		t.Errorf("Commit beside a directory that cannot be written = %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.copy); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy stays behind: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(moved, FileName)); err != nil || string(after) != string(before) {
		t.Error("the file was changed", err)
	}
	empty := &Store{dir: dir, maxBytes: 1 << 20}
	if err := empty.borrow(filepath.Join(moved, "none"), outbox.Options{Device: "dev"}, cause); err != nil {
		t.Fatalf("borrow where there is no file = %v, want an empty copy", err)
	}
	if err := empty.Close(); err != nil {
		t.Error(err)
	}
}
