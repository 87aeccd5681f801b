package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"skerry.dev/sync/spec"
)

// Model is a loaded artifact, opaque to this package.
type Model any

// Loader loads an artifact and runs its self-test. It must not keep r.
type Loader interface {
	Load(r io.ReaderAt, size int64) (Model, error)
}

// Verifier knows the signed metadata.
type Verifier interface {
	// Refresh brings the metadata up to date. An error means that nothing may be installed now.
	Refresh(ctx context.Context) error
	// Target returns what is signed about a path.
	Target(path string) (length int64, sha256 string, custom []byte, err error)
}

// Engine runs the models of the tasks. Calls for one task come one at a time.
type Engine interface {
	// Shadow runs m beside the task's champion, its output discarded. Its trial begins anew,
	// unless the same digest is the shadow already.
	Shadow(ctx context.Context, task string, m Model, digest string) error
	// Activate makes the shadow of this digest the champion and keeps the champion before it
	// running beside it, for Probation. Digest "" makes the baselines the champion.
	Activate(ctx context.Context, task, digest string) error
	// Restore makes m the champion without a trial: at start, and when a device goes back.
	Restore(ctx context.Context, task string, m Model, digest string) error
	// Drop stops the shadow of this digest, or what runs beside the champion on probation.
	Drop(ctx context.Context, task, digest string) error
	// Trial returns what the shadow has measured so far, false when there is none.
	Trial(task string) (spec.Paired, bool)
	// Probation returns the same of the new champion (candidate) against the one before it
	// (incumbent), since the activation.
	Probation(task string) (spec.Paired, bool)
}

// Recoverer is implemented by engines that bring their models back by themselves after a start;
// Restore then leaves alone what already runs.
type Recoverer interface {
	// Running returns the digest of the champion ("" for the baselines), and of the model beside
	// it: the shadow, or on probation the champion before ("" for none).
	Running(task string) (champion, beside string)
}

// Event reports a step of an assignment.
type Event struct {
	Task    string
	Phase   spec.Phase
	Digest  string
	Version string
	Rollout string
	Reason  string
}

// Options of a Manager.
type Options struct {
	Dir       string // of the artifacts and state.json
	FloorFile string
	URL       func(digest string) string // of an artifact
	Authorize func(*http.Request)        // adds the device's credential to a download; nil: none
	// default: one without an overall timeout; the least rate bounds a download
	HTTP *http.Client
	// bytes per second that a download must reach on average over Window, default 100
	MinRate int64
	Window  time.Duration // default 30 s
	Tick    time.Duration // how often trials are looked at, default 1 s
	// first wait after a failed download or refresh, doubled up to 5 min; default 2 s
	Retry  time.Duration
	Events func(Event) // called without locks, in order per task
	Log    *slog.Logger
}

// maxTries bounds starts with a model that were not confirmed, loads that did not finish, and
// downloads whose content was wrong.
const maxTries = 3

// Manager takes assignments through their phases. Safe for concurrent use. Active, Generation and
// Reported never wait for the engine, so that whoever serves the engine's calls may use them.
type Manager struct {
	opts     Options
	log      *slog.Logger
	verifier Verifier
	loader   Loader
	engine   Engine
	fetcher  fetcher
	wake     chan struct{}

	// one download at a time: a site's link is narrow, and a cancelled one may still hold its file
	fetching sync.Mutex
	view     atomic.Pointer[view]

	mu     sync.Mutex // guards what follows; held while the engine is called
	state  state
	floors floors
	jobs   map[string]*job // downloads by task
	events []Event
	wg     sync.WaitGroup
}

// view is what readers see of the state.
type view struct {
	generation uint64
	tasks      map[string]slot
}

// job is a download that runs.
type job struct {
	digest string
	cancel context.CancelFunc
	wrong  int       // downloads whose content was wrong
	failed int       // attempts since the last success
	next   time.Time // not before
	busy   bool
	done   bool
}

