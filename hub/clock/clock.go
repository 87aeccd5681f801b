// Package clock judges whether the hub's clock may decide what is old.
//
// A hub that starts with its clock months ahead, or with no clock at all, must not delete what was
// kept for an age: it cannot be had back. So one row of the database notes the newest time at which
// a hub ran, and whatever deletes by age gets its time from here. A clock that is before
// [wire.ClockFloor] is not set. One that disagrees with the note by more than a plausible pause is
// doubted until hubs have run with it for a day without contradiction. Hubs that share a database
// share the note, so a wrong clock beside a right one stays doubted.
package clock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"skerry.dev/hub/alarm"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

const (
	// every is how often Run looks at the clock.
	every = time.Minute
	// noteEvery is how old the note becomes before it is written again.
	noteEvery = 5 * time.Minute
	// maxAhead is how long a hub is plausibly off.
	maxAhead = 7 * 24 * time.Hour
	// maxBehind is by how much a clock is plausibly set back, and by how much it may deviate from
	// the process's own time.
	maxBehind = time.Hour
	// probation is how long hubs run with a doubted clock until it is taken for right.
	probation = 24 * time.Hour
)

// Options are the ends of a clock. The zero value is the machine's.
type Options struct {
	// Now is the clock that is judged. Default time.Now.
	Now func() time.Time
	// Up is a time that nobody sets. Default: what has passed since New by the monotonic clock.
	Up func() time.Duration
	// Log is where doubt and its end go. nil: nowhere.
	Log *slog.Logger
}

// Clock is safe for concurrent use.
type Clock struct {
	db   *meta.Store
	opts Options

	mu     sync.Mutex // guards everything below
	doubt  string     // why the clock was doubted at the last look, "" when it was not
	raised string     // the day of the last alarm
	wall   time.Time  // the last look while it was doubted, zero otherwise
	up     time.Duration
}

// New returns a clock that has not been looked at yet.
func New(db *meta.Store, opts Options) *Clock {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Up == nil {
		started := time.Now()
		opts.Up = func() time.Duration { return time.Since(started) }
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Clock{db: db, opts: opts}
}

// Known returns a hub's time for others in microseconds, 0 when the clock is not set.
func Known(now time.Time) int64 {
	if now.Before(wire.ClockFloor) {
		return 0
	}
	return now.UnixMicro()
}

// Run looks at the clock every minute until ctx ends, so that the note stays new.
func (c *Clock) Run(ctx context.Context) error {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		c.Now(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Now returns the time, and whether it may decide what is old. While it may not, nothing may be
// deleted for its age; why is logged and raised as an alarm of the hub here.
func (c *Clock) Now(ctx context.Context) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, up := c.opts.Now().Round(0), c.opts.Up()
	var doubt string
	err := c.db.Tx(ctx, func(q *meta.Queries) error {
		have, err := q.ClockNote(ctx)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		next := have
		next, doubt = c.judge(have, now, up)
		if next != have {
			if err := q.PutClockNote(ctx, next); err != nil {
				return err
			}
		}
		if day := alarm.Day(now.UnixMicro()); doubt != "" && day != c.raised {
			return alarm.Raise(ctx, q, now.UnixMicro(), alarm.Alarm{
				Kind:   "hub_clock_doubted",
				Detail: map[string]any{"reason": doubt, "what_to_do": whatToDo},
			})
		}
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			c.opts.Log.Error("the hub's clock is not judged: nothing is deleted for its age", "err", err)
		}
		return now, false
	}
	if doubt != "" {
		c.raised = alarm.Day(now.UnixMicro())
	}
	switch {
	case doubt != "" && c.doubt == "":
		c.opts.Log.Error("the hub's clock is doubted: nothing is deleted for its age", "reason", doubt, "now", now.UTC(), "what_to_do", whatToDo)
	case doubt == "" && c.doubt != "":
		c.opts.Log.Info("the hub's clock is taken for right: what is old is deleted again", "now", now.UTC())
	}
	c.doubt, c.wall, c.up = doubt, now, up
	if doubt == "" {
		c.wall = time.Time{}
	}
	return now, doubt == ""
}

const whatToDo = "set the hub's clock, or let NTP do so; if it is right, do nothing: after 24 hours of running it is taken for right"

// judge returns what is to be noted, and why the clock is doubted, "" when it is not.
func (c *Clock) judge(n meta.ClockNote, now time.Time, up time.Duration) (meta.ClockNote, string) {
	us := now.UnixMicro()
	if Known(now) == 0 {
		return n, fmt.Sprintf("it shows %s, before %s: it is not set", now.UTC().Format(time.RFC3339), wire.ClockFloor.Format(time.DateOnly))
	}
	ahead := func(of int64) time.Duration { return time.Duration(us-of) * time.Microsecond }
	plausible := func(d time.Duration) bool { return d >= -maxBehind && d <= maxAhead }
	// A database without a note is new: there is nothing old in it.
	if off := ahead(n.NotedAt); n.NotedAt == 0 || plausible(off) {
		if n.NotedAt == 0 || off >= noteEvery || n.DoubtedAt != 0 && off >= 0 {
			return meta.ClockNote{NotedAt: us}, ""
		}
		return n, ""
	}
	switch {
	case n.DoubtedAt == 0 || !plausible(ahead(n.DoubtedAt)):
		n.DoubtedFor = 0
	case c.wall.IsZero(): // the first look of this process
	case (now.Sub(c.wall) - (up - c.up)).Abs() > maxBehind: // it was set, or the machine slept
		n.DoubtedFor = 0
	default:
		n.DoubtedFor += (up - c.up).Microseconds()
	}
	if n.DoubtedFor >= probation.Microseconds() {
		return meta.ClockNote{NotedAt: us}, ""
	}
	n.DoubtedAt = us
	off, which := ahead(n.NotedAt), "ahead of"
	if off < 0 {
		off, which = -off, "behind"
	}
	return n, fmt.Sprintf("it shows %s, %s %s the newest time at which a hub ran with this database",
		now.UTC().Format(time.RFC3339), off.Round(time.Minute), which)
}
