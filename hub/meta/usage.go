package meta

import (
	"context"
	"errors"
)

// Usage is what a device sent on one day. Everything but Device and Day is a count.
type Usage struct {
	Device    string `json:"-"`
	Day       string `json:"day" doc:"UTC, 2026-01-31"`
	Bytes     int64  `json:"bytes" doc:"of chunks, each counted as 1 KiB at least"`
	Chunks    int64  `json:"chunks"`
	Refused   int64  `json:"refused" doc:"messages that could not be read or stored"`
	Conflicts int64  `json:"conflicts" doc:"chunks that contradict stored ones"`
	Kept      int64  `json:"kept" doc:"refused and conflicting messages that were kept for inspection"`
	Runs      int64  `json:"runs" doc:"starts of the agent that were new to the hub"`
	OddTimes  int64  `json:"odd_times" doc:"readings before the year 2000 or more than a day ahead of the hub's clock"`
	NonFinite int64  `json:"non_finite" doc:"readings that are no number, or infinite"`
}

const usageCols = "device, day, bytes, chunks, refused, conflicts, kept, runs, odd_times, non_finite"

func (u *Usage) dest() []any {
	return []any{&u.Device, &u.Day, &u.Bytes, &u.Chunks, &u.Refused, &u.Conflicts, &u.Kept, &u.Runs, &u.OddTimes, &u.NonFinite}
}

// Add adds the counts of other.
func (u *Usage) Add(other Usage) {
	u.Bytes += other.Bytes
	u.Chunks += other.Chunks
	u.Refused += other.Refused
	u.Conflicts += other.Conflicts
	u.Kept += other.Kept
	u.Runs += other.Runs
	u.OddTimes += other.OddTimes
	u.NonFinite += other.NonFinite
}

// Usage returns what a device sent on a day; nothing sent is no error.
func (q *Queries) Usage(ctx context.Context, device, day string) (Usage, error) {
	u, err := one[Usage](ctx, q, "SELECT "+usageCols+" FROM device_usage WHERE device = $1 AND day = $2", device, day)
	if errors.Is(err, ErrNotFound) {
		return Usage{Device: device, Day: day}, nil
	}
	return u, err
}

// PutUsage stores what a device sent on a day.
func (q *Queries) PutUsage(ctx context.Context, u Usage) error {
	_, err := insert(ctx, q, "device_usage", usageCols, `ON CONFLICT (device, day) DO UPDATE SET bytes = excluded.bytes,
		chunks = excluded.chunks, refused = excluded.refused, conflicts = excluded.conflicts, kept = excluded.kept,
		runs = excluded.runs, odd_times = excluded.odd_times, non_finite = excluded.non_finite`, &u)
	return err
}

// Usages lists what a device sent, the newest day first.
func (q *Queries) Usages(ctx context.Context, device string, days int) ([]Usage, error) {
	return many[Usage](ctx, q, "SELECT "+usageCols+" FROM device_usage WHERE device = $1 ORDER BY day DESC LIMIT $2", device, days)
}
