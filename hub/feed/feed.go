package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"skerry.dev/hub/meta"
)

// Bounds of an event, in bytes.
const (
	MaxName   = 64       // of kind, task and device
	MaxDetail = 64 << 10 // of the detail's JSON
)

// ErrSize is returned for an event that exceeds a bound.
var ErrSize = errors.New("event too large")

// Event is one thing that happened. Task and Device are "" where it has none.
type Event struct {
	Seq    int64           `json:"seq"`  // 1, 2, 3 …
	Time   int64           `json:"time"` // when it was appended, microseconds
	Kind   string          `json:"kind"`
	Task   string          `json:"task,omitempty"`
	Device string          `json:"device,omitempty"`
	Detail json.RawMessage `json:"detail"` // an object
}

// New makes an event of a kind. detail is encoded as JSON and must become an object; nil is the
// empty one.
func New(kind, task, device string, detail any) (Event, error) {
	e := Event{Kind: kind, Task: task, Device: device, Detail: json.RawMessage("{}")}
	if detail != nil {
		var err error
		if e.Detail, err = json.Marshal(detail); err != nil {
			return e, fmt.Errorf("event %q: %w", kind, err)
		}
	}
	return e, nil
}

// Append appends events in a transaction of [meta.Store.Tx]: they are there exactly when it
// commits, and Wait wakes then. Seq and Time are set by it. An event beyond the bounds fails with
// ErrSize and nothing is appended.
func Append(ctx context.Context, q *meta.Queries, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	now := meta.Now()
	rows := make([]meta.FeedEvent, len(events))
	for i, e := range events {
		if len(e.Kind) > MaxName || len(e.Task) > MaxName || len(e.Device) > MaxName || len(e.Detail) > MaxDetail {
			return fmt.Errorf("append event %.64q of device %.64q with %d bytes of detail: %w", e.Kind, e.Device, len(e.Detail), ErrSize)
		}
		rows[i] = meta.FeedEvent{
			Time:   now,
			Kind:   e.Kind,
			Task:   e.Task,
			Device: e.Device,
			Detail: string(e.Detail),
		}
	}
	if err := q.AppendFeed(ctx, rows); err != nil {
		return fmt.Errorf("append to the feed: %w", err)
	}
	return nil
}

// Add makes one event and appends it.
func Add(ctx context.Context, q *meta.Queries, kind, task, device string, detail any) error {
	e, err := New(kind, task, device, detail)
	if err != nil {
		return err
	}
	return Append(ctx, q, e)
}

// Gap is the error of a reader whose next events were pruned.
type Gap struct {
	After int64 // what it had read
	First int64 // the oldest event that is left, or will be
}

// Error reports what is missing.
func (g *Gap) Error() string {
	return fmt.Sprintf("events %d to %d of the feed were pruned", g.After+1, g.First-1)
}

// Read returns at most limit events after a cursor, oldest first and without a gap between them; 0
// reads from the first. It returns *Gap when the event that follows was pruned, and nothing when
// there is none yet.
func Read(ctx context.Context, q *meta.Queries, after int64, limit int) ([]Event, error) {
	rows, err := q.FeedEvents(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the feed: %w", err)
	}
	first := after + 1
	if len(rows) > 0 {
		first = rows[0].Seq
	} else if head, err := q.FeedHead(ctx); err != nil {
		return nil, fmt.Errorf("read the feed: %w", err)
	} else if head.Pruned > after {
		first = head.Pruned + 1
	}
	if first != after+1 {
		return nil, &Gap{After: after, First: first}
	}
	out := make([]Event, len(rows))
	for i, r := range rows {
		out[i] = Event{
			Seq:    r.Seq,
			Time:   r.Time,
			Kind:   r.Kind,
			Task:   r.Task,
			Device: r.Device,
			Detail: json.RawMessage(r.Detail),
		}
	}
	return out, nil
}

// Head returns the number of the newest event, 0 before the first.
func Head(ctx context.Context, q *meta.Queries) (int64, error) {
	h, err := q.FeedHead(ctx)
	return h.Seq, err
}

// pollEvery is how often Wait looks for events of other hubs.
const pollEvery = 500 * time.Millisecond

// Wait returns when there is an event of one of the kinds after the cursor, of any kind when none
// is given, and the cursor behind it: at once for one that this process appends, within half a
// second for another hub's. Pruned events count as such ones. When the context ends first it
// returns how far it has looked and the context's error.
func Wait(ctx context.Context, db *meta.Store, after int64, kinds ...string) (cursor int64, err error) {
	var others <-chan time.Time
	if db.Dialect() == "postgres" {
		t := time.NewTicker(pollEvery)
		defer t.Stop()
		others = t.C
	}
	for {
		appended := db.Appended() // before the look, so that nothing falls between
		events, err := Read(ctx, db.Read(), after, waitBatch)
		if gap, ok := errors.AsType[*Gap](err); ok {
			return gap.First - 1, nil
		}
		if err != nil {
			return after, err
		}
		for _, e := range events {
			after = e.Seq
			if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
				return after, nil
			}
		}
		if len(events) == waitBatch {
			continue
		}
		select {
		case <-ctx.Done():
			return after, ctx.Err()
		case <-appended:
		case <-others:
		}
	}
}

