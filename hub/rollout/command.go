package rollout

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/sync/spec"
)

var (
	// ErrBusy is returned when another rollout of the task has some of the devices.
	ErrBusy = errors.New("another rollout of the task is under way on the same devices: complete, abort or roll it back first")
	// ErrRefused marks what the caller got wrong: a specification that cannot be, or a command that
	// the rollout's state does not allow. The error that matches it describes what; other errors
	// than these two, meta.ErrNotFound and registry.ErrTombstoned are the hub's own.
	ErrRefused = errors.New("rollout refused")
)

// Refused makes a refusal of what a caller asks for.
func Refused(text string) error { return refusal{errors.New(text)} }

// refusal makes an error match ErrRefused without changing its text.
type refusal struct{ error }

func (r refusal) Is(target error) bool { return target == ErrRefused }
func (r refusal) Unwrap() error        { return r.error }

// complete checks a spec against the model it names and fills in the defaults.
func (c *Controller) complete(ctx context.Context, s *Spec) error {
	m, err := c.db.Read().Model(ctx, s.Digest)
	if err != nil {
		return fmt.Errorf("model %q: %w", s.Digest, err)
	}
	if s.Task == "" {
		s.Task = m.Task
	}
	if s.Task != m.Task {
		return refusal{fmt.Errorf("model %s is for task %q, not %q", registry.Name(m), m.Task, s.Task)}
	}
	if m.TombstonedAt != 0 {
		return fmt.Errorf("model %s: %w: %s", registry.Name(m), registry.ErrTombstoned, m.Tombstone)
	}
	if m.RemovedAt != 0 {
		return refusal{fmt.Errorf("model %s: %w: upload it again", registry.Name(m), registry.ErrRemoved)}
	}
	for _, name := range s.Devices {
		if _, err := c.db.Read().Device(ctx, name); errors.Is(err, meta.ErrNotFound) {
			return refusal{fmt.Errorf("devices: %q is not enrolled", name)}
		} else if err != nil {
			return err
		}
	}
	if s.Cycle == 0 {
		if s.Cycle, err = c.cycle(ctx, s.Task); err != nil {
			return err
		}
	}
	if err := s.Defaults(); err != nil {
		return refusal{err}
	}
	return nil
}

// cycleHorizons is how many horizons of a task its cycle has at least.
const cycleHorizons = 3

