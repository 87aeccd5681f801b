package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"skerry.dev/hub/duty"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/sync/spec"
)

// Part is a device's place in a rollout.
type Part struct {
	Device     string      `json:"device"`
	Connected  bool        `json:"connected"`
	Wanted     spec.Phase  `json:"wanted"`
	Phase      spec.Phase  `json:"phase"`
	Reason     string      `json:"reason,omitempty"`
	Stats      spec.Paired `json:"stats"`
	Previous   string      `json:"previous,omitempty"` // digest to go back to
	AssignedAt int64       `json:"assigned_at"`
}

// memo is the JSON kept with a device's row.
type memo struct {
	Previous string      `json:"previous"`
	Stats    spec.Paired `json:"stats"`
}

func (c *Controller) step(ctx context.Context, l *duty.Lease, id string) error {
	r, err := c.load(ctx, c.db.Read(), id)
	if err != nil {
		return err
	}
	parts, err := c.parts(ctx, r)
	if err != nil {
		return err
	}
	if r.State == RollingBack {
		return c.takeBack(ctx, l, r, parts)
	}
	if r.State != Running {
		return nil
	}
	views := make([]View, len(parts))
	for i, p := range parts {
		_, seen, err := c.fleet.Reported(ctx, p.Device)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		views[i] = View{
			Device:    p.Device,
			Connected: p.Connected,
			Assigned:  p.AssignedAt,
			Wanted:    p.Wanted,
			Phase:     p.Phase,
			Reason:    p.Reason,
			Stats:     p.Stats,
			SeenAt:    seen,
		}
	}
	before := r.Status
	d := Decide(r.Spec.Digest, &r.Spec, r.Status, views, meta.Now())
	for _, o := range d.Orders {
		if err := c.order(ctx, l, r, o, parts); err != nil {
			return fmt.Errorf("device %q: %w", o.Device, err)
		}
	}
	if err := c.record(ctx, l, r, parts); err != nil {
		return err
	}
	r.Status = d.Status
	switch {
	case d.State != Running:
		r.note(d.State, d.Status.Reason, "hub")
	case d.Status.Stage != before.Stage:
		r.note(Running, "entered stage "+d.Status.StageName, "hub")
	case sameStatus(before, d.Status):
		return nil
	}
	entered := d.State != Running || d.Status.Stage != before.Stage
	err = c.store(ctx, l, r, func(q *meta.Queries) error {
		if d.State == Completed {
			if err := registry.Promote(ctx, q, "rollout "+r.ID, r.Spec.Digest, r.Spec.Cohort); err != nil {
				return err
			}
		}
		if !entered {
			return nil
		}
		return report(ctx, q, r)
	})
	if err == nil && entered {
		c.log.Info("rollout", "rollout", r.ID, "model", r.Model, "state", string(d.State), "stage", d.Status.StageName, "reason", d.Status.Reason)
	}
	return err
}

