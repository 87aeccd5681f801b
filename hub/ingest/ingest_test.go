package ingest_test

import (
	"context"
	"testing"

	"skerry.dev/hub/ingest"
	"skerry.dev/hub/ingest/ingesttest"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// TestOffer runs the contract of a source on the ingester itself.
func TestOffer(t *testing.T) {
	ingesttest.Run(t, func(_ *testing.T, _ *meta.Store, in *ingest.Ingester) ingesttest.Source {
		return func(ctx context.Context, device string, lane ingest.Lane, message []byte) (wire.Receipt, error) {
			answer := make(chan wire.Receipt, 2)
			in.Offer(ingest.Message{
				Site:   ingesttest.Site,
				Device: device,
				Lane:   lane,
				Data:   message,
				Reply:  func(r wire.Receipt) { answer <- r },
			})
			select {
			case r := <-answer:
				return r, nil
			case <-ctx.Done():
				return wire.Receipt{}, ctx.Err()
			}
		}
	})
}

// TestDatabaseDown holds that messages are sent back while the database fails, all of them and in
// few transactions.
func TestDatabaseDown(t *testing.T) {
	db, err := meta.Open(t.Context(), meta.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	in := ingest.New(db, ingest.Options{})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	const n = 500
	answers := make(chan wire.Receipt, n)
	for i := range n {
		in.Offer(ingest.Message{Site: "north", Device: "dev-1", Lane: ingest.Live,
			Data:  ingesttest.Chunk(t, "dev-1", uint64(1+i), 1, 1),
			Reply: func(r wire.Receipt) { answers <- r }})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	for range n {
		if r := <-answers; r.Applied || r.RetryMS == 0 {
			t.Fatalf("receipt = %+v, want a time to come again", r)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}
