package update

import (
	"context"
	"fmt"
	"regexp"

	"skerry.dev/sync/spec"
)

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Apply accepts a desired state. Documents and assignments older than what was accepted are
// ignored. The floors are on disk before anything else happens.
func (m *Manager) Apply(d spec.Desired) error {
	defer m.notify()
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
	if !d.Suspect {
		m.state.Kept = nil
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
