package models

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/agent/task"
	"skerry.dev/agent/update"
	"skerry.dev/compute/artifact"
	"skerry.dev/compute/artifact/shares"
	"skerry.dev/compute/feature"
)

// model is a loaded artifact that watches itself: it times every prediction and turns a panic
// into an error.
type model struct {
	digest string
	runner *artifact.Runner
	faults int    // of its modules, seen so far; only the runtime's goroutine looks
	loader loader // counts what its modules fail at
	// what explains its predictions, made when it is first asked for; nil without one
	explainer func() *shares.Explainer

	mu     sync.Mutex // guards what follows
	times  task.Histogram
	panics int64
}

// slowNS is when a prediction is repeated: a preempted goroutine is not the model's
// fault, and a model that is slow is slow twice.
const slowNS = 200_000

// Classes implements engine.ClassModel.
func (m *model) Classes() []float64 { return m.runner.Classes() }

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
	m.loader.report(m)
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

// report counts what modules of a model have failed to answer since the last time, and logs the
// first.
func (l loader) report(m *model) {
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

// Load decodes an artifact and runs its self-test.
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
	m := &model{runner: runner, loader: l}
	m.explainer = sync.OnceValue(func() *shares.Explainer {
		x, err := shares.New(a)
		if err != nil { // of a kind that has none
			l.log.Info("predictions are published without shares of features", "model", m.digest, "why", err)
		}
		return x
	})
	return m, nil
}

// Shares implements task.Sharer. Only the runtime's goroutine calls it.
func (m *model) Shares(class string, n int) []shares.Share {
	x := m.explainer()
	if x == nil {
		return nil
	}
	s, err := x.Of(m.runner.Features(), class)
	if err != nil {
		return nil // the runner's features have the pipeline's width
	}
	return s.Features[:min(n, len(s.Features))]
}
