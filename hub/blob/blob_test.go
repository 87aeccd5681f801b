package blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"skerry.dev/hub/blob"
)

func open(t *testing.T, url, dir, sub string) *blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), url, dir, sub)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(t *testing.T, s *blob.Store, key string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

// files lists the regular files below a folder.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func noise(n int) []byte {
	rng := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	rng.Read(b)
	return b
}

// TestWhereObjectsLie opens one folder in each way that a configuration may name it.
func TestWhereObjectsLie(t *testing.T) {
	for _, tt := range []struct {
		name string
		open func(t *testing.T, dir string) *blob.Store
	}{
		{"default", func(t *testing.T, dir string) *blob.Store { return open(t, "", dir, "part") }},
		{"path", func(t *testing.T, dir string) *blob.Store { return open(t, dir, t.TempDir(), "part") }},
		{"url", func(t *testing.T, dir string) *blob.Store { return open(t, "file://"+dir, t.TempDir(), "part") }},
		{"relative", func(t *testing.T, dir string) *blob.Store {
			t.Chdir(dir)
			return open(t, ".", t.TempDir(), "part")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new #1 100%")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s := tt.open(t, dir)
			put(t, s, "class/site/1.parquet", []byte("rows"))
			if got, want := files(t, dir), []string{"part/class/site/1.parquet"}; !slices.Equal(got, want) {
				t.Errorf("files %q, want %q", got, want)
			}
			if b, err := s.Get(t.Context(), "class/site/1.parquet"); err != nil || string(b) != "rows" {
				t.Errorf("Get = %q, %v", b, err)
			}
			other := open(t, "", dir, "other")
			if _, err := other.Get(t.Context(), "class/site/1.parquet"); !errors.Is(err, blob.ErrNotFound) {
				t.Errorf("the part beside it has the object too: %v", err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		file:                 "open blob store: mkdir " + file,
		"ftp://host/dir":     "open blob store ftp://host: ",
		"s3://bucket:x/?a=b": "open blob store: parse ",
	} {
		if s, err := blob.Open(t.Context(), url, t.TempDir(), "part"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q) = %v, %v, want %q", url, s, err, want)
		}
	}
}

func TestFirstContentStays(t *testing.T) {
	dir := t.TempDir()
	s := open(t, "", dir, "part")
	for _, data := range [][]byte{{}, []byte("x"), noise(300_000)} {
		digest, err := s.PutContent(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(data); digest != hex.EncodeToString(sum[:]) {
			t.Fatalf("PutContent = %s, want %x", digest, sum)
		}
		if want := "sha256/" + digest[:2] + "/" + digest; blob.Key(digest) != want {
			t.Errorf("Key = %s, want %s", blob.Key(digest), want)
		}
		put(t, s, blob.Key(digest), []byte("something else"))
		if got, err := s.Get(t.Context(), blob.Key(digest)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("Get = %d bytes, %v; want the %d put first", len(got), err, len(data))
		}
	}
	sum := sha256.Sum256([]byte("x"))
	mended := blob.Key(hex.EncodeToString(sum[:]))
	if err := os.WriteFile(filepath.Join(dir, "part", filepath.FromSlash(mended)), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutContent(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), mended); err != nil || string(got) != "x" {
		t.Errorf("Get = %q, %v after damaged content was put again", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, "", dir, "part")
	n := 0
	if err := again.List(t.Context(), "sha256/", func(string, int64, time.Time) error { n++; return nil }); err != nil || n != 3 {
		t.Errorf("%d objects after opening again, %v; want 3", n, err)
	}
}

// TestKeysStayInside puts under keys that would be other files if they were paths.
func TestKeysStayInside(t *testing.T) {
	top := t.TempDir()
	s := open(t, "", filepath.Join(top, "data"), "part")
	outside := filepath.Join(top, "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../../secret", "a/../../../secret", outside, `..\..\secret`, "a//b", "ü é/100%.x", "con:1*?", strings.Repeat("long/", 40)} {
		if b, err := s.Get(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Get(%q) of nothing = %q, %v, want ErrNotFound", key, b, err)
		}
		if err := s.Put(t.Context(), key, []byte(key)); err == nil {
			if b, err := s.Get(t.Context(), key); err != nil || string(b) != key {
				t.Errorf("Get(%q) = %q, %v", key, b, err)
			}
			if err := s.Delete(t.Context(), key); err != nil {
				t.Errorf("Delete(%q) = %v", key, err)
			}
		}
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "secret" {
		t.Errorf("the file outside holds %q, %v", b, err)
	}
	if got := files(t, top); !slices.Equal(got, []string{"secret"}) {
		t.Errorf("files %q are left, want the one outside", got)
	}
}

func TestMissing(t *testing.T) {
	s := open(t, "", t.TempDir(), "part")
	_, err := s.Get(t.Context(), "a/b")
	if !errors.Is(err, blob.ErrNotFound) || err.Error() != `get blob "a/b": blob not found` {
		t.Errorf("Get = %v", err)
	}
	if _, err = s.Open(t.Context(), "a/b"); !errors.Is(err, blob.ErrNotFound) || err.Error() != `open blob "a/b": blob not found` {
		t.Errorf("Open = %v", err)
	}
	for range 2 {
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Errorf("Delete of nothing = %v", err)
		}
	}
	put(t, s, "a/b", []byte("0123456789"))
	o, err := s.Open(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := s.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.ReadAt(make([]byte, 2), 3); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("ReadAt of a deleted object = %v, want ErrNotFound", err)
	}
	if _, err := o.Read(make([]byte, 2)); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Read of a deleted object = %v, want ErrNotFound", err)
	}
}

func TestCancelledPutLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, "", dir, "part")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, "a", noise(1<<20)); !errors.Is(err, context.Canceled) {
		t.Errorf("Put after cancel = %v, want context.Canceled", err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("files %q are left", got)
	}
	if put(t, s, "a", []byte("x")); len(files(t, dir)) != 1 {
		t.Error("the same object cannot be put afterwards")
	}
}

func TestList(t *testing.T) {
	s := open(t, "", t.TempDir(), "part")
	want := []string{"b/1", "b/2", "b/sub/3"}
	for i, key := range append([]string{"a", "c/1"}, want...) {
		put(t, s, key, make([]byte, i))
	}
	var got []string
	start := time.Now().Add(-time.Minute)
	list := func(prefix string) error {
		got = nil
		return s.List(t.Context(), prefix, func(key string, size int64, modified time.Time) error {
			if modified.Before(start) || modified.After(time.Now().Add(time.Minute)) {
				t.Errorf("%s was modified at %v", key, modified)
			}
			if o, err := s.Open(t.Context(), key); err != nil || o.Size != size {
				t.Errorf("%s has %d bytes in the list, %v", key, size, err)
			}
			got = append(got, key)
			return nil
		})
	}
	if err := list("b/"); err != nil || !slices.Equal(got, want) {
		t.Errorf("List(b/) = %q, %v, want %q", got, err, want)
	}
	if err := list("nothing/"); err != nil || got != nil {
		t.Errorf("List(nothing/) = %q, %v", got, err)
	}
	if err := list(""); err != nil || len(got) != 5 {
		t.Errorf("List() = %q, %v, want all five", got, err)
	}
	stop, n := errors.New("enough"), 0
	if err := s.List(t.Context(), "", func(string, int64, time.Time) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("List = %v after %d calls, want the function's own error after one", err, n)
	}
	for _, key := range want { // deleting while listing is how the lake is swept
		if err := s.List(t.Context(), key, func(key string, _ int64, _ time.Time) error { return s.Delete(t.Context(), key) }); err != nil {
			t.Error(err)
		}
	}
	if err := list("b/"); err != nil || got != nil {
		t.Errorf("List(b/) = %q, %v after all were deleted", got, err)
	}
}

// TestObject holds an object to what the standard library asks of a reader, a seeker and a reader
// of ranges.
func TestObject(t *testing.T) {
	s := open(t, "", t.TempDir(), "part")
	for _, n := range []int{0, 1, 10_000} {
		data := noise(n)
		put(t, s, "o", data)
		o, err := s.Open(t.Context(), "o")
		if err != nil {
			t.Fatal(err)
		}
		if o.Size != int64(n) || time.Since(o.Modified).Abs() > time.Minute {
			t.Errorf("size %d, modified %v", o.Size, o.Modified)
		}
		if err := iotest.TestReader(o, data); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		if err := errors.Join(o.Close(), o.Close(), s.Delete(t.Context(), "o")); err != nil {
			t.Error(err)
		}
	}
	put(t, s, "o", []byte("0123456789"))
	o, err := s.Open(t.Context(), "o")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if b, err := io.ReadAll(io.LimitReader(o, 3)); err != nil || string(b) != "012" {
		t.Errorf("first three bytes %q, %v", b, err)
	}
	for _, bad := range []struct {
		offset int64
		whence int
		want   string
	}{{-1, io.SeekStart, "negative position"}, {-4, io.SeekCurrent, "negative position"}, {-11, io.SeekEnd, "negative position"}, {0, 9, "whence is 9"}} {
		if _, err := o.Seek(bad.offset, bad.whence); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("Seek(%d, %d) = %v, want %q", bad.offset, bad.whence, err, bad.want)
		}
	}
	if b, err := io.ReadAll(o); err != nil || string(b) != "3456789" {
		t.Errorf("after seeks that were refused %q, %v, want the rest", b, err)
	}
	if at, err := o.Seek(5, io.SeekEnd); err != nil || at != 15 {
		t.Errorf("Seek behind the end = %d, %v", at, err)
	}
	if n, err := o.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read behind the end = %d, %v, want EOF", n, err)
	}
	if n, err := o.ReadAt(make([]byte, 4), 8); n != 2 || err != io.EOF {
		t.Errorf("ReadAt over the end = %d, %v, want 2 and EOF", n, err)
	}
	if n, err := o.ReadAt(make([]byte, 4), -1); n != 0 || err == nil || err == io.EOF {
		t.Errorf("ReadAt(-1) = %d, %v, want an error", n, err)
	}
}

