package rollout

import (
	"context"
	"errors"
	"fmt"

	"skerry.dev/hub/duty"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/sync/spec"
)

// takeBack tombstones the version and gives every device that was assigned it its previous model
// under a newer generation.
func (c *Controller) takeBack(ctx context.Context, l *duty.Lease, r *Rollout, parts []Part) error {
	reason := r.Status.Reason
	if m, err := c.db.Read().Model(ctx, r.Spec.Digest); err == nil && m.TombstonedAt == 0 {
		if err := c.registry.Tombstone(ctx, "rollout "+r.ID, r.Spec.Digest, reason); err != nil {
			return err
		}
	}
	if err := c.fleet.Tombstone(ctx, r.Spec.Digest); err != nil {
		return err
	}
	for i := range parts {
		p := &parts[i]
		if p.AssignedAt == 0 {
			continue
		}
		if err := c.restorePrevious(ctx, l, r, p); err != nil {
			return fmt.Errorf("device %q: %w", p.Device, err)
		}
	}
	if err := c.record(ctx, l, r, parts); err != nil {
		return err
	}
	r.note(RolledBack, reason, "hub")
	err := c.store(ctx, l, r, func(q *meta.Queries) error {
		return errors.Join(restoreChampion(ctx, q, r, parts), report(ctx, q, r))
	})
	if err == nil {
		c.log.Warn("rollout rolled back", "rollout", r.ID, "model", r.Model, "reason", reason)
	}
	return err
}

func (c *Controller) restorePrevious(ctx context.Context, l *duty.Lease, r *Rollout, p *Part) error {
	var prev meta.Model
	var err error
	if p.Previous != "" && p.Previous != r.Spec.Digest {
		if prev, err = c.db.Read().Model(ctx, p.Previous); err != nil && !errors.Is(err, meta.ErrNotFound) {
			return err
		}
	}
	_, err = c.fleet.UpdateDesired(ctx, p.Device, func(q *meta.Queries, d *spec.Desired) error {
		if err := unchanged(ctx, q, l, r); err != nil {
			return err
		}
		if d.Assignments[r.Task].Digest != r.Spec.Digest {
			return fleet.ErrUnchanged
		}
		delete(d.Assignments, r.Task)
		if prev.Digest != "" && prev.TombstonedAt == 0 && prev.RemovedAt == 0 {
			d.Assignments[r.Task] = spec.Assignment{
				Generation: d.Generation,
				Digest:     prev.Digest,
				Version:    registry.Name(prev),
				Target:     prev.Target,
				Size:       prev.Size,
				Phase:      spec.PhaseActive,
				Rollout:    r.ID,
				Trial:      r.Spec.trial(),
			}
		}
		return nil
	})
	if errors.Is(err, fleet.ErrUnchanged) {
		return nil
	}
	return err
}

// restoreChampion makes the previous model the task's champion again when a completed rollout is
// taken back.
func restoreChampion(ctx context.Context, q *meta.Queries, r *Rollout, parts []Part) error {
	now, err := q.Champion(ctx, r.Task, r.Spec.Cohort)
	if errors.Is(err, meta.ErrNotFound) || err == nil && now.Digest != r.Spec.Digest {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.Previous == "" || p.Previous == r.Spec.Digest {
			continue
		}
		if m, err := q.Model(ctx, p.Previous); err == nil && m.TombstonedAt == 0 && m.RemovedAt == 0 {
			return registry.Promote(ctx, q, "rollout "+r.ID, m.Digest, r.Spec.Cohort)
		}
	}
	return nil
}
