// Package retain deletes what the hub has kept for as long as it was told to: events, rejected
// messages, declared losses, links, used enrolment tokens, counts, the beginning of the audit
// chain. It deletes in small transactions, so that nobody waits for it, and logs how much. While the
// hub's clock is doubted it deletes nothing.
package retain

import (
	"context"
	"log/slog"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/alarm"
	"skerry.dev/hub/duty"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/tasks"
)

const (
	// every is how often old rows are looked for.
	every = time.Hour
	// maxEvents is how many events of one device are kept, however young they are.
	maxEvents = 20_000
	// usageAge is how long it is known what devices sent on a day.
	usageAge = 400 * 24 * time.Hour
	// pause lies between two transactions of one pruning.
	pause = 20 * time.Millisecond
)

// Pruner deletes old rows. Make it with New.
type Pruner struct {
	db    *meta.Store
	keep  configs.HubKeep
	clock Clock
	log   *slog.Logger
}

// Clock returns the time, and whether it may decide what is old.
type Clock func(context.Context) (time.Time, bool)

// New returns a pruner that runs by a clock. log may be nil.
func New(db *meta.Store, keep configs.HubKeep, clock Clock, log *slog.Logger) *Pruner {
	configs.FillDefaults(&keep)
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Pruner{db: db, keep: keep, clock: clock, log: log}
}

// Run prunes now and then every hour until ctx ends, as a duty.
func (p *Pruner) Run(ctx context.Context, lease *duty.Lease) error {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		p.turn(ctx, lease)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// turn prunes where the clock may decide what is old.
func (p *Pruner) turn(ctx context.Context, lease *duty.Lease) {
	now, ok := p.clock(ctx)
	if !ok {
		return
	}
	if err := p.Prune(ctx, lease, now); err != nil && ctx.Err() == nil {
		p.log.Error("deleting what is old failed, it will be tried again", "err", err)
	}
}

// Prune deletes what is too old at a time. lease may be nil.
func (p *Pruner) Prune(ctx context.Context, lease *duty.Lease, now time.Time) error {
	before := func(age time.Duration) int64 { return now.Add(-age).UnixMicro() }
	for _, t := range []struct {
		table string
		age   time.Duration
	}{
		{"event", p.keep.Events.Std()},
		{"link_event", p.keep.Events.Std()},
		{"quarantine", p.keep.Rejected.Std()},
		{"conflict", p.keep.Rejected.Std()},
		{"gap", p.keep.Gaps.Std()},
		{"enroll_token", p.keep.Events.Std()},
	} {
		if err := p.loop(ctx, lease, t.table, func(q *meta.Queries) (int64, error) { return q.PruneAged(ctx, t.table, before(t.age)) }); err != nil {
			return err
		}
	}
	devices, err := p.db.Read().Devices(ctx, "", "", 0)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if err := p.loop(ctx, lease, "event of "+d.Name, func(q *meta.Queries) (int64, error) { return q.PruneEvents(ctx, d.Name, maxEvents) }); err != nil {
			return err
		}
	}
	if age := p.keep.Audit.Std(); age > 0 {
		if err := p.loop(ctx, lease, "audit", func(q *meta.Queries) (int64, error) { return q.PruneAudit(ctx, before(age)) }); err != nil {
			return err
		}
	}
	return p.db.Tx(ctx, func(q *meta.Queries) error {
		if err := lease.Check(ctx, q); err != nil {
			return err
		}
		if _, err := q.PruneUsage(ctx, alarm.Day(before(usageAge))); err != nil {
			return err
		}
		return tasks.Forget(ctx, q, now.UnixMicro())
	})
}

// loop prunes until a call does not find as many rows as it may delete.
func (p *Pruner) loop(ctx context.Context, lease *duty.Lease, what string, prune func(*meta.Queries) (int64, error)) error {
	total := int64(0)
	for {
		var n int64
		err := p.db.Tx(ctx, func(q *meta.Queries) (err error) {
			if err := lease.Check(ctx, q); err != nil {
				return err
			}
			n, err = prune(q)
			return err
		})
		if err != nil {
			return err
		}
		if total += n; n < meta.PruneRows {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	if total > 0 {
		p.log.Info("deleted what was kept long enough", "what", what, "rows", total)
	}
	return nil
}
