package rollout

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"skerry.dev/hub/duty"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/sync/spec"
)

// course is what one task's devices are to run: its rollouts under way and completed, newest first,
// with their models and the devices that they have ordered.
type course struct {
	task     string
	rollouts []*Rollout
	models   map[string]*meta.Model
	rows     map[string]map[string]meta.RolloutDevice
	dead     []string // digests that must not run
	lifted   []string
	champion map[string]string // by cohort
	few      bool              // devices are looked at: their rows are read one by one
}

// converge compares, for every device at all times, what it is told with what it should be: by the
// rollout that has it, or by the newest completed one that is for it. So a command only changes a
// rollout; a device that was away, enrolled anew, failed or lost its model is told again; one whose
// rollout has ended otherwise is told to leave it.
func (c *Controller) converge(ctx context.Context, l *duty.Lease, w *world) error {
	tasks, err := c.courses(ctx)
	if err != nil {
		return err
	}
	some, all := c.sight.take(), false
	if now := signature(tasks, w); now != c.looked || time.Since(c.lookedAt) > lookAnew {
		c.looked, c.lookedAt, all = now, time.Now(), true
	}
	again := map[string]bool{}
	defer func() { c.sight.again(again) }()
	var errs []error
	for _, t := range tasks {
		names, err := c.db.Read().TaskDevices(ctx, t.task)
		if err != nil {
			return err
		}
		t.few = !all && len(some) < 100
		for _, name := range names {
			if !all && !some[name] {
				continue
			}
			wait, err := c.convergeDevice(ctx, l, w, t, name)
			if wait || err != nil {
				again[name] = true
			}
			if err != nil && !errors.Is(err, ErrChanged) {
				errs = append(errs, fmt.Errorf("task %q on device %q: %w", t.task, name, err))
			}
		}
		errs = append(errs, c.alarm(ctx, l, t, failing(t, names, w)))
	}
	return errors.Join(errs...)
}

// lookAnew is how often every device is looked at, whether something has changed or not.
const lookAnew = 5 * time.Minute

// signature tells one state of what all devices' tasks follow from, but the devices themselves, from
// another.
func signature(tasks []*course, w *world) string {
	h := fnv.New128a()
	for _, t := range tasks {
		fmt.Fprintf(h, "%q %q %q %q %q\n", t.task, t.dead, t.lifted, w.frozen.of(t.task), fmt.Sprint(t.champion))
		for _, r := range t.rollouts {
			fmt.Fprintf(h, "%s %s %d %d\n", r.ID, r.State, r.Status.Stage, t.models[r.ID].RemovedAt)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.devices)) {
		d := w.devices[name]
		fmt.Fprintf(h, "%q %q %q %q %v %v\n", d.Name, d.Site, d.Cohort, d.Class, d.RevokedAt != 0, d.Suspect != "")
	}
	return string(h.Sum(nil))
}

// failing counts, by rollout, the devices that report it and those whose model fails by what it does.
func failing(t *course, names []string, w *world) map[string]*failures {
	out := map[string]*failures{}
	for _, name := range names {
		a := w.reported[name].tasks[t.task].assignment
		if a == nil {
			continue
		}
		f := out[a.Rollout]
		if f == nil {
			f = &failures{}
			out[a.Rollout] = f
		}
		f.devices++
		if a.Phase.Failed() && a.Cause == spec.CauseModel {
			f.failed++
			if f.first == "" {
				f.first = fmt.Sprintf("%s %s: %s", name, a.Phase, a.Reason)
			}
		}
	}
	return out
}

