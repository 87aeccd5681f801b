package task

import (
	"context"
	"slices"
	"time"

	"skerry.dev/agent/cache"
)

// sealed is a commit under way with the acknowledgements it owes.
type sealed struct {
	cache.Commit
	acks    []func()
	records int
	began   time.Time
	after   []func() // run once the commit is durable
}

func (r *Runtime) newCommit() *sealed { return &sealed{} }

func (s *sealed) empty() bool {
	b := &s.Batch
	return s.Journal == nil && len(s.acks) == 0 && len(s.after) == 0 && len(s.Snapshots) == 0 && len(s.Forget) == 0 &&
		len(b.Readings)+len(b.Labels)+len(b.Predictions)+len(b.Events)+len(b.Alarms)+len(b.Hosts) == 0
}

// due reports whether the open commit must not wait longer.
func (r *Runtime) due(now time.Time) bool {
	return !r.open.empty() && (r.open.records >= r.opts.CommitRecords || len(r.open.acks) >= r.opts.CommitAcks || now.Sub(r.open.began) >= r.opts.CommitInterval.Std())
}

// sealNow hands the open commit to the committer and begins a new one. It waits while those before
// are being stored, until ctx ends or the committer has: then the commit stays open.
func (r *Runtime) sealNow(ctx context.Context) {
	if r.open.empty() {
		return
	}
	now := time.Now()
	if r.sinceSnap >= r.opts.SnapshotRows || now.Sub(r.lastSnap) >= r.opts.SnapshotEvery || r.anyFresh() {
		r.snapshot(r.open)
	}
	if len(r.newIDs) > 0 {
		r.open.Series, r.newIDs = r.newIDs, map[string]uint32{}
	}
	if r.open.Journal != nil {
		r.open.Position = r.position + 1
		r.position++
		for i := range r.open.Snapshots {
			if s := &r.open.Snapshots[i]; s.Position != cache.Detached {
				s.Position = r.position
			}
		}
	}
	select {
	case r.seal <- r.open:
		r.open = r.newCommit()
	case <-r.gone:
	case <-ctx.Done():
	}
}

func (r *Runtime) anyFresh() bool {
	for _, t := range r.tasks {
		if t.fresh {
			return true
		}
	}
	return !r.gateReady
}

// snapshot adds the state of every engine and of the gate to a commit. Positions are set when it
// is sealed: they contain the commit's own journal entry.
func (r *Runtime) snapshot(c *sealed) {
	c.Snapshots = slices.DeleteFunc(c.Snapshots, func(s cache.Snapshot) bool { return s.Position != cache.Detached })
	for _, t := range r.tasks {
		c.Snapshots = append(c.Snapshots, cache.Snapshot{
			Name:     t.spec.Name,
			Hash:     t.spec.Hash,
			Position: r.position,
			Data:     t.engine.Save(nil),
		})
		t.fresh = false
	}
	c.Snapshots = append(c.Snapshots, cache.Snapshot{
		Name:     gateSnapshot,
		Position: r.position,
		Data:     r.gate.Save(),
	})
	r.gateReady = true
	r.sinceSnap, r.lastSnap = 0, time.Now()
}

// committer stores sealed commits in order.
func (r *Runtime) committer(ctx context.Context) error {
	for c := range r.seal {
		began := time.Now()
		if err := r.store(ctx, c); err != nil {
			return err
		}
		r.opts.Metrics.commit(time.Since(began), c.records)
		for _, ack := range c.acks {
			ack()
		}
		for _, f := range c.after {
			f()
		}
	}
	return nil
}

// fullWait is how long the disk may be full before undelivered records are dropped for new ones:
// mostly somebody else filled it, and gives the space back.
const fullWait = 10 * time.Second

// store commits c, waiting out a full or read-only disk: nothing is acknowledged meanwhile, so
// the broker keeps what comes. Every try begins with the cap that is configured, so nothing is
// dropped once there is space again.
func (r *Runtime) store(ctx context.Context, c *sealed) error {
	began := time.Now()
	for {
		err := r.opts.Store.Commit(&c.Commit)
		if cache.Classify(err) == cache.Full && time.Since(began) >= fullWait {
			box := r.opts.Store.Outbox()
			box.Shrink(0.9)
			err = r.opts.Store.Commit(&c.Commit)
			box.Restore()
		}
		if err == nil {
			if r.trouble.Swap(nil) != nil {
				r.log.Info("storing again")
			}
			return nil
		}
		if cache.Classify(err) == cache.Unknown {
			r.log.Error("commit failed, state on disk is unknown: stopping", "err", err)
			return err
		}
		msg := err.Error()
		if old := r.trouble.Swap(&msg); old == nil {
			r.log.Error("commit failed: nothing is acknowledged until it succeeds", "err", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}
