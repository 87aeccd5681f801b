package registry_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"skerry.dev/hub/blob"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/hub/registry"
	"skerry.dev/sync/trust"
	"skerry.dev/sync/trust/signing"
)

// hub is a registry over a database, a folder of artifacts and a signing repository of its own,
// and a device that follows the signatures.
type hub struct {
	t    *testing.T
	dir  string
	db   *meta.Store
	reg  *registry.Registry
	sign *signing.Repository
	dev  *trust.Client
}

func newHub(t *testing.T) *hub {
	t.Helper()
	return newHubOn(t, metatest.SQLite(t))
}

func newHubOn(t *testing.T, d metatest.DB) *hub {
	t.Helper()
	h := &hub{t: t, dir: t.TempDir(), db: d.Open(t)}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	blobs, err := blob.Open(t.Context(), "", h.dir, "blobs")
	check(err)
	t.Cleanup(func() { blobs.Close() })
	h.sign, err = signing.Open(signing.Options{Keys: filepath.Join(h.dir, "keys"), Dir: filepath.Join(h.dir, "tuf")})
	check(err)
	root, err := h.sign.Root()
	check(err)
	h.dev, err = trust.Open(trust.Options{Dir: filepath.Join(h.dir, "device"), Root: root, Fetch: h.sign})
	check(err)
	h.reg = registry.New(h.db, blobs, h.sign)
	return h
}