// courses reads what every task's devices are to run.
func (c *Controller) courses(ctx context.Context) ([]*course, error) {
	q := c.db.Read()
	byTask := map[string]*course{}
	var out []*course
	of := func(task string) *course {
		t := byTask[task]
		if t == nil {
			t = &course{task: task, models: map[string]*meta.Model{}, rows: map[string]map[string]meta.RolloutDevice{}, champion: map[string]string{}}
			byTask[task] = t
			out = append(out, t)
		}
		return t
	}
	for _, state := range []State{Running, Paused, RollingBack, Completed, RolledBack, Aborted} {
		rows, err := q.Rollouts(ctx, "", string(state), 0)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			t := of(row.Task) // also one whose rollouts have all ended
			if state == RolledBack || state == Aborted {
				continue
			}
			r, err := c.decode(ctx, q, row)
			if err != nil {
				return nil, err
			}
			t.rollouts = append(t.rollouts, r)
		}
	}
	for _, t := range out {
		slices.SortStableFunc(t.rollouts, func(a, b *Rollout) int { return int(b.CreatedAt - a.CreatedAt) })
		for _, r := range t.rollouts {
			m, err := q.Model(ctx, r.Spec.Digest)
			if err != nil {
				return nil, err
			}
			t.models[r.ID] = &m
		}
		var err error
		if t.dead, err = q.Tombstones(ctx, t.task); err != nil {
			return nil, err
		}
		if t.lifted, err = q.Lifted(ctx, t.task); err != nil {
			return nil, err
		}
	}
	champions, err := q.Champions(ctx)
	if err != nil {
		return nil, err
	}
	for _, ch := range champions {
		if t := byTask[ch.Task]; t != nil {
			t.champion[ch.Cohort] = ch.Digest
		}
	}
	return out, nil
}

// place returns what a rollout has ordered of a device.
func (c *Controller) place(ctx context.Context, t *course, r *Rollout, device string) (row meta.RolloutDevice, ok bool, err error) {
	rows := t.rows[r.ID]
	if rows == nil && t.few {
		row, err = c.db.Read().RolloutDevice(ctx, r.ID, device)
		if errors.Is(err, meta.ErrNotFound) {
			return row, false, nil
		}
		return row, err == nil, err
	}
	if rows == nil {
		list, err := c.db.Read().RolloutDevices(ctx, r.ID)
		if err != nil {
			return row, false, err
		}
		rows = map[string]meta.RolloutDevice{}
		for _, row := range list {
			rows[row.Device] = row
		}
		t.rows[r.ID] = rows
	}
	row, ok = rows[device]
	return row, ok, nil
}

// due returns the rollout that says what a device runs, nil when none does, and its place in it.
func (c *Controller) due(ctx context.Context, t *course, d *meta.Device) (*Rollout, meta.RolloutDevice, bool, error) {
	for _, r := range t.rollouts {
		row, ok, err := c.place(ctx, t, r, d.Name)
		if err != nil {
			return nil, row, false, err
		}
		switch {
		case r.State == RollingBack:
			if ok {
				return r, row, true, nil
			}
		case r.State == Completed:
			if !r.targets(d) || !usable(t.models[r.ID]) {
				continue
			}
			// a newcomer is not given what a champion by hand has replaced
			if champion, known := t.champion[r.Spec.Cohort]; !ok && known && !r.Spec.named() && champion != r.Spec.Digest {
				continue
			}
			return r, row, ok, nil
		case ok && row.Stage >= 0:
			return r, row, true, nil
		}
	}
	return nil, meta.RolloutDevice{}, false, nil
}

// failures counts the devices on which a completed rollout's model has failed by what it does.
type failures struct {
	devices, failed int
	first           string
}

