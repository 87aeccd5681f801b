package signing_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/sync/trust"
	"skerry.dev/sync/trust/signing"
)

var digest = strings.Repeat("0f", 32)

// hub is a signing repository in a folder, with a clock, and a device that follows it.
type hub struct {
	t    *testing.T
	dir  string
	now  time.Time
	repo *signing.Repository
	dev  *trust.Client
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{t: t, dir: t.TempDir(), now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	h.reopen()
	root, err := h.repo.Root()
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return h.now }
	if h.dev, err = trust.Open(trust.Options{Dir: t.TempDir(), Root: root, Fetch: h.repo, Now: clock}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *hub) open() (*signing.Repository, error) {
	return signing.Open(signing.Options{Keys: h.path("keys"), Dir: h.path("tuf"), Now: func() time.Time { return h.now }})
}

func (h *hub) reopen() {
	h.t.Helper()
	var err error
	if h.repo, err = h.open(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) path(elem ...string) string { return filepath.Join(append([]string{h.dir}, elem...)...) }

func (h *hub) sign(path string) {
	h.t.Helper()
	if err := h.repo.SignModel(path, 7, digest, nil); err != nil {
		h.t.Fatal(err)
	}
}

// sees reports whether the device, brought up to date, finds a path signed.
func (h *hub) sees(path string) bool {
	h.t.Helper()
	if err := h.dev.Refresh(h.t.Context()); err != nil {
		h.t.Fatalf("the device cannot follow: %v", err)
	}
	_, err := h.dev.Target(path)
	if err != nil && !errors.Is(err, trust.ErrNotFound) {
		h.t.Fatal(err)
	}
	return err == nil
}

// without moves the key of a role away, as an operator does with those of root and targets, and
// returns what brings it back.
func (h *hub) without(role string) (back func()) {
	h.t.Helper()
	key := h.path("keys", "tuf-"+role+".pem")
	if err := os.Rename(key, h.path("away")); err != nil {
		h.t.Fatal(err)
	}
	return func() {
		h.t.Helper()
		if err := os.Rename(h.path("away"), key); err != nil {
			h.t.Fatal(err)
		}
	}
}

func TestSecretsArePrivate(t *testing.T) {
	h := newHub(t)
	keys, err := os.ReadDir(h.path("keys"))
	if err != nil || len(keys) != 5 {
		t.Fatalf("%d keys, %v; want one each of root, targets, snapshot, timestamp and models", len(keys), err)
	}
	for _, k := range keys {
		if info, err := k.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", k.Name(), info.Mode(), err)
		}
	}
	for _, name := range []string{"../keys/tuf-root.pem", "tuf-root.pem", "1.root.json/../../keys/tuf-root.pem", "1.root.jsonx", "-1.root.json", ".root.json", "", "timestamp.json\n", "9.root.json"} {
		if b, err := h.repo.Fetch(t.Context(), name); !errors.Is(err, trust.ErrNotFound) {
			t.Errorf("Fetch(%q) = %d bytes, %v, want ErrNotFound", name, len(b), err)
		}
	}
}

func TestSignModelRefuses(t *testing.T) {
	h := newHub(t)
	for _, tt := range []struct {
		path, digest string
		custom       any
		want         string
	}{
		{"models/a/1", "abc", nil, `sign "models/a/1": "abc" is not a SHA-256 digest`},
		{"models/a/1", strings.Repeat("zz", 32), nil, "is not a SHA-256 digest"},
		{"agent/1", digest, nil, `sign "agent/1": the models role signs models/* only`},
		{"models/a/1", digest, make(chan int), "unsupported type"},
		// the canonical form has integers only
		{"models/a/1", digest, map[string]any{"share": 0.5}, `sign "models/a/1": `},
		{"models/a/1", digest, strings.Repeat("x", 300<<10), "bytes, devices accept 262144"},
	} {
		err := h.repo.SignModel(tt.path, 7, tt.digest, tt.custom)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("SignModel(%q, %.10q, %.10v) = %v, want %q", tt.path, tt.digest, tt.custom, err, tt.want)
		}
		if h.repo.Signed(tt.path) || h.sees(tt.path) {
			t.Errorf("%q is signed after %v", tt.path, err)
		}
	}
	if h.sign("models/a/1"); !h.sees("models/a/1") {
		t.Error("after refusals a good model is not signed")
	}
}

