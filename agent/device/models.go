package device

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/agent/task"
	"skerry.dev/agent/update"
	"skerry.dev/compute/artifact"
	"skerry.dev/compute/engine"
	"skerry.dev/compute/feature"
	"skerry.dev/sync/spec"
)

// model is a loaded artifact that watches itself: it times every prediction and turns a panic
// into an error.
type model struct {
	digest string
	runner *artifact.Runner
	faults int // of its modules, seen so far; only the runtime's goroutine looks
	loader loader

	mu     sync.Mutex // guards what follows
	times  task.Histogram
	panics int64
}

// slowNS is when an answer is asked for a second time: a preempted goroutine is not the model's
// fault, and a model that is slow is slow twice.
const slowNS = 200_000

// Predict implements engine.Model. Only the runtime's goroutine calls it.
func (m *model) Predict(h *feature.History, back int) (p, lo, hi float64, err error) {
	began := time.Now()
	p, lo, hi, err = m.guarded(h, back)
	spent := time.Since(began)
	if spent > slowNS*time.Nanosecond && err == nil {
		began = time.Now()
		if _, _, _, again := m.guarded(h, back); again == nil {
			spent = min(spent, time.Since(began))
		}
	}
	m.mu.Lock()
	m.times.Add(spent)
	m.mu.Unlock()
	m.loader.tell(m)
	return p, lo, hi, err
}

func (m *model) guarded(h *feature.History, back int) (p, lo, hi float64, err error) {
	defer func() {
		if r := recover(); r != nil {
			m.mu.Lock()
			m.panics++
			m.mu.Unlock()
			err = fmt.Errorf("model panicked: %v", r)
		}
	}()
	return artifact.Model{Runner: m.runner}.Predict(h, back)
}

func (m *model) stats() (p99us float64, panics int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.times.Quantile(0.99), m.panics
}

// loader implements update.Loader.
type loader struct {
	log    *slog.Logger
	faults prometheus.Counter // of modules
}

// newLoader registers what it counts.
func newLoader(log *slog.Logger, reg prometheus.Registerer) loader {
	l := loader{
		log: log,
		faults: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_agent_module_faults_total",
			Help: "Calls of WebAssembly features that ended without a result: the feature was missing.",
		}),
	}
	reg.MustRegister(l.faults)
	return l
}

// tell counts what modules of a model have failed to answer since the last time, and logs the
// first.
func (l loader) tell(m *model) {
	n, err := m.runner.Faults()
	if n == m.faults {
		return
	}
	if m.faults == 0 {
		l.log.Warn("a WebAssembly feature fails and is missing", "model", m.digest, "err", err)
	}
	l.faults.Add(float64(n - m.faults))
	m.faults = n
}

func (l loader) Load(r io.ReaderAt, size int64) (update.Model, error) {
	a, err := artifact.Decode(r, size)
	if err != nil {
		return nil, err
	}
	if err := a.SelfTest(); err != nil {
		return nil, err
	}
	runner, err := artifact.NewRunner(a)
	if err != nil {
		return nil, err
	}
	return &model{runner: runner, loader: l}, nil
}

// bridge gives the updater its engine and the runtime its models.
type bridge struct {
	runtime *task.Runtime
	manager *update.Manager
	tasks   func() []*spec.Task

	mu     sync.Mutex // guards loaded
	loaded map[string]*model
}

// model finds a loaded artifact or loads it from its slot.
func (b *bridge) model(digest string) (*model, error) {
	b.mu.Lock()
	m := b.loaded[digest]
	b.mu.Unlock()
	if m != nil {
		return m, nil
	}
	v, err := b.manager.Load(digest)
	if err != nil {
		return nil, err
	}
	return b.keep(v, digest)
}

