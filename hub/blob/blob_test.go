package blob_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"skerry.dev/hub/blob"
	"skerry.dev/hub/blob/blobtest"
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
			blobtest.Put(t, s, "class/site/1.parquet", []byte("rows"))
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

// TestFolder holds a folder to the contract of every store.
func TestFolder(t *testing.T) {
	dirs := map[string]string{}
	blobtest.Run(t, func(t *testing.T, part string) *blob.Store {
		if dirs[t.Name()] == "" {
			dirs[t.Name()] = t.TempDir()
		}
		return open(t, "", dirs[t.Name()], part)
	})
}

// TestS3 holds an S3 server to the same contract, by the URL that a configuration would hold.
func TestS3(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	buckets := s3mem.New()
	server := httptest.NewServer(gofakes3.New(buckets).Server())
	t.Cleanup(server.Close)
	names := map[string]string{}
	blobtest.Run(t, func(t *testing.T, part string) *blob.Store {
		name := names[t.Name()]
		if name == "" {
			name = fmt.Sprintf("bucket-%d", len(names))
			names[t.Name()] = name
			if err := buckets.CreateBucket(name); err != nil {
				t.Fatal(err)
			}
		}
		q := url.Values{"region": {"us-east-1"}, "use_path_style": {"true"}, "endpoint": {server.URL}}
		return open(t, "s3://"+name+"?"+q.Encode(), "", part)
	})
}

// TestNothingHalfWritten holds that neither a cancelled put nor many at once leave files behind
// that are no object.
func TestNothingHalfWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, "", dir, "part")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, "a", blobtest.Noise(1<<20)); !errors.Is(err, context.Canceled) {
		t.Errorf("Put after cancel = %v, want context.Canceled", err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("files %q are left", got)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := s.Put(t.Context(), "k/b", blobtest.Noise(200_000)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := files(t, dir); !slices.Equal(got, []string{"part/k/b"}) {
		t.Errorf("files %q, want one for the one object", got)
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