// cycle returns the seconds that losses of a task must span where its horizon is long, 0 for the
// default.
func (c *Controller) cycle(ctx context.Context, task string) (int64, error) {
	row, err := c.db.Read().Task(ctx, task)
	if errors.Is(err, meta.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	t, err := spec.ParseTask(task, strings.NewReader(row.Spec))
	if err != nil {
		return 0, nil // no device runs it by this file
	}
	s := int64(cycleHorizons * t.Target.Horizon.Std() / time.Second)
	if s <= defaultCycle {
		return 0, nil
	}
	return s, nil
}

// free returns ErrBusy when the task has a rollout under way that may have some of the same devices.
func (c *Controller) free(ctx context.Context, q *meta.Queries, s *Spec) error {
	for _, state := range []State{Draft, Awaiting, Running, Paused, RollingBack} {
		old, err := c.list(ctx, q, s.Task, string(state), 0)
		if err != nil {
			return err
		}
		for _, o := range old {
			if o.Spec.meets(s) {
				return fmt.Errorf("%w (rollout %s of %s is %s)", ErrBusy, o.ID, o.Model, o.State)
			}
		}
	}
	return nil
}

// meets reports whether two rollouts of a task may be for the same device.
func (s *Spec) meets(o *Spec) bool {
	for _, lists := range [][2][]string{{s.Devices, o.Devices}, {s.Sites, o.Sites}, {s.Classes, o.Classes}} {
		a, b := lists[0], lists[1]
		if len(a) > 0 && len(b) > 0 && !slices.ContainsFunc(a, func(name string) bool { return slices.Contains(b, name) }) {
			return false
		}
	}
	return s.Cohort == "" || o.Cohort == "" || s.Cohort == o.Cohort
}

// Create starts a rollout, or leaves it awaiting an approval.
func (c *Controller) Create(ctx context.Context, actor string, s Spec) (*Rollout, error) {
	if err := c.complete(ctx, &s); err != nil {
		return nil, err
	}
	m, err := c.db.Read().Model(ctx, s.Digest)
	if err != nil {
		return nil, fmt.Errorf("model %q: %w", s.Digest, err)
	}
	var id [6]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	r := &Rollout{
		ID:        "r-" + hex.EncodeToString(id[:]),
		Task:      s.Task,
		Model:     registry.Name(m),
		Spec:      s,
		CreatedBy: actor,
		CreatedAt: meta.Now(),
		Status:    Status{StageName: ShadowStage, Step: "rolling", Since: meta.Now()},
	}
	state := Running
	if s.Approval {
		state = Awaiting
	}
	r.note(state, "created", actor)
	err = c.db.Tx(ctx, func(q *meta.Queries) error {
		if err := c.free(ctx, q, &s); err != nil {
			return err
		}
		if err := errors.Join(c.save(ctx, q, r), report(ctx, q, r)); err != nil {
			return err
		}
		return q.Audit(ctx, actor, "rollout.create", r.ID, r.Model)
	})
	if err != nil {
		return nil, err
	}
	c.log.Info("rollout created", "rollout", r.ID, "model", r.Model, "state", string(r.State))
	return r, nil
}

// Command is what an operator can order of a rollout.
type Command string

// The commands.
const (
	Approve  Command = "approve"
	Pause    Command = "pause"
	Resume   Command = "resume"
	Abort    Command = "abort"    // stop and withdraw it everywhere; the version may be tried again
	Rollback Command = "rollback" // stop, tombstone the version and take it back everywhere
	Skip     Command = "skip"     // enter the next stage although this one is not through; a device must run it
	Retry    Command = "retry"    // order the failed devices again, and the stage's time begins anew
)

// Do carries out a command. When the rollout changes in the middle it begins again from what is
// stored then.
func (c *Controller) Do(ctx context.Context, actor, id string, cmd Command, reason string) (*Rollout, error) {
	for try := 1; ; try++ {
		r, err := c.do(ctx, actor, id, cmd, reason)
		if !errors.Is(err, ErrChanged) || try == maxTries {
			return r, err
		}
	}
}

// maxTries bounds how often a command begins again.
const maxTries = 10

func (c *Controller) do(ctx context.Context, actor, id string, cmd Command, reason string) (*Rollout, error) {
	r, err := c.load(ctx, c.db.Read(), id)
	if err != nil {
		return nil, err
	}
	refuse := func(allowed ...State) error {
		if slices.Contains(allowed, r.State) {
			return nil
		}
		return refusal{fmt.Errorf("rollout %s is %s: %s is possible only while it is %v", id, r.State, cmd, allowed)}
	}
	if reason == "" {
		reason = string(cmd)
	}
	also := func(*meta.Queries) error { return nil } // what is stored with the rollout
	switch cmd {
	case Approve:
		err = refuse(Awaiting, Draft)
		r.Status.Since = meta.Now()
		r.note(Running, reason, actor)
	case Pause:
		err = refuse(Running)
		r.Status.Reason = reason
		r.note(Paused, reason, actor)
	case Resume:
		err = refuse(Paused)
		r.Status.Since, r.Status.Reason = meta.Now(), ""
		r.note(Running, reason+r.extend(), actor)
	case Abort:
		err = refuse(Running, Paused, Awaiting, Draft)
		r.Status.Reason = reason
		r.note(Aborted, reason, actor)
	case Rollback:
		err = refuse(Running, Paused, Completed, Aborted)
		r.Status.Reason = reason
		r.note(RollingBack, reason, actor)
	case Skip:
		if err = refuse(Running, Paused); err != nil {
			break
		}
		if err = c.runs(ctx, r); err != nil {
			break
		}
		d, stage := Decision{State: Running, Status: r.Status}, r.Status.StageName
		d.advance(&r.Spec, meta.Now())
		r.Status = d.Status
		if r.Status.Proof == nil {
			r.Status.Proof = &Proof{At: meta.Now(), Stage: stage, By: actor}
		}
		r.note(d.State, reason, actor)
		if d.State == Completed {
			also = func(q *meta.Queries) error { return promote(ctx, q, r) }
		}
	case Retry:
		if err = refuse(Running, Paused); err == nil {
			also, err = c.retry(ctx, r)
			r.Status.Since, r.Status.HalfAt, r.Status.Reason = meta.Now(), 0, ""
			r.note(Running, reason+r.extend(), actor)
		}
	default:
		err = refusal{fmt.Errorf("unknown command %q: one of approve, pause, resume, abort, rollback, skip, retry", cmd)}
	}
	if err != nil {
		return nil, err
	}
	err = c.store(ctx, nil, r, func(q *meta.Queries) error {
		if err := errors.Join(also(q), report(ctx, q, r)); err != nil {
			return err
		}
		return q.Audit(ctx, actor, "rollout."+string(cmd), id, reason)
	})
	return r, err
}

// extend lets a rollout that has expired go on without that bound, and says so.
func (r *Rollout) extend() string {
	if r.Spec.Expires == 0 || meta.Now() <= r.CreatedAt+seconds(r.Spec.Expires) {
		return ""
	}
	r.Spec.Expires = 0
	return " (it has expired, and goes on without that bound)"
}

// runs refuses a skip that no device vouches for: one must have the candidate in the phase that the
// stage brings it to.
func (c *Controller) runs(ctx context.Context, r *Rollout) error {
	w, err := c.look(ctx)
	if err != nil {
		return err
	}
	parts, err := c.parts(ctx, w, r)
	if err != nil {
		return err
	}
	need := []spec.Phase{spec.PhaseShadow, spec.PhaseProbation, spec.PhaseActive}
	switch st := r.Status.Stage; {
	case st == len(r.Spec.Stages):
		need = need[2:]
	case st > 0:
		need = need[1:]
	}
	if slices.ContainsFunc(parts, func(p Part) bool { return slices.Contains(need, p.Phase) }) {
		return nil
	}
	return refusal{fmt.Errorf("rollout %s: no device has the model in %v yet: stage %s can only be skipped when one has", r.ID, need, r.Status.StageName)}
}

// retry returns what removes the reports of failed devices, so that they get a new generation.
func (c *Controller) retry(ctx context.Context, r *Rollout) (func(*meta.Queries) error, error) {
	// not the stored phases: a device may have failed while the rollout was paused
	w, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	parts, err := c.parts(ctx, w, r)
	if err != nil {
		return nil, err
	}
	rows, err := c.db.Read().RolloutDevices(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	at := index(parts)
	return func(q *meta.Queries) error {
		for _, row := range rows {
			i, ok := at[row.Device]
			if !ok || !parts[i].Phase.Failed() {
				continue
			}
			stats, err := json.Marshal(memo{Previous: parts[i].Previous, Ran: parts[i].ran})
			if err != nil {
				return err
			}
			// What it reports of the old generation no longer counts, nor do the losses of that
			// try.
			row.Phase, row.Reason, row.Stats, row.Generation, row.Stage, row.UpdatedAt = "", "", string(stats), row.Generation+1, -1, meta.Now()
			if err := q.PutRolloutDevice(ctx, row); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