func (b *bridge) keep(v update.Model, digest string) (*model, error) {
	m, ok := v.(*model)
	if !ok {
		return nil, fmt.Errorf("artifact %s was not loaded by this program", digest)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.loaded[digest]; old != nil {
		return old, nil // its timings go on
	}
	m.digest = digest
	b.loaded[digest] = m
	return m, nil
}

// Models implements task.Options.Models.
func (b *bridge) Models(digest string) (engine.Loaded, error) {
	m, err := b.model(digest)
	if err != nil {
		return engine.Loaded{}, err
	}
	return engine.Loaded{ID: digest, Model: m, Usual: m.runner.Artifact().Usual}, nil
}

// fits refuses an artifact made for other inputs.
func (b *bridge) fits(name string, m *model) error {
	for _, t := range b.tasks() {
		if t.Name != name {
			continue
		}
		mf := m.runner.Artifact().Manifest
		if mf.Task != name || mf.Kind != string(t.Kind) || mf.HorizonUS != t.Target.Horizon.Micros() {
			return fmt.Errorf("made for task %q (%s, %s ahead), not %q (%s, %s ahead)", mf.Task, mf.Kind, time.Duration(mf.HorizonUS)*time.Microsecond, name, t.Kind, t.Horizon())
		}
		if len(mf.Inputs) != len(t.Inputs) {
			return fmt.Errorf("made for %d inputs, the task has %d", len(mf.Inputs), len(t.Inputs))
		}
		for i, in := range mf.Inputs {
			if in.Name != t.Inputs[i].Series || in.Unit != t.Inputs[i].Unit || !slices.Equal(in.Categories, t.Inputs[i].Categories) {
				return fmt.Errorf("input %d was %q in %q when it was trained, the task file says %q in %q", i, in.Name, in.Unit, t.Inputs[i].Series, t.Inputs[i].Unit)
			}
		}
		return nil
	}
	return fmt.Errorf("no task %q on this device", name)
}

// Shadow implements update.Engine.
func (b *bridge) Shadow(ctx context.Context, name string, v update.Model, digest string) error {
	m, err := b.keep(v, digest)
	if err != nil {
		return err
	}
	if err := b.fits(name, m); err != nil {
		return err
	}
	s, err := b.runtime.Slots(ctx, name)
	if err != nil {
		return err
	}
	if s.Shadow == digest && !s.Probation {
		return nil // a snapshot brought it back, trial and all
	}
	return b.runtime.Shadow(ctx, name, digest)
}

// Activate implements update.Engine.
func (b *bridge) Activate(ctx context.Context, name, digest string) error {
	if digest == "" {
		return b.runtime.Reset(ctx, name)
	}
	s, err := b.runtime.Slots(ctx, name)
	if err != nil {
		return err
	}
	if s.Champion == digest {
		return nil
	}
	return b.runtime.Activate(ctx, name, digest)
}

// Restore implements update.Engine.
func (b *bridge) Restore(ctx context.Context, name string, v update.Model, digest string) error {
	m, err := b.keep(v, digest)
	if err != nil {
		return err
	}
	if err := b.fits(name, m); err != nil {
		return err
	}
	s, err := b.runtime.Slots(ctx, name)
	switch {
	case err != nil:
		return err
	case s.Champion == digest && !s.Probation:
		return nil
	case s.Probation && s.Shadow == digest:
		return b.runtime.Revert(ctx, name)
	}
	return b.runtime.Install(ctx, name, digest)
}

// Drop implements update.Engine.
func (b *bridge) Drop(ctx context.Context, name, digest string) error {
	s, err := b.runtime.Slots(ctx, name)
	if err != nil {
		return err
	}
	if s.Shadow == digest || s.Probation {
		err = b.runtime.Settle(ctx, name)
	}
	b.forget(ctx)
	return err
}

// forget releases models that no slot holds any more.
func (b *bridge) forget(ctx context.Context) {
	used := map[string]bool{}
	for _, t := range b.tasks() {
		s, err := b.runtime.Slots(ctx, t.Name)
		if err != nil {
			return
		}
		used[s.Champion], used[s.Shadow] = true, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for d := range b.loaded {
		if !used[d] {
			delete(b.loaded, d)
		}
	}
}

// Trial implements update.Engine.
func (b *bridge) Trial(name string) (spec.Paired, bool) { return b.paired(name, false) }

// Probation implements update.Engine.
func (b *bridge) Probation(name string) (spec.Paired, bool) { return b.paired(name, true) }

func (b *bridge) paired(name string, probation bool) (spec.Paired, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := b.runtime.Slots(ctx, name)
	if err != nil || !s.Running || s.Probation != probation {
		return spec.Paired{}, false
	}
	candidate := s.Shadow
	if probation {
		candidate = s.Champion
	}
	p := spec.Paired{
		Rows:         s.Paired.Rows,
		Labelled:     s.Paired.Labelled,
		Warm:         s.Paired.Warm,
		SumIncumbent: s.Paired.SumIncumbent,
		SumCandidate: s.Paired.SumCandidate,
		SumDiff:      s.Paired.SumDiff,
		SumDiff2:     s.Paired.SumDiff2,
		NonFinite:    s.Paired.NonFinite,
	}
	if p.Rows > 0 {
		p.Disagreement = s.Paired.SumDisagreement / float64(p.Rows)
	}
	if m, err := b.model(candidate); err == nil {
		p.LatencyP99US, p.Panics = m.stats()
	}
	return p, true
}

// Running implements update.Recoverer: the runtime has restored its models from its own snapshots.
func (b *bridge) Running(name string) (champion, beside string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := b.runtime.Slots(ctx, name)
	if err != nil {
		return "", ""
	}
	return s.Champion, s.Shadow
}

// reconcile brings the runtime's champions to what the updater holds active, after both have
// restored themselves.
func (b *bridge) reconcile(ctx context.Context) error {
	for _, t := range b.tasks() {
		want, version := b.manager.Active(t.Name)
		s, err := b.runtime.Slots(ctx, t.Name)
		if err != nil {
			return err
		}
		if want != "" {
			if err := b.runtime.Version(ctx, t.Name, want, version); err != nil {
				return err
			}
		}
		switch {
		case s.Champion == want:
			continue
		case s.Probation && s.Shadow == want:
			err = b.runtime.Revert(ctx, t.Name)
		case want == "":
			err = b.runtime.Reset(ctx, t.Name)
		default:
			err = b.runtime.Install(ctx, t.Name, want)
		}
		if err != nil {
			return fmt.Errorf("task %q: %w", t.Name, err)
		}
	}
	return nil
}
