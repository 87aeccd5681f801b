package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"skerry.dev/hub/duty"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
)

// Controller drives the rollouts. Use New, then Run; the methods are safe for concurrent use.
type Controller struct {
	db       *meta.Store
	fleet    *fleet.Fleet
	registry *registry.Registry
	log      *slog.Logger

	sight     sight
	started   int64  // since when this hub decides, microseconds
	looked    string // what devices' tasks followed from when all of them were looked at, and when
	lookedAt  time.Time
	converged time.Time // when devices were last compared with what they should run
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
	c.started = meta.Now()
	cursor, err := feed.Head(ctx, c.db.Read())
	if err != nil {
		return fmt.Errorf("start rollouts: %w", err)
	}
	for ctx.Err() == nil {
		began := time.Now()
		if err := c.stepAll(ctx, l); err != nil && ctx.Err() == nil {
			c.log.Error("rollouts not advanced", "err", err)
		}
		took := min(time.Since(began), 10*time.Second)
		waiting, cancel := context.WithTimeout(ctx, 2*time.Second)
		if cursor, err = feed.Wait(waiting, c.db, cursor, feed.KindState, feed.KindRollout); err != nil {
			<-waiting.Done()
		}
		cancel()
		select { // reports come in bursts; of a large fleet a look takes time, and no more than a fifth of it
		case <-ctx.Done():
		case <-time.After(max(100*time.Millisecond, 4*took)):
		}
	}
	return nil
}

func (c *Controller) stepAll(ctx context.Context, l *duty.Lease) error {
	w, err := c.look(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, state := range []State{Running, RollingBack} {
		rs, err := c.db.Read().Rollouts(ctx, "", string(state), 0)
		if err != nil {
			return err
		}
		for _, r := range rs {
			if err := c.step(ctx, l, w, r.ID); err != nil && !errors.Is(err, ErrChanged) {
				errs = append(errs, fmt.Errorf("rollout %s: %w", r.ID, err))
			}
		}
	}
	if time.Since(c.converged) >= time.Second {
		if w, err = c.look(ctx); err != nil { // what was ordered just now
			return err
		}
		if err := c.converge(ctx, l, w); err != nil && !errors.Is(err, ErrChanged) {
			errs = append(errs, fmt.Errorf("what devices should run: %w", err))
		}
		c.converged = time.Now()
	}
	return errors.Join(errs...)
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

func decodeSpec(row meta.Rollout) (s Spec, err error) {
	if err := json.Unmarshal([]byte(row.Spec), &s); err != nil {
		return s, fmt.Errorf("rollout %q: %w", row.ID, err)
	}
	return s, nil
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
	w, err := c.look(ctx)
	if err != nil {
		return nil, nil, err
	}
	parts, err := c.parts(ctx, w, r)
	return r, parts, err
}
