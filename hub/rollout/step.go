package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

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
	Cause      spec.Cause  `json:"cause,omitempty" doc:"whose fault it is that the device does not run it: model, device, hub, network, order"`
	Reason     string      `json:"reason,omitempty"`
	Stats      spec.Paired `json:"stats"`
	Previous   string      `json:"previous,omitempty"` // digest it ran before
	AssignedAt int64       `json:"assigned_at"`
	Tries      int         `json:"tries,omitempty" doc:"how often it was ordered again after it had failed"`
	AgainAt    int64       `json:"again_at,omitempty" doc:"when it is ordered again, microseconds"`

	ran      bool
	shadow   spec.Paired // what it had measured in shadow when it was told to activate
	failedAt int64
	linkedAt int64
	seenAt   int64
}

// memo is the JSON kept with a device's row.
type memo struct {
	Previous string      `json:"previous"`
	Stats    spec.Paired `json:"stats"`
	Shadow   spec.Paired `json:"shadow,omitzero"`
	Cause    spec.Cause  `json:"cause,omitempty"`
	FailedAt int64       `json:"failed_at,omitempty"`
	Tries    int         `json:"tries,omitempty"`
	// Ran says that the device has had it in use, its trial behind it
	Ran bool `json:"ran,omitempty"`
}

