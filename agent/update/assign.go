package update

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/sync/spec"
)

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// maxAssigned is how many tasks have assignments: each is a file and a download.
const maxAssigned = 512

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
	m.forget(d)
	next := floors{Document: d.Generation, Tasks: map[string]uint64{}}
	for t, g := range m.floors.Tasks {
		next.Tasks[t] = g
	}
	accepted := map[string]spec.Assignment{}
	var ignored []string
	fresh := 0 // accepted of tasks that had none
	for _, task := range slices.Sorted(maps.Keys(d.Assignments)) {
		a := d.Assignments[task]
		switch s := m.state.Tasks[task]; {
		case d.Suspect: // no pushes to what may be a clone; tombstones still hold
		case !spec.ValidName(task) || !digestPattern.MatchString(a.Digest) || a.Size <= 0 || a.Size > artifact.MaxBytes || (a.Phase != spec.PhaseShadow && a.Phase != spec.PhaseActive && a.Phase != spec.PhaseWithdrawn):
			ignored = append(ignored, fmt.Sprintf("%.64q is not valid: digest %.64q, %d bytes of at most %d, phase %.16q", task, a.Digest, a.Size, artifact.MaxBytes, a.Phase))
		case s == nil && len(m.state.Tasks)+fresh >= maxAssigned:
			ignored = append(ignored, fmt.Sprintf("%.64q is one task too many, %d are allowed", task, maxAssigned))
		case a.Generation < next.Tasks[task]:
			m.log.Info("old assignment ignored", "task", task, "generation", a.Generation, "accepted", next.Tasks[task])
		case a.Generation == next.Tasks[task] && s != nil && s.Assignment != nil && s.Assignment.Digest != a.Digest:
			m.log.Error("assignment has another artifact under the same generation and is ignored", "task", task, "generation", a.Generation)
		default:
			if s == nil {
				fresh++
			}
			next.Tasks[task] = a.Generation
			accepted[task] = a
		}
	}
	if n := len(ignored); n > 0 {
		m.log.Error("assignments are ignored", "assignments", n, "first", strings.Join(ignored[:min(n, 3)], "; "))
	}
	if err := writeJSON(m.opts.FloorFile, next); err != nil {
		return fmt.Errorf("store generation floors: %w", err)
	}
	m.floors = next
	m.forbid(d)
	for task, a := range accepted {
		m.assign(task, a)
	}
	if !d.Suspect {
		m.state.Kept = nil
	}
	return m.save()
}

// forget drops, where there are as many tasks as may be, what a document no longer assigns to those
// that run nothing: they would take the place of others. The caller holds mu.
func (m *Manager) forget(d spec.Desired) {
	if d.Suspect || len(m.state.Tasks) < maxAssigned { // a suspect is assigned nothing, and its orders hold
		return
	}
	for task, s := range m.state.Tasks {
		if _, ok := d.Assignments[task]; ok || s.Active != "" || s.Previous != "" || s.Assignment != nil && !s.Phase.Final() && s.Phase != spec.PhaseAssigned && s.Phase != spec.PhaseDownloading {
			continue
		}
		if j := m.jobs[task]; j != nil {
			j.cancel()
			delete(m.jobs, task)
		}
		delete(m.state.Tasks, task)
	}
	if len(m.floors.Tasks) > 8*maxAssigned {
		maps.DeleteFunc(m.floors.Tasks, func(task string, _ uint64) bool { return m.state.Tasks[task] == nil })
	}
}

// maxTombstones bounds what a device remembers; the newest are kept.
const maxTombstones = 4096

// forbid adds a document's tombstones to those that are known: a hub that was restored, or that has
// enrolled the device anew, may have forgotten one. What it has lifted goes. The caller holds mu.
func (m *Manager) forbid(d spec.Desired) {
	skip := map[string]bool{} // lifted, or there
	for _, t := range d.Lifted {
		skip[t] = true
	}
	var known []string
	for _, t := range slices.Concat(m.state.Tombstones, d.Tombstones) {
		if !skip[t] && digestPattern.MatchString(t) {
			known = append(known, t)
			skip[t] = true
		}
	}
	m.state.Tombstones = known[max(0, len(known)-maxTombstones):]
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
		if old.Digest == a.Digest && old.Size == a.Size && old.Target == a.Target && old.Rollout == a.Rollout && a.Phase != spec.PhaseWithdrawn && !s.Phase.Final() {
			s.Assignment = &a // it goes on from where it is, with what it has measured
			return
		}
		if j := m.jobs[task]; j != nil {
			j.cancel()
			delete(m.jobs, task)
		}
		back := s.Phase == spec.PhaseProbation && (a.Return || a.Phase == spec.PhaseWithdrawn)
		if !back && (s.Phase == spec.PhaseShadow || s.Phase == spec.PhaseProbation) {
			dropped := old.Digest
			if s.Phase == spec.PhaseProbation {
				dropped = s.Previous
			}
			if err := m.engine.Drop(context.Background(), task, dropped); err != nil {
				m.log.Warn("model not dropped", "task", task, "digest", dropped, "err", err)
			}
		}
	}
	s.Assignment, s.Stats, s.Tried, s.Cause = &a, spec.Paired{}, 0, ""
	m.phase(task, s, spec.PhaseAssigned, "")
}