// convergeDevice looks at one device. wait says that it must be looked at again although nothing
// changes: it has failed, and its time comes.
func (c *Controller) convergeDevice(ctx context.Context, l *duty.Lease, w *world, t *course, name string) (wait bool, err error) {
	dev := w.devices[name]
	if dev == nil || dev.RevokedAt != 0 || dev.Suspect != "" {
		return false, nil
	}
	desired := w.desired[name].document
	have, assigned := desired.Assignments[t.task]
	r, row, ordered, err := c.due(ctx, t, dev)
	if err != nil {
		return false, err
	}
	forget := slices.ContainsFunc(t.dead, func(digest string) bool { return !slices.Contains(desired.Tombstones, digest) }) ||
		slices.ContainsFunc(t.lifted, func(digest string) bool { return slices.Contains(desired.Tombstones, digest) })
	if w.frozen.of(t.task) != "" {
		if assigned && !have.Hold && have.Phase != spec.PhaseWithdrawn && r != nil && r.State == Running {
			return false, c.holdDevice(ctx, l, name, t.task)
		}
		if forget {
			return false, c.redirect(ctx, l, nil, name, t.task, func(*meta.Queries, *spec.Desired) error { return nil })
		}
		return false, nil
	}
	switch {
	case r == nil && assigned && have.Phase != spec.PhaseWithdrawn && c.ended(ctx, have):
		before, err := c.before(ctx, t, have, name)
		if err != nil {
			return false, err
		}
		return false, c.redirect(ctx, l, nil, name, t.task, func(_ *meta.Queries, d *spec.Desired) error {
			a := have
			a.Generation, a.Phase, a.Hold, a.Return = d.Generation, spec.PhaseWithdrawn, false, false
			if before != nil {
				a.Digest, a.Version, a.Target, a.Size = before.Digest, registry.Name(*before), before.Target, before.Size
				a.Phase, a.Return = spec.PhaseActive, true
			}
			d.Assignments[t.task] = a
			return nil
		})
	case r == nil || r.State == RollingBack:
		if forget {
			return false, c.redirect(ctx, l, nil, name, t.task, func(*meta.Queries, *spec.Desired) error { return nil })
		}
		return false, nil
	case r.State != Completed:
		want := r.assignment(t.models[r.ID], 0, wanted(row.Stage))
		if !forget && have.Rollout == r.ID && have.Digest == want.Digest && have.Phase == want.Phase && have.Hold == want.Hold {
			return false, nil
		}
		return false, c.redirect(ctx, l, r, name, t.task, func(q *meta.Queries, d *spec.Desired) error {
			want.Generation = d.Generation
			if h, ok := d.Assignments[t.task]; ok && h.Rollout == r.ID && h.Digest == want.Digest {
				want.Generation = h.Generation // the same order, held or not
			}
			d.Assignments[t.task] = want
			row.Generation = int64(want.Generation)
			return q.PutRolloutDevice(ctx, row)
		})
	}
	return c.settle(ctx, l, w, t, r, dev, have, row, ordered, forget)
}

// settle brings a device to the model of a completed rollout.
func (c *Controller) settle(ctx context.Context, l *duty.Lease, w *world, t *course, r *Rollout, dev *meta.Device, have spec.Assignment, row meta.RolloutDevice, ordered, forget bool) (wait bool, err error) {
	var m memo
	if ordered {
		if m, err = c.memoOf(&row); err != nil {
			return false, err
		}
	}
	task := w.reported[dev.Name].tasks[t.task]
	p := Part{Device: dev.Name, Previous: m.Previous, Stats: m.Stats, shadow: m.Shadow, Phase: spec.Phase(row.Phase), Cause: m.Cause, Reason: row.Reason, failedAt: m.FailedAt, Tries: m.Tries, ran: m.Ran}
	if a := task.assignment; a != nil && a.Rollout == r.ID && ordered && a.Generation >= uint64(row.Generation) {
		p.Phase, p.Cause, p.Reason, p.Stats = a.Phase, a.Cause, a.Reason, a.Stats
	}
	now := meta.Now()
	switch failed := p.Phase.Failed(); {
	case failed && p.failedAt == 0:
		p.failedAt = now
	case !failed:
		p.failedAt = 0
	}
	wait = p.Phase.Failed() && (p.Cause == spec.CauseDevice || p.Cause == spec.CauseHub)
	same := have.Rollout == r.ID && have.Digest == r.Spec.Digest && have.Phase == spec.PhaseActive && !have.Hold
	again := same && p.Phase.Failed() && (p.Cause == spec.CauseDevice || p.Cause == spec.CauseHub) && now-p.failedAt >= penalty(p.Tries)
	if same && !again && !forget {
		if ordered && (string(p.Phase) != row.Phase || p.Reason != row.Reason || p.failedAt != m.FailedAt) {
			return wait, c.redirect(ctx, l, r, "", "", func(q *meta.Queries, _ *spec.Desired) error {
				return put(ctx, q, r, &p, row.Stage, row.Generation, row.UpdatedAt)
			})
		}
		return wait, nil
	}
	if again {
		p.Tries++
		p.Phase, p.Cause, p.Reason, p.failedAt = "", "", "", 0
	}
	if !ordered {
		p.Previous = task.champion
	}
	err = c.redirect(ctx, l, r, dev.Name, t.task, func(q *meta.Queries, d *spec.Desired) error {
		if same && !again {
			return nil // the tombstones alone
		}
		a := r.assignment(t.models[r.ID], d.Generation, spec.PhaseActive)
		a.Return = m.Ran && !same
		d.Assignments[t.task] = a
		return put(ctx, q, r, &p, 1, int64(d.Generation), now)
	})
	if err == nil && !same {
		c.log.Info("a device is assigned what the newest completed rollout gave to the others", "device", dev.Name, "task", t.task, "model", r.Model, "rollout", r.ID)
	}
	return wait, err
}

