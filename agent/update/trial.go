package update

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"skerry.dev/sync/spec"
)

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
	p = m.measured(s, p)
	trial := s.Assignment.Trial
	reason, settled := Veto(p, trial, trial.MinShadow)
	if settled {
		m.drop(ctx, task, s.Assignment.Digest)
		m.finish(task, s, spec.PhaseVetoed, reason)
		return
	}
	if reason != "" || m.stored.failed == 0 { // why the state cannot be stored is the nearer reason
		s.Reason = reason
	}
	if reason != "" {
		return
	}
	if s.Assignment.Phase != spec.PhaseActive || p.Labelled < int64(trial.MinShadow) || m.stored.failed > 0 {
		return
	}
	before := *s
	s.Previous, s.PreviousVersion = s.Active, s.ActiveVersion
	s.Active, s.ActiveVersion, s.ActiveTried = s.Assignment.Digest, s.Assignment.Version, 0
	s.Stats = spec.Paired{}
	m.phase(task, s, spec.PhaseProbation, "")
	if !m.store(s) {
		before.Reason = s.Reason // why it does not go on
		*s = before
		m.events = m.events[:len(m.events)-1]
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
	p = m.measured(s, p)
	trial := s.Assignment.Trial
	reason, settled := Veto(p, trial, trial.Probation)
	if settled {
		m.goBack(ctx, task, s, reason)
		return
	}
	if reason != "" || m.stored.failed == 0 { // why the state cannot be stored is the nearer reason
		s.Reason = reason
	}
	if reason != "" {
		return
	}
	if p.Labelled >= int64(trial.Probation) {
		m.drop(ctx, task, s.Previous)
		m.finish(task, s, spec.PhaseActive, "")
	}
}

// measured notes what a trial has measured. When it began stays known over a start of the program,
// with which the engine begins to count event time anew. The caller holds mu.
func (m *Manager) measured(s *slot, p spec.Paired) spec.Paired {
	began := s.Stats.From
	if began != 0 && s.Stats.Labelled <= p.Labelled && (p.From == 0 || began < p.From) {
		p.From = began
	}
	s.Stats = p
	if p.From != began {
		m.store(s)
	}
	return p
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
// when three standard errors show it, because looking at every row finds chance differences.
const (
	zFinal  = 1.64
	zEarly  = 3.0
	minLook = 20
)

// Veto returns why a candidate must not go on, "" when it may. enough is the number of labelled
// rows the trial requires. The rules: no value that is not finite, no panic, p99 of a prediction
// within the budget, and a paired loss that is not worse than the incumbent's by more than
// MaxRegression. settled reports whether the device gives the candidate up; with a reason that is
// not, further rows must show it, see [spec.Trial.Worse].
func Veto(p spec.Paired, t spec.Trial, enough int) (reason string, settled bool) {
	switch {
	case p.NonFinite > 0:
		return fmt.Sprintf("%d of %d predictions were not finite", p.NonFinite, p.Rows), true
	case p.Panics > 0:
		return fmt.Sprintf("%d of %d predictions panicked", p.Panics, p.Rows), true
	case t.MaxLatencyUS > 0 && p.Rows >= minLook && p.LatencyP99US > t.MaxLatencyUS:
		return fmt.Sprintf("p99 of a prediction is %.0f µs, allowed are %.0f µs", p.LatencyP99US, t.MaxLatencyUS), true
	}
	n := float64(p.Labelled)
	if n < 2 || (p.Labelled < int64(enough) && n < minLook) {
		return "", false
	}
	z := zFinal
	if p.Labelled < int64(enough) {
		z = zEarly
	}
	mean, incumbent := p.SumDiff/n, p.SumIncumbent/n
	se := math.Sqrt(max(p.SumDiff2/n-mean*mean, 0) / (n - 1))
	worse, settled := t.Worse(p, z*se)
	switch {
	case settled:
		return fmt.Sprintf("loss is %.4g against the incumbent's %.4g on %d labelled rows (worse by at least %.4g, allowed %.4g)",
			p.SumCandidate/n, incumbent, p.Labelled, mean-z*se, t.MaxRegression*incumbent), true
	case worse:
		return fmt.Sprintf("worse so far: it waits for rows that span %v, or for better ones", time.Duration(t.Cycle)*time.Microsecond), false
	}
	return "", false
}