// TestConcurrentUse puts the same objects from many goroutines while others read and list them:
// whoever sees one sees all of it.
func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, "", dir, "part")
	data := make([][]byte, 8)
	for i := range data {
		data[i] = bytes.Repeat([]byte{byte(i)}, 200_000)
	}
	key := func(i int) string { return "k/" + string(rune('a'+i)) }
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, d := range data {
				if err := s.Put(t.Context(), key(i), d); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for i := range data {
				for { // until it is there
					b, err := s.Get(t.Context(), key(i))
					if errors.Is(err, blob.ErrNotFound) {
						time.Sleep(time.Millisecond)
						continue
					}
					if err != nil || !bytes.Equal(b, data[i]) {
						t.Errorf("Get(%s) = %d bytes, %v", key(i), len(b), err)
					}
					break
				}
			}
		})
	}
	wg.Wait()
	if got := files(t, dir); len(got) != len(data) {
		t.Errorf("files %q, want one an object", got)
	}
	o, err := s.Open(t.Context(), key(3))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				p := make([]byte, 100)
				if n, err := o.ReadAt(p, int64(g*1000+i*100)); n != 100 || err != nil || !bytes.Equal(p, data[3][:100]) {
					t.Errorf("ReadAt = %d, %v", n, err)
				}
			}
		})
	}
	wg.Wait()
}
