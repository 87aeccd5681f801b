package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"skerry.dev/sync/spec"
)

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
		m.notify()
		return
	case j.wrong >= maxTries:
		m.finish(task, s, spec.PhaseFailed, spec.CauseHub, s.Reason)
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
			m.notify()
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
		longest := 5 * time.Minute
		if errors.Is(err, errRoom) {
			longest = maxWait // looking costs nothing
		}
		j.next = time.Now().Add(min(m.opts.Retry<<min(j.failed-1, 16), longest))
	})
}

// bring checks what is signed about an artifact and downloads it.
func (m *Manager) bring(ctx context.Context, a spec.Assignment) error {
	m.fetching.Lock()
	defer m.fetching.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if info, err := os.Stat(m.artifactPath(a.Digest)); err != nil || info.Size() != a.Size {
		if err := m.fetcher.room(m.partPath(a.Digest), a.Size); err != nil {
			return err
		}
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
