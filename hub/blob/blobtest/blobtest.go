// Package blobtest is the suite that every store behind package blob passes: a folder and any S3
// server alike.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"skerry.dev/hub/blob"
)

// Run holds the stores that open returns to the contract. Every call of open must give an empty
// store; two calls with the same test and part must give the same one.
func Run(t *testing.T, open func(t *testing.T, part string) *blob.Store) {
	for name, test := range map[string]func(t *testing.T, open func(t *testing.T, part string) *blob.Store){
		"Content":    content,
		"Parts":      parts,
		"Missing":    missing,
		"Cancelled":  cancelled,
		"List":       list,
		"Object":     object,
		"Concurrent": concurrent,
		"Close":      closing,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

// Put puts an object, or ends the test.
func Put(t *testing.T, s *blob.Store, key string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

// Noise is n bytes that do not compress, the same every time.
func Noise(n int) []byte {
	rng := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	rng.Read(b)
	return b
}

// content holds that the first content of a key stays, that a digest names its bytes, and that
// damaged content is replaced.
func content(t *testing.T, open func(t *testing.T, part string) *blob.Store) {
	s := open(t, "part")
	for _, data := range [][]byte{{}, []byte("x"), Noise(300_000)} {
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
		Put(t, s, blob.Key(digest), []byte("something else"))
		if got, err := s.Get(t.Context(), blob.Key(digest)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("Get = %d bytes, %v; want the %d put first", len(got), err, len(data))
		}
		if again, err := s.PutContent(t.Context(), data); err != nil || again != digest {
			t.Errorf("the same content again = %s, %v", again, err)
		}
	}
	if n := count(t, open(t, "part"), "sha256/"); n != 3 {
		t.Errorf("%d objects after opening again, want 3", n)
	}

	sum := sha256.Sum256([]byte("y"))
	key := blob.Key(hex.EncodeToString(sum[:]))
	Put(t, s, key, []byte("damaged"))
	if _, err := s.PutContent(t.Context(), []byte("y")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), key); err != nil || string(got) != "y" {
		t.Errorf("Get = %q, %v after damaged content was put again", got, err)
	}
}

// parts holds that the parts of a store do not see each other.
func parts(t *testing.T, open func(t *testing.T, part string) *blob.Store) {
	one, other := open(t, "part"), open(t, "part2")
	Put(t, one, "class/site/1.parquet", []byte("rows"))
	if _, err := other.Get(t.Context(), "class/site/1.parquet"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("the part beside it has the object too: %v", err)
	}
	if n := count(t, other, ""); n != 0 {
		t.Errorf("the part beside it lists %d objects", n)
	}
	if b, err := one.Get(t.Context(), "class/site/1.parquet"); err != nil || string(b) != "rows" {
		t.Errorf("Get = %q, %v", b, err)
	}
}

// missing holds what each call says of a key that holds nothing.
func missing(t *testing.T, open func(t *testing.T, part string) *blob.Store) {
	s := open(t, "part")
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
	Put(t, s, "a/b", []byte("0123456789"))
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

// cancelled holds that a put that was cancelled leaves nothing.
func cancelled(t *testing.T, open func(t *testing.T, part string) *blob.Store) {
	s := open(t, "part")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, "a", Noise(1<<20)); !errors.Is(err, context.Canceled) {
		t.Errorf("Put after cancel = %v, want context.Canceled", err)
	}
	if n := count(t, s, ""); n != 0 {
		t.Errorf("%d objects are left", n)
	}
	Put(t, s, "a", []byte("x"))
	if b, err := s.Get(t.Context(), "a"); err != nil || string(b) != "x" {
		t.Errorf("Get = %q, %v, want what was put afterwards", b, err)
	}
}

// list holds the order, the sizes and the times of a listing, and deleting while listing.
func list(t *testing.T, open func(t *testing.T, part string) *blob.Store) {
	s := open(t, "part")
	want := []string{"b/1", "b/2", "b/sub/3"}
	for i, key := range append([]string{"a", "c/1"}, want...) {
		Put(t, s, key, make([]byte, i))
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

// object holds an object to what the standard library asks of a reader, a seeker and a reader of
// ranges.
func object(t *testing.T, open func(t *testing.T, part string) *blob.Store) {
	s := open(t, "part")
	for _, n := range []int{0, 1, 3000} {
		data := Noise(n)
		Put(t, s, "o", data)
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
	Put(t, s, "o", []byte("0123456789"))
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
	}{
		{-1, io.SeekStart, "negative position"},
		{-4, io.SeekCurrent, "negative position"},
		{-11, io.SeekEnd, "negative position"},
		{0, 9, "whence is 9"},
	} {
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

// concurrent puts the same objects from many goroutines while others read and list them: whoever
// sees one sees all of it.
func concurrent(t *testing.T, open func(t *testing.T, part string) *blob.Store) {
	s := open(t, "part")
	data := make([][]byte, 8)
	for i := range data {
		data[i] = bytes.Repeat([]byte{byte(i)}, 200_000)
	}
	key := func(i int) string { return "k/" + string(rune('a'+i)) }
	var puts, reads sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		puts.Go(func() {
			for i, d := range data {
				if err := s.Put(t.Context(), key(i), d); err != nil {
					t.Error(err)
				}
			}
		})
		reads.Go(func() {
			for last := false; !last; { // once more when all are there
				select {
				case <-done:
					last = true
				default:
				}
				for i := range data {
					b, err := s.Get(t.Context(), key(i))
					if errors.Is(err, blob.ErrNotFound) && !last {
						continue
					}
					if err != nil || !bytes.Equal(b, data[i]) {
						t.Errorf("Get(%s) = %d bytes, %v", key(i), len(b), err)
					}
				}
			}
		})
	}
	puts.Wait()
	close(done)
	reads.Wait()
	if n := count(t, s, ""); n != len(data) {
		t.Errorf("%d objects, want one a key", n)
	}
	o, err := s.Open(t.Context(), key(3))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for g := range 4 {
		reads.Go(func() {
			for i := range 20 {
				p := make([]byte, 100)
				if n, err := o.ReadAt(p, int64(g*1000+i*100)); n != 100 || err != nil || !bytes.Equal(p, data[3][:100]) {
					t.Errorf("ReadAt = %d, %v", n, err)
				}
			}
		})
	}
	reads.Wait()
}

// closing holds that a store may be closed twice and stays what it was for the next one.
func closing(t *testing.T, open func(t *testing.T, part string) *blob.Store) {
	s := open(t, "part")
	Put(t, s, "a", []byte("x"))
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := s.Get(t.Context(), "a"); err == nil {
		t.Error("Get of a closed store gives no error")
	}
	if b, err := open(t, "part").Get(t.Context(), "a"); err != nil || string(b) != "x" {
		t.Errorf("Get after opening again = %q, %v", b, err)
	}
}

// count returns how many objects are below a prefix.
func count(t *testing.T, s *blob.Store, prefix string) (n int) {
	t.Helper()
	if err := s.List(t.Context(), prefix, func(string, int64, time.Time) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}
