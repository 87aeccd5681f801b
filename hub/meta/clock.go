package meta

import (
	"context"

	"skerry.dev/sync/wire"
)

// ClockNote is what is kept of the clocks of the hubs on this database, in microseconds.
type ClockNote struct {
	// NotedAt is the newest time at which a hub ran with a clock that was taken for right.
	NotedAt int64
	// DoubtedAt is the newest time by a clock that disagrees with NotedAt, 0 when none does, and
	// DoubtedFor how long hubs have run with it.
	DoubtedAt, DoubtedFor int64
}

const clockCols = "noted_at, doubted_at, doubted_for"

func (n *ClockNote) dest() []any { return []any{&n.NotedAt, &n.DoubtedAt, &n.DoubtedFor} }

// ClockNote returns what is noted of the clocks, or ErrNotFound.
func (q *Queries) ClockNote(ctx context.Context) (ClockNote, error) {
	return one[ClockNote](ctx, q, "SELECT "+clockCols+" FROM hub_clock")
}

// PutClockNote replaces what is noted of the clocks.
func (q *Queries) PutClockNote(ctx context.Context, n ClockNote) error {
	_, err := q.exec(ctx, `INSERT INTO hub_clock (id, noted_at, doubted_at, doubted_for) VALUES (1, $1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET noted_at = excluded.noted_at, doubted_at = excluded.doubted_at, doubted_for = excluded.doubted_for`,
		n.NotedAt, n.DoubtedAt, n.DoubtedFor)
	return err
}

// unknownBefore is the time, in microseconds, before which no right clock of a hub can have been: a
// row that was received earlier came while the clock was not set, and nobody knows how old it is.
var unknownBefore = wire.ClockFloor.UnixMicro()