// TestRepeatsPublishNothing signs a model again with the same content, and removes what is not
// signed: devices have nothing new to fetch.
func TestRepeatsPublishNothing(t *testing.T) {
	h := newHub(t)
	h.sign("models/a/1")
	before, err := h.repo.Fetch(t.Context(), "timestamp.json")
	if err != nil {
		t.Fatal(err)
	}
	h.sign("models/a/1")
	if err := h.repo.Remove("models/a/2", "models/a/3"); err != nil {
		t.Fatal(err)
	}
	if after, err := h.repo.Fetch(t.Context(), "timestamp.json"); err != nil || string(after) != string(before) {
		t.Errorf("repeats wrote a new timestamp (%v)", err)
	}
	if err := h.repo.SignModel("models/a/1", 8, digest, nil); err != nil {
		t.Fatal(err)
	}
	if h.sees("models/a/1"); h.dev.Versions()["models"] != 3 {
		t.Errorf("versions %v after the length changed, want models at 3", h.dev.Versions())
	}
}

// TestFailedChangeCanBeRepeated lets a change fail for want of a key. Nothing has changed then,
// and the same call works once the key is back.
func TestFailedChangeCanBeRepeated(t *testing.T) {
	for _, role := range []string{"models", "snapshot", "timestamp"} {
		t.Run(role, func(t *testing.T) {
			h := newHub(t)
			h.sign("models/a/1")
			back := h.without(role)
			for range 2 {
				if err := h.repo.Remove("models/a/1"); err == nil || !strings.Contains(err.Error(), `stop signing ["models/a/1"]: key of role `+role) {
					t.Errorf("Remove = %v, want an error that names the role", err)
				}
			}
			if err := h.repo.SignModel("models/a/2", 7, digest, nil); err == nil || !strings.Contains(err.Error(), `sign "models/a/2": key of role `+role) {
				t.Errorf("SignModel = %v, want an error that names the role", err)
			}
			if !h.repo.Signed("models/a/1") || !h.sees("models/a/1") || h.repo.Signed("models/a/2") || h.sees("models/a/2") {
				t.Error("a change that failed shows")
			}
			back()
			if err := h.repo.Remove("models/a/1"); err != nil {
				t.Fatal(err)
			}
			h.sign("models/a/2")
			if h.repo.Signed("models/a/1") || h.sees("models/a/1") || !h.sees("models/a/2") {
				t.Error("the repeated change does not show")
			}
		})
	}
}