// waitBatch is how many events Wait looks at in one read.
const waitBatch = 500

// Consumer derives something from the feed. Both functions run within the transaction that moves
// the cursor and must keep to what [meta.Store.Tx] requires of a function.
type Consumer struct {
	DB   *meta.Store
	Name string
	// Rebuild derives from the tables what the events up to now would have given. It runs when the
	// consumer has no cursor or its events were pruned.
	Rebuild func(ctx context.Context, q *meta.Queries) error
	// Apply takes the next events, in order.
	Apply func(ctx context.Context, q *meta.Queries, events []Event) error
	// Batch is the most events of one transaction. Default 256.
	Batch int
}

// Step hands over the next batch and returns the cursor behind it and how many events it had. The
// events of a step that fails come again.
func (c *Consumer) Step(ctx context.Context) (cursor int64, n int, err error) {
	err = c.DB.Tx(ctx, func(q *meta.Queries) error {
		n = 0
		at, err := q.FeedCursor(ctx, c.Name)
		var events []Event
		if err == nil {
			events, err = Read(ctx, q, at.Seq, c.batch())
		}
		_, gap := errors.AsType[*Gap](err)
		switch {
		case gap || errors.Is(err, meta.ErrNotFound):
			if cursor, err = Head(ctx, q); err != nil {
				return err
			}
			if err := c.Rebuild(ctx, q); err != nil {
				return err
			}
		case err != nil:
			return err
		case len(events) == 0:
			cursor = at.Seq
			return nil
		default:
			n = len(events)
			cursor = events[n-1].Seq
			if err := c.Apply(ctx, q, events); err != nil {
				return err
			}
		}
		return q.PutFeedCursor(ctx, meta.FeedCursor{Consumer: c.Name, Seq: cursor, MovedAt: meta.Now()})
	})
	if err != nil {
		return 0, 0, fmt.Errorf("consumer %q: %w", c.Name, err)
	}
	return cursor, n, nil
}

func (c *Consumer) batch() int {
	if c.Batch > 0 {
		return c.Batch
	}
	return 256
}

// Catch hands over everything there is and returns the cursor behind it.
func (c *Consumer) Catch(ctx context.Context) (cursor int64, err error) {
	for n := -1; n != 0; {
		if cursor, n, err = c.Step(ctx); err != nil {
			return 0, err
		}
	}
	return cursor, nil
}

// Limits bound the feed. The zero value takes the defaults.
type Limits struct {
	// Age is how long events stay, and how long a consumer may rest before it is forgotten.
	// Default 7 days.
	Age time.Duration
	// Events is the most that stay; what a consumer has not read stays beyond it. Default 500,000.
	Events int64
}

// Prune removes what is older than the limits allow and forgets consumers that rest. It returns how
// many events it removed. Any hub may do it at any time.
func Prune(ctx context.Context, db *meta.Store, l Limits) (n int64, err error) {
	if l.Age <= 0 {
		l.Age = 7 * 24 * time.Hour
	}
	if l.Events <= 0 {
		l.Events = 500_000
	}
	now := time.Now()
	err = db.Tx(ctx, func(q *meta.Queries) (err error) {
		if err := q.TouchFeedCursors(ctx, now.UnixMicro()); err != nil {
			return err
		}
		if _, err := q.DropFeedCursors(ctx, now.Add(-l.Age).UnixMicro()); err != nil {
			return err
		}
		n, err = q.PruneFeed(ctx, now.Add(-l.Age).UnixMicro(), l.Events)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune the feed: %w", err)
	}
	return n, nil
}

// pruneEvery is how often Run prunes.
const pruneEvery = 10 * time.Minute

// Run keeps the feed within its limits until ctx ends. clock returns the time, and whether it may
// decide what is old: while it may not, only the number of events is bounded.
func Run(ctx context.Context, db *meta.Store, l Limits, clock func(context.Context) (time.Time, bool), log *slog.Logger) error {
	t := time.NewTicker(pruneEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		l := l
		if _, ok := clock(ctx); !ok {
			l.Age = math.MaxInt64
		}
		if _, err := Prune(ctx, db, l); err != nil && ctx.Err() == nil {
			log.Error("the feed was not pruned, it will be tried again", "err", err)
		}
	}
}
