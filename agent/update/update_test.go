package update

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/sync/spec"
)

func digestOf(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }

// fakeEngine remembers what runs and fails on demand.
type fakeEngine struct {
	mu        sync.Mutex
	champion  map[string]string
	candidate map[string]string // in shadow, or the previous champion on probation
	trial     spec.Paired
	probation spec.Paired
	failShadow,
	failActivate error
	log           []string
	gone          map[string]bool // tasks that do not run
	rows, faulted int64           // of champions
	rounds        int             // of the manager with a champion
	looked        chan struct{}   // takes a value from every look at the trial that somebody waits for
}

func (e *fakeEngine) do(op, task, digest string) {
	e.log = append(e.log, op+" "+short(digest))
}

func short(d string) string { return d[:min(len(d), 6)] }

func (e *fakeEngine) Running(task string) (string, string, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.champion[task], e.candidate[task], !e.gone[task]
}

func (e *fakeEngine) Faulted(task string) (rows, faulted int64, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rounds++
	return e.rows, e.faulted, !e.gone[task]
}

func (e *fakeEngine) Shadow(_ context.Context, task string, m Model, digest string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.do("shadow", task, digest)
	if e.failShadow != nil {
		return e.failShadow
	}
	e.candidate[task] = digest
	return nil
}

func (e *fakeEngine) Activate(_ context.Context, task, digest string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.do("activate", task, digest)
	if e.failActivate != nil {
		return e.failActivate
	}
	if digest != "" && e.candidate[task] != digest {
		return fmt.Errorf("%s is not in shadow", digest)
	}
	e.candidate[task], e.champion[task] = e.champion[task], digest
	return nil
}

func (e *fakeEngine) Restore(_ context.Context, task string, m Model, digest string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.do("restore", task, digest)
	e.champion[task] = digest
	e.candidate[task] = ""
	return nil
}

func (e *fakeEngine) Drop(_ context.Context, task, digest string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.do("drop", task, digest)
	e.candidate[task] = ""
	return nil
}

func (e *fakeEngine) Trial(task string) (spec.Paired, bool) {
	select {
	case e.looked <- struct{}{}:
	default:
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.trial, e.candidate[task] != ""
}

func (e *fakeEngine) Probation(task string) (spec.Paired, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.probation, true
}

func (e *fakeEngine) set(trial, probation spec.Paired) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trial, e.probation = trial, probation
}

func (e *fakeEngine) now(task string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.champion[task]
}

// fakeVerifier signs what is in its table.
type fakeVerifier struct {
	mu      sync.Mutex
	targets map[string][]byte
	refresh error
}

func (v *fakeVerifier) Refresh(context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.refresh
}

func (v *fakeVerifier) Target(path string) (int64, string, []byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	b, ok := v.targets[path]
	if !ok {
		return 0, "", nil, errors.New("not signed")
	}
	return int64(len(b)), digestOf(b), nil, nil
}

type fakeLoader struct{}

func (fakeLoader) Load(r io.ReaderAt, size int64) (Model, error) {
	b := make([]byte, size)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(b, []byte("panic")) {
		panic("bad tensor")
	}
	if bytes.HasPrefix(b, []byte("broken")) {
		return nil, errors.New("self-test failed")
	}
	return b, nil
}

// bench is a manager with its surroundings.
type bench struct {
	free    func() (uint64, error)
	t       *testing.T
	dir     string
	engine  *fakeEngine
	signed  *fakeVerifier
	handler atomic.Pointer[http.HandlerFunc]
	log     *slog.Logger
	srv     *httptest.Server
	m       *Manager
	stop    func()
	mu      sync.Mutex
	events  []Event
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchLogging(t, nil)
}

func newBenchLogging(t *testing.T, log *slog.Logger) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), signed: &fakeVerifier{targets: map[string][]byte{}}, log: log}
	b.handle(b.serve)
	b.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*b.handler.Load())(w, r) }))
	t.Cleanup(b.srv.Close)
	b.start()
	return b
}

// handle lets h answer the downloads from now on.
func (b *bench) handle(h http.HandlerFunc) { b.handler.Store(&h) }

func (b *bench) serve(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer jwt" {
		http.Error(w, "no credential", http.StatusUnauthorized)
		return
	}
	b.signed.mu.Lock()
	signed := maps.Clone(b.signed.targets)
	b.signed.mu.Unlock()
	for _, content := range signed {
		if strings.HasSuffix(r.URL.Path, digestOf(content)) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
			return
		}
	}
	http.NotFound(w, r)
}