func sameStatus(a, b Status) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// parts joins the targets of a rollout with what they were ordered and what they report.
func (c *Controller) parts(ctx context.Context, r *Rollout) ([]Part, error) {
	q := c.db.Read()
	names, err := q.TaskDevices(ctx, r.Task)
	if err != nil {
		return nil, err
	}
	rows, err := q.RolloutDevices(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	ordered := map[string]meta.RolloutDevice{}
	for _, row := range rows {
		ordered[row.Device] = row
	}
	var out []Part
	for _, name := range names {
		if len(r.Spec.Devices) > 0 && !slices.Contains(r.Spec.Devices, name) {
			continue
		}
		dev, err := q.Device(ctx, name)
		if errors.Is(err, meta.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if dev.RevokedAt != 0 || dev.Suspect != "" || r.Spec.Cohort != "" && dev.Cohort != r.Spec.Cohort {
			continue
		}
		p := Part{Device: name, Connected: dev.Connected}
		row, ok := ordered[name]
		if ok {
			var m memo
			if err := json.Unmarshal([]byte(row.Stats), &m); err != nil {
				return nil, fmt.Errorf("device %q: %w", name, err)
			}
			p.Previous, p.Stats, p.AssignedAt = m.Previous, m.Stats, row.UpdatedAt
			p.Phase, p.Reason = spec.Phase(row.Phase), row.Reason
			p.Wanted = wanted(row.Stage)
		}
		rep, _, err := c.fleet.Reported(ctx, name)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return nil, err
		}
		task := rep.Tasks[r.Task]
		if a := task.Assignment; a != nil && a.Rollout == r.ID && ok && a.Generation >= uint64(row.Generation) {
			p.Phase, p.Reason, p.Stats = a.Phase, a.Reason, a.Stats
		}
		if !ok {
			p.Previous = task.Champion
		}
		out = append(out, p)
	}
	return out, nil
}

// wanted translates the stage column: -1 nothing, 0 shadow, above active.
func wanted(stage int64) spec.Phase {
	switch {
	case stage < 0:
		return ""
	case stage == 0:
		return spec.PhaseShadow
	default:
		return spec.PhaseActive
	}
}

// order stores what one device shall do, in its desired state and in the rollout, and publishes it.
func (c *Controller) order(ctx context.Context, l *duty.Lease, r *Rollout, o Order, parts []Part) error {
	m, err := c.db.Read().Model(ctx, r.Spec.Digest)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(parts, func(p Part) bool { return p.Device == o.Device })
	p := &parts[i]
	stage := int64(0)
	if o.Phase == spec.PhaseActive {
		stage = 1
	}
	at := meta.Now()
	_, err = c.fleet.UpdateDesired(ctx, o.Device, func(q *meta.Queries, d *spec.Desired) error {
		if err := unchanged(ctx, q, l, r); err != nil {
			return err
		}
		d.Assignments[r.Task] = spec.Assignment{
			Generation: d.Generation,
			Digest:     r.Spec.Digest,
			Version:    r.Model,
			Target:     m.Target,
			Size:       m.Size,
			Phase:      o.Phase,
			Rollout:    r.ID,
			Trial:      r.Spec.trial(),
		}
		return put(ctx, q, r, p, stage, int64(d.Generation), at)
	})
	if err == nil {
		p.Wanted, p.AssignedAt = o.Phase, at
	}
	return err
}

// put stores a device's place in a rollout.
func put(ctx context.Context, q *meta.Queries, r *Rollout, p *Part, stage, generation, at int64) error {
	stats, err := json.Marshal(memo{p.Previous, p.Stats})
	if err != nil {
		return err
	}
	return q.PutRolloutDevice(ctx, meta.RolloutDevice{
		Rollout:    r.ID,
		Device:     p.Device,
		Stage:      stage,
		Generation: generation,
		Phase:      string(p.Phase),
		Reason:     p.Reason,
		Stats:      string(stats),
		UpdatedAt:  at,
	})
}

// record stores what devices reported, so that it survives their next assignment.
func (c *Controller) record(ctx context.Context, l *duty.Lease, r *Rollout, parts []Part) error {
	rows, err := c.db.Read().RolloutDevices(ctx, r.ID)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(row meta.RolloutDevice) bool {
		i := slices.IndexFunc(parts, func(p Part) bool { return p.Device == row.Device })
		return i < 0 || string(parts[i].Phase) == row.Phase && parts[i].Reason == row.Reason
	})
	if len(rows) == 0 {
		return nil
	}
	return c.db.Tx(ctx, func(q *meta.Queries) error {
		if err := unchanged(ctx, q, l, r); err != nil {
			return err
		}
		for _, row := range rows {
			i := slices.IndexFunc(parts, func(p Part) bool { return p.Device == row.Device })
			if err := put(ctx, q, r, &parts[i], row.Stage, row.Generation, row.UpdatedAt); err != nil {
				return err
			}
		}
		return nil
	})
}

// adopt gives the champion to devices that came after its rollout had completed. They try it in
// shadow first like any other.
func (c *Controller) adopt(ctx context.Context, l *duty.Lease) error {
	q := c.db.Read()
	champions, err := q.Champions(ctx)
	if err != nil {
		return err
	}
	for _, ch := range champions {
		rs, err := c.List(ctx, ch.Task, "", 50)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(rs, func(r *Rollout) bool {
			return r.State == Completed && r.Spec.Digest == ch.Digest && r.Spec.Cohort == ch.Cohort
		})
		if i < 0 || slices.ContainsFunc(rs, func(r *Rollout) bool { return !r.State.Final() }) {
			continue // promoted by hand, or the next rollout decides
		}
		parts, err := c.parts(ctx, rs[i])
		if err != nil {
			return err
		}
		for _, p := range parts {
			if p.Wanted != "" {
				continue
			}
			want, err := c.fleet.Desired(ctx, p.Device)
			if err != nil {
				return err
			}
			if _, ok := want.Assignments[ch.Task]; ok {
				continue
			}
			if err := c.order(ctx, l, rs[i], Order{p.Device, spec.PhaseActive}, parts); err != nil {
				return fmt.Errorf("device %q: %w", p.Device, err)
			}
			c.log.Info("champion assigned to a new device", "device", p.Device, "model", rs[i].Model)
		}
	}
	return nil
}