// Open reads what an earlier run left. It starts nothing; call Restore, then Run.
func Open(v Verifier, l Loader, e Engine, opts Options) (*Manager, error) {
	if opts.HTTP == nil {
		opts.HTTP = &http.Client{Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			ResponseHeaderTimeout: 30 * time.Second,
			DisableCompression:    true,
		}}
	}
	if opts.MinRate == 0 {
		opts.MinRate = 100
	}
	for d, v := range map[*time.Duration]time.Duration{&opts.Window: 30 * time.Second, &opts.Tick: time.Second, &opts.Retry: 2 * time.Second} {
		if *d == 0 {
			*d = v
		}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{
		opts:     opts,
		log:      opts.Log,
		verifier: v,
		loader:   l,
		engine:   e,
		wake:     make(chan struct{}, 1),
		jobs:     map[string]*job{},
		fetcher: fetcher{
			client:  opts.HTTP,
			auth:    opts.Authorize,
			minRate: opts.MinRate,
			window:  opts.Window,
		},
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open model slots: %w", err)
	}
	if err := m.load(); err != nil {
		return nil, err
	}
	for _, s := range m.state.Tasks { // counted before anything is loaded that may kill the program
		if s.Active != "" {
			s.ActiveTried++
		}
		if s.Phase == spec.PhaseShadow {
			s.Tried++
		}
	}
	if err := m.save(); err != nil {
		return nil, err
	}
	m.emit()
	return m, nil
}

// Restore brings every task named to what was active, and what was on trial to its trial; what
// the engine has recovered by itself is left alone. A model that three starts did not survive, or
// that does not load, is given up for the one before it. Call [Manager.Confirm] once the program
// has run well.
func (m *Manager) Restore(ctx context.Context, tasks []string) error {
	defer m.emit()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, task := range tasks {
		s := m.state.Tasks[task]
		champion, beside := "", ""
		if r, ok := m.engine.(Recoverer); ok {
			champion, beside = r.Running(task)
		}
		if s == nil {
			if champion != "" { // the slots' state was lost, the engine's was not
				m.state.Tasks[task] = &slot{Active: champion}
			}
			continue
		}
		switch {
		case s.Active != "" && s.ActiveTried > maxTries:
			m.goBack(ctx, task, s, fmt.Sprintf("%d starts with it in a row did not last", maxTries))
			continue
		case s.Active == "" && champion != "":
			if err := m.engine.Activate(ctx, task, ""); err != nil {
				return fmt.Errorf("start task %q on its baselines: %w", task, err)
			}
		case s.Active != "" && (champion != s.Active || (s.Phase == spec.PhaseProbation && beside != s.Previous)):
			if err := m.restoreActive(ctx, task, s); err != nil {
				m.goBack(ctx, task, s, "it does not load any more: "+err.Error())
				continue
			}
		}
		if s.Phase != spec.PhaseShadow {
			continue
		}
		if s.Tried > maxTries {
			m.drop(ctx, task, s.Assignment.Digest)
			m.finish(task, s, spec.PhaseFailed, fmt.Sprintf("%d starts with it in shadow did not last", maxTries))
		} else if beside != s.Assignment.Digest {
			s.Phase = spec.PhaseVerifying // load it again
			s.Tried--                     // which counts this start
		}
	}
	m.sweep()
	return m.save()
}

// restoreActive loads the active model, on probation with the one before it beside it.
func (m *Manager) restoreActive(ctx context.Context, task string, s *slot) error {
	active, err := m.open(s.Active)
	if err != nil {
		return err
	}
	if s.Phase != spec.PhaseProbation {
		return m.engine.Restore(ctx, task, active, s.Active)
	}
	if s.Previous != "" {
		prev, err := m.open(s.Previous)
		if err == nil {
			err = m.engine.Restore(ctx, task, prev, s.Previous)
		}
		if err != nil {
			m.log.Error("the model before does not load: probation goes on against the baselines", "task", task, "err", err)
		}
	}
	if err := m.engine.Shadow(ctx, task, active, s.Active); err != nil {
		return err
	}
	return m.engine.Activate(ctx, task, s.Active)
}

// Confirm says that the program has run well with the active models; their start counters begin
// anew.
func (m *Manager) Confirm() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := false
	for _, s := range m.state.Tasks {
		changed = changed || s.ActiveTried != 0
		s.ActiveTried = 0
		if s.Phase == spec.PhaseShadow && s.Tried != 0 {
			s.Tried, changed = 0, true
		}
	}
	if !changed {
		return nil
	}
	return m.save()
}

// Active returns the digest and version of a task's active model, "" for the baselines.
func (m *Manager) Active(task string) (digest, version string) {
	s := m.view.Load().tasks[task]
	return s.Active, s.ActiveVersion
}