// start opens the manager as a program start does.
func (b *bench) start() {
	b.engine = &fakeEngine{champion: map[string]string{}, candidate: map[string]string{}, looked: make(chan struct{})}
	b.startWith(b.engine)
}

// startWith starts with an engine that has recovered by itself.
func (b *bench) startWith(e *fakeEngine) {
	b.t.Helper()
	m, err := Open(b.signed, fakeLoader{}, b.engine, Options{Dir: filepath.Join(b.dir, "slots"), FloorFile: filepath.Join(b.dir, "floors.json"),
		URL: func(d string) string { return b.srv.URL + "/" + d }, Authorize: func(r *http.Request) { r.Header.Set("Authorization", "Bearer jwt") }, Tick: 2 * time.Millisecond, Retry: time.Millisecond, Window: 100 * time.Millisecond, MinRate: 1000, Free: b.free, Log: b.log, Now: func() time.Time { return time.Now().UTC() },
		Events: func(e Event) { b.mu.Lock(); b.events = append(b.events, e); b.mu.Unlock() }})
	if err != nil {
		b.t.Fatal(err)
	}
	b.m = m
	ctx, cancel := context.WithCancel(context.Background())
	if err := m.Restore(ctx, []string{"t"}); err != nil {
		b.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); m.Run(ctx) }()
	b.stop = sync.OnceFunc(func() { cancel(); <-done })
	b.t.Cleanup(b.stop)
}

func (b *bench) restart() { b.stop(); b.start() }

// assign signs content and assigns it.
func (b *bench) assign(generation uint64, content string, phase spec.Phase) spec.Assignment {
	b.t.Helper()
	a := spec.Assignment{Generation: generation, Digest: digestOf([]byte(content)), Version: fmt.Sprintf("t@%d", generation), Size: int64(len(content)), Phase: phase,
		Rollout: "r1", Trial: spec.Trial{MinShadow: 100, Probation: 50, MaxRegression: 0.05, MaxLatencyUS: 1000}}
	a.Target = "models/t/" + a.Digest + ".skerry"
	b.signed.mu.Lock()
	b.signed.targets[a.Target] = []byte(content)
	b.signed.mu.Unlock()
	b.apply(spec.Desired{Generation: generation, Assignments: map[string]spec.Assignment{"t": a}})
	return a
}

