package task

import (
	"context"
	"errors"
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
// are being stored, until ctx ends or the committer has; while nothing can be stored it does not:
// the commit stays open then, and what comes joins it.
func (r *Runtime) sealNow(ctx context.Context) { r.sealWith(ctx, r.dueSnapshots(time.Now())) }

// sealWith stores the states of some tasks too.
func (r *Runtime) sealWith(ctx context.Context, save []*running) {
	if r.open.empty() && len(save) == 0 || !r.mayHand(ctx) {
		return
	}
	if r.open.Journal != nil {
		r.position++
		r.open.Position = r.position
		if r.logged += int64(len(r.open.Journal)); r.logged >= r.journalRoom() {
			save = r.changed()
		}
	}
	r.snapshot(r.open, save)
	if len(r.newIDs) > 0 {
		r.open.Series, r.newIDs = r.newIDs, map[string]uint32{}
	}
	r.takePages(r.open)
	r.seal <- r.open
	r.open = r.newCommit()
}

// mayHand waits until the committer has room for a commit. Only this goroutine hands any over, so
// there is room until it does.
func (r *Runtime) mayHand(ctx context.Context) bool {
	defer r.waits.Store(false)
	for len(r.seal) == cap(r.seal) {
		if trouble := r.Trouble() != ""; trouble && ctx.Err() == nil && r.open.records < r.held() {
			return false
		} else if trouble {
			r.waits.Store(true)
		}
		select {
		case <-r.room:
		case <-r.gone:
			return false
		case <-ctx.Done():
			return false
		case <-time.After(50 * time.Millisecond): // trouble may have begun
		}
	}
	return true
}

// Of what waits in memory while nothing can be stored: the records at most, and the share of the
// file's cap, in bytes for each, that it must fit into once it can.
const (
	heldRecords = 200_000
	heldBytes   = 128
)

// held is how many records may wait in memory. Beyond it messages wait for the store again, and
// nothing is predicted until it has room.
func (r *Runtime) held() int {
	return int(min(heldRecords, max(int64(r.opts.MaxBytes)/heldBytes, 1)))
}

// States that are due for their age are stored in turns, so that no commit grows with the number of
// tasks and few carry any: so many turns fit into SnapshotEvery.
const snapshotTurns = 8

// journalShare is the part of the file's cap that the journal may take, as far as the states that
// end it are not larger: they would be written again and again.
const journalShare = 16

// journalRoom is how many bytes may be in the journal before every state is stored.
func (r *Runtime) journalRoom() int64 { return max(int64(r.opts.MaxBytes)/journalShare, r.states) }

// changed returns the tasks whose stored state is behind. The gate's is stored with them.
func (r *Runtime) changed() (out []*running) {
	for _, t := range r.tasks {
		if t.fresh || t.changed {
			out = append(out, t)
		}
	}
	r.logged, r.states, r.gateSaved = 0, 0, time.Time{}
	return out
}

// gateTimes is how many times rarer the gate's state is stored for rows than a task's: it is that of
// every series.
const gateTimes = 8

// dueSnapshots returns the tasks whose state is to be stored, those that wait longest first.
func (r *Runtime) dueSnapshots(now time.Time) (due []*running) {
	turn := now.Sub(r.turned) >= r.opts.SnapshotEvery/snapshotTurns
	if turn {
		r.turned = now
	}
	var aged []*running
	for _, t := range r.tasks {
		switch {
		case t.fresh || t.rows >= r.opts.SnapshotRows:
			due = append(due, t)
		case turn && t.changed && now.Sub(t.saved) >= r.opts.SnapshotEvery:
			aged = append(aged, t)
		}
	}
	slices.SortFunc(aged, func(a, b *running) int { return a.saved.Compare(b.saved) })
	return append(due, aged[:min(len(aged), 1+2*len(r.tasks)/snapshotTurns)]...)
}

// snapshot adds the states of tasks to a commit, and the gate's when it is due. They contain the
// commit's own journal entry.
func (r *Runtime) snapshot(c *sealed, save []*running) {
	now := time.Now()
	gateDue := r.gateSaved.IsZero() || r.gateRows >= gateTimes*r.opts.SnapshotRows || r.gateRows > 0 && now.Sub(r.gateSaved) >= r.opts.SnapshotEvery
	if len(save) == 0 && !gateDue {
		return
	}
	for _, t := range save {
		data := t.engine.Save(nil)
		r.states += int64(len(data))
		c.put(cache.Snapshot{
			Name:     t.spec.Name,
			Of:       t.learned,
			Position: r.position,
			Data:     data,
		})
		t.fresh, t.changed, t.rows, t.saved = false, false, 0, now
	}
	if gateDue {
		data := r.gate.Save()
		r.states += int64(len(data))
		c.put(cache.Snapshot{
			Name:     gateSnapshot,
			Position: r.position,
			Data:     data,
		})
		r.gateRows, r.gateSaved = 0, now
	}
	c.Unchanged, c.Noted = c.Unchanged[:0], r.position
	for _, t := range r.tasks {
		if !t.fresh && !t.changed {
			c.Unchanged = append(c.Unchanged, t.spec.Name)
		}
	}
}

// put adds a snapshot in place of one with its name.
func (s *sealed) put(sn cache.Snapshot) {
	s.Snapshots = slices.DeleteFunc(s.Snapshots, func(o cache.Snapshot) bool { return o.Name == sn.Name })
	s.Snapshots = append(s.Snapshots, sn)
}

// takePages adds what the gate knows of readings, as far as it is not stored.
func (r *Runtime) takePages(c *sealed) {
	pages, generation, err := r.gate.TakePages(r.seen.Load())
	if err != nil {
		r.log.Error("known readings cannot be read: repeats of old ones are taken for new", "err", err)
	}
	for _, p := range pages {
		c.Seen = append(c.Seen, cache.SeenPage{Series: p.Series, Start: p.Start, Data: p.Data})
	}
	if len(pages) > 0 {
		c.after = append(c.after, func() { r.seen.Store(generation) })
	}
}

// committer stores sealed commits in order.
func (r *Runtime) committer(ctx context.Context) error {
	var reserved time.Time
	for c := range r.seal {
		select {
		case r.room <- struct{}{}:
		default:
		}
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
		if time.Since(reserved) >= reserveEvery {
			reserved = time.Now()
			if err := r.opts.Store.Reserve(); err != nil {
				r.log.Warn("no reserve for a full disk", "err", err)
			}
		}
	}
	return nil
}

// reserveEvery is how often the committer looks whether the reserve for a full disk is there.
const reserveEvery = time.Minute

// fullWait is how long the disk may be full before undelivered records are dropped for new ones:
// mostly somebody else filled it, and gives the space back. Predictions go on meanwhile, and what
// was acknowledged is worth more than what the broker holds.
const fullWait = 15 * time.Minute

// store commits c, waiting out a full or read-only disk: nothing is acknowledged meanwhile, so
// the broker keeps what comes. Every try begins with the cap that is configured, so nothing is
// dropped once there is space again.
func (r *Runtime) store(ctx context.Context, c *sealed) error {
	began := time.Now()
	for {
		err := r.opts.Store.Commit(&c.Commit)
		if cache.Classify(err) == cache.Full && r.opts.Store.Release() {
			r.log.Warn("the disk is full: its reserve is given up")
			err = r.opts.Store.Commit(&c.Commit)
		}
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
		if errors.Is(err, cache.ErrWritable) {
			r.log.Warn("the state directory can be written again: starting anew with it")
			return err
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