// Generation returns the newest generation of a document accepted.
func (m *Manager) Generation() uint64 { return m.view.Load().generation }

// Reported returns how far a task's newest assignment has come, nil when it has none.
func (m *Manager) Reported(task string) *spec.ReportedAssignment {
	s := m.view.Load().tasks[task]
	if s.Assignment == nil {
		return nil
	}
	return &spec.ReportedAssignment{
		Generation: s.Assignment.Generation,
		Rollout:    s.Assignment.Rollout,
		Digest:     s.Assignment.Digest,
		Phase:      s.Phase,
		Reason:     s.Reason,
		Stats:      s.Stats,
	}
}

// ErrGivenUp is returned by Load for a model that three starts in a row did not survive.
var ErrGivenUp = errors.New("given up: starts with this model did not last")

// Load opens an installed artifact, checks its digest and loads it. An engine that recovers by
// itself loads through it.
func (m *Manager) Load(digest string) (Model, error) {
	for _, s := range m.view.Load().tasks {
		if (s.Active == digest && s.ActiveTried > maxTries) || (s.Phase == spec.PhaseShadow && s.Assignment.Digest == digest && s.Tried > maxTries) {
			return nil, fmt.Errorf("load artifact %s: %w", digest, ErrGivenUp)
		}
	}
	return m.open(digest)
}

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Apply accepts a desired state. Documents and assignments older than what was accepted are
// ignored. The floors are on disk before anything else happens.
func (m *Manager) Apply(d spec.Desired) error {
	defer m.poke()
	defer m.emit()
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.Generation < m.floors.Document {
		m.log.Info("old desired state ignored", "generation", d.Generation, "accepted", m.floors.Document)
		return nil
	}
	next := floors{Document: d.Generation, Tasks: map[string]uint64{}}
	for t, g := range m.floors.Tasks {
		next.Tasks[t] = g
	}
	accepted := map[string]spec.Assignment{}
	for task, a := range d.Assignments {
		switch s := m.state.Tasks[task]; {
		case d.Suspect: // no pushes to what may be a clone; tombstones still hold
		case !spec.ValidName(task) || !digestPattern.MatchString(a.Digest) || a.Size <= 0 || (a.Phase != spec.PhaseShadow && a.Phase != spec.PhaseActive):
			m.log.Error("assignment is not valid and ignored", "task", task, "digest", a.Digest, "size", a.Size, "phase", a.Phase)
		case a.Generation < next.Tasks[task]:
			m.log.Info("old assignment ignored", "task", task, "generation", a.Generation, "accepted", next.Tasks[task])
		case a.Generation == next.Tasks[task] && s != nil && s.Assignment != nil && s.Assignment.Digest != a.Digest:
			m.log.Error("assignment has another artifact under the same generation and is ignored", "task", task, "generation", a.Generation)
		default:
			next.Tasks[task] = a.Generation
			accepted[task] = a
		}
	}
	if err := writeJSON(m.opts.FloorFile, next); err != nil {
		return fmt.Errorf("store generation floors: %w", err)
	}
	m.floors = next
	m.state.Tombstones = d.Tombstones
	for task, a := range accepted {
		m.assign(task, a)
	}
	return m.save()
}

func (m *Manager) assign(task string, a spec.Assignment) {
	s := m.state.Tasks[task]
	if s == nil {
		s = &slot{}
		m.state.Tasks[task] = s
	}
	if old := s.Assignment; old != nil {
		if old.Generation == a.Generation {
			s.Assignment = &a // the same artifact: another phase or other bounds
			return
		}
		if j := m.jobs[task]; j != nil {
			j.cancel()
			delete(m.jobs, task)
		}
		if s.Phase == spec.PhaseShadow || s.Phase == spec.PhaseProbation {
			dropped := old.Digest
			if s.Phase == spec.PhaseProbation {
				dropped = s.Previous
			}
			if err := m.engine.Drop(context.Background(), task, dropped); err != nil {
				m.log.Warn("model not dropped", "task", task, "digest", dropped, "err", err)
			}
		}
	}
	s.Assignment, s.Stats, s.Tried = &a, spec.Paired{}, 0
	m.phase(task, s, spec.PhaseAssigned, "")
}

