package health

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// Result is the outcome of a check.
type Result struct {
	Err     error
	At      time.Time // when the check ended, zero before the first
	Seconds float64   // how long it took
}

// check is something that is done regularly to see whether it works.
type check struct {
	name  string
	every time.Duration
	do    func(context.Context) error
}

// maxCheck bounds one check: what does not answer in this time does not work.
const maxCheck = 20 * time.Second

// Monitor runs checks. Safe for concurrent use after the last Add.
type Monitor struct {
	log    *slog.Logger
	checks []check

	mu      sync.Mutex // guards results
	results map[string]Result
}

// NewMonitor returns a monitor without checks. log may be nil.
func NewMonitor(log *slog.Logger) *Monitor {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Monitor{log: log, results: map[string]Result{}}
}

// Add adds a check that runs at the start and then again a time after its end; twelve times as often
// while it fails, but not more often than every second.
func (m *Monitor) Add(name string, every time.Duration, do func(context.Context) error) {
	m.checks = append(m.checks, check{name, every, do})
}

// Names lists the checks.
func (m *Monitor) Names() []string {
	out := make([]string, len(m.checks))
	for i, c := range m.checks {
		out[i] = c.name
	}
	return out
}

// Err returns what the newest run of a check found, nil before the first.
func (m *Monitor) Err(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.results[name].Err
}

// Results returns the newest outcome of every check that has run.
func (m *Monitor) Results() map[string]Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.results)
}

// Run runs the checks until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, c := range m.checks {
		wg.Go(func() { m.follow(ctx, c) })
	}
	return nil
}

func (m *Monitor) follow(ctx context.Context, c check) {
	for {
		r := run(ctx, c)
		if ctx.Err() != nil {
			return
		}
		m.mu.Lock()
		before := m.results[c.name]
		m.results[c.name] = r
		m.mu.Unlock()
		pause := c.every
		switch {
		case r.Err != nil:
			pause = max(c.every/12, time.Second)
			if before.Err == nil {
				m.log.Error("a part of the hub does not work", "part", c.name, "err", r.Err)
			}
		case before.Err != nil:
			m.log.Info("a part of the hub works again", "part", c.name)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

var errSlow = errors.New("no answer in time")

func run(ctx context.Context, c check) Result {
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, maxCheck, errSlow)
	defer cancel()
	err := c.do(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errSlow) {
		err = errors.Join(errSlow, err)
	}
	return Result{Err: err, At: time.Now(), Seconds: time.Since(start).Seconds()}
}