func (h *hub) register(task, data string) meta.Model {
	h.t.Helper()
	m, err := h.reg.Register(h.t.Context(), []byte(data), registry.Info{Task: task, Kind: "forecast", CreatedBy: "ada"})
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

func (h *hub) promote(m meta.Model, cohort string) {
	h.t.Helper()
	if err := h.reg.Promote(h.t.Context(), "ada", m.Digest, cohort); err != nil {
		h.t.Fatal(err)
	}
}

// target is what a device that is up to date knows of a model; ok is false when nobody signs it.
func (h *hub) target(m meta.Model) (t trust.Target, ok bool) {
	h.t.Helper()
	if err := h.dev.Refresh(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	t, err := h.dev.Target(m.Target)
	if err != nil && !errors.Is(err, trust.ErrNotFound) {
		h.t.Fatal(err)
	}
	return t, err == nil
}

func (h *hub) state(m meta.Model) string {
	h.t.Helper()
	m, err := h.db.Read().Model(h.t.Context(), m.Digest)
	if err != nil {
		h.t.Fatal(err)
	}
	return m.State
}

// unable takes the key that signs models away while fn runs: as far as registry and database go,
// that is a crash before the signature.
func (h *hub) unable(fn func()) {
	h.t.Helper()
	key, away := filepath.Join(h.dir, "keys", "tuf-models.pem"), filepath.Join(h.dir, "away")
	if err := os.Rename(key, away); err != nil {
		h.t.Fatal(err)
	}
	fn()
	if err := os.Rename(away, key); err != nil {
		h.t.Fatal(err)
	}
}

func TestRegister(t *testing.T) {
	h := newHub(t)
	in := registry.Info{Task: "pm25", Kind: "forecast", Metrics: map[string]float64{"mae": 1.5}, Lineage: []string{"dataset@4"}, CreatedBy: "ada"}
	data := []byte("the bytes of a model")
	m, err := h.reg.Register(t.Context(), data, in)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	want := meta.Model{Digest: hex.EncodeToString(sum[:]), Task: "pm25", Version: 1, Kind: "forecast", State: registry.StateCandidate, Size: 20,
		Target: "models/pm25/" + hex.EncodeToString(sum[:]) + ".skerry", Metrics: `{"mae":1.5}`, Lineage: `["dataset@4"]`, CreatedBy: "ada", CreatedAt: m.CreatedAt}
	if m != want || m.CreatedAt == 0 || registry.Name(m) != "pm25@1" {
		t.Errorf("Register = %+v named %s, want %+v", m, registry.Name(m), want)
	}
	got, ok := h.target(m)
	var custom struct {
		Task, Kind string
		Version    int
	}
	if err := json.Unmarshal(got.Custom, &custom); err != nil || !ok || got.SHA256 != m.Digest || got.Length != 20 || custom.Task != "pm25" || custom.Kind != "forecast" || custom.Version != 1 {
		t.Errorf("a device knows %+v of it, custom %+v, %v", got, custom, err)
	}
	if b, err := h.reg.Load(t.Context(), m.Digest); err != nil || !bytes.Equal(b, data) {
		t.Errorf("Load = %q, %v", b, err)
	}
	o, err := h.reg.Open(t.Context(), m.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if b, err := io.ReadAll(io.NewSectionReader(o, 4, 5)); err != nil || string(b) != "bytes" {
		t.Errorf("range = %q, %v", b, err)
	}

	in.Metrics, in.CreatedBy = nil, "bob"
	if again, err := h.reg.Register(t.Context(), data, in); err != nil || again != m {
		t.Errorf("the same bytes again = %+v, %v, want what was there", again, err)
	}
	if next := h.register("pm25", "others"); next.Version != 2 || next.Metrics != "{}" || next.Lineage != "{}" {
		t.Errorf("next = %+v, want version 2 with empty documents", next)
	}
	if other := h.register("ozone", "for another task"); other.Version != 1 {
		t.Errorf("first version of another task = %d", other.Version)
	}
	entries, err := h.db.Read().AuditEntries(t.Context(), 0, 10)
	if err != nil || len(entries) != 3 || entries[0].Actor != "ada" || entries[0].Action != "model.register" || entries[0].Object != "pm25@1" || entries[0].Detail != "sha256:"+m.Digest {
		t.Errorf("audit = %+v, %v, want one entry a model", entries, err)
	}
}

func TestRegisterRefuses(t *testing.T) {
	h := newHub(t)
	h.register("pm25", "taken")
	for _, tt := range []struct {
		data string
		in   registry.Info
		want string
	}{
		{"x", registry.Info{Task: "../up"}, `register model: task name "../up" is not valid`},
		{"x", registry.Info{}, `register model: task name "" is not valid`},
		{"", registry.Info{Task: "pm25"}, `register model of task "pm25": 0 bytes, must be 1 to 67108864`},
		{strings.Repeat("x", registry.MaxBytes+1), registry.Info{Task: "pm25"}, "67108865 bytes, must be 1 to 67108864"},
		{"x", registry.Info{Task: "pm25", Metrics: math.NaN()}, `register model of task "pm25": metrics: json: unsupported value: NaN`},
		{"x", registry.Info{Task: "pm25", Lineage: func() {}}, "lineage: json: unsupported type"},
		{"taken", registry.Info{Task: "ozone"}, `register model of task "ozone": the artifact belongs to task "pm25"`},
	} {
		if m, err := h.reg.Register(t.Context(), []byte(tt.data), tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Register(%d bytes, %+v) = %+v, %v, want %q", len(tt.data), tt.in.Task, m, err, tt.want)
		}
	}
	if all, err := h.db.Read().Models(t.Context(), "", 0); err != nil || len(all) != 1 {
		t.Errorf("%d models, %v, want the first one only", len(all), err)
	}
}

func TestArtifactsThatAreNotThere(t *testing.T) {
	h := newHub(t)
	m := h.register("pm25", "a model")
	for _, digest := range []string{"", "a", strings.Repeat("0", 64), strings.ToUpper(m.Digest), m.Digest + "0", "../" + m.Digest[3:], m.Digest[:63] + "/", m.Digest + "\n"} {
		if _, err := h.reg.Load(t.Context(), digest); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Load(%q) = %v, want ErrNotFound", digest, err)
		}
		if _, err := h.reg.Open(t.Context(), digest); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Open(%q) = %v, want ErrNotFound", digest, err)
		}
	}
	for verb, err := range map[string]error{
		"promote":   h.reg.Promote(t.Context(), "ada", strings.Repeat("0", 64), ""),
		"tombstone": h.reg.Tombstone(t.Context(), "ada", strings.Repeat("0", 64), "bad"),
	} {
		if want := verb + " model 0000"; !errors.Is(err, meta.ErrNotFound) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want ErrNotFound and %q", err, want)
		}
	}
}

