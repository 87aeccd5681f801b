package trust_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/sync/trust"
	"skerry.dev/sync/trust/signing"
)

var digest = strings.Repeat("ab", 32)

type fixture struct {
	now  time.Time
	repo *signing.Repository
	dir  string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), dir: t.TempDir()}
	f.repo = f.open(t)
	return f
}

func (f *fixture) open(t *testing.T) *signing.Repository {
	t.Helper()
	r, err := signing.Open(signing.Options{Keys: filepath.Join(f.dir, "keys"), Dir: filepath.Join(f.dir, "tuf"), Now: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (f *fixture) client(t *testing.T, dir string, fetch trust.Fetcher) *trust.Client {
	t.Helper()
	root, err := f.repo.Root()
	if err != nil {
		t.Fatal(err)
	}
	c, err := trust.Open(trust.Options{Dir: dir, Root: root, Fetch: fetch, Now: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGoodPath(t *testing.T) {
	f := newFixture(t)
	c := f.client(t, t.TempDir(), f.repo)
	if _, err := c.Target("models/a/x.skerry"); !errors.Is(err, trust.ErrStale) {
		t.Fatalf("Target before Refresh = %v, want ErrStale", err)
	}
	for i := range 12 { // more than the versions that are kept
		if err := f.repo.SignModel(fmt.Sprintf("models/a/%d.skerry", i), int64(100+i), digest, map[string]any{"seq": i, "kind": "forecast"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.repo = f.open(t) // a hub restart changes nothing
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := c.Target("models/a/3.skerry")
	if err != nil || got.Length != 103 || got.SHA256 != digest || !strings.Contains(string(got.Custom), "forecast") {
		t.Fatalf("Target = %+v, %v", got, err)
	}
	if _, err := c.Target("models/a/nobody.skerry"); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("Target(unknown) = %v, want ErrNotFound", err)
	}
	if err := f.repo.Remove("models/a/3.skerry"); err != nil {
		t.Fatal(err)
	}
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Target("models/a/3.skerry"); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("Target(removed) = %v, want ErrNotFound", err)
	}
}

func TestDelegationCoversModelsOnly(t *testing.T) {
	f := newFixture(t)
	if err := f.repo.SignModel("agent/linux/skerry-agent", 1, digest, nil); err == nil {
		t.Error("the models role signed agent/…")
	}
	if err := f.repo.SignModel("models/a/b/c", 1, digest, nil); err != nil {
		t.Fatal(err)
	}
	c := f.client(t, t.TempDir(), f.repo)
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Target("models/a/b/c"); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("Target of a path outside the delegation = %v, want ErrNotFound", err)
	}
}

func TestAttacks(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	if err := f.repo.SignModel("models/a/1.skerry", 1, digest, nil); err != nil {
		t.Fatal(err)
	}
	old := snapshotOf(t, f.repo)
	if err := f.client(t, dir, f.repo).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.repo.SignModel("models/a/2.skerry", 2, digest, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.client(t, dir, f.repo).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := snapshotOf(t, f.repo)
	other := newFixture(t)
	if err := other.repo.SignModel("models/a/1.skerry", 1, digest, nil); err != nil {
		t.Fatal(err)
	}
	foreign := snapshotOf(t, other.repo)

	edit := func(name string, fn func([]byte) []byte) trust.Fetcher {
		m := maps.Clone(good)
		if _, ok := m[name]; !ok {
			t.Fatalf("no file %s", name)
		}
		m[name] = fn(bytes.Clone(m[name]))
		return files(m)
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	newest := newestModels(good)
	for _, tt := range []struct {
		name  string
		fetch trust.Fetcher
		fresh bool // a device without stored metadata
		want  error
	}{
		{"rollback of everything", files(old), false, trust.ErrRollback},
		{"tampered timestamp", edit("timestamp.json", flip), true, trust.ErrInvalid},
		{"tampered models", edit(newest, func(b []byte) []byte { return bytes.Replace(b, []byte(`"length":2`), []byte(`"length":3`), 1) }), true, trust.ErrInvalid},
		{"signed by another repository", files(foreign), true, trust.ErrInvalid},
		{"models of another repository", edit(newest, func([]byte) []byte { return foreign[newestModels(foreign)] }), true, trust.ErrInvalid},
		{"endless timestamp", edit("timestamp.json", func([]byte) []byte { return make([]byte, 17<<10) }), true, trust.ErrInvalid},
		{"missing models", edit(newest, func([]byte) []byte { return nil }), true, trust.ErrNotFound},
		{"root of another repository", with(good, "2.root.json", foreign["1.root.json"]), true, trust.ErrInvalid},
		{"old root again as the next", with(good, "2.root.json", good["1.root.json"]), true, trust.ErrRollback},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := dir
			if tt.fresh {
				d = t.TempDir()
			}
			c := f.client(t, d, tt.fetch)
			if err := c.Refresh(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("Refresh = %v, want %v", err, tt.want)
			}
			if _, err := c.Target("models/a/1.skerry"); !errors.Is(err, trust.ErrStale) {
				t.Errorf("Target after a refused refresh = %v, want ErrStale", err)
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	f := newFixture(t)
	if err := f.repo.SignModel("models/a/1.skerry", 1, digest, nil); err != nil {
		t.Fatal(err)
	}
	c := f.client(t, t.TempDir(), f.repo)
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(8 * 24 * time.Hour)
	if _, err := c.Target("models/a/1.skerry"); !errors.Is(err, trust.ErrExpired) {
		t.Errorf("Target after a week = %v, want ErrExpired", err)
	}
	if err := c.Refresh(t.Context()); !errors.Is(err, trust.ErrExpired) {
		t.Errorf("Refresh of frozen metadata = %v, want ErrExpired", err)
	}
	if err := f.repo.Refresh(); err != nil {
		t.Fatal(err)
	}
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatalf("Refresh after the hub signed again = %v", err)
	}
	for range 40 { // more than a year, in steps a running hub would take
		f.now = f.now.Add(10 * 24 * time.Hour)
		if err := f.repo.Refresh(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatalf("Refresh after a year offline = %v", err)
	}
	if v := c.Versions()["root"]; v < 2 {
		t.Errorf("root version %d after a year, want a new one", v)
	}
}

func TestRollbackShowsAfterRestart(t *testing.T) {
	f := newFixture(t)
	old := snapshotOf(t, f.repo)
	if err := f.repo.SignModel("models/a/1.skerry", 1, digest, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := f.client(t, dir, f.repo).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.client(t, dir, files(old)).Refresh(t.Context()); !errors.Is(err, trust.ErrRollback) {
		t.Errorf("Refresh = %v, want ErrRollback", err)
	}
}

type files map[string][]byte

func (f files) Fetch(_ context.Context, name string) ([]byte, error) {
	if b := f[name]; b != nil {
		return b, nil
	}
	return nil, trust.ErrNotFound
}

func with(f files, name string, b []byte) files {
	m := maps.Clone(f)
	m[name] = b
	return m
}

func snapshotOf(t *testing.T, r *signing.Repository) files {
	t.Helper()
	f := files{}
	names := []string{"timestamp.json"}
	for v := range 20 {
		for _, role := range []string{"root", "targets", "snapshot", "models"} {
			names = append(names, fmt.Sprintf("%d.%s.json", v, role))
		}
	}
	for _, n := range names {
		if b, err := r.Fetch(t.Context(), n); err == nil {
			f[n] = b
		}
	}
	return f
}

func newestModels(f files) (name string) {
	for v := range 20 {
		if n := fmt.Sprintf("%d.models.json", v); f[n] != nil {
			name = n
		}
	}
	return name
}
