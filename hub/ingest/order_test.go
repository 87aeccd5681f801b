package ingest_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"skerry.dev/hub/ingest"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/wire"
)

// TestEventOrder holds that the events of a transaction that waits for another hub's are later than
// that one's: whoever has seen the newest event misses none by asking for what is after it.
func TestEventOrder(t *testing.T) {
	d := metatest.Postgres(t)
	db, other := database(t, d, 1), d.Open(t)
	locks, err := sql.Open("pgx", d.Options.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer locks.Close()
	in := ingest.New(db, ingest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	answer := make(chan wire.Receipt, 1)
	if err := other.Tx(t.Context(), func(q *meta.Queries) error {
		event, err := wire.Encode(wire.Header{Device: "dev-0", Run: wire.Run{7}, Class: wire.ClassEvent, First: 1},
			&wire.Records{Events: []wire.Event{{Kind: "note", Detail: "{}"}}})
		if err != nil {
			return err
		}
		in.Offer(ingest.Message{
			Site:   "north",
			Device: "dev-0",
			Lane:   ingest.Events,
			Data:   event,
			Reply:  func(r wire.Receipt) { answer <- r },
		})
		for waits := 0; waits == 0; {
			if err := locks.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM pg_locks WHERE relation = 'writer'::regclass AND NOT granted").Scan(&waits); err != nil {
				return err
			}
			select {
			case <-t.Context().Done():
				return t.Context().Err()
			case <-time.After(time.Millisecond):
			}
		}
		now, err := q.Clock(t.Context())
		if err != nil {
			return err
		}
		return q.InsertEvent(t.Context(), meta.Event{ID: "first", Kind: "note", Detail: "{}", ReceivedAt: now})
	}); err != nil {
		t.Fatal(err)
	}
	if r := <-answer; !r.Applied {
		t.Errorf("receipt = %+v", r)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	events, err := db.Read().Events(t.Context(), meta.EventFilter{})
	if err != nil || len(events) != 2 || events[1].ID != "first" || events[0].ReceivedAt <= events[1].ReceivedAt {
		t.Errorf("events = %+v, %v, want the one committed last to be the last received", events, err)
	}
}