func (b *bench) apply(d spec.Desired) {
	b.t.Helper()
	if err := b.m.Apply(d); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) reach(p spec.Phase, reason string) {
	b.t.Helper()
	for range 15_000 { // half a minute: what is waited for comes at once on a machine with nothing else to do
		if r := b.m.Reported("t"); r != nil && r.Phase == p && strings.Contains(r.Reason, reason) {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	b.t.Fatalf("reported %+v, want phase %s because of %q", b.m.Reported("t"), p, reason)
}

// looksTwice waits until the manager has looked at the trial and acted on what it saw: it looks
// again.
func (b *bench) looksTwice() {
	b.t.Helper()
	for range 2 {
		select {
		case <-b.engine.looked:
		case <-time.After(10 * time.Second):
			b.t.Fatal("the manager does not look at the trial")
		}
	}
}

// paired has n labelled rows, a minute apart, of an incumbent with a mean loss of 1.
func paired(n int64, candidate float64) spec.Paired {
	p := spec.Paired{Rows: n, Labelled: n, From: 60e6, To: n * 60e6, LatencyP99US: 100}
	for i := range n {
		noise := 0.05 * math.Sin(float64(7*i*i))
		p.Blocks.Add((i+1)*60e6, 1, candidate+noise)
		p.SumIncumbent++
		p.SumCandidate += candidate + noise
		p.SumDiff += candidate + noise - 1
	}
	return p
}

// looks waits for one round of the manager, which takes every look.
func (b *bench) looks() {
	b.t.Helper()
	b.engine.mu.Lock()
	n := b.engine.rounds
	b.engine.mu.Unlock()
	for range 10_000 {
		b.engine.mu.Lock()
		now := b.engine.rounds
		b.engine.mu.Unlock()
		if now > n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	b.t.Fatal("the manager does not look at what runs")
}

func good(n int64) spec.Paired { return paired(n, 0.9) }

// bad is grossly worse: that needs no cycle to be seen.
func bad(n int64) spec.Paired { return paired(n, 2.5) }

// activate brings content to active.
func (b *bench) activate(generation uint64, content string) spec.Assignment {
	b.t.Helper()
	a := b.assign(generation, content, spec.PhaseActive)
	b.engine.set(good(10), spec.Paired{})
	b.reach(spec.PhaseShadow, "")
	b.engine.set(good(100), good(10))
	b.reach(spec.PhaseProbation, "")
	b.engine.set(good(100), good(50))
	b.reach(spec.PhaseActive, "")
	return a
}

func TestAssignmentBecomesActive(t *testing.T) {
	b := newBench(t)
	a := b.activate(1, "model one")
	if b.engine.now("t") != a.Digest {
		t.Error("the model is not the champion")
	}
	if d, v := b.m.Active("t"); d != a.Digest || v != "t@1" {
		t.Errorf("Active = %s %s", d, v)
	}
	b.restart()
	if b.engine.now("t") != a.Digest {
		t.Error("the model is not the champion after a restart")
	}
	two := b.assign(2, "model two", spec.PhaseShadow) // the hub asks for the trial first
	b.engine.set(good(100), spec.Paired{})
	b.reach(spec.PhaseShadow, "")
	b.looksTwice()
	if b.engine.now("t") == two.Digest {
		t.Fatal("activated although only the shadow was asked for")
	}
	two.Phase = spec.PhaseActive
	b.apply(spec.Desired{Generation: 3, Assignments: map[string]spec.Assignment{"t": two}})
	b.reach(spec.PhaseProbation, "")
	var phases []string
	b.mu.Lock()
	for _, e := range b.events {
		phases = append(phases, string(e.Phase))
	}
	b.mu.Unlock()
	if got := strings.Join(phases[:6], " "); got != "assigned downloading verifying shadow probation active" {
		t.Errorf("events %s", got)
	}
}

func TestVetoInShadow(t *testing.T) {
	tests := map[string]struct {
		p      spec.Paired
		reason string
	}{
		"worse":      {bad(100), "loss is 2."},
		"early":      {bad(30), "loss is 2."},
		"not finite": {spec.Paired{Rows: 1, NonFinite: 1}, "not finite"},
		"panic":      {spec.Paired{Rows: 1, Panics: 1}, "panicked"},
		"slow":       {spec.Paired{Rows: 50, LatencyP99US: 5000}, "5000 µs"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			a := b.assign(1, "model", spec.PhaseActive)
			b.reach(spec.PhaseShadow, "")
			b.engine.set(tt.p, spec.Paired{})
			b.reach(spec.PhaseVetoed, tt.reason)
			if b.engine.now("t") == a.Digest {
				t.Error("the vetoed model is the champion")
			}
			if _, err := os.Stat(b.m.artifactPath(a.Digest)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the vetoed artifact is still on disk: %v", err)
			}
		})
	}
}

// TestWorseForAWhile: rows that are worse and span less than the task's cycle neither veto a
// candidate nor let it become active. Better ones let it go on, a whole cycle vetoes, also when the
// program was started anew meanwhile, with which an engine begins to count event time anew.
func TestWorseForAWhile(t *testing.T) {
	const day = int64(24 * 3600e6)
	from := 19_000 * day
	worse := func(n, from, to int64) spec.Paired {
		p := paired(n, 1.5)
		p.From, p.To = from, to
		return p
	}
	waiting := func() (*bench, spec.Assignment) {
		b := newBench(t)
		a := b.assign(1, "model", spec.PhaseActive)
		a.Trial.Cycle = 7 * day
		a.Generation = 2
		b.apply(spec.Desired{Generation: 2, Assignments: map[string]spec.Assignment{"t": a}})
		b.engine.set(worse(190, from, from+2*day), spec.Paired{})
		b.reach(spec.PhaseShadow, "worse so far")
		b.looksTwice()
		if b.engine.now("t") == a.Digest {
			t.Error("a model that is worse so far is the champion")
		}
		return b, a
	}
	b, a := waiting()
	b.engine.set(good(700), spec.Paired{})
	b.reach(spec.PhaseProbation, "")
	if b.engine.now("t") != a.Digest {
		t.Error("the model that became better is not the champion")
	}
	b, a = waiting()
	b.restart()
	b.engine.set(worse(700, from+3*day, from+8*day), spec.Paired{})
	b.reach(spec.PhaseVetoed, "loss is 1.5")
	if b.engine.now("t") == a.Digest {
		t.Error("the vetoed model is the champion")
	}
}

func TestProbationRevertsOffline(t *testing.T) {
	b := newBench(t)
	one := b.activate(1, "model one")
	b.assign(2, "model two", spec.PhaseActive)
	b.engine.set(good(100), good(5))
	b.reach(spec.PhaseProbation, "")
	b.srv.Close() // no hub any more
	b.restart()
	b.engine.set(good(100), good(5))
	b.reach(spec.PhaseProbation, "")
	b.engine.set(good(100), bad(25))
	b.reach(spec.PhaseReverted, "loss is 2.")
	if b.engine.now("t") != one.Digest {
		t.Error("the model before is not back")
	}
	b.restart()
	if d, _ := b.m.Active("t"); d != one.Digest || b.engine.now("t") != one.Digest {
		t.Error("the revert did not survive a restart")
	}
}

func TestTombstone(t *testing.T) {
	b := newBench(t)
	one := b.activate(1, "model one")
	two := b.activate(2, "model two")
	b.apply(spec.Desired{Generation: 3, Tombstones: []string{two.Digest}})
	b.reach(spec.PhaseReverted, "tombstoned")
	if b.engine.now("t") != one.Digest {
		t.Error("the model before is not back")
	}
	two.Generation = 4
	b.apply(spec.Desired{Generation: 4, Tombstones: []string{two.Digest}, Assignments: map[string]spec.Assignment{"t": two}})
	b.reach(spec.PhaseVetoed, "tombstoned")
	b.apply(spec.Desired{Generation: 5, Tombstones: []string{one.Digest, two.Digest}})
	for range 500 {
		if b.engine.now("t") == "" {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	if b.engine.now("t") != "" {
		t.Error("with every model tombstoned the baselines run")
	}
}

func TestFloorsSurviveRestart(t *testing.T) {
	b := newBench(t)
	one := b.activate(5, "model one")
	b.restart()
	old := b.assign(4, "an older model", spec.PhaseActive)
	if r := b.m.Reported("t"); r.Generation != 5 || b.m.Generation() != 5 {
		t.Errorf("an older generation was accepted: %+v", r)
	}
	os.Remove(filepath.Join(b.dir, "slots", stateFile)) // lost; the floors are not
	b.restart()
	old.Generation = 4
	b.apply(spec.Desired{Generation: 6, Assignments: map[string]spec.Assignment{"t": old}})
	if r := b.m.Reported("t"); r != nil {
		t.Errorf("an older assignment in a newer document was accepted: %+v", r)
	}
	back := one // the admin rolls forward to the same artifact
	back.Generation = 7
	b.apply(spec.Desired{Generation: 7, Assignments: map[string]spec.Assignment{"t": back}})
	b.reach(spec.PhaseShadow, "")
	b.stop()
	if err := os.WriteFile(filepath.Join(b.dir, "floors.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(b.signed, fakeLoader{}, b.engine, Options{Dir: b.dir, FloorFile: filepath.Join(b.dir, "floors.json")}); err == nil {
		t.Error("damaged floors were taken for none")
	}
}

func TestSuspectGetsNoPush(t *testing.T) {
	b := newBench(t)
	a := spec.Assignment{Generation: 1, Digest: strings.Repeat("a", 64), Size: 1, Phase: spec.PhaseActive, Target: "x"}
	b.apply(spec.Desired{Generation: 1, Suspect: true, Assignments: map[string]spec.Assignment{"t": a}})
	if b.m.Reported("t") != nil {
		t.Error("a suspect device took an assignment")
	}
}

func TestDownloadResumes(t *testing.T) {
	b := newBench(t)
	content := make([]byte, 200_000)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range content {
		content[i] = byte(rng.Uint32())
	}
	var sent, requests int
	// cuts the connection at random offsets
	b.handle(func(w http.ResponseWriter, r *http.Request) {
		requests++
		rec := httptest.NewRecorder()
		b.serve(rec, r)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		body := rec.Body.Bytes()
		if len(body) > 1000 {
			body = body[:1+rng.IntN(len(body)-1)]
		}
		n, _ := w.Write(body)
		sent += n
		if n < rec.Body.Len() {
			panic(http.ErrAbortHandler)
		}
	})
	b.assign(1, string(content), spec.PhaseActive)
	b.reach(spec.PhaseShadow, "")
	if requests < 2 || sent > len(content)+requests*64<<10 {
		t.Errorf("%d requests sent %d bytes of %d: the download did not resume", requests, sent, len(content))
	}
}

func TestDownloadRefuses(t *testing.T) {
	content := []byte(strings.Repeat("x", 5000))
	tampered := bytes.Clone(content)
	tampered[4000] ^= 1
	tests := map[string]struct {
		handler http.HandlerFunc
		phase   spec.Phase
		reason  string
	}{
		"tampered": {func(w http.ResponseWriter, r *http.Request) { w.Write(tampered) }, spec.PhaseFailed, "digest"},
		"short":    {func(w http.ResponseWriter, r *http.Request) { w.Write(content[:100]) }, spec.PhaseFailed, "100 bytes"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(content); err != nil {
					return
				}
			}
		}, spec.PhaseFailed, "more than"},
		"not there": {http.NotFound, spec.PhaseDownloading, "HTTP 404"},
		"stalled": {func(w http.ResponseWriter, r *http.Request) {
			w.Write(content[:10])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, spec.PhaseDownloading, "slower"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.handle(tt.handler)
			a := b.assign(1, string(content), spec.PhaseActive)
			b.reach(tt.phase, tt.reason)
			b.stop()
			if info, err := os.Stat(b.m.partPath(a.Digest)); err == nil && info.Size() > int64(len(content)) {
				t.Errorf("%d bytes were written, signed are %d", info.Size(), len(content))
			}
		})
	}
}

// blames expects the cause that is reported.
func (b *bench) blames(want spec.Cause) {
	b.t.Helper()
	if r := b.m.Reported("t"); r.Cause != want {
		b.t.Errorf("cause %q, want %q: %s", r.Cause, want, r.Reason)
	}
}

func TestVerify(t *testing.T) {
	t.Run("not what is signed", func(t *testing.T) {
		b := newBench(t)
		a := b.assign(1, "model", spec.PhaseActive)
		a.Generation, a.Size = 2, 4
		b.apply(spec.Desired{Generation: 2, Assignments: map[string]spec.Assignment{"t": a}})
		b.reach(spec.PhaseFailed, "signed are 5 bytes")
		b.blames(spec.CauseHub)
	})
	t.Run("expired metadata install nothing", func(t *testing.T) {
		b := newBench(t)
		b.signed.mu.Lock()
		b.signed.refresh = errors.New("timestamp.json is expired")
		b.signed.mu.Unlock()
		b.assign(1, "model", spec.PhaseActive)
		b.reach(spec.PhaseDownloading, "expired")
		b.signed.mu.Lock()
		b.signed.refresh = nil
		b.signed.mu.Unlock()
		b.reach(spec.PhaseShadow, "")
	})
	t.Run("self-test", func(t *testing.T) {
		b := newBench(t)
		b.assign(1, "broken", spec.PhaseActive)
		b.reach(spec.PhaseFailed, "self-test")
		b.blames(spec.CauseModel)
	})
	t.Run("panic", func(t *testing.T) {
		b := newBench(t)
		b.assign(1, "panic", spec.PhaseActive)
		b.reach(spec.PhaseFailed, "bad tensor")
	})
	t.Run("engine", func(t *testing.T) {
		b := newBench(t)
		b.engine.failShadow = errors.New("schema differs")
		b.assign(1, "model", spec.PhaseActive)
		b.reach(spec.PhaseFailed, "schema differs")
		b.blames(spec.CauseDevice)
	})
	t.Run("activation", func(t *testing.T) {
		b := newBench(t)
		one := b.activate(1, "model one")
		b.engine.failActivate = errors.New("no memory")
		b.assign(2, "model two", spec.PhaseActive)
		b.reach(spec.PhaseFailed, "no memory")
		if d, _ := b.m.Active("t"); d != one.Digest {
			t.Error("the model before is not active any more")
		}
	})
}

func TestStartsThatDoNotLast(t *testing.T) {
	b := newBench(t)
	one := b.activate(1, "model one")
	two := b.activate(2, "model two")
	b.m.Confirm()
	for range maxTries {
		b.restart()
		if b.engine.now("t") != two.Digest {
			t.Fatal("gave the model up too early")
		}
	}
	b.restart()
	if b.engine.now("t") != one.Digest {
		t.Fatalf("after %d starts that did not last runs %s, want the model before", maxTries, short(b.engine.now("t")))
	}
	b.reach(spec.PhaseReverted, "did not last")
	if err := b.m.Confirm(); err != nil {
		t.Fatal(err)
	}
	for range maxTries + 1 {
		b.restart()
		b.m.Confirm()
	}
	if b.engine.now("t") != one.Digest {
		t.Error("confirmed starts were counted")
	}
	if err := os.WriteFile(b.m.artifactPath(one.Digest), []byte("model 0ne"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if b.engine.now("t") != "" {
		t.Error("a changed artifact was loaded from its slot")
	}
}

func TestLoadThatKillsTheProgram(t *testing.T) {
	b := newBench(t)
	a := b.assign(1, "model", spec.PhaseShadow)
	b.reach(spec.PhaseShadow, "")
	b.stop()
	b.m.state.Tasks["t"].Tried = maxTries // what three kills during the load leave
	b.m.state.Tasks["t"].Phase = spec.PhaseVerifying
	if err := b.m.save(); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.reach(spec.PhaseFailed, "did not finish")
	if b.engine.candidate["t"] == a.Digest {
		t.Error("it was loaded again")
	}
}

func TestEngineThatRecoversByItself(t *testing.T) {
	b := newBench(t)
	one := b.activate(1, "model one")
	two := b.assign(2, "model two", spec.PhaseShadow)
	b.reach(spec.PhaseShadow, "")
	b.stop()
	b.engine.log = nil
	b.startWith(b.engine)
	b.reach(spec.PhaseShadow, "")
	b.looksTwice()
	b.stop()
	if len(b.engine.log) > 0 {
		t.Errorf("the engine runs what it should and was told %v", b.engine.log)
	}
	os.Remove(filepath.Join(b.dir, "slots", stateFile))
	b.startWith(b.engine)
	if d, _ := b.m.Active("t"); d != one.Digest {
		t.Errorf("without slot state the active model is %q, want what the engine runs", short(d))
	}
	if _, err := b.m.Load(one.Digest); err != nil {
		t.Errorf("its artifact: %v", err)
	}
	if _, err := b.m.Load(two.Digest); err != nil {
		t.Errorf("the artifact of which nobody said yet that it is not needed: %v", err)
	}
}

// plainEngine hides Running: an engine that knows nothing after a start.
type plainEngine struct{ Engine }

func TestShadowThatKillsAPlainEngine(t *testing.T) {
	b := newBench(t)
	b.assign(1, "model", spec.PhaseShadow)
	b.reach(spec.PhaseShadow, "")
	b.stop()
	for range 2 * maxTries {
		m, err := Open(b.signed, fakeLoader{}, plainEngine{b.engine}, b.m.opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Restore(t.Context(), []string{"t"}); err != nil {
			t.Fatal(err)
		}
		if m.Reported("t").Phase == spec.PhaseFailed {
			return
		}
		m.mu.Lock()
		m.shadow(t.Context(), "t", m.state.Tasks["t"])
		m.mu.Unlock()
	}
	t.Errorf("after %d starts that did not last it is still loaded", 2*maxTries)
}

func TestShadowThatKillsTheProgram(t *testing.T) {
	b := newBench(t)
	a := b.assign(1, "model", spec.PhaseShadow)
	b.reach(spec.PhaseShadow, "")
	for range maxTries - 1 { // the first load was the first start with it
		b.stop()
		b.startWith(b.engine)
		if _, err := b.m.Load(a.Digest); err != nil {
			t.Fatal(err)
		}
	}
	b.stop()
	m, err := Open(b.signed, fakeLoader{}, b.engine, b.m.opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Load(a.Digest); !errors.Is(err, ErrGivenUp) {
		t.Errorf("Load after %d starts that did not last = %v", maxTries, err)
	}
	if err := m.Restore(t.Context(), []string{"t"}); err != nil {
		t.Fatal(err)
	}
	if r := m.Reported("t"); r.Phase != spec.PhaseFailed || !strings.Contains(r.Reason, "did not last") {
		t.Errorf("reported %+v, want failed", r)
	}
}
