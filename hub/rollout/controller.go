package rollout

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"skerry.dev/hub/duty"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/sync/spec"
)

// Controller drives the rollouts. Use New, then Run; the methods are safe for concurrent use.
type Controller struct {
	db       *meta.Store
	fleet    *fleet.Fleet
	registry *registry.Registry
	log      *slog.Logger
}

// New returns a controller that does nothing before Run.
func New(db *meta.Store, f *fleet.Fleet, r *registry.Registry, log *slog.Logger) *Controller {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Controller{db: db, fleet: f, registry: r, log: log}
}

// Run advances the rollouts until ctx ends: when the feed has a reported state or a command, and
// every two seconds, because deadlines pass without an event. Every step looks at the database
// alone, so nothing depends on which events it has seen. It is done under a duty.
func (c *Controller) Run(ctx context.Context, l *duty.Lease) error {
	cursor, err := feed.Head(ctx, c.db.Read())
	if err != nil {
		return fmt.Errorf("start rollouts: %w", err)
	}
	for ctx.Err() == nil {
		if err := c.stepAll(ctx, l); err != nil && ctx.Err() == nil {
			c.log.Error("rollouts not advanced", "err", err)
		}
		waiting, cancel := context.WithTimeout(ctx, 2*time.Second)
		if cursor, err = feed.Wait(waiting, c.db, cursor, feed.KindState, feed.KindRollout); err != nil {
			<-waiting.Done()
		}
		cancel()
		select { // reports come in bursts
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

func (c *Controller) stepAll(ctx context.Context, l *duty.Lease) error {
	var errs []error
	for _, state := range []State{Running, RollingBack} {
		rs, err := c.db.Read().Rollouts(ctx, "", string(state), 0)
		if err != nil {
			return err
		}
		for _, r := range rs {
			if err := c.step(ctx, l, r.ID); err != nil && !errors.Is(err, ErrChanged) {
				errs = append(errs, fmt.Errorf("rollout %s: %w", r.ID, err))
			}
		}
	}
	if err := c.adopt(ctx, l); err != nil && !errors.Is(err, ErrChanged) {
		errs = append(errs, fmt.Errorf("champions for new devices: %w", err))
	}
	return errors.Join(errs...)
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
			if _, told := want.Assignments[ch.Task]; told {
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

// Rollout is a rollout with its documents decoded.
type Rollout struct {
	ID        string `json:"id"`
	Task      string `json:"task"`
	Model     string `json:"model"` // task@version
	State     State  `json:"state"`
	Spec      Spec   `json:"spec"`
	Status    Status `json:"status"`
	CreatedBy string `json:"created_by"`
	CreatedAt int64  `json:"created_at"`
	UpdatedAt int64  `json:"updated_at"`
}

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

func (c *Controller) load(ctx context.Context, q *meta.Queries, id string) (*Rollout, error) {
	row, err := q.Rollout(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("rollout %q: %w", id, err)
	}
	return c.decode(ctx, q, row)
}

func (c *Controller) decode(ctx context.Context, q *meta.Queries, row meta.Rollout) (*Rollout, error) {
	r := &Rollout{
		ID:        row.ID,
		Task:      row.Task,
		State:     State(row.State),
		CreatedBy: row.CreatedBy,
		CreatedAt: row.CreatedAt,
		UpdatedAt: row.UpdatedAt,
	}
	if err := errors.Join(json.Unmarshal([]byte(row.Spec), &r.Spec), json.Unmarshal([]byte(row.Status), &r.Status)); err != nil {
		return nil, fmt.Errorf("rollout %q: %w", row.ID, err)
	}
	if m, err := q.Model(ctx, row.Digest); err == nil {
		r.Model = registry.Name(m)
	}
	return r, nil
}

func (c *Controller) save(ctx context.Context, q *meta.Queries, r *Rollout) error {
	s, err1 := json.Marshal(r.Spec)
	st, err2 := json.Marshal(r.Status)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	// it distinguishes one version of the row from another
	r.UpdatedAt = max(meta.Now(), r.UpdatedAt+1)
	return q.PutRollout(ctx, meta.Rollout{
		ID:        r.ID,
		Task:      r.Task,
		Digest:    r.Spec.Digest,
		State:     string(r.State),
		Stage:     int64(r.Status.Stage),
		Spec:      string(s),
		Status:    string(st),
		CreatedBy: r.CreatedBy,
		CreatedAt: r.CreatedAt,
		UpdatedAt: r.UpdatedAt,
	})
}

// ErrChanged is returned when a rollout was changed since it was read, here or at another hub: what
// follows from the old one must not be written.
var ErrChanged = errors.New("the rollout was changed meanwhile")

// unchanged checks in a transaction that writes what follows from r that r is still what is stored
// and that the duty is held. l is nil for a command, which any hub may carry out.
func unchanged(ctx context.Context, q *meta.Queries, l *duty.Lease, r *Rollout) error {
	if err := l.Check(ctx, q); err != nil {
		return err
	}
	row, err := q.Rollout(ctx, r.ID)
	if err == nil && row.UpdatedAt != r.UpdatedAt {
		err = ErrChanged
	}
	return err
}

// store saves a rollout that was read before and runs fn, all in one transaction.
func (c *Controller) store(ctx context.Context, l *duty.Lease, r *Rollout, fn func(*meta.Queries) error) error {
	read := r.UpdatedAt
	return c.db.Tx(ctx, func(q *meta.Queries) error {
		r.UpdatedAt = read
		if err := unchanged(ctx, q, l, r); err != nil {
			return err
		}
		if err := c.save(ctx, q, r); err != nil {
			return err
		}
		return fn(q)
	})
}

// report appends the state of a rollout to the feed.
func report(ctx context.Context, q *meta.Queries, r *Rollout) error {
	return feed.Add(ctx, q, feed.KindRollout, r.Task, "", feed.Rollout{
		ID:     r.ID,
		State:  string(r.State),
		Stage:  r.Status.StageName,
		Reason: short(r.Status.Reason),
	})
}

// short cuts what people or devices wrote to what an event may hold.
func short(s string) string {
	const maxBytes = 1000
	if len(s) <= maxBytes {
		return s
	}
	return strings.ToValidUTF8(s[:maxBytes], "")
}

func (r *Rollout) note(state State, reason, actor string) {
	r.State = state
	r.Status.History = append(r.Status.History, Step{
		At:     meta.Now(),
		State:  state,
		Stage:  r.Status.StageName,
		Reason: reason,
		Actor:  actor,
	})
}

// List returns rollouts, newest first.
func (c *Controller) List(ctx context.Context, task, state string, limit int) ([]*Rollout, error) {
	return c.list(ctx, c.db.Read(), task, state, limit)
}

func (c *Controller) list(ctx context.Context, q *meta.Queries, task, state string, limit int) ([]*Rollout, error) {
	rows, err := q.Rollouts(ctx, task, state, limit)
	if err != nil {
		return nil, err
	}
	out := []*Rollout{}
	for _, row := range rows {
		r, err := c.decode(ctx, q, row)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Get returns a rollout and its devices.
func (c *Controller) Get(ctx context.Context, id string) (*Rollout, []Part, error) {
	r, err := c.load(ctx, c.db.Read(), id)
	if err != nil {
		return nil, nil, err
	}
	parts, err := c.parts(ctx, r)
	return r, parts, err
}

var (
	// ErrBusy is returned when a task has a rollout already.
	ErrBusy = errors.New("the task has a rollout under way: complete, abort or roll it back first")
	// ErrRefused marks what the caller got wrong: a specification that cannot be, or a command that
	// the rollout's state does not allow. The error that matches it describes what; other errors
	// than these two, meta.ErrNotFound and registry.ErrTombstoned are the hub's own.
	ErrRefused = errors.New("rollout refused")
)

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
	if err := s.Defaults(); err != nil {
		return refusal{err}
	}
	return nil
}

// free returns ErrBusy when the task has a rollout under way.
func (c *Controller) free(ctx context.Context, q *meta.Queries, task string) error {
	old, err := c.list(ctx, q, task, "", 50)
	if err != nil {
		return err
	}
	for _, o := range old {
		if !o.State.Final() {
			return fmt.Errorf("%w (rollout %s of %s is %s)", ErrBusy, o.ID, o.Model, o.State)
		}
	}
	return nil
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
		if err := c.free(ctx, q, s.Task); err != nil {
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
	Abort    Command = "abort"    // stop; devices that run the candidate keep it
	Rollback Command = "rollback" // stop, tombstone the version and take it back everywhere
	Skip     Command = "skip"     // enter the next stage although this one is not through
	Retry    Command = "retry"    // order the failed devices again
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
		r.note(Running, reason, actor)
	case Abort:
		err = refuse(Running, Paused, Awaiting, Draft)
		r.Status.Reason = reason
		r.note(Aborted, reason, actor)
	case Rollback:
		err = refuse(Running, Paused, Completed, Aborted)
		r.Status.Reason = reason
		r.note(RollingBack, reason, actor)
	case Skip:
		if err = refuse(Running, Paused); err == nil {
			d := Decision{State: Running, Status: r.Status}
			d.advance(&r.Spec, meta.Now())
			r.Status = d.Status
			r.note(d.State, reason, actor)
			if d.State == Completed {
				err = c.finish(ctx, r)
				also = func(q *meta.Queries) error {
					return registry.Promote(ctx, q, "rollout "+r.ID, r.Spec.Digest, r.Spec.Cohort)
				}
			}
		}
	case Retry:
		if err = refuse(Running, Paused); err == nil {
			also, err = c.retry(ctx, r)
			r.note(Running, reason, actor)
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

// finish orders the candidate on every target, for a last stage that was skipped.
func (c *Controller) finish(ctx context.Context, r *Rollout) error {
	parts, err := c.parts(ctx, r)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.Wanted != spec.PhaseActive && !failedPhase(p.Phase) {
			if err := c.order(ctx, nil, r, Order{p.Device, spec.PhaseActive}, parts); err != nil {
				return fmt.Errorf("device %q: %w", p.Device, err)
			}
		}
	}
	return nil
}

func failedPhase(p spec.Phase) bool {
	return p == spec.PhaseFailed || p == spec.PhaseVetoed || p == spec.PhaseReverted
}

// retry returns what removes the reports of failed devices, so that they get a new generation.
func (c *Controller) retry(ctx context.Context, r *Rollout) (func(*meta.Queries) error, error) {
	// not the stored phases: a device may have failed while the rollout was paused
	parts, err := c.parts(ctx, r)
	if err != nil {
		return nil, err
	}
	rows, err := c.db.Read().RolloutDevices(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return func(q *meta.Queries) error {
		for _, row := range rows {
			i := slices.IndexFunc(parts, func(p Part) bool { return p.Device == row.Device })
			if i < 0 || !failedPhase(parts[i].Phase) {
				continue
			}
			stats, err := json.Marshal(memo{Previous: parts[i].Previous})
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
	told := map[string]meta.RolloutDevice{}
	for _, row := range rows {
		told[row.Device] = row
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
		row, ok := told[name]
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
	if err := c.remember(ctx, l, r, parts); err != nil {
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

// remember stores what devices reported, so that it survives their next assignment.
func (c *Controller) remember(ctx context.Context, l *duty.Lease, r *Rollout, parts []Part) error {
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
		if err := c.giveBack(ctx, l, r, p); err != nil {
			return fmt.Errorf("device %q: %w", p.Device, err)
		}
	}
	if err := c.remember(ctx, l, r, parts); err != nil {
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

func (c *Controller) giveBack(ctx context.Context, l *duty.Lease, r *Rollout, p *Part) error {
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
		if prev.Digest != "" && prev.TombstonedAt == 0 {
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
		if m, err := q.Model(ctx, p.Previous); err == nil && m.TombstonedAt == 0 {
			return registry.Promote(ctx, q, "rollout "+r.ID, m.Digest, r.Spec.Cohort)
		}
	}
	return nil
}