// phase enters a phase and queues its event. The caller holds mu and saves.
func (m *Manager) phase(task string, s *slot, p spec.Phase, reason string) {
	s.Phase, s.Reason = p, reason
	a := s.Assignment
	if a == nil {
		a = &spec.Assignment{}
	}
	m.log.Info("model assignment", "task", task, "phase", p, "version", a.Version, "digest", a.Digest, "reason", reason)
	m.events = append(m.events, Event{
		Task:    task,
		Phase:   p,
		Digest:  a.Digest,
		Version: a.Version,
		Rollout: a.Rollout,
		Reason:  reason,
	})
}

// emit shows the state to readers and hands the queued events out.
func (m *Manager) emit() {
	m.mu.Lock()
	events := m.events
	m.events = nil
	v := &view{generation: m.floors.Document, tasks: make(map[string]slot, len(m.state.Tasks))}
	for task, s := range m.state.Tasks {
		v.tasks[task] = *s
	}
	m.view.Store(v)
	m.mu.Unlock()
	for _, e := range events {
		if m.opts.Events != nil {
			m.opts.Events(e)
		}
	}
}

func (m *Manager) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	defer m.wg.Wait()
	ticker := time.NewTicker(m.opts.Tick)
	defer ticker.Stop()
	for {
		m.mu.Lock()
		for task, s := range m.state.Tasks {
			m.step(ctx, task, s)
		}
		m.mu.Unlock()
		m.emit()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-m.wake:
		}
	}
}

// step does what one task needs now. The caller holds mu.
func (m *Manager) step(ctx context.Context, task string, s *slot) {
	if s.Active != "" && slices.Contains(m.state.Tombstones, s.Active) {
		m.goBack(ctx, task, s, "the artifact is tombstoned")
	}
	a := s.Assignment
	if a == nil || s.Phase.Final() {
		return
	}
	if slices.Contains(m.state.Tombstones, a.Digest) {
		if s.Phase == spec.PhaseShadow {
			m.drop(ctx, task, a.Digest)
		}
		m.finish(task, s, spec.PhaseVetoed, "the artifact is tombstoned")
		return
	}
	switch s.Phase {
	case spec.PhaseAssigned:
		if a.Digest == s.Active {
			m.finish(task, s, spec.PhaseActive, "")
			return
		}
		m.phase(task, s, spec.PhaseDownloading, "")
		m.store(s)
		m.download(ctx, task, s)
	case spec.PhaseDownloading:
		m.download(ctx, task, s)
	case spec.PhaseVerifying:
		m.shadow(ctx, task, s)
	case spec.PhaseShadow:
		m.judgeShadow(ctx, task, s)
	case spec.PhaseProbation:
		m.judgeProbation(ctx, task, s)
	}
}

// store saves; what cannot be stored is tried again with the next change, and said.
func (m *Manager) store(s *slot) bool {
	if err := m.save(); err != nil {
		s.Reason = err.Error()
		m.log.Error("slot state not stored", "err", err)
		return false
	}
	return true
}

func (m *Manager) finish(task string, s *slot, p spec.Phase, reason string) {
	if j := m.jobs[task]; j != nil {
		j.cancel()
		delete(m.jobs, task)
	}
	m.phase(task, s, p, reason)
	if m.store(s) {
		m.sweep()
	}
}

func (m *Manager) drop(ctx context.Context, task, digest string) {
	if err := m.engine.Drop(ctx, task, digest); err != nil {
		m.log.Warn("model not dropped", "task", task, "digest", digest, "err", err)
	}
}

// download starts the task's download, or takes its result. The caller holds mu.
func (m *Manager) download(ctx context.Context, task string, s *slot) {
	j := m.jobs[task]
	if j == nil || j.digest != s.Assignment.Digest {
		j = &job{digest: s.Assignment.Digest, cancel: func() {}}
		m.jobs[task] = j
	}
	switch {
	case j.done:
		delete(m.jobs, task)
		m.phase(task, s, spec.PhaseVerifying, "")
		m.store(s)
		m.poke()
		return
	case j.wrong >= maxTries:
		m.finish(task, s, spec.PhaseFailed, s.Reason)
		return
	case j.busy || time.Now().Before(j.next):
		return
	}
	j.busy = true
	jobCtx, cancel := context.WithCancel(ctx)
	j.cancel = cancel
	a := *s.Assignment
	m.wg.Go(func() {
		defer cancel()
		err := m.bring(jobCtx, a)
		m.mu.Lock()
		defer m.mu.Unlock()
		j.busy = false
		if err == nil {
			j.done = true
			m.poke()
			return
		}
		if jobCtx.Err() != nil {
			return
		}
		s.Reason = err.Error()
		if errors.Is(err, errContent) {
			j.wrong++
		}
		j.failed++
		if j.failed == 1 || j.failed%20 == 0 {
			m.log.Warn("artifact not downloaded", "task", task, "digest", a.Digest, "err", err, "attempt", j.failed)
		}
		j.next = time.Now().Add(min(m.opts.Retry<<min(j.failed-1, 16), 5*time.Minute))
	})
}