// TestDamagedArtifact changes, cuts and removes the bytes in the store: a model that is not what
// its digest says is not loaded.
func TestDamagedArtifact(t *testing.T) {
	h := newHub(t)
	m := h.register("pm25", "a model")
	file := filepath.Join(h.dir, "blobs", filepath.FromSlash(blob.Key(m.Digest)))
	for _, damaged := range []string{"A model", "a mod", "a model ", ""} {
		if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := h.reg.Load(t.Context(), m.Digest); err == nil || !strings.Contains(err.Error(), "is damaged in the store") || !strings.Contains(err.Error(), blob.Key(m.Digest)) {
			t.Errorf("Load of %q = %q, %v, want an error that says where it lies", damaged, b, err)
		}
	}
	mend := func() {
		t.Helper()
		h.register("pm25", "a model")
		if b, err := h.reg.Load(t.Context(), m.Digest); err != nil || string(b) != "a model" {
			t.Errorf("Load = %q, %v after the bytes were registered again", b, err)
		}
	}
	mend()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := h.reg.Load(t.Context(), m.Digest); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Load of removed bytes = %v, want ErrNotFound", err)
	}
	mend()
}

// TestChampions promotes models for all and for one cohort. A model is retired when it is
// champion of no cohort any longer.
func TestChampions(t *testing.T) {
	h := newHub(t)
	a, b, c := h.register("pm25", "a"), h.register("pm25", "b"), h.register("pm25", "c")
	other := h.register("ozone", "o")
	h.promote(other, "")
	champion := func(cohort string) string {
		t.Helper()
		got, err := h.db.Read().Champion(t.Context(), "pm25", cohort)
		if err != nil {
			t.Fatal(err)
		}
		return got.Digest
	}
	for i, step := range []struct {
		m         meta.Model
		cohort    string
		all, roof meta.Model // the champions of a cohort without one of its own, and of the roof
		states    string
	}{
		{a, "", a, a, "champion candidate candidate"},
		{a, "roof", a, a, "champion candidate candidate"},
		{b, "roof", a, b, "champion champion candidate"},
		{b, "roof", a, b, "champion champion candidate"},
		{c, "", c, b, "retired champion champion"},
		{a, "", a, b, "champion champion retired"},
		{a, "roof", a, a, "champion retired retired"},
	} {
		h.promote(step.m, step.cohort)
		if champion("cellar") != step.all.Digest || champion("roof") != step.roof.Digest {
			t.Errorf("step %d: the champions are not %s and %s", i, registry.Name(step.all), registry.Name(step.roof))
		}
		if got := h.state(a) + " " + h.state(b) + " " + h.state(c); got != step.states {
			t.Errorf("step %d: states %s, want %s", i, got, step.states)
		}
	}
	if h.state(other) != registry.StateChampion {
		t.Error("the champion of another task has lost its place")
	}
}

