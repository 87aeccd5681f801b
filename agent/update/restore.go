package update

import (
	"context"
	"fmt"

	"skerry.dev/sync/spec"
)

// Restore brings every task named to what was active, and what was on trial to its trial; what
// the engine has recovered by itself is left alone. A model that three starts did not survive, or
// that does not load, is given up for the one before it. Call [Manager.Confirm] once the program
// has run well.
func (m *Manager) Restore(ctx context.Context, tasks []string) error {
	return m.restore(ctx, tasks, true)
}

// Resume is Restore while the program runs, after tasks began anew because their files changed:
// what was active comes back where it fits.
func (m *Manager) Resume(ctx context.Context, tasks []string) error {
	return m.restore(ctx, tasks, false)
}

func (m *Manager) restore(ctx context.Context, tasks []string, start bool) error {
	defer m.emit()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, task := range tasks {
		if err := m.align(ctx, task, start); err != nil {
			return err
		}
	}
	if err := m.save(); err != nil {
		m.log.Error("slot state not stored: the next start finds what was there before", "err", err)
		return nil // every model runs that should
	}
	m.sweep()
	return nil
}

// alignAll compares what runs with what should, at all times: a task that began anew, whoever began
// it, gets its model back. The caller holds mu.
func (m *Manager) alignAll(ctx context.Context) {
	if _, ok := m.engine.(Recoverer); !ok {
		return
	}
	for task := range m.state.Tasks {
		if err := m.align(ctx, task, false); err != nil {
			m.log.Error("the task does not run what it should", "task", task, "err", err)
		}
	}
}

// align brings one task to what was active, and what was on trial to its trial. The caller holds mu.
func (m *Manager) align(ctx context.Context, task string, start bool) error {
	s := m.state.Tasks[task]
	champion, beside := "", ""
	if r, ok := m.engine.(Recoverer); ok {
		var runs bool
		if champion, beside, runs = r.Running(task); !runs {
			return nil // when it runs it is looked at again
		}
	}
	if s == nil {
		if champion != "" { // the slots' state was lost, the engine's was not
			m.state.Tasks[task] = &slot{Active: champion}
		}
		return nil
	}
	switch {
	case s.Active != "" && s.ActiveTried > maxTries:
		m.goBack(ctx, task, s, spec.CauseDevice, fmt.Sprintf("%d starts with it in a row did not last", maxTries))
		return nil
	case s.Active == "" && champion != "":
		if err := m.engine.Activate(ctx, task, ""); err != nil {
			return fmt.Errorf("start task %q on its baselines: %w", task, err)
		}
	case s.Active != "" && (champion != s.Active || (s.Phase == spec.PhaseProbation && beside != s.Previous)):
		if err := m.restoreActive(ctx, task, s); err != nil {
			m.goBack(ctx, task, s, spec.CauseDevice, "it does not load any more: "+err.Error())
			return nil
		}
	}
	if s.Phase != spec.PhaseShadow {
		return nil
	}
	if s.Tried > maxTries {
		m.drop(ctx, task, s.Assignment.Digest)
		m.finish(task, s, spec.PhaseFailed, spec.CauseDevice, fmt.Sprintf("%d starts with it in shadow did not last", maxTries))
	} else if beside != s.Assignment.Digest {
		s.Phase = spec.PhaseVerifying // load it again
		if start {
			s.Tried-- // Open has counted it, and the next try does
		}
	}
	return nil
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

// Confirm records that the program has run well with the active models; their start counters begin
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
