package update

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"skerry.dev/sync/spec"
)

// TestPartialFiles begins with what an earlier download may have left, on servers that resume in
// every way: the artifact is installed when its bytes are the signed ones, and what cannot become
// them is thrown away rather than resumed for ever.
func TestPartialFiles(t *testing.T) {
	content := []byte(strings.Repeat("0123456789", 500))
	damaged := bytes.Clone(content[:1000])
	damaged[500] ^= 1
	full := func(w http.ResponseWriter, _ *http.Request) { w.Write(content) }
	rest := func(span string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", span)
			w.WriteHeader(http.StatusPartialContent)
			w.Write(content[1000:])
		}
	}
	for name, tt := range map[string]struct {
		part   []byte
		first  http.HandlerFunc // answers the first request; nil: resumes as it should
		ranges []string         // of the requests until the artifact is installed
	}{
		"nothing":                   {nil, nil, []string{""}},
		"the beginning":             {content[:1000], nil, []string{"bytes=1000-"}},
		"a total nobody knows":      {content[:1000], rest("bytes 1000-4999/*"), []string{"bytes=1000-"}},
		"all of it":                 {content, nil, nil},
		"a server that starts over": {content[:1000], full, []string{"bytes=1000-"}},
		"damage":                    {damaged, nil, []string{"bytes=1000-", ""}},
		"too much":                  {append(bytes.Clone(content), 'x'), nil, []string{""}},
		"other bytes, as many":      {bytes.Repeat([]byte("x"), len(content)), nil, []string{""}},
		"another start":             {content[:1000], rest("bytes 999-4999/5000"), []string{"bytes=1000-", ""}},
		"another total":             {content[:1000], rest("bytes 1000-4999/5001"), []string{"bytes=1000-", ""}},
		"no range in the answer":    {content[:1000], rest(""), []string{"bytes=1000-", ""}},
		"a range of words":          {content[:1000], rest("bytes a-b/c"), []string{"bytes=1000-", ""}},
		"items instead of bytes":    {content[:1000], rest("items 1000-4999/5000"), []string{"bytes=1000-", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			var mu sync.Mutex
			var ranges []string
			b.handle(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				ranges = append(ranges, r.Header.Get("Range"))
				first := len(ranges) == 1
				mu.Unlock()
				if first && tt.first != nil {
					tt.first(w, r)
					return
				}
				b.serve(w, r)
			})
			digest := digestOf(content)
			if tt.part != nil {
				if err := os.WriteFile(b.m.partPath(digest), tt.part, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b.assign(1, string(content), spec.PhaseShadow)
			b.reach(spec.PhaseShadow, "")
			b.stop()
			if got, err := os.ReadFile(b.m.artifactPath(digest)); err != nil || !bytes.Equal(got, content) {
				t.Errorf("installed are %d bytes, %v, want the %d signed", len(got), err, len(content))
			}
			if _, err := os.Stat(b.m.partPath(digest)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the partial file is still there: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(ranges, tt.ranges) {
				t.Errorf("requests of ranges %q, want %q", ranges, tt.ranges)
			}
		})
	}
}

// block makes the slots' state unwritable, as a full or read-only disk does, until the function
// returned is called.
func (b *bench) block() (unblock func()) {
	b.t.Helper()
	path := filepath.Join(b.dir, "slots", stateFile)
	if err := os.Rename(path, path+".aside"); err != nil {
		b.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		b.t.Fatal(err)
	}
	return func() {
		b.t.Helper()
		if err := errors.Join(os.RemoveAll(path), os.Rename(path+".aside", path)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestStateThatCannotBeStored: nothing is loaded or activated that the disk does not know of, and
// everything goes on by itself once it does.
func TestStateThatCannotBeStored(t *testing.T) {
	t.Run("before the load", func(t *testing.T) {
		b := newBench(t)
		asked, answer := make(chan struct{}), make(chan struct{})
		ask := sync.OnceFunc(func() { close(asked) })
		b.handle(func(w http.ResponseWriter, r *http.Request) {
			ask()
			<-answer
			b.serve(w, r)
		})
		a := b.assign(1, "model", spec.PhaseActive)
		<-asked
		unblock := b.block()
		close(answer)
		b.reach(spec.PhaseVerifying, "store slot state")
		b.engine.mu.Lock()
		if len(b.engine.log) > 0 {
			t.Errorf("the engine was called: %v", b.engine.log)
		}
		b.engine.mu.Unlock()
		// the artifact is lost meanwhile: it is brought again
		if err := os.Remove(b.m.partPath(a.Digest)); err != nil {
			t.Fatal(err)
		}
		unblock()
		b.reach(spec.PhaseShadow, "")
		b.mu.Lock()
		defer b.mu.Unlock()
		if !slices.ContainsFunc(b.events, func(e Event) bool {
			return e.Phase == spec.PhaseDownloading && e.Reason == "the file is gone"
		}) {
			t.Errorf("events %+v, want the second download and why", b.events)
		}
	})
	t.Run("before the activation", func(t *testing.T) {
		b := newBench(t)
		one := b.activate(1, "model one")
		two := b.assign(2, "model two", spec.PhaseActive)
		b.engine.set(good(10), spec.Paired{})
		b.reach(spec.PhaseShadow, "")
		unblock := b.block()
		b.engine.set(good(100), spec.Paired{})
		b.reach(spec.PhaseShadow, "store slot state")
		if got := b.engine.now("t"); got != one.Digest {
			t.Errorf("%s runs, want %s: a restart would not know of it", short(got), short(one.Digest))
		}
		b.mu.Lock()
		if slices.ContainsFunc(b.events, func(e Event) bool { return e.Phase == spec.PhaseProbation && e.Digest == two.Digest }) {
			t.Error("probation is reported though it did not begin")
		}
		b.mu.Unlock()
		unblock()
		b.reach(spec.PhaseProbation, "")
		if got := b.engine.now("t"); got != two.Digest {
			t.Errorf("%s runs, want %s", short(got), short(two.Digest))
		}
	})
	t.Run("of a document", func(t *testing.T) {
		b := newBench(t)
		defer b.block()()
		if err := b.m.Apply(spec.Desired{Generation: 1}); err == nil || !strings.Contains(err.Error(), "store slot state") {
			t.Errorf("Apply = %v, want that the state is not stored", err)
		}
	})
}

// TestDamagedFiles opens what a failing disk may have left.
func TestDamagedFiles(t *testing.T) {
	open := func(b *bench) (*Manager, error) {
		return Open(b.signed, fakeLoader{}, b.engine, Options{Dir: filepath.Join(b.dir, "slots"), FloorFile: filepath.Join(b.dir, "floors.json")})
	}
	for name, text := range map[string]string{
		"empty":           "",
		"cut off":         `{"tasks":{"t":{"act`,
		"not JSON":        "\x00\x00\x00\x00",
		"of another type": `[1]`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.activate(7, "model")
			b.stop()
			path := filepath.Join(b.dir, "slots", stateFile)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			b.start()
			if d, _ := b.m.Active("t"); d != "" || b.m.Generation() != 7 {
				t.Errorf("with damaged slots %q is active at generation %d, want the baselines and the floor 7", d, b.m.Generation())
			}
			if kept, err := os.ReadFile(path + ".corrupt"); err != nil || string(kept) != text {
				t.Errorf("the damaged file = %q, %v, want it set aside", kept, err)
			}
			b.stop()

			if err := os.WriteFile(filepath.Join(b.dir, "floors.json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := open(b); err == nil || !strings.Contains(err.Error(), "rolled back by an old document") {
				t.Errorf("Open with damaged floors = %v, want it refused", err)
			}
		})
	}
	t.Run("null", func(t *testing.T) {
		b := newBench(t)
		b.stop()
		for file, text := range map[string]string{"slots/" + stateFile: `{"tasks":{"t":null}}`, "floors.json": `{"document":3,"tasks":null}`} {
			if err := os.WriteFile(filepath.Join(b.dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b.start()
		if b.m.Generation() != 3 || b.m.Reported("t") != nil {
			t.Errorf("generation %d, reported %+v, want 3 and nothing", b.m.Generation(), b.m.Reported("t"))
		}
		b.activate(4, "model")
	})
}

// TestArtifactDamagedAtRest flips a bit of the active model while the device is off: the one before
// it takes over, and the baselines when that is damaged as well.
func TestArtifactDamagedAtRest(t *testing.T) {
	flip := func(b *bench, digest string) {
		b.t.Helper()
		text, err := os.ReadFile(b.m.artifactPath(digest))
		if err != nil {
			b.t.Fatal(err)
		}
		text[len(text)/2] ^= 0x10
		if err := os.WriteFile(b.m.artifactPath(digest), text, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	b := newBench(t)
	one := b.activate(1, "model one")
	two := b.activate(2, "model two")
	if err := b.m.Confirm(); err != nil {
		t.Fatal(err)
	}
	b.stop()
	flip(b, two.Digest)
	b.start()
	if got, _ := b.m.Active("t"); got != one.Digest || b.engine.now("t") != one.Digest {
		t.Errorf("active %s, running %s, want %s", short(got), short(b.engine.now("t")), short(one.Digest))
	}
	b.reach(spec.PhaseReverted, "does not load any more")

	three := b.activate(3, "model three")
	if err := b.m.Confirm(); err != nil {
		t.Fatal(err)
	}
	b.stop()
	flip(b, one.Digest)
	flip(b, three.Digest)
	b.start()
	if got, version := b.m.Active("t"); got != "" || version != "" || b.engine.now("t") != "" {
		t.Errorf("active %q %q, running %q, want the baselines", short(got), version, short(b.engine.now("t")))
	}
}

// TestAssignmentsThatAreIgnored: what is not valid in a document costs that assignment only.
func TestAssignmentsThatAreIgnored(t *testing.T) {
	valid := spec.Assignment{Generation: 5, Digest: digestOf([]byte("x")), Size: 1, Target: "models/x", Phase: spec.PhaseShadow}
	for name, change := range map[string]func(a *spec.Assignment) (task string){
		"a task of another form": func(*spec.Assignment) string { return "../t" },
		"no digest":              func(a *spec.Assignment) string { a.Digest = ""; return "t" },
		"a digest in capitals":   func(a *spec.Assignment) string { a.Digest = strings.ToUpper(a.Digest); return "t" },
		"a path as digest":       func(a *spec.Assignment) string { a.Digest = "../../" + a.Digest[6:]; return "t" },
		"no bytes":               func(a *spec.Assignment) string { a.Size = 0; return "t" },
		"fewer than no bytes":    func(a *spec.Assignment) string { a.Size = -1; return "t" },
		"no phase":               func(a *spec.Assignment) string { a.Phase = ""; return "t" },
		"a phase of a device":    func(a *spec.Assignment) string { a.Phase = spec.PhaseProbation; return "t" },
		"an older generation":    func(a *spec.Assignment) string { a.Generation = 3; return "old" },
		"another artifact":       func(a *spec.Assignment) string { a.Generation = 4; return "old" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			old := valid
			old.Generation, old.Digest = 4, digestOf([]byte("old"))
			b.apply(spec.Desired{Generation: 1, Assignments: map[string]spec.Assignment{"old": old}})
			bad := valid
			task := change(&bad)
			b.apply(spec.Desired{Generation: 2, Assignments: map[string]spec.Assignment{task: bad, "good": valid}})
			if r := b.m.Reported("good"); r == nil || r.Digest != valid.Digest {
				t.Errorf("the good assignment beside it is reported as %+v", r)
			}
			switch r := b.m.Reported(task); {
			case task == "old" && (r == nil || r.Digest != old.Digest || r.Generation != 4):
				t.Errorf("reported %+v, want the assignment before", r)
			case task != "old" && r != nil:
				t.Errorf("reported %+v, want it ignored", r)
			}
			if b.m.Generation() != 2 {
				t.Errorf("generation %d, want 2", b.m.Generation())
			}
		})
	}
}

// TestAssignedAnew replaces an assignment in each phase: the engine drops what was on trial, and
// the newer artifact goes its way.
func TestAssignedAnew(t *testing.T) {
	t.Run("while it downloads", func(t *testing.T) {
		b := newBench(t)
		asked := make(chan struct{}, 1)
		b.handle(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, digestOf([]byte("model one"))) {
				asked <- struct{}{}
				<-r.Context().Done()
				return
			}
			b.serve(w, r)
		})
		one := b.assign(1, "model one", spec.PhaseShadow)
		<-asked
		two := b.assign(2, "model two", spec.PhaseShadow)
		b.reach(spec.PhaseShadow, "")
		if r := b.m.Reported("t"); r.Digest != two.Digest || r.Generation != 2 {
			t.Errorf("reported %+v, want the second assignment", r)
		}
		b.stop()
		b.engine.mu.Lock()
		defer b.engine.mu.Unlock()
		if got := strings.Join(b.engine.log, ", "); strings.Contains(got, short(one.Digest)) {
			t.Errorf("the engine was asked to %s, want nothing of %s", got, short(one.Digest))
		}
	})
	t.Run("in shadow and on probation", func(t *testing.T) {
		b := newBench(t)
		one := b.activate(1, "model one")
		two := b.assign(2, "model two", spec.PhaseActive)
		b.engine.set(good(10), spec.Paired{})
		b.reach(spec.PhaseShadow, "")
		three := b.assign(3, "model three", spec.PhaseActive)
		b.reach(spec.PhaseShadow, "")
		b.engine.set(good(100), good(10))
		b.reach(spec.PhaseProbation, "")
		four := b.assign(4, "model four", spec.PhaseShadow)
		b.reach(spec.PhaseShadow, "")
		b.stop()
		want := fmt.Sprintf("shadow %[2]s, drop %[2]s, shadow %[3]s, activate %[3]s, drop %[1]s, shadow %[4]s",
			short(one.Digest), short(two.Digest), short(three.Digest), short(four.Digest))
		b.engine.mu.Lock()
		defer b.engine.mu.Unlock()
		if got := strings.Join(b.engine.log, ", "); !strings.HasSuffix(got, want) {
			t.Errorf("the engine was asked to %s, want %s at the end", got, want)
		}
	})
	t.Run("to what is active", func(t *testing.T) {
		b := newBench(t)
		one := b.activate(1, "model one")
		b.handle(http.NotFound) // nothing to download
		one.Generation = 2
		b.apply(spec.Desired{Generation: 2, Assignments: map[string]spec.Assignment{"t": one}})
		b.reach(spec.PhaseActive, "")
		if r := b.m.Reported("t"); r.Generation != 2 || b.engine.now("t") != one.Digest {
			t.Errorf("reported %+v, want the second generation active", r)
		}
	})
}

// TestSweep removes artifacts that no slot needs, and nothing else.
func TestSweep(t *testing.T) {
	b := newBench(t)
	b.activate(1, "model one")
	two := b.activate(2, "model two")
	strange := digestOf([]byte("nobody's"))
	for _, name := range []string{strange + ".skerry", strange + ".part", "notes.txt", "state.json.corrupt"} {
		if err := os.WriteFile(filepath.Join(b.dir, "slots", name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	three := b.activate(3, "model three")
	b.stop()
	entries, err := os.ReadDir(filepath.Join(b.dir, "slots"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := []string{two.Digest + ".skerry", three.Digest + ".skerry", "notes.txt", "state.json", "state.json.corrupt"}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("after the sweep there are\n%v, want\n%v", got, want)
	}
}

// TestLostStateCostsNoArtifact: where nothing says any more which task runs what, every artifact
// stays, over restarts as well, until the hub has said it. A clone's state is no such word.
func TestLostStateCostsNoArtifact(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"missing": os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			one := b.activate(1, "model one")
			b.stop()
			other := filepath.Join(b.dir, "slots", digestOf([]byte("of a task whose file is away"))+".skerry")
			mine := filepath.Join(b.dir, "slots", one.Digest+".skerry")
			there := func(what string, want bool, paths ...string) {
				t.Helper()
				for _, p := range paths {
					if _, err := os.Stat(p); (err == nil) != want {
						t.Errorf("%s: %s, want it there: %v", what, filepath.Base(p), want)
					}
				}
			}
			if err := os.WriteFile(other, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := lose(filepath.Join(b.dir, "slots", stateFile)); err != nil {
				t.Fatal(err)
			}
			b.start()
			there("at the first start without a state", true, mine, other)
			b.restart()
			b.apply(spec.Desired{Generation: 2, Suspect: true})
			b.restart()
			there("after a restart and the state of a clone", true, mine, other)
			two := b.activate(3, "model two")
			b.restart()
			there("after the hub's word", false, mine, other)
			there("after the hub's word", true, filepath.Join(b.dir, "slots", two.Digest+".skerry"))
		})
	}
}

// TestUnreadableState: a state that cannot be read is not taken for a damaged one.
func TestUnreadableState(t *testing.T) {
	b := newBench(t)
	b.activate(1, "model one")
	b.stop()
	path := filepath.Join(b.dir, "slots", stateFile)
	if err := errors.Join(os.Rename(path, path+".old"), os.Mkdir(path, 0o700)); err != nil { // reading fails
		t.Fatal(err)
	}
	_, err := Open(b.signed, fakeLoader{}, b.engine, Options{Dir: filepath.Join(b.dir, "slots"), FloorFile: filepath.Join(b.dir, "floors.json")})
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open = %v, want an error with the path", err)
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		t.Errorf("what could not be read was touched: %v", err)
	}
}

// TestOpenWithoutOptions: an engine and a verifier are enough, and the state is as documented.
func TestOpenWithoutOptions(t *testing.T) {
	dir := t.TempDir()
	m, err := Open(&fakeVerifier{}, fakeLoader{}, &fakeEngine{champion: map[string]string{}, candidate: map[string]string{}},
		Options{Dir: filepath.Join(dir, "a", "b"), FloorFile: filepath.Join(dir, "floors.json")})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Slots(); got != filepath.Join(dir, "a", "b") {
		t.Errorf("Slots() = %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Run(ctx); err != nil {
		t.Errorf("Run of an ended context = %v", err)
	}
	var doc struct{ Tasks map[string]any }
	text, err := os.ReadFile(filepath.Join(dir, "a", "b", stateFile))
	if err != nil || json.Unmarshal(text, &doc) != nil || doc.Tasks == nil {
		t.Errorf("state = %s, %v, want an empty table of tasks", text, err)
	}
	if _, err := Open(&fakeVerifier{}, fakeLoader{}, &fakeEngine{}, Options{Dir: filepath.Join(dir, "floors.json", "x")}); err != nil {
		t.Errorf("Open in a folder that can be made = %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(&fakeVerifier{}, fakeLoader{}, &fakeEngine{}, Options{Dir: filepath.Join(dir, "file", "x")}); err == nil || !strings.Contains(err.Error(), "open model slots") {
		t.Errorf("Open below a file = %v, want it refused", err)
	}
}