// redirect changes a device's desired state under the duty; device "" changes only what fn stores.
func (c *Controller) redirect(ctx context.Context, l *duty.Lease, r *Rollout, device, task string, fn func(*meta.Queries, *spec.Desired) error) error {
	checked := func(q *meta.Queries, d *spec.Desired) error {
		if r == nil {
			if err := l.Check(ctx, q); err != nil {
				return err
			}
		} else if err := unchanged(ctx, q, l, r); err != nil {
			return err
		}
		return fn(q, d)
	}
	if device == "" {
		return c.db.Tx(ctx, func(q *meta.Queries) error { return checked(q, nil) })
	}
	_, err := c.fleet.UpdateDesired(ctx, device, checked)
	if errors.Is(err, fleet.ErrUnchanged) {
		return nil
	}
	return err
}

// ended reports whether an assignment is the model of a rollout that is over without having
// completed.
func (c *Controller) ended(ctx context.Context, a spec.Assignment) bool {
	r, err := c.db.Read().Rollout(ctx, a.Rollout)
	return err == nil && a.Digest == r.Digest && (State(r.State) == RolledBack || State(r.State) == Aborted)
}

// before returns the model that a device ran before a rollout, nil when there is none that may run.
func (c *Controller) before(ctx context.Context, t *course, a spec.Assignment, device string) (*meta.Model, error) {
	row, ok, err := c.place(ctx, t, &Rollout{ID: a.Rollout}, device)
	if err != nil || !ok {
		return nil, err
	}
	m, err := c.memoOf(&row)
	if err != nil || m.Previous == "" || m.Previous == a.Digest {
		return nil, err
	}
	prev, err := c.db.Read().Model(ctx, m.Previous)
	if errors.Is(err, meta.ErrNotFound) || err == nil && !usable(&prev) {
		return nil, nil
	}
	return &prev, err
}

// alarm takes a completed rollout back whose model fails, by now, on as many devices as would have
// stopped it. A champion that may not run any longer gives way to the one before.
func (c *Controller) alarm(ctx context.Context, l *duty.Lease, t *course, failing map[string]*failures) error {
	var errs []error
	for _, r := range t.rollouts {
		f := failing[r.ID]
		if f == nil || f.failed < quorum(&r.Spec, f.devices, f.devices) {
			continue
		}
		r.Status.Reason = fmt.Sprintf("after completion the model fails on %d of %d devices; first: %s", f.failed, f.devices, f.first)
		r.note(RollingBack, r.Status.Reason, "hub")
		c.log.Error("a completed rollout is taken back", "rollout", r.ID, "model", r.Model, "reason", r.Status.Reason)
		errs = append(errs, c.store(ctx, l, r, func(q *meta.Queries) error { return report(ctx, q, r) }))
	}
	for cohort, digest := range t.champion {
		if !slices.Contains(t.dead, digest) {
			continue
		}
		i := slices.IndexFunc(t.rollouts, func(r *Rollout) bool {
			return r.State == Completed && !r.Spec.named() && r.Spec.Cohort == cohort && usable(t.models[r.ID])
		})
		if i < 0 {
			continue
		}
		r := t.rollouts[i]
		errs = append(errs, c.db.Tx(ctx, func(q *meta.Queries) error {
			if err := unchanged(ctx, q, l, r); err != nil {
				return err
			}
			return registry.Promote(ctx, q, "rollout "+r.ID, r.Spec.Digest, cohort)
		}))
	}
	return errors.Join(errs...)
}
