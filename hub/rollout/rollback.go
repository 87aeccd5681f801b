package rollout

import (
	"context"
	"errors"

	"skerry.dev/hub/duty"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
)

// takeBack tombstones the version, and the task's champion is again the one before it. What devices
// are told instead is for converge.
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

// restoreChampion makes the model of the rollout before, or the one that devices ran before, the
// task's champion again when a completed rollout is taken back.
func restoreChampion(ctx context.Context, q *meta.Queries, r *Rollout, parts []Part) error {
	now, err := q.Champion(ctx, r.Task, r.Spec.Cohort)
	if errors.Is(err, meta.ErrNotFound) || err == nil && now.Digest != r.Spec.Digest {
		return nil
	}
	if err != nil {
		return err
	}
	var before []string
	rows, err := q.Rollouts(ctx, r.Task, string(Completed), 0)
	if err != nil {
		return err
	}
	for _, row := range rows {
		o, err := decodeSpec(row)
		if err != nil {
			return err
		}
		if row.ID != r.ID && o.Cohort == r.Spec.Cohort && !o.named() {
			before = append(before, row.Digest)
		}
	}
	for _, p := range parts {
		before = append(before, p.Previous)
	}
	for _, digest := range before {
		if digest == "" || digest == r.Spec.Digest {
			continue
		}
		if m, err := q.Model(ctx, digest); err == nil && usable(&m) {
			return registry.Promote(ctx, q, "rollout "+r.ID, m.Digest, r.Spec.Cohort)
		}
	}
	return nil
}

// usable reports whether devices may be assigned a model.
func usable(m *meta.Model) bool { return m.TombstonedAt == 0 && m.RemovedAt == 0 }
