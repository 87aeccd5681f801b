package update

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"skerry.dev/sync/spec"
)

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

	emitting sync.Mutex // held while events are handed out

	mu     sync.Mutex // guards what follows; held while the engine is called
	state  state
	floors floors
	jobs   map[string]*job // downloads by task
	stored storing
	events []Event
	wg     sync.WaitGroup
}

// view is what readers see of the state.
type view struct {
	generation uint64
	tasks      map[string]slot
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
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.MinRate == 0 {
		opts.MinRate = 100
	}
	if opts.MinFree == 0 {
		opts.MinFree = 16 << 20
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
			free:    opts.Free,
			minFree: opts.MinFree,
		},
	}
	if err := os.MkdirAll(opts.Dir, 0o700); errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC) {
		m.log.Error("no directory for models: none is installed", "err", err)
	} else if err != nil {
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
	// a disk that is full or read-only keeps nothing from running
	if err := m.save(); err != nil {
		m.log.Error("starts with the present models are not counted", "err", err)
	}
	m.emit()
	return m, nil
}

// Run works until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	defer m.wg.Wait()
	ticker := time.NewTicker(m.opts.Tick)
	defer ticker.Stop()
	for round := 0; ; round++ {
		m.mu.Lock()
		if round%alignEvery == alignEvery-1 {
			m.alignAll(ctx)
		}
		if m.stored.due(time.Now()) {
			m.storeAgain()
		}
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

// alignEvery is how many rounds lie between two comparisons of what runs with what should.
const alignEvery = 10

// step does what one task needs now. The caller holds mu.
func (m *Manager) step(ctx context.Context, task string, s *slot) {
	if s.Active != "" && slices.Contains(m.state.Tombstones, s.Active) {
		m.goBack(ctx, task, s, spec.CauseOrder, "the artifact is tombstoned")
	}
	m.watchActive(ctx, task, s)
	a := s.Assignment
	if a == nil || s.Phase.Final() {
		return
	}
	if a.Phase == spec.PhaseWithdrawn {
		m.withdraw(ctx, task, s)
		return
	}
	if slices.Contains(m.state.Tombstones, a.Digest) {
		if s.Phase == spec.PhaseShadow {
			m.drop(ctx, task, a.Digest)
		}
		m.finish(task, s, spec.PhaseVetoed, spec.CauseOrder, "the artifact is tombstoned")
		return
	}
	switch s.Phase {
	case spec.PhaseAssigned:
		if a.Return && a.Digest == s.Previous && a.Digest != s.Active {
			m.goBack(ctx, task, s, spec.CauseOrder, "the hub goes back to the model before")
		}
		if a.Digest == s.Active {
			m.finish(task, s, spec.PhaseActive, "", "")
			return
		}
		m.phase(task, s, spec.PhaseDownloading, "") // a start begins with it again: nothing to store
		m.download(ctx, task, s)
	case spec.PhaseDownloading:
		m.download(ctx, task, s)
	case spec.PhaseVerifying:
		if m.stored.failed == 0 { // it needs a counter on disk
			m.shadow(ctx, task, s)
		}
	case spec.PhaseShadow:
		m.judgeShadow(ctx, task, s)
	case spec.PhaseProbation:
		m.judgeProbation(ctx, task, s)
	}
}

// storing is what has become of writing the state.
type storing struct {
	failed int       // tries in a row
	next   time.Time // not before
}

// due reports whether a state that could not be written is to be tried again.
func (s *storing) due(now time.Time) bool { return s.failed > 0 && !now.Before(s.next) }

// maxWait is the longest wait for a disk that is full or read-only.
const maxWait = 30 * time.Second

// store saves. What cannot be stored is tried again after a wait that doubles, and logged as often.
func (m *Manager) store(s *slot) bool {
	if err := m.save(); err != nil {
		s.Reason = err.Error()
		m.notStored(err)
		return false
	}
	m.isStored()
	return true
}

// storeAgain tries what could not be stored before.
func (m *Manager) storeAgain() {
	if err := m.save(); err != nil {
		m.notStored(err)
		return
	}
	m.isStored()
}

func (m *Manager) notStored(err error) {
	now := time.Now()
	if m.stored.failed > 0 && now.Before(m.stored.next) {
		return // another change within the wait
	}
	wait := min(m.opts.Retry<<min(m.stored.failed, 16), maxWait)
	m.stored.failed++
	m.stored.next = now.Add(wait)
	m.log.Error("slot state not stored", "err", err, "attempt", m.stored.failed, "retry_ms", wait.Milliseconds())
}

func (m *Manager) isStored() {
	if m.stored.failed > 0 {
		m.log.Info("slot state stored again", "failed_attempts", m.stored.failed)
		m.stored = storing{}
	}
}

// finish ends an assignment; cause is "" where it ends well. The caller holds mu.
func (m *Manager) finish(task string, s *slot, p spec.Phase, cause spec.Cause, reason string) {
	s.Cause = cause
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
	m.emitting.Lock() // so that events are handed out in their order
	defer m.emitting.Unlock()
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

func (m *Manager) notify() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
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
		Cause:      s.Cause,
		Stats:      s.Stats,
	}
}

// Slots returns the directory of the artifacts.
func (m *Manager) Slots() string { return filepath.Clean(m.opts.Dir) }