// bring checks what is signed about an artifact and downloads it.
func (m *Manager) bring(ctx context.Context, a spec.Assignment) error {
	m.fetching.Lock()
	defer m.fetching.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.verifier.Refresh(ctx); err != nil {
		return fmt.Errorf("refresh signed metadata: %w", err)
	}
	length, digest, _, err := m.verifier.Target(a.Target)
	if err != nil {
		return fmt.Errorf("signed metadata of %s: %w", a.Target, err)
	}
	if digest != a.Digest || length != a.Size {
		return fmt.Errorf("%w: assigned are %d bytes of %s, signed are %d bytes of %s", errContent, a.Size, a.Digest, length, digest)
	}
	if info, err := os.Stat(m.artifactPath(digest)); err == nil && info.Size() == length {
		return nil // it is still here from before; opening it checks the digest
	}
	return m.fetcher.fetch(ctx, m.opts.URL(digest), m.partPath(digest), digest, length)
}

// open loads an installed artifact from the same open file that its digest was computed from.
func (m *Manager) open(digest string) (Model, error) {
	model, err := m.openFile(m.artifactPath(digest), digest)
	if err != nil {
		return nil, fmt.Errorf("load artifact %s: %w", digest, err)
	}
	return model, nil
}

func (m *Manager) openFile(path, digest string) (model Model, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != digest {
		return nil, fmt.Errorf("%w: digest %s", errContent, got)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("loading it panics: %v", p)
		}
	}()
	return m.loader.Load(f, size)
}

// shadow installs and loads a downloaded artifact and starts its trial. The caller holds mu.
func (m *Manager) shadow(ctx context.Context, task string, s *slot) {
	digest := s.Assignment.Digest
	if s.Tried >= maxTries {
		m.finish(task, s, spec.PhaseFailed, fmt.Sprintf("%d attempts to load it did not finish", s.Tried))
		return
	}
	if err := os.Rename(m.partPath(digest), m.artifactPath(digest)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Reason = "install: " + err.Error()
		return
	}
	s.Tried++
	if !m.store(s) { // the counter must be on disk before the load that may kill the program
		s.Tried--
		return
	}
	model, err := m.open(digest)
	if errors.Is(err, os.ErrNotExist) {
		s.Tried--
		m.phase(task, s, spec.PhaseDownloading, "the file is gone")
		m.store(s)
		return
	}
	if err == nil {
		err = m.engine.Shadow(ctx, task, model, digest)
	}
	if err != nil {
		if errors.Is(err, errContent) {
			err = errors.Join(err, os.Remove(m.artifactPath(digest)))
		}
		m.finish(task, s, spec.PhaseFailed, err.Error())
		return
	}
	m.phase(task, s, spec.PhaseShadow, "")
	m.store(s)
}

func (m *Manager) judgeShadow(ctx context.Context, task string, s *slot) {
	p, ok := m.engine.Trial(task)
	if !ok {
		return
	}
	s.Stats = p
	trial := s.Assignment.Trial
	if reason := Veto(p, trial, trial.MinShadow); reason != "" {
		m.drop(ctx, task, s.Assignment.Digest)
		m.finish(task, s, spec.PhaseVetoed, reason)
		return
	}
	if s.Assignment.Phase != spec.PhaseActive || p.Labelled < int64(trial.MinShadow) {
		return
	}
	before := *s
	s.Previous, s.PreviousVersion = s.Active, s.ActiveVersion
	s.Active, s.ActiveVersion, s.ActiveTried = s.Assignment.Digest, s.Assignment.Version, 0
	s.Stats = spec.Paired{}
	m.phase(task, s, spec.PhaseProbation, "")
	if !m.store(s) {
		events := m.events
		*s = before
		m.events = events[:len(events)-1]
		return
	}
	if err := m.engine.Activate(ctx, task, s.Active); err != nil {
		reason := "activate: " + err.Error()
		*s = before
		m.drop(ctx, task, s.Assignment.Digest)
		m.finish(task, s, spec.PhaseFailed, reason)
	}
}

