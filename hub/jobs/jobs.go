// Package jobs is the queue of work that takes longer than a request. Jobs are rows of the
// database; a worker takes the oldest of its kind.
//
// Whoever has taken a job holds a lease on it, which [Worker.Run] renews while the work goes on. A
// job whose lease ends is queued again: its worker is gone, or cut off. The lease has a token that
// grows with every worker, and results are stored in a transaction that checks it, so that a worker
// that lost its job stores nothing. Every change of a job's state goes to the feed with it.
//
// A job that has lost three workers fails: it is likely that it is what ends them, by the memory it
// takes for example, and the rest of the hub's work with them. A worker that is stopped in order
// gives its job back and does not count. Whoever wants to try again adds the job anew.
//
// Cancelling a job that waits ends it at once. One that runs ends with its context, when its worker
// looks at the lease the next time.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
)

// States of a job.
const (
	Queued    = "queued"
	Running   = "running"
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
)

var (
	// ErrLost is returned to a worker whose job was given to another.
	ErrLost = errors.New("the job was given to another worker")
	// ErrCancelled is the cause of the context of a job that was cancelled.
	ErrCancelled = errors.New("the job was cancelled")
	// ErrEnded is returned for a job that cannot be cancelled because it has ended.
	ErrEnded = errors.New("the job has ended")
)

// maxLost is how many workers a job may lose. A power cut or an update that went wrong takes one or
// two; every further one costs whatever else ran in the process.
const maxLost = 3

// errLost is the error of a job that has lost maxLost workers.
const errLost = "its worker died three times"

// Add queues a job in a caller's transaction and sets its state.
func Add(ctx context.Context, q *meta.Queries, j *meta.Job) error {
	j.State = Queued
	return put(ctx, q, *j)
}

// put stores a job and reports its state.
func put(ctx context.Context, q *meta.Queries, j meta.Job) error {
	if err := q.PutJob(ctx, j); err != nil {
		return err
	}
	return feed.Add(ctx, q, feed.KindJob, j.Task, "", feed.Job{ID: j.ID, Kind: j.Kind, State: j.State})
}

// Cancel ends a job in a caller's transaction, or requests it of its worker. It fails with ErrEnded
// when there is nothing to cancel any more.
func Cancel(ctx context.Context, q *meta.Queries, actor, id string) error {
	j, err := q.Job(ctx, id)
	if err != nil {
		return fmt.Errorf("job %q: %w", id, err)
	}
	l, err := q.JobLease(ctx, id)
	if err != nil {
		return fmt.Errorf("job %q: %w", id, err)
	}
	switch j.State {
	case Queued, Running:
	default:
		return fmt.Errorf("job %q is %s: %w", id, j.State, ErrEnded)
	}
	l.CancelledBy = actor
	if err := q.SetJobLease(ctx, l); err != nil || j.State == Running {
		return err
	}
	return put(ctx, q, cancelled(j, l))
}

// cancelled is the job as it ends when it was cancelled.
func cancelled(j meta.Job, l meta.JobLease) meta.Job {
	j.State, j.Error, j.FinishedAt = Cancelled, "cancelled by "+l.CancelledBy, meta.Now()
	return j
}

// Options tune a worker. The zero value is a sensible default.
type Options struct {
	// TTL is how long a lease holds without being renewed; a third of it is how long a cancelled
	// job may go on. Default 15 s.
	TTL time.Duration
	// Log is where trouble goes. nil: nowhere.
	Log *slog.Logger
}

// Worker takes jobs. Safe for concurrent use.
type Worker struct {
	db   *meta.Store
	name string
	opts Options
}