func TestTombstone(t *testing.T) {
	h := newHub(t)
	a, b := h.register("pm25", "a"), h.register("pm25", "b")
	h.promote(a, "")
	for range 2 {
		if err := h.reg.Tombstone(t.Context(), "ada", a.Digest, "it lies"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := h.db.Read().Model(t.Context(), a.Digest)
	if err != nil || got.State != "tombstoned" || got.Tombstone != "it lies" || got.TombstonedAt == 0 {
		t.Errorf("model = %+v, %v", got, err)
	}
	if _, ok := h.target(a); ok {
		t.Error("a device still finds it signed")
	}
	if _, ok := h.target(b); !ok {
		t.Error("a device no longer finds the other one")
	}
	if err := h.reg.Promote(t.Context(), "ada", a.Digest, ""); !errors.Is(err, registry.ErrTombstoned) || !strings.Contains(err.Error(), a.Digest) {
		t.Errorf("Promote = %v, want ErrTombstoned", err)
	}
	if _, err := h.reg.Register(t.Context(), []byte("a"), registry.Info{Task: "pm25"}); !errors.Is(err, registry.ErrTombstoned) {
		t.Errorf("the same bytes again = %v, want ErrTombstoned", err)
	}
	if _, ok := h.target(a); ok {
		t.Error("registering it again has signed it")
	}
	if data, err := h.reg.Load(t.Context(), a.Digest); err != nil || string(data) != "a" {
		t.Errorf("Load = %q, %v: an administrator may look at it", data, err)
	}
	h.promote(b, "")
	if h.state(a) != "tombstoned" {
		t.Errorf("the next champion has made it %s", h.state(a))
	}
	if entries, err := h.db.Read().AuditEntries(t.Context(), 0, 10); err != nil || slices.IndexFunc(entries, func(e meta.AuditEntry) bool {
		return e.Action == "model.tombstone" && e.Object == "pm25@1" && e.Detail == "it lies"
	}) < 0 {
		t.Errorf("audit = %+v, %v, want the tombstone with its reason", entries, err)
	}
}

// TestRepair loses the signing of a model and of a tombstone after the database has both, and of
// a model far down the list.
func TestRepair(t *testing.T) {
	h := newHub(t)
	bad := h.register("pm25", "bad")
	var unsigned meta.Model
	h.unable(func() {
		m, err := h.reg.Register(t.Context(), []byte("good"), registry.Info{Task: "pm25"})
		if err == nil || !strings.Contains(err.Error(), "key of role models") {
			t.Errorf("Register = %v, want an error that names the key", err)
		}
		unsigned = m
		for range 2 {
			if err := h.reg.Tombstone(t.Context(), "ada", bad.Digest, "it lies"); err == nil || !strings.Contains(err.Error(), "tombstone model "+bad.Digest) {
				t.Errorf("Tombstone = %v, want an error until it is no longer signed", err)
			}
		}
		if err := h.reg.Repair(t.Context()); err == nil || !strings.Contains(err.Error(), "repair signatures: ") {
			t.Errorf("Repair = %v", err)
		}
	})
	if _, ok := h.target(unsigned); ok {
		t.Fatal("a model was signed without the key")
	}
	if _, ok := h.target(bad); !ok {
		t.Fatal("a signature went without the key")
	}
	// Many models that came later, all tombstoned, must not hide what there is to repair.
	if err := h.db.Tx(t.Context(), func(q *meta.Queries) error {
		for i := range signing.MaxTargets {
			digest := fmt.Sprintf("%064x", i)
			_, err := q.InsertModel(t.Context(), meta.Model{Digest: digest, Task: "ozone", Target: registry.Target("ozone", digest), Metrics: "{}", Lineage: "{}", CreatedAt: meta.Now()})
			if err = errors.Join(err, q.TombstoneModel(t.Context(), digest, "never", meta.Now())); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.reg.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, ok := h.target(unsigned); !ok || got.SHA256 != unsigned.Digest {
		t.Errorf("after Repair a device knows %+v of the model", got)
	}
	if _, ok := h.target(bad); ok {
		t.Error("after Repair a device still finds the tombstoned model signed")
	}
	if err := h.reg.Tombstone(t.Context(), "ada", bad.Digest, "it lies"); err != nil {
		t.Errorf("Tombstone again = %v", err)
	}
}

// TestConcurrentRegistration registers the same and different models of a task from many
// goroutines: each gets one version number, none twice.
func TestConcurrentRegistration(t *testing.T) {
	h := newHub(t)
	const different = 6
	models := make([]meta.Model, 2*different)
	var wg sync.WaitGroup
	for i := range models {
		wg.Go(func() {
			m, err := h.reg.Register(t.Context(), fmt.Append(nil, "model ", i%different), registry.Info{Task: "pm25"})
			if err != nil {
				t.Error(err)
			}
			models[i] = m
		})
	}
	wg.Wait()
	seen := make([]bool, different+1)
	for i, m := range models[:different] {
		if m != models[i+different] {
			t.Errorf("the same bytes are %+v and %+v", m, models[i+different])
		}
		if m.Version < 1 || m.Version > different || seen[m.Version] {
			t.Fatalf("version %d of %d is taken or out of range", m.Version, different)
		}
		seen[m.Version] = true
		if _, ok := h.target(m); !ok {
			t.Errorf("%s is not signed", registry.Name(m))
		}
	}
	for _, m := range models[:different] {
		wg.Go(func() {
			if err := h.reg.Promote(t.Context(), "ada", m.Digest, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	champions := 0
	for _, m := range models[:different] {
		if h.state(m) == registry.StateChampion {
			champions++
		}
	}
	if champions != 1 {
		t.Errorf("%d champions after promotions at one time, want 1", champions)
	}
}