func (m *Manager) judgeProbation(ctx context.Context, task string, s *slot) {
	p, ok := m.engine.Probation(task)
	if !ok {
		return
	}
	s.Stats = p
	trial := s.Assignment.Trial
	if reason := Veto(p, trial, trial.Probation); reason != "" {
		m.goBack(ctx, task, s, reason)
		return
	}
	if p.Labelled >= int64(trial.Probation) {
		m.drop(ctx, task, s.Previous)
		m.finish(task, s, spec.PhaseActive, "")
	}
}

// goBack replaces the active model by the one before it, or by the baselines when that is gone,
// tombstoned or broken. It needs no network. The caller holds mu.
func (m *Manager) goBack(ctx context.Context, task string, s *slot, reason string) {
	bad := s.Active
	to, version := s.Previous, s.PreviousVersion
	var model Model
	if to != "" && to != bad && !slices.Contains(m.state.Tombstones, to) {
		var err error
		if model, err = m.open(to); err != nil {
			m.log.Error("the model before does not load: the task goes on with its baselines", "task", task, "err", err)
		}
	}
	if model == nil {
		to, version = "", ""
	}
	s.Active, s.ActiveVersion, s.ActiveTried = to, version, 0
	s.Previous, s.PreviousVersion = "", ""
	var err error
	if model != nil {
		err = m.engine.Restore(ctx, task, model, to)
	} else {
		err = m.engine.Activate(ctx, task, "")
	}
	if err != nil {
		reason += "; going back failed: " + err.Error()
		m.log.Error("going back to the model before failed", "task", task, "err", err)
	}
	if s.Assignment != nil && s.Assignment.Digest == bad {
		m.finish(task, s, spec.PhaseReverted, reason)
		return
	}
	m.log.Warn("model given up", "task", task, "digest", bad, "reason", reason)
	m.events = append(m.events, Event{Task: task, Phase: spec.PhaseReverted, Digest: bad, Reason: reason})
	m.store(s)
}

// The bounds of a trial's losses: with enough labelled rows the candidate fails when the
// one-sided 95 % lower bound of how much worse it is lies above what is allowed; before that only
// when three standard errors say so, because looking at every row finds chance differences.
const (
	zFinal  = 1.64
	zEarly  = 3.0
	minLook = 20
)

// Veto returns why a candidate must not go on, "" when it may. enough is the number of labelled
// rows the trial asks for. The rules: no value that is not finite, no panic, p99 of a prediction
// within the budget, and a paired loss that is not worse than the incumbent's by more than
// MaxRegression.
func Veto(p spec.Paired, t spec.Trial, enough int) string {
	switch {
	case p.NonFinite > 0:
		return fmt.Sprintf("%d of %d predictions were not finite", p.NonFinite, p.Rows)
	case p.Panics > 0:
		return fmt.Sprintf("%d of %d predictions panicked", p.Panics, p.Rows)
	case t.MaxLatencyUS > 0 && p.Rows >= minLook && p.LatencyP99US > t.MaxLatencyUS:
		return fmt.Sprintf("p99 of a prediction is %.0f µs, allowed are %.0f µs", p.LatencyP99US, t.MaxLatencyUS)
	}
	n := float64(p.Labelled)
	if n < 2 || (p.Labelled < int64(enough) && n < minLook) {
		return ""
	}
	z := zFinal
	if p.Labelled < int64(enough) {
		z = zEarly
	}
	mean, incumbent := p.SumDiff/n, p.SumIncumbent/n
	se := math.Sqrt(max(p.SumDiff2/n-mean*mean, 0) / (n - 1))
	if lower := mean - z*se; !(lower <= t.MaxRegression*incumbent) { // NaN counts as worse
		return fmt.Sprintf("loss is %.4g against the incumbent's %.4g on %d labelled rows (worse by at least %.4g, allowed %.4g)",
			p.SumCandidate/n, incumbent, p.Labelled, lower, t.MaxRegression*incumbent)
	}
	return ""
}

// Slots returns the directory of the artifacts.
func (m *Manager) Slots() string { return filepath.Clean(m.opts.Dir) }
