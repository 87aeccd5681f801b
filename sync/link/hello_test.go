package link

import (
	"context"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"skerry.dev/sync/outbox"
	"skerry.dev/sync/wire"
	"skerry.dev/test/wait"
)

// TestHelloOfManyRuns holds that a device that started thousands of times while it was offline says
// so in messages of a bounded size, learns what was applied of all of them, and delivers.
func TestHelloOfManyRuns(t *testing.T) {
	const runs = 2*wire.MaxHelloRuns + 7
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	var mu sync.Mutex
	largest := 0
	if _, err := h.nc.Subscribe("svc.hello.*", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		largest = max(largest, len(m.Data))
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	box, db := newBox(t)
	for range runs - 1 {
		fill(t, box, db, 1, 0)
		var err error
		if box, err = outbox.Open(db, outbox.Options{Device: "dev"}); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, box, db, 1, 0)
	told := 0
	l := New(box, db, Options{
		Device:  "dev",
		Site:    "s1",
		NATS:    func() ([]string, []nats.Option, error) { return []string{h.srv.ClientURL()}, nil, nil },
		Greeted: func(wire.Applied) { mu.Lock(); told++; mu.Unlock() },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	wait.For(t, "everything applied", func() bool { return box.Stats().PendingRecords == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	mu.Lock()
	defer mu.Unlock()
	if h.hellos != 3 || told != 1 || largest > 250*wire.MaxHelloRuns {
		t.Errorf("%d hellos, the largest of %d bytes, and told of %d: want 3 of at most %d, and one", h.hellos, largest, told, 250*wire.MaxHelloRuns)
	}
	if len(h.ledger) != runs {
		t.Errorf("the hub has %d runs, want %d", len(h.ledger), runs)
	}
}
