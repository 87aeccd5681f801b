package rollout

import (
	"context"
	"errors"
	"fmt"

	"skerry.dev/hub/duty"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

// Freeze holds every device of a task, "" of all tasks, where it is: trials go on and measure, nobody
// is told to run another model, no stage passes. What is forbidden stays so, and a device still gives
// up a model that fails. It holds until Thaw, whatever is created or resumed meanwhile.
func (c *Controller) Freeze(ctx context.Context, actor, task, reason string) (meta.Freeze, error) {
	f := meta.Freeze{Task: task, At: meta.Now(), Actor: actor, Reason: reason}
	if reason == "" {
		return f, refusal{errors.New("a freeze needs a reason: everybody who wonders why nothing happens reads it")}
	}
	if task != "" {
		if _, err := c.db.Read().Task(ctx, task); err != nil {
			return f, fmt.Errorf("task %q: %w", task, err)
		}
	}
	return f, c.db.Tx(ctx, func(q *meta.Queries) error {
		return errors.Join(q.PutFreeze(ctx, f), q.Audit(ctx, actor, "rollout.freeze", task, reason), frozen(ctx, q, task, "frozen", reason))
	})
}

// Thaw ends a freeze. The stages that it held begin their time anew.
func (c *Controller) Thaw(ctx context.Context, actor, task, reason string) error {
	return c.db.Tx(ctx, func(q *meta.Queries) error {
		if err := q.DeleteFreeze(ctx, task); err != nil {
			return fmt.Errorf("freeze of task %q: %w", task, err)
		}
		rows, err := q.Rollouts(ctx, task, string(Running), 0)
		if err != nil {
			return err
		}
		for _, row := range rows {
			r, err := c.decode(ctx, q, row)
			if err != nil {
				return err
			}
			r.Status.Since, r.Status.HalfAt, r.Status.Reason = meta.Now(), 0, ""
			if err := c.save(ctx, q, r); err != nil {
				return err
			}
		}
		return errors.Join(q.Audit(ctx, actor, "rollout.thaw", task, reason), frozen(ctx, q, task, "thawed", reason))
	})
}

// frozen tells the feed, which wakes whoever drives the rollouts.
func frozen(ctx context.Context, q *meta.Queries, task, state, reason string) error {
	return feed.Add(ctx, q, feed.KindRollout, task, "", feed.Rollout{State: state, Reason: short(reason)})
}

// Freezes lists what is frozen.
func (c *Controller) Freezes(ctx context.Context) ([]meta.Freeze, error) {
	return c.db.Read().Freezes(ctx)
}

// freezes are what holds devices at one look, by task.
type freezes map[string]string

func (c *Controller) freezes(ctx context.Context) (freezes, error) {
	list, err := c.db.Read().Freezes(ctx)
	if err != nil {
		return nil, err
	}
	out := freezes{}
	for _, f := range list {
		out[f.Task] = fmt.Sprintf("frozen by %s: %s", f.Actor, f.Reason)
	}
	return out, nil
}

// of returns why a task is frozen, "" when it is not.
func (f freezes) of(task string) string {
	if all := f[""]; all != "" {
		return all
	}
	return f[task]
}

// hold shows a frozen rollout as such.
func (c *Controller) hold(ctx context.Context, l *duty.Lease, r *Rollout, why string) error {
	if r.Status.Reason == why {
		return nil
	}
	r.Status.Reason = why
	return c.store(ctx, l, r, func(q *meta.Queries) error { return report(ctx, q, r) })
}

// holdDevice tells a device of a frozen task to stay where it is.
func (c *Controller) holdDevice(ctx context.Context, l *duty.Lease, device, task string) error {
	return c.redirect(ctx, l, nil, device, task, func(_ *meta.Queries, d *spec.Desired) error {
		a := d.Assignments[task]
		a.Hold = true // the same order: its generation stays
		d.Assignments[task] = a
		return nil
	})
}
