package update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"skerry.dev/compute/sequential"
	"skerry.dev/sync/spec"
)

// shadow installs and loads a downloaded artifact and starts its trial. The caller holds mu.
func (m *Manager) shadow(ctx context.Context, task string, s *slot) {
	digest := s.Assignment.Digest
	if s.Tried >= maxTries {
		m.finish(task, s, spec.PhaseFailed, spec.CauseDevice, fmt.Sprintf("%d attempts to load it did not finish", s.Tried))
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
	// the bytes are those that were signed: what does not load is the model's own failure
	cause := spec.CauseModel
	if err == nil || errors.Is(err, errContent) {
		cause = spec.CauseDevice
	}
	back := s.Assignment.Return
	switch {
	case err != nil:
	case back:
		err = m.engine.Restore(ctx, task, model, digest)
	default:
		err = m.engine.Shadow(ctx, task, model, digest)
	}
	if err != nil {
		if errors.Is(err, errContent) {
			err = errors.Join(err, os.Remove(m.artifactPath(digest)))
		}
		m.finish(task, s, spec.PhaseFailed, cause, err.Error())
		return
	}
	if back {
		s.Active, s.ActiveVersion, s.ActiveTried = digest, s.Assignment.Version, 0
		s.Previous, s.PreviousVersion = "", ""
		m.finish(task, s, spec.PhaseActive, "", "")
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
	reason, settled := Veto(p, trial)
	if settled {
		m.drop(ctx, task, s.Assignment.Digest)
		m.finish(task, s, spec.PhaseVetoed, spec.CauseModel, reason)
		return
	}
	if reason != "" || m.stored.failed == 0 { // why the state cannot be stored is the nearer reason
		s.Reason = reason
	}
	if reason != "" {
		return
	}
	if s.Assignment.Phase != spec.PhaseActive || s.Assignment.Hold || !trial.Enough(p, trial.MinShadow) || m.stored.failed > 0 {
		return
	}
	if w := s.Assignment.Window; !w.Open(m.opts.Now()) {
		s.Reason = fmt.Sprintf("waiting: it may be activated from %s, here it is %s", w, m.opts.Now().Format("Mon 15:04 MST"))
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
		m.finish(task, s, spec.PhaseFailed, spec.CauseDevice, reason)
	}
}

func (m *Manager) judgeProbation(ctx context.Context, task string, s *slot) {
	p, ok := m.engine.Probation(task)
	if !ok {
		return
	}
	p = m.measured(s, p)
	trial := s.Assignment.Trial
	reason, settled := Veto(p, trial)
	if settled {
		m.goBack(ctx, task, s, spec.CauseModel, reason)
		return
	}
	if reason != "" || m.stored.failed == 0 { // why the state cannot be stored is the nearer reason
		s.Reason = reason
	}
	if reason != "" {
		return
	}
	if trial.Enough(p, trial.Probation) && !s.Assignment.Hold {
		m.drop(ctx, task, s.Previous)
		m.finish(task, s, spec.PhaseActive, "", "")
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
func (m *Manager) goBack(ctx context.Context, task string, s *slot, cause spec.Cause, reason string) {
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
	switch {
	case s.Assignment == nil || s.Assignment.Digest != bad:
	case s.Assignment.Phase == spec.PhaseWithdrawn:
		m.finish(task, s, spec.PhaseWithdrawn, "", "")
		return
	default:
		m.finish(task, s, spec.PhaseReverted, cause, reason)
		return
	}
	if s.Phase == spec.PhaseShadow { // its trial was against what is gone: it begins anew
		s.Stats = spec.Paired{}
		m.phase(task, s, spec.PhaseVerifying, "")
	}
	m.log.Warn("model given up", "task", task, "digest", bad, "reason", reason)
	m.events = append(m.events, Event{Task: task, Phase: spec.PhaseReverted, Digest: bad, Reason: reason})
	m.store(s)
}

// minLook is how many rows a latency is judged on.
const minLook = 20

// Veto returns why a candidate must not go on, "" when it may. The rules: no value that is not
// finite, no panic, p99 of a prediction within the budget, and a loss that is not worse than the
// incumbent's by more than MaxRegression, see [spec.Trial.Judge]. settled reports whether the device
// gives the candidate up; with a reason that is not, further rows must show it.
func Veto(p spec.Paired, t spec.Trial) (reason string, settled bool) {
	switch {
	case p.NonFinite > 0:
		return fmt.Sprintf("%d of %d predictions were not finite", p.NonFinite, p.Rows), true
	case p.Panics > 0:
		return fmt.Sprintf("%d of %d predictions panicked", p.Panics, p.Rows), true
	case t.MaxLatencyUS > 0 && p.Rows >= minLook && p.LatencyP99US > t.MaxLatencyUS:
		return fmt.Sprintf("p99 of a prediction is %.0f µs, allowed are %.0f µs", p.LatencyP99US, t.MaxLatencyUS), true
	}
	if reason = t.Disagrees(p); reason != "" {
		return reason, true
	}
	if j := t.Judge(p, t.DeviceAlpha(), 1); j.Worse {
		return j.Reason, j.Outcome == sequential.Fail
	}
	return "", false
}

// withdraw ends what a device does with the artifact of its assignment. The caller holds mu.
func (m *Manager) withdraw(ctx context.Context, task string, s *slot) {
	if s.Active == s.Assignment.Digest {
		m.goBack(ctx, task, s, spec.CauseOrder, "withdrawn by the hub")
		return
	}
	m.finish(task, s, spec.PhaseWithdrawn, "", "")
}

// watch is what the active model's predictions were like when they were last looked at.
type watch struct {
	digest        string
	rows, faulted int64
}

// The bounds of an active model after its trial: of watchRows predictions no more than maxFaulted
// may be without a finite value.
const (
	watchRows  = 100
	maxFaulted = 20
)

// watchActive gives up an active model whose predictions fail. Its trial asks for more; this goes on
// as long as it runs. The caller holds mu.
func (m *Manager) watchActive(ctx context.Context, task string, s *slot) {
	if s.Active == "" || s.Phase == spec.PhaseProbation {
		s.watch = watch{}
		return
	}
	rows, faulted, ok := m.engine.Faulted(task)
	if !ok {
		return
	}
	if w := &s.watch; w.digest != s.Active || rows < w.rows || faulted < w.faulted {
		*w = watch{s.Active, rows, faulted}
	}
	n, bad := rows-s.watch.rows, faulted-s.watch.faulted
	switch {
	case bad > maxFaulted:
		m.goBack(ctx, task, s, spec.CauseModel, fmt.Sprintf("%d of the last %d predictions had no finite value", bad, n))
	case n >= watchRows:
		s.watch.rows, s.watch.faulted = rows, faulted
	}
}