// TestFailedRefreshLeavesNoGap damages a key while its role is due. Hours later the key is
// mended, and a device follows: a root version that is missing would stop it for ever.
func TestFailedRefreshLeavesNoGap(t *testing.T) {
	for _, role := range []string{"root", "targets", "models", "snapshot"} {
		t.Run(role, func(t *testing.T) {
			h := newHub(t)
			h.sign("models/a/1")
			key := h.path("keys", "tuf-"+role+".pem")
			good, err := os.ReadFile(key)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(key, []byte("not a key"), 0o600); err != nil {
				t.Fatal(err)
			}
			h.now = h.now.Add(200 * 24 * time.Hour) // all are due
			for range 3 {
				h.now = h.now.Add(time.Hour)
				if err := h.repo.Refresh(); err == nil || !strings.Contains(err.Error(), "refresh signatures: key of role "+role+": "+key+" is not an Ed25519 seed in PEM") {
					t.Errorf("Refresh = %v, want an error that names the key's file", err)
				}
			}
			if err := os.WriteFile(key, good, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := h.repo.Refresh(); err != nil {
				t.Fatal(err)
			}
			if !h.sees("models/a/1") {
				t.Error("the model is no longer signed")
			}
			if v := h.dev.Versions(); v["root"] != 2 || v["targets"] != 2 {
				t.Errorf("versions %v after one refresh that worked, want root and targets at 2", v)
			}
		})
	}
}

// TestOfflineKeys moves the keys of root and targets away: models go on being signed, and the two
// are extended when their keys are back.
func TestOfflineKeys(t *testing.T) {
	h := newHub(t)
	root, err := os.ReadFile(h.path("keys", "tuf-root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(h.path("keys", "tuf-root.pem")); err != nil {
		t.Fatal(err)
	}
	back := h.without("targets")
	for day := range 60 { // targets live for 90 days
		h.now = h.now.Add(24 * time.Hour)
		if err := h.repo.Refresh(); err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
	}
	h.reopen()
	if h.sign("models/a/1"); !h.sees("models/a/1") {
		t.Fatal("a model is not signed without the offline keys")
	}
	if v := h.dev.Versions(); v["root"] != 1 || v["targets"] != 1 {
		t.Errorf("versions %v without the keys of root and targets", v)
	}
	h.now = h.now.Add(31 * 24 * time.Hour)
	if err := h.repo.Refresh(); err != nil {
		t.Fatal(err)
	}
	if err := h.dev.Refresh(t.Context()); !errors.Is(err, trust.ErrExpired) {
		t.Errorf("device with targets of 91 days: %v, want ErrExpired", err)
	}
	back()
	h.now = h.now.Add(150 * 24 * time.Hour)
	if err := os.WriteFile(h.path("keys", "tuf-root.pem"), root, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.repo.Refresh(); err != nil {
		t.Fatal(err)
	}
	if !h.sees("models/a/1") {
		t.Error("the model is lost")
	}
	if v := h.dev.Versions(); v["root"] != 2 || v["targets"] != 2 {
		t.Errorf("versions %v with the keys back, want 2 and 2", v)
	}
}

// TestOldestLeaveFirst signs more models than devices accept at a time. The first four hundred
// are put into the file, as signing them one after the other takes long; the next change signs
// them.
func TestOldestLeaveFirst(t *testing.T) {
	h := newHub(t)
	const most = 400
	file := h.path("tuf", "1.models.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Signatures json.RawMessage `json:"signatures"`
		Signed     map[string]any  `json:"signed"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	targets := map[string]any{"models/a/unnumbered": map[string]any{"length": 7, "hashes": map[string]string{"sha256": digest}}}
	for i := 1; i < most; i++ {
		targets[fmt.Sprintf("models/a/%d", i)] = map[string]any{"length": 7, "hashes": map[string]string{"sha256": digest}, "custom": map[string]int{"seq": i}}
	}
	doc.Signed["targets"] = targets
	if b, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	for _, step := range []struct {
		sign string
		seq  int
		gone string
	}{
		// what is signed now stays, whatever its number
		{"models/a/early", 0, "models/a/unnumbered"},
		{"models/a/400", 400, "models/a/early"},
		{"models/a/401", 401, "models/a/1"},
		{"models/a/402", 402, "models/a/2"},
	} {
		if err := h.repo.SignModel(step.sign, 7, digest, map[string]int{"seq": step.seq}); err != nil {
			t.Fatal(err)
		}
		if !h.sees(step.sign) || h.sees(step.gone) || h.repo.Signed(step.gone) || !h.sees("models/a/3") {
			t.Errorf("after signing %s: %s must be gone, and nothing else", step.sign, step.gone)
		}
	}
}

// damages are what a file may have become.
func damages(good []byte) []string {
	out := []string{"", "{}", "[]", "null", `{"signed":null}`, `{"signed":{"_type":"other"}}`}
	for at := 1; at < len(good); at += 361 {
		out = append(out, string(good[:at]))
	}
	return out
}

// TestDamagedFiles opens a repository whose files were cut short or replaced. What it has the keys
// for is signed again, and a device that knew the repository follows.
func TestDamagedFiles(t *testing.T) {
	h := newHub(t)
	if h.sign("models/a/1"); !h.sees("models/a/1") {
		t.Fatal("the device does not see a model")
	}
	for _, role := range []string{"timestamp", "targets", "snapshot", "models"} {
		newest := func() string {
			files, err := filepath.Glob(h.path("tuf", "*"+role+".json"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no file of %s: %v", role, err)
			}
			version := func(path string) (n int) { fmt.Sscanf(filepath.Base(path), "%d.", &n); return n }
			return slices.MaxFunc(files, func(a, b string) int { return version(a) - version(b) })
		}
		good, err := os.ReadFile(newest())
		if err != nil {
			t.Fatal(err)
		}
		names := strings.NewReplacer("snapshot.json", "x.json", "models.json", "x.json").Replace(string(good))
		for _, d := range append([]string{names}, damages(good)...) {
			if err := os.WriteFile(newest(), []byte(d), 0o600); err != nil {
				t.Fatal(err)
			}
			h.now = h.now.Add(time.Second)
			h.reopen()
			if h.sign("models/a/1"); !h.sees("models/a/1") { // as whoever registers models does
				t.Errorf("with %s of %d bytes %.30q the device does not see the model", role, len(d), d)
			}
		}
	}
}

// TestDamagedWithoutKeys holds that what cannot be signed again is named with what to do, and that
// the right bytes open again.
func TestDamagedWithoutKeys(t *testing.T) {
	h := newHub(t)
	h.sign("models/a/1")
	if err := os.Remove(h.path("keys", "tuf-targets.pem")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.root.json", "1.targets.json"} {
		file := h.path("tuf", name)
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range damages(good) {
			if err := os.WriteFile(file, []byte(d), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := h.open(); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "put it back from a backup") {
				t.Errorf("Open with %s of %d bytes %.30q = %v, want an error that names the file and what to do", name, len(d), d, err)
			}
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if _, err := h.open(); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(name, ".json")[2:]) || !strings.Contains(err.Error(), "put it back from a backup") {
			t.Errorf("Open without %s = %v, want an error that names it and what to do", name, err)
		}
		if err := os.WriteFile(file, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.reopen()
	if !h.repo.Signed("models/a/1") || !h.sees("models/a/1") {
		t.Error("the mended repository has lost its model")
	}
}

// TestCrashBeforeTheTimestamp brings back the timestamp of before a change, as a crash leaves it:
// the change has not happened, and can be made again.
func TestCrashBeforeTheTimestamp(t *testing.T) {
	h := newHub(t)
	h.sign("models/a/1")
	file := h.path("tuf", "timestamp.json")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h.sign("models/a/2")
	if err := os.WriteFile(file, before, 0o600); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	if !h.repo.Signed("models/a/1") || h.repo.Signed("models/a/2") || h.sees("models/a/2") {
		t.Error("half a change shows")
	}
	if h.sign("models/a/2"); !h.sees("models/a/1") || !h.sees("models/a/2") {
		t.Error("the change does not show when it is made again")
	}
}

// TestConcurrentUse signs from many goroutines while devices refresh; each device sees a whole
// state at any time.
func TestConcurrentUse(t *testing.T) {
	h := newHub(t)
	root, err := h.repo.Root()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	const signers, each = 4, 6
	for s := range signers {
		dir := t.TempDir()
		wg.Go(func() {
			for i := range each {
				if err := h.repo.SignModel(fmt.Sprintf("models/%d/%d", s, i), 7, digest, nil); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			c, err := trust.Open(trust.Options{Dir: dir, Root: root, Fetch: h.repo, Now: func() time.Time { return h.now }})
			for range each {
				if err = errors.Join(err, c.Refresh(t.Context())); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	h.reopen()
	for s := range signers {
		for i := range each {
			if path := fmt.Sprintf("models/%d/%d", s, i); !h.sees(path) {
				t.Errorf("%s is not signed", path)
			}
		}
	}
}

// TestRunKeepsFresh lets a hub run for a hundred days, of which it cannot sign for one.
func TestRunKeepsFresh(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := &hub{t: t, dir: dir}
		var err error
		if h.repo, err = signing.Open(signing.Options{Keys: h.path("keys"), Dir: h.path("tuf")}); err != nil {
			t.Fatal(err)
		}
		h.sign("models/a/1")
		root, err := h.repo.Root()
		if err != nil {
			t.Fatal(err)
		}
		if h.dev, err = trust.Open(trust.Options{Dir: filepath.Join(dir, "device"), Root: root, Fetch: h.repo}); err != nil {
			t.Fatal(err)
		}
		failures := 0
		done := make(chan error)
		go func() { done <- h.repo.Run(t.Context(), func(error) { failures++ }) }()
		for range 99 {
			time.Sleep(24 * time.Hour)
			if !h.sees("models/a/1") {
				t.Fatal("the model is no longer signed")
			}
		}
		back := h.without("timestamp")
		time.Sleep(4 * 24 * time.Hour)
		back()
		time.Sleep(2 * time.Hour)
		if !h.sees("models/a/1") || failures == 0 {
			t.Errorf("%d failures told while the timestamp's key was away", failures)
		}
		t.Cleanup(func() { // after t.Context ended
			if err := <-done; err != nil {
				t.Errorf("Run = %v", err)
			}
		})
	})
}
