package cache

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"skerry.dev/sync/outbox"
	"skerry.dev/sync/wire"
)

// stopped builds a store with some of everything and closes it.
func stopped(t *testing.T) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	s := mustOpen(t, dir)
	for i := range 3 {
		commit(t, s, &Commit{
			Batch:     readings(10, i*10),
			Position:  uint64(i + 1),
			Journal:   []byte("entry"),
			Snapshots: []Snapshot{{Name: "a", Hash: "h", Position: 1, Data: []byte("state")}},
			Series:    map[string]uint32{"s": 1},
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(dir, FileName)
}

// change edits a closed store behind its back.
func change(t *testing.T, path string, f func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// chunkBucket returns the bucket of the only run's readings.
func chunkBucket(tx *bbolt.Tx) *bbolt.Bucket {
	box := tx.Bucket([]byte("outbox"))
	run, _ := box.Cursor().First()
	return box.Bucket(run).Bucket([]byte{byte(wire.ClassReading)})
}

// TestCheckFile damages one value of a good file at a time. bbolt finds nothing wrong with any of
// these files; the check names what is, and a store that is opened after a crash gives up exactly
// what cannot be trusted: all but the readings.
func TestCheckFile(t *testing.T) {
	_, good := stopped(t)
	if err := CheckFile(good); err != nil {
		t.Fatalf("CheckFile of a good file = %v", err)
	}
	put := func(bucket string, k, v []byte) func(tx *bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Put(k, v) }
	}
	for name, tt := range map[string]struct {
		harm    func(tx *bbolt.Tx) error
		want    string
		records int64 // that are left at least: an old page may hold what was damaged since
	}{
		"a short series number": {put("series", []byte("x"), []byte{1, 2}), `series "x" has a bad number`, 30},
		"a short journal key":   {put("journal", []byte{1}, []byte("e")), "journal entry with a key of 1 bytes", 30},
		"a short snapshot":      {put("snapshots", []byte("b"), []byte{0, 0}), `snapshot "b" ends early`, 30},
		"a snapshot's length":   {put("snapshots", []byte("b"), []byte{0xff, 0xff, 0xff, 0xff, '{', '}'}), `snapshot "b" ends early`, 30},
		"a snapshot's head":     {put("snapshots", []byte("b"), []byte{0, 0, 0, 1, '{'}), `snapshot "b": `, 30},
		"a run's key":           {put("runs", []byte("k"), []byte("{}")), "run with a key of 1 bytes", 30},
		"a run's record":        {put("runs", binary.BigEndian.AppendUint64(nil, 9), []byte("?")), "run 9: ", 30},
		"a flipped chunk": {func(tx *bbolt.Tx) error {
			b := chunkBucket(tx)
			k, v := b.Cursor().First()
			bad := slices.Clone(v)
			bad[len(bad)/2] ^= 4
			return b.Put(slices.Clone(k), bad)
		}, "corrupt chunk", 20},
		"a chunk under another key": {func(tx *bbolt.Tx) error {
			b := chunkBucket(tx)
			k, v := b.Cursor().First()
			k, v = slices.Clone(k), slices.Clone(v)
			return errors.Join(b.Delete(k), b.Put(binary.BigEndian.AppendUint64(nil, 77), v))
		}, "lies under another key", 30},
	} {
		t.Run(name, func(t *testing.T) {
			dir, path := stopped(t)
			change(t, path, tt.harm)
			if err := CheckFile(path); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("CheckFile = %v, want %q", err, tt.want)
			}
			if err := os.Remove(path + ".clean"); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, dir)
			if !strings.Contains(s.Damage(), tt.want) {
				t.Errorf("Damage() = %q, want %q", s.Damage(), tt.want)
			}
			if n := s.Outbox().Stats().PendingRecords; n < tt.records {
				t.Errorf("%d records are left, want at least %d", n, tt.records)
			}
			snaps, err := s.Snapshots()
			if ids, err2 := s.Series(); err != nil || err2 != nil || len(snaps) != 0 || len(ids) != 0 || len(journal(t, s)) != 0 {
				t.Errorf("snapshots %v, series %v are left of a damaged file (%v, %v), want none", snaps, ids, err, err2)
			}
		})
	}
}

// TestDamagedFilesAreKept: the file of every damage is set aside, and the last two are kept.
func TestDamagedFilesAreKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	for i, text := range []string{"first ", "second ", "third "} {
		if err := os.WriteFile(path, []byte(strings.Repeat(text, 3000)), 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, dir) // from the second on what was there before was closed cleanly
		if s.Damage() == "" {
			t.Errorf("damage %d is not reported", i+1)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	found, err := filepath.Glob(path + ".corrupt*")
	if err != nil || len(found) != 2 {
		t.Fatalf("kept %q, %v, want two", found, err)
	}
	var texts []string
	for _, f := range found {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		word, _, _ := strings.Cut(string(b), " ")
		texts = append(texts, word)
	}
	if slices.Sort(texts); !slices.Equal(texts, []string{"second", "third"}) {
		t.Errorf("kept %q, want the second and the third", texts)
	}
}

// TestCheckIsOnlyForWhatWasNotClosed: a clean file opens without being read through, and the mark
// that says so is used up at once.
func TestCheckIsOnlyForWhatWasNotClosed(t *testing.T) {
	dir, path := stopped(t)
	checked := 0
	opts := Options{Dir: dir, Outbox: outbox.Options{Device: "dev"}, Check: func(p string) error { checked++; return CheckFile(p) }}
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	if checked != 0 {
		t.Error("a file that was closed is checked")
	}
	if _, err := os.Stat(path + ".clean"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark of a clean file is there while it is open: %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("closing twice = %v", err)
	}
	if _, err := os.Stat(path + ".clean"); err != nil {
		t.Errorf("after Close the mark is missing: %v", err)
	}
	if s, err = Open(opts); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(&Commit{Batch: readings(1, 1)}); err != nil {
		t.Errorf("Commit of a store that was opened again = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSalvageOfRubbish: whatever the file holds, what comes out is an outbox that opens.
func TestSalvageOfRubbish(t *testing.T) {
	_, good := stopped(t)
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for name, text := range map[string][]byte{
		"empty":            nil,
		"a byte":           {1},
		"less than a page": b[:page-1],
		"text":             []byte(strings.Repeat("no pages here ", 5000)),
		"all ones":         []byte(strings.Repeat("\xff", 8*page)),
		"leaf pages only":  []byte(strings.Repeat("\x02\x00\xff\xff", 2*page)),
		"shifted":          b[7:],
		"half":             b[:len(b)/2],
	} {
		dir := t.TempDir()
		from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
		if err := os.WriteFile(from, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := SalvageFile(from, to); err != nil {
			t.Errorf("%s: SalvageFile = %v", name, err)
			continue
		}
		if err := CheckFile(to); err != nil {
			t.Errorf("%s: what was salvaged is damaged: %v", name, err)
		}
	}
	if err := SalvageFile(filepath.Join(t.TempDir(), "none"), filepath.Join(t.TempDir(), "to")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("SalvageFile of no file = %v", err)
	}
}
