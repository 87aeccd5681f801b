package meta

import "context"

// FeedEvent is one event of the feed; package feed defines the kinds and their details.
type FeedEvent struct {
	Seq    int64
	Time   int64 // microseconds
	Kind   string
	Task   string
	Device string
	Detail string // JSON object
}

const feedCols = "seq, time, kind, task, device, detail"

func (e *FeedEvent) dest() []any {
	return []any{&e.Seq, &e.Time, &e.Kind, &e.Task, &e.Device, &e.Detail}
}

// AppendFeed appends events and sets their numbers, which follow the last one without a gap.
// Whoever waits on Appended wakes after the commit.
func (q *Queries) AppendFeed(ctx context.Context, events []FeedEvent) error {
	last, err := q.int64(ctx, "UPDATE feed_head SET seq = seq + $1 WHERE id = 1 RETURNING seq", len(events))
	if err != nil {
		return err
	}
	for i := range events {
		events[i].Seq = last - int64(len(events)) + int64(i) + 1
	}
	q.appended = true
	return insertMany(ctx, q, "feed", feedCols, "", events)
}

// FeedEvents returns the events after a number, oldest first.
func (q *Queries) FeedEvents(ctx context.Context, after int64, limit int) ([]FeedEvent, error) {
	return many[FeedEvent](ctx, q, "SELECT "+feedCols+" FROM feed WHERE seq > $1 ORDER BY seq LIMIT $2", after, orAll(limit))
}

// FeedHead defines where the feed begins and ends.
type FeedHead struct {
	Seq    int64 // the number of the newest event, 0 when there never was one
	Pruned int64 // the number of the newest event that was pruned, 0 for none
}

func (h *FeedHead) dest() []any { return []any{&h.Seq, &h.Pruned} }

// FeedHead returns where the feed begins and ends.
func (q *Queries) FeedHead(ctx context.Context) (FeedHead, error) {
	return one[FeedHead](ctx, q, "SELECT seq, pruned FROM feed_head WHERE id = 1")
}

// FeedCursor is how far a consumer has read.
type FeedCursor struct {
	Consumer string
	Seq      int64 // the last event it is done with
	MovedAt  int64 // microseconds
}

func (c *FeedCursor) dest() []any { return []any{&c.Consumer, &c.Seq, &c.MovedAt} }

// FeedCursor returns a consumer's cursor or ErrNotFound.
func (q *Queries) FeedCursor(ctx context.Context, consumer string) (FeedCursor, error) {
	return one[FeedCursor](ctx, q, "SELECT consumer, seq, moved_at FROM feed_cursor WHERE consumer = $1", consumer)
}

// PutFeedCursor stores a consumer's cursor.
func (q *Queries) PutFeedCursor(ctx context.Context, c FeedCursor) error {
	_, err := insert(ctx, q, "feed_cursor", "consumer, seq, moved_at",
		"ON CONFLICT (consumer) DO UPDATE SET seq = excluded.seq, moved_at = excluded.moved_at", &c)
	return err
}

// TouchFeedCursors marks every consumer that has read all there is as moved at a time: it waits for
// news and is not to be forgotten.
func (q *Queries) TouchFeedCursors(ctx context.Context, at int64) error {
	_, err := q.exec(ctx, "UPDATE feed_cursor SET moved_at = $1 WHERE seq >= (SELECT seq FROM feed_head WHERE id = 1)", at)
	return err
}

// DropFeedCursors forgets the consumers that have not moved since a time.
func (q *Queries) DropFeedCursors(ctx context.Context, before int64) (int64, error) {
	return q.exec(ctx, "DELETE FROM feed_cursor WHERE moved_at < $1", before)
}

// PruneFeed deletes events that are older than a time (microseconds) or in excess of keep, the
// oldest first, as far as every consumer has read. It returns how many. A time counts only where no
// younger event stands before it: the clock may have been set back meanwhile.
func (q *Queries) PruneFeed(ctx context.Context, before, keep int64) (int64, error) {
	head, err := q.FeedHead(ctx)
	if err != nil {
		return 0, err
	}
	old, err := q.int64(ctx, `SELECT COALESCE(MAX(seq), 0) FROM feed WHERE time < $1
		AND seq < COALESCE((SELECT MIN(seq) FROM feed WHERE time >= $1), $2)`, before, head.Seq+1)
	if err != nil {
		return 0, err
	}
	read, err := q.int64(ctx, "SELECT COALESCE(MIN(seq), $1) FROM feed_cursor", head.Seq)
	if err != nil {
		return 0, err
	}
	upTo := min(max(old, head.Seq-keep), read)
	if upTo <= head.Pruned {
		return 0, nil
	}
	if _, err := q.exec(ctx, "UPDATE feed_head SET pruned = $1 WHERE id = 1", upTo); err != nil {
		return 0, err
	}
	return q.exec(ctx, "DELETE FROM feed WHERE seq <= $1", upTo)
}

// Appended returns a channel that is closed after the next commit of this store that appends to the
// feed. Other processes' commits do not show there.
func (s *Store) Appended() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appended
}
