package models

import (
	"context"
	"fmt"
	"time"

	"skerry.dev/agent/update"
	"skerry.dev/sync/spec"
)

// Shadow implements update.Engine.
func (ms *Models) Shadow(ctx context.Context, name string, v update.Model, digest string) error {
	m, err := ms.keep(v, digest)
	if err != nil {
		return err
	}
	if err := ms.fits(name, m); err != nil {
		return err
	}
	s, err := ms.runtime.Slots(ctx, name)
	if err != nil {
		return err
	}
	if s.Shadow == digest && !s.Probation {
		return nil // a snapshot brought it back, trial and all
	}
	return ms.runtime.Shadow(ctx, name, digest)
}

// Activate implements update.Engine.
func (ms *Models) Activate(ctx context.Context, name, digest string) error {
	if digest == "" {
		return ms.runtime.Reset(ctx, name)
	}
	s, err := ms.runtime.Slots(ctx, name)
	if err != nil {
		return err
	}
	if s.Champion == digest {
		return nil
	}
	return ms.runtime.Activate(ctx, name, digest)
}

// Restore implements update.Engine.
func (ms *Models) Restore(ctx context.Context, name string, v update.Model, digest string) error {
	m, err := ms.keep(v, digest)
	if err != nil {
		return err
	}
	if err := ms.fits(name, m); err != nil {
		return err
	}
	s, err := ms.runtime.Slots(ctx, name)
	switch {
	case err != nil:
		return err
	case s.Champion == digest && !s.Probation:
		return nil
	case s.Probation && s.Shadow == digest:
		return ms.runtime.Revert(ctx, name)
	}
	return ms.runtime.Install(ctx, name, digest)
}

// Drop implements update.Engine.
func (ms *Models) Drop(ctx context.Context, name, digest string) error {
	s, err := ms.runtime.Slots(ctx, name)
	if err != nil {
		return err
	}
	if s.Shadow == digest || s.Probation {
		err = ms.runtime.Settle(ctx, name)
	}
	ms.forget(ctx)
	return err
}

// Trial implements update.Engine.
func (ms *Models) Trial(name string) (spec.Paired, bool) { return ms.paired(name, false) }

// Probation implements update.Engine.
func (ms *Models) Probation(name string) (spec.Paired, bool) { return ms.paired(name, true) }

func (ms *Models) paired(name string, probation bool) (spec.Paired, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := ms.runtime.Slots(ctx, name)
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
		From:         s.Paired.From,
		To:           s.Paired.To,
		SumIncumbent: s.Paired.SumIncumbent,
		SumCandidate: s.Paired.SumCandidate,
		SumDiff:      s.Paired.SumDiff,
		Blocks:       s.Paired.Blocks,
		NonFinite:    s.Paired.NonFinite,
	}
	if p.Rows > 0 {
		p.Disagreement = s.Paired.SumDisagreement / float64(p.Rows)
	}
	if m, err := ms.model(candidate); err == nil {
		p.LatencyP99US, p.Panics = m.stats()
	}
	return p, true
}

// Running implements update.Recoverer: the runtime has restored its models from its own snapshots.
func (ms *Models) Running(name string) (champion, beside string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := ms.runtime.Slots(ctx, name)
	if err != nil {
		return "", "", false
	}
	return s.Champion, s.Shadow, true
}

// Faulted implements update.Engine.
func (ms *Models) Faulted(name string) (rows, faulted int64, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := ms.runtime.Slots(ctx, name)
	return s.Rows, s.Faulted, err == nil
}

// Reconcile brings the runtime's champions to what the updater holds active, after both have
// restored themselves.
func (ms *Models) Reconcile(ctx context.Context) error {
	for _, t := range ms.tasks() {
		want, version := ms.manager.Active(t.Name)
		s, err := ms.runtime.Slots(ctx, t.Name)
		if err != nil {
			return err
		}
		if want != "" {
			if err := ms.runtime.Version(ctx, t.Name, want, version); err != nil {
				return err
			}
		}
		switch {
		case s.Champion == want:
			continue
		case s.Probation && s.Shadow == want:
			err = ms.runtime.Revert(ctx, t.Name)
		case want == "":
			err = ms.runtime.Reset(ctx, t.Name)
		default:
			err = ms.runtime.Install(ctx, t.Name, want)
		}
		if err != nil {
			return fmt.Errorf("task %q: %w", t.Name, err)
		}
	}
	return nil
}