// NewWorker returns a worker. name is the same after its restart, and no two that run at one time
// may share it.
func NewWorker(db *meta.Store, name string, opts Options) *Worker {
	if opts.TTL <= 0 {
		opts.TTL = 15 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Worker{db: db, name: name, opts: opts}
}

// Recover queues the jobs again that this worker had when its process ended. Call it once, before
// the first Take.
func (w *Worker) Recover(ctx context.Context, kind string) error {
	return w.db.Tx(ctx, func(q *meta.Queries) error {
		return w.requeue(ctx, q, kind, func(l meta.JobLease, now int64) bool { return l.Worker == w.name || l.Until <= now })
	})
}

// requeue queues the running jobs again that are due, and ends those of them that were cancelled or
// have lost too many workers.
func (w *Worker) requeue(ctx context.Context, q *meta.Queries, kind string, due func(l meta.JobLease, now int64) bool) error {
	now, err := q.Clock(ctx)
	if err != nil {
		return err
	}
	running, err := q.JobsOf(ctx, kind, Running)
	if err != nil {
		return err
	}
	for _, j := range running {
		l, err := q.JobLease(ctx, j.ID)
		if err != nil {
			return err
		}
		if !due(l, now) {
			continue
		}
		if l.Worker != "" { // it did not give the job back
			l.Lost++
		}
		switch {
		case l.CancelledBy != "":
			j.StartedAt, j.Result = 0, "{}"
			j = cancelled(j, l)
		case l.Lost >= maxLost:
			j.State, j.Error, j.FinishedAt = Failed, errLost, meta.Now()
			w.opts.Log.Error("job failed: "+errLost, "job", j.ID, "task", j.Task)
		default:
			j.State, j.StartedAt, j.Result = Queued, 0, "{}" // the next worker begins anew
		}
		l.Worker, l.Until, l.Token = "", 0, l.Token+1 // the old worker is fenced off from now on
		if err := errors.Join(q.SetJobLease(ctx, l), put(ctx, q, j)); err != nil {
			return err
		}
	}
	return nil
}

// Claim is a job that a worker has.
type Claim struct {
	Job   meta.Job
	token int64
}

// Take queues again what lost its worker and takes the oldest job of a kind. It returns nil when
// there is none.
func (w *Worker) Take(ctx context.Context, kind string) (*Claim, error) {
	var c *Claim
	err := w.db.Tx(ctx, func(q *meta.Queries) error {
		c = nil
		if err := w.requeue(ctx, q, kind, func(l meta.JobLease, now int64) bool { return l.Until <= now }); err != nil {
			return err
		}
		j, err := q.OldestJob(ctx, kind, Queued)
		if errors.Is(err, meta.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		l, err := q.JobLease(ctx, j.ID)
		if err != nil {
			return err
		}
		now, err := q.Clock(ctx)
		if err != nil {
			return err
		}
		l.Worker, l.Token, l.Until = w.name, l.Token+1, now+w.opts.TTL.Microseconds()
		j.State, j.StartedAt = Running, meta.Now()
		c = &Claim{Job: j, token: l.Token}
		return errors.Join(put(ctx, q, j), q.SetJobLease(ctx, l))
	})
	if err != nil {
		return nil, fmt.Errorf("take a job: %w", err)
	}
	return c, nil
}

// lease returns the lease of a claim in a transaction, or ErrLost.
func (c *Claim) lease(ctx context.Context, q *meta.Queries) (meta.JobLease, error) {
	l, err := q.JobLease(ctx, c.Job.ID)
	if err == nil && l.Token != c.token {
		err = ErrLost
	}
	return l, err
}

// Work is what is done for a job.
type Work struct {
	// Do works until its context ends, and returns the result, also of a failure. The context ends
	// when the caller's does, when the job is cancelled (its cause is ErrCancelled) and when the
	// job is lost (ErrLost).
	Do func(ctx context.Context) (result string, err error)
	// Progress is a preliminary result, stored whenever the lease is renewed.
	Progress func() string
	// Store writes what belongs to a result, in the transaction that stores it. It is not called
	// for a job that was cancelled.
	Store func(ctx context.Context, q *meta.Queries) error
}

// Run does the work of a claim and stores how it ended. It returns ErrLost when the job was given
// to another worker, and the context's error when that ended first: the job is given back, and
// queued again by the next Recover or Take.
func (w *Worker) Run(ctx context.Context, c *Claim, work Work) error {
	doing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type ended struct {
		result string
		err    error
	}
	done := make(chan ended, 1)
	go func() {
		result, err := work.Do(doing)
		done <- ended{result, err}
	}()
	var e ended
	until := time.Now().Add(w.opts.TTL)
	for working := true; working; {
		select {
		case e = <-done:
			working = false
			continue
		case <-doing.Done():
			e, working = <-done, false
			continue
		case <-time.After(min(w.opts.TTL/3, time.Until(until))):
		}
		next := time.Now().Add(w.opts.TTL)
		renewing, stop := context.WithDeadline(ctx, until)
		err := w.renew(renewing, c, work.Progress())
		stop()
		switch {
		case err == nil:
			until = next
		case errors.Is(err, ErrLost), errors.Is(err, ErrCancelled):
			cancel(err)
		case !time.Now().Before(until):
			w.opts.Log.Warn("job lost: its lease could not be renewed", "job", c.Job.ID, "err", err)
			cancel(ErrLost)
		}
	}
	if ctx.Err() != nil {
		if err := w.release(context.WithoutCancel(ctx), c); err != nil && !errors.Is(err, ErrLost) {
			w.opts.Log.Warn("job not given back, its lease has to end", "job", c.Job.ID, "err", err)
		}
		return ctx.Err()
	}
	if cause := context.Cause(doing); errors.Is(cause, ErrLost) {
		return cause
	}
	return w.store(context.WithoutCancel(ctx), c, e.result, e.err, work.Store)
}

// release gives a job back whose worker is stopped. The database has releaseWithin for it: a stop
// does not wait for one that is gone.
func (w *Worker) release(ctx context.Context, c *Claim) error {
	ctx, cancel := context.WithTimeout(ctx, releaseWithin)
	defer cancel()
	return w.db.Tx(ctx, func(q *meta.Queries) error {
		l, err := c.lease(ctx, q)
		if err != nil {
			return err
		}
		l.Worker, l.Until = "", 0
		return q.SetJobLease(ctx, l)
	})
}

const releaseWithin = 2 * time.Second

// renew lengthens the lease and stores the progress.
func (w *Worker) renew(ctx context.Context, c *Claim, progress string) error {
	return w.db.Tx(ctx, func(q *meta.Queries) error {
		l, err := c.lease(ctx, q)
		if err != nil {
			return err
		}
		if l.CancelledBy != "" {
			return ErrCancelled
		}
		now, err := q.Clock(ctx)
		if err != nil {
			return err
		}
		l.Until = now + w.opts.TTL.Microseconds()
		j := c.Job
		j.Result = progress
		return errors.Join(q.PutJob(ctx, j), q.SetJobLease(ctx, l))
	})
}

// store ends a job.
func (w *Worker) store(ctx context.Context, c *Claim, result string, failure error, also func(context.Context, *meta.Queries) error) error {
	return w.db.Tx(ctx, func(q *meta.Queries) error {
		l, err := c.lease(ctx, q)
		if err != nil {
			return err
		}
		j := c.Job
		j.Result = result
		switch {
		case l.CancelledBy != "":
			j = cancelled(j, l)
		case failure != nil:
			j.State, j.Error, j.FinishedAt = Failed, failure.Error(), meta.Now()
		default:
			j.State, j.FinishedAt = Done, meta.Now()
		}
		if j.State != Cancelled {
			if err := also(ctx, q); err != nil {
				return err
			}
		}
		l.Worker, l.Until = "", 0
		return errors.Join(put(ctx, q, j), q.SetJobLease(ctx, l))
	})
}