func (c *Controller) step(ctx context.Context, l *duty.Lease, w *world, id string) error {
	r, err := c.load(ctx, c.db.Read(), id)
	if err != nil {
		return err
	}
	parts, err := c.parts(ctx, w, r)
	if err != nil {
		return err
	}
	if r.State == RollingBack {
		return c.takeBack(ctx, l, r, parts)
	}
	if r.State != Running {
		return nil
	}
	if why := w.frozen.of(r.Task); why != "" {
		return errors.Join(c.record(ctx, l, r, parts), c.hold(ctx, l, r, why))
	}
	if at := r.CreatedAt + seconds(r.Spec.Expires); r.Spec.Expires > 0 && meta.Now() > at {
		return c.expire(ctx, l, r)
	}
	before := r.Status
	d := Decide(r.Spec.Digest, &r.Spec, r.Status, views(parts), Clock{Now: meta.Now(), Started: c.started})
	if err := c.record(ctx, l, r, parts); err != nil {
		return err
	}
	at := index(parts)
	for _, o := range d.Orders[:min(len(d.Orders), maxOrders)] {
		if err := c.order(ctx, l, r, o, &parts[at[o.Device]]); err != nil {
			return fmt.Errorf("device %q: %w", o.Device, err)
		}
	}
	r.Status = d.Status
	switch {
	case d.State != Running:
		r.note(d.State, d.Status.Reason, "hub")
	case d.Status.Stage != before.Stage:
		reason := "entered stage " + d.Status.StageName
		if d.Status.Left != "" {
			reason += " without waiting for all: " + d.Status.Left
		}
		r.note(Running, reason, "hub")
	case sameStatus(before, d.Status):
		return nil
	}
	entered := d.State != Running || d.Status.Stage != before.Stage
	err = c.store(ctx, l, r, func(q *meta.Queries) error {
		if d.State == Completed {
			if err := promote(ctx, q, r); err != nil {
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

// expire pauses a rollout that has taken longer than it may.
func (c *Controller) expire(ctx context.Context, l *duty.Lease, r *Rollout) error {
	r.Status.Reason = fmt.Sprintf("inconclusive: the rollout has taken longer than expires_s allows, %v", time.Duration(r.Spec.Expires)*time.Second)
	r.note(Paused, r.Status.Reason, "hub")
	return c.store(ctx, l, r, func(q *meta.Queries) error { return report(ctx, q, r) })
}

// maxOrders is how many devices are told something in one round: the next round looks anew.
const maxOrders = 500

// index finds devices in parts.
func index(parts []Part) map[string]int {
	at := make(map[string]int, len(parts))
	for i := range parts {
		at[parts[i].Device] = i
	}
	return at
}

// promote makes the model of a completed rollout the champion of those it was for. Devices that are
// named keep it as theirs alone.
func promote(ctx context.Context, q *meta.Queries, r *Rollout) error {
	if r.Spec.named() {
		return nil
	}
	return registry.Promote(ctx, q, "rollout "+r.ID, r.Spec.Digest, r.Spec.Cohort)
}

func views(parts []Part) []View {
	out := make([]View, len(parts))
	for i, p := range parts {
		out[i] = View{
			Device:    p.Device,
			Connected: p.Connected,
			LinkedAt:  p.linkedAt,
			Assigned:  p.AssignedAt,
			Wanted:    p.Wanted,
			Phase:     p.Phase,
			Cause:     p.Cause,
			Reason:    p.Reason,
			Stats:     p.Stats,
			Shadow:    p.shadow,
			SeenAt:    p.seenAt,
			FailedAt:  p.failedAt,
			Tries:     p.Tries,
		}
	}
	return out
}

func sameStatus(a, b Status) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// targets reports whether a rollout is for a device that runs its task.
func (r *Rollout) targets(d *meta.Device) bool {
	among := func(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }
	s := &r.Spec
	return among(s.Devices, d.Name) && among(s.Sites, d.Site) && among(s.Classes, d.Class) && (s.Cohort == "" || d.Cohort == s.Cohort)
}

// parts joins the targets of a rollout with what they were ordered and what they report. A device
// that another rollout of the task has is none of its own.
func (c *Controller) parts(ctx context.Context, w *world, r *Rollout) ([]Part, error) {
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
	others, err := c.others(ctx, r)
	if err != nil {
		return nil, err
	}
	var out []Part
	for _, name := range names {
		dev := w.devices[name]
		if dev == nil {
			continue
		}
		row, ok := ordered[name]
		if dev.RevokedAt != 0 || dev.Suspect != "" || !r.targets(dev) || !ok && others[name] != "" {
			continue
		}
		p := Part{Device: name, Connected: dev.Connected, linkedAt: dev.LinkedAt}
		var m memo
		if ok {
			if m, err = c.memoOf(&row); err != nil {
				return nil, fmt.Errorf("device %q: %w", name, err)
			}
			p.Previous, p.Stats, p.shadow, p.AssignedAt = m.Previous, m.Stats, m.Shadow, row.UpdatedAt
			p.Phase, p.Cause, p.Reason = spec.Phase(row.Phase), m.Cause, row.Reason
			p.failedAt, p.Tries, p.ran = m.FailedAt, m.Tries, m.Ran
			p.Wanted = wanted(row.Stage)
		}
		p.seenAt = w.reported[name].at
		task := w.reported[name].tasks[r.Task]
		if a := task.assignment; a != nil && a.Rollout == r.ID && ok && a.Generation >= uint64(row.Generation) {
			p.Phase, p.Cause, p.Reason, p.Stats = a.Phase, a.Cause, a.Reason, a.Stats
			if err := p.Stats.Blocks.Check(); err != nil {
				p.Stats, p.Reason = spec.Paired{}, "what it reports cannot be: "+err.Error()
			}
		}
		if p.Phase.Failed() && p.failedAt > 0 {
			if v := views([]Part{p})[0]; v.again(&r.Spec, p.Cause) {
				p.AgainAt = p.failedAt + penalty(p.Tries)
			}
		}
		if !ok {
			p.Previous = task.champion
		}
		out = append(out, p)
	}
	return out, nil
}

// others names the rollouts under way that have devices of the same task.
func (c *Controller) others(ctx context.Context, r *Rollout) (map[string]string, error) {
	out := map[string]string{}
	for _, state := range []State{Running, Paused} {
		rs, err := c.list(ctx, c.db.Read(), r.Task, string(state), 0)
		if err != nil {
			return nil, err
		}
		for _, o := range rs {
			if o.ID == r.ID {
				continue
			}
			rows, err := c.db.Read().RolloutDevices(ctx, o.ID)
			if err != nil {
				return nil, err
			}
			for _, row := range rows {
				out[row.Device] = o.ID
			}
		}
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

// assignment is what a rollout assigns to a device for a phase.
func (r *Rollout) assignment(m *meta.Model, generation uint64, phase spec.Phase) spec.Assignment {
	return spec.Assignment{
		Generation: generation,
		Digest:     m.Digest,
		Version:    registry.Name(*m),
		Target:     m.Target,
		Size:       m.Size,
		Phase:      phase,
		Hold:       r.State == Paused,
		Rollout:    r.ID,
		Window:     r.Spec.Window,
		Trial:      r.Spec.Trial(),
	}
}

// order stores what one device shall do, in its desired state and in the rollout, and publishes it.
func (c *Controller) order(ctx context.Context, l *duty.Lease, r *Rollout, o Order, p *Part) error {
	m, err := c.db.Read().Model(ctx, r.Spec.Digest)
	if err != nil {
		return err
	}
	stage := int64(0)
	if o.Phase == spec.PhaseActive {
		stage = 1
	}
	switch {
	case o.Again:
		p.Tries++
		p.Phase, p.Cause, p.Reason, p.failedAt, p.Stats, p.shadow = "", "", "", 0, spec.Paired{}, spec.Paired{}
	case stage == 1 && p.Phase == spec.PhaseShadow:
		p.shadow = p.Stats
	}
	at := meta.Now()
	_, err = c.fleet.UpdateDesired(ctx, o.Device, func(q *meta.Queries, d *spec.Desired) error {
		if err := unchanged(ctx, q, l, r); err != nil {
			return err
		}
		d.Assignments[r.Task] = r.assignment(&m, d.Generation, o.Phase)
		return put(ctx, q, r, p, stage, int64(d.Generation), at)
	})
	if err == nil {
		p.Wanted, p.AssignedAt = o.Phase, at
	}
	return err
}

// put stores a device's place in a rollout.
func put(ctx context.Context, q *meta.Queries, r *Rollout, p *Part, stage, generation, at int64) error {
	stats, err := json.Marshal(memo{
		Previous: p.Previous,
		Stats:    p.Stats,
		Shadow:   p.shadow,
		Cause:    p.Cause,
		FailedAt: p.failedAt,
		Tries:    p.Tries,
		Ran:      p.ran || p.Phase == spec.PhaseActive,
	})
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
	now, at := meta.Now(), index(parts)
	rows = slices.DeleteFunc(rows, func(row meta.RolloutDevice) bool {
		i, ok := at[row.Device]
		if !ok {
			return true
		}
		p := &parts[i]
		switch failed := p.Phase.Failed(); {
		case failed && p.failedAt == 0:
			p.failedAt = now
		case !failed:
			p.failedAt = 0
		}
		return string(p.Phase) == row.Phase && p.Reason == row.Reason
	})
	if len(rows) == 0 {
		return nil
	}
	return c.db.Tx(ctx, func(q *meta.Queries) error {
		if err := unchanged(ctx, q, l, r); err != nil {
			return err
		}
		for _, row := range rows {
			if err := put(ctx, q, r, &parts[at[row.Device]], row.Stage, row.Generation, row.UpdatedAt); err != nil {
				return err
			}
		}
		return nil
	})
}
