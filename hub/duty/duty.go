// Package duty lets one hub at a time do what must not be done twice: decide about rollouts, train,
// compact the lake, sign trust metadata.
//
// A duty is a lease in the database. Its holder renews it and loses it when it cannot for the
// lease's length; then another hub takes it, with a larger token. The holder's context ends by its
// own clock no later than the lease by the database's, but a process may be stopped between its
// last look at the context and a write. So the token is a fence: whoever writes under a duty calls
// [Lease.Check] in the same transaction, and a holder that was replaced gets [ErrLost] there.
//
// A database of SQLite has one hub by construction: every duty is held from the start, nothing is
// renewed and Check costs nothing.
package duty

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"skerry.dev/hub/meta"
)

// ErrLost is returned by Check when another hub has taken the duty.
var ErrLost = errors.New("another hub has taken the duty")

// Options tune the leases. The zero value is a sensible default.
type Options struct {
	// TTL is how long a lease holds without being renewed. Default 15 s.
	TTL time.Duration
	// Log is where changes of holders go. nil: nowhere.
	Log *slog.Logger
}

// Keeper takes duties for one hub. Safe for concurrent use.
type Keeper struct {
	db   *meta.Store
	hub  string
	self string // hub and this start of it
	opts Options

	double sync.Once // logs that there is one

	mu   sync.Mutex
	held map[string]bool // duties that this start has had
}

// New returns a keeper that holds nothing yet. hub names the hub and is the same after its restart,
// so that it gets its duties back at once. Two processes with one name, as after the copy of a data
// folder, do not take duties from each other in turns: each takes one back once only, and whoever
// lost one to its double waits for the end of the lease like any other hub, and logs why.
func New(db *meta.Store, hub string, opts Options) *Keeper {
	if opts.TTL <= 0 {
		opts.TTL = 15 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{db: db, hub: hub, self: hub + "/" + rand.Text(), opts: opts, held: map[string]bool{}}
}

// Lease is a duty that is held. The nil lease belongs to no duty, and its Check holds always: it is
// for what any hub may do.
type Lease struct {
	name  string
	token int64 // 0 where nobody else can hold it
}

// Check returns ErrLost when another hub has taken the duty. Call it first in every transaction
// that writes under the duty.
func (l *Lease) Check(ctx context.Context, q *meta.Queries) error {
	if l == nil || l.token == 0 {
		return nil
	}
	d, err := q.Duty(ctx, l.name)
	if err != nil {
		return fmt.Errorf("duty %q: %w", l.name, err)
	}
	if d.Token != l.token {
		return fmt.Errorf("duty %q: %w", l.name, ErrLost)
	}
	return nil
}

// Run does a duty until ctx ends: it waits for the duty, calls fn with a context that ends when the
// duty is lost, and waits again. It returns when fn returns while the duty is held, with its error,
// and gives the duty up then. One process runs a duty once.
func (k *Keeper) Run(ctx context.Context, name string, fn func(context.Context, *Lease) error) error {
	if k.db.Dialect() == "sqlite" {
		return fn(ctx, &Lease{name: name})
	}
	for {
		l, until := k.take(ctx, name)
		if l == nil {
			return nil // ctx has ended
		}
		k.opts.Log.Info("duty taken", "duty", name, "token", l.token)
		lost, err := k.hold(ctx, l, until, fn)
		if !lost {
			k.giveUp(ctx, l)
			return err
		}
		k.opts.Log.Warn("duty lost", "duty", name, "token", l.token, "err", err)
	}
}

// take waits until the duty is free and takes it. It returns nil when ctx ends. until is when the
// lease ends at the earliest, by this process's clock.
func (k *Keeper) take(ctx context.Context, name string) (l *Lease, until time.Time) {
	failed := false
	for ctx.Err() == nil {
		until = time.Now().Add(k.opts.TTL)
		l = nil
		err := k.db.Tx(ctx, func(q *meta.Queries) error {
			l = nil
			now, err := q.Clock(ctx)
			if err != nil {
				return err
			}
			d, err := q.Duty(ctx, name)
			if err != nil && !errors.Is(err, meta.ErrNotFound) {
				return err
			}
			if !k.free(&d, now) {
				return nil
			}
			l = &Lease{name: name, token: d.Token + 1}
			return q.PutDuty(ctx, meta.Duty{
				Name:      name,
				Holder:    k.self,
				Token:     l.token,
				ExpiresAt: now + k.opts.TTL.Microseconds(),
			})
		})
		if err == nil && l != nil {
			k.mu.Lock()
			k.held[name] = true
			k.mu.Unlock()
			return l, until
		}
		if err != nil && !failed && ctx.Err() == nil {
			k.opts.Log.Warn("duty not taken, it will be tried again", "duty", name, "err", err)
		}
		failed = err != nil
		pause(ctx, k.opts.TTL/3)
	}
	return nil, until
}

// free reports whether a duty may be taken at now, in microseconds by the clock of the database: its
// lease is over, it was held by an earlier start of this hub, or the clock was set back, for no
// lease ends later than one length from now.
func (k *Keeper) free(d *meta.Duty, now int64) bool {
	if d.ExpiresAt <= now || d.ExpiresAt > now+2*k.opts.TTL.Microseconds() {
		return true
	}
	hub, _, _ := strings.Cut(d.Holder, "/")
	if hub != k.hub {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[d.Name] {
		k.double.Do(func() {
			k.opts.Log.Error("two hubs run with one name: the data folder of one is a copy; end one of them and remove hub-id from its folder", "hub", k.hub, "duty", d.Name)
		})
		return false
	}
	return true
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// hold calls fn and renews the lease beside it. lost reports that the lease ended before fn did.
func (k *Keeper) hold(ctx context.Context, l *Lease, until time.Time, fn func(context.Context, *Lease) error) (lost bool, err error) {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- fn(work, l) }()
	for {
		select {
		case err := <-done:
			return false, err
		case <-time.After(min(k.opts.TTL/3, time.Until(until))):
		}
		renewing, stop := context.WithDeadline(work, until)
		next := time.Now().Add(k.opts.TTL)
		err := k.renew(renewing, l)
		stop()
		switch {
		case err == nil:
			until = next
			continue
		case ctx.Err() != nil:
			return false, <-done
		case !errors.Is(err, ErrLost) && time.Now().Before(until):
			continue // there is time for another try
		}
		cancel(err)
		<-done
		return true, err
	}
}

func (k *Keeper) renew(ctx context.Context, l *Lease) error {
	return k.db.Tx(ctx, func(q *meta.Queries) error {
		if err := l.Check(ctx, q); err != nil {
			return err
		}
		now, err := q.Clock(ctx)
		if err != nil {
			return err
		}
		return q.PutDuty(ctx, meta.Duty{
			Name:      l.name,
			Holder:    k.self,
			Token:     l.token,
			ExpiresAt: now + k.opts.TTL.Microseconds(),
		})
	})
}

// giveUp frees the duty for another hub at once.
func (k *Keeper) giveUp(ctx context.Context, l *Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := k.db.Tx(ctx, func(q *meta.Queries) error {
		if err := l.Check(ctx, q); err != nil {
			return err
		}
		return q.PutDuty(ctx, meta.Duty{Name: l.name, Token: l.token})
	})
	if err != nil && !errors.Is(err, ErrLost) {
		k.opts.Log.Warn("duty not given up, others wait for its end", "duty", l.name, "err", err)
	}
}
