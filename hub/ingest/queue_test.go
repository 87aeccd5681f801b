package ingest

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func message(l Lane, device string, cost int) *request {
	return &request{Message: Message{Device: device, Lane: l}, size: 100, cost: cost}
}

func (q *queue) put(t *testing.T, r *request) {
	t.Helper()
	if !q.reserve(r.Device, r.size) {
		t.Fatalf("no room for a message of %s", r.Device)
	}
	q.add(r)
}

// TestTakeOrder holds that an earlier lane overtakes a later one, that backfill keeps its share
// of a batch, and that a lane is first in, first out.
func TestTakeOrder(t *testing.T) {
	q := newQueue(1 << 20)
	for i := range 100 {
		q.put(t, message(Backfill, fmt.Sprint("b", i), 1))
		q.put(t, message(Live, fmt.Sprint("l", i), 1))
	}
	q.put(t, message(Events, "e", 1))
	got := q.take(81)
	if len(got) != 81 || got[0].Device != "e" || got[1].Device != "l0" {
		t.Fatalf("a batch of %d begins with %s, %s", len(got), got[0].Device, got[1].Device)
	}
	lanes := map[Lane]int{}
	for _, r := range got {
		lanes[r.Lane]++
	}
	if lanes[Backfill] != 80/backfillShare {
		t.Errorf("backfill has %d of a batch of 81, want %d", lanes[Backfill], 80/backfillShare)
	}
	for i, want := 0, 0; i < len(got); i++ {
		if got[i].Lane == Live {
			if name := fmt.Sprint("l", want); got[i].Device != name {
				t.Fatalf("live message %d is %s, want %s", want, got[i].Device, name)
			}
			want++
		}
	}
	rest := 0
	for b := q.take(50); len(b) > 0; b = q.take(50) {
		rest += len(b)
	}
	if rest != 120 || q.bytes != 0 || q.cost != 0 || len(q.devices) != 0 {
		t.Errorf("%d messages were left, then %d bytes, cost %d, %d devices; want 120 and nothing", rest, q.bytes, q.cost, len(q.devices))
	}
}

// TestDevicesTakeTurns holds that a device that sends without end waits for itself, and that its
// messages stay in order.
func TestDevicesTakeTurns(t *testing.T) {
	q := newQueue(1 << 20)
	for i := range 50 {
		r := message(Live, "flood", 1)
		r.size = i + 1
		q.put(t, r)
	}
	q.put(t, message(Live, "a", 1))
	q.put(t, message(Live, "b", 1))
	got := q.take(8) // an eighth is for backfill, which has nothing
	names := map[string]int{}
	last := 0
	for _, r := range got {
		names[r.Device]++
		if r.Device == "flood" {
			if r.size != last+1 {
				t.Errorf("message %d of the flood comes after %d", r.size, last)
			}
			last = r.size
		}
	}
	if names["a"] != 1 || names["b"] != 1 || names["flood"] != 6 {
		t.Errorf("a batch of 8 holds %v, want one message of a and b each", names)
	}
}

// TestReserveBounds holds the bound of the queue and the share of a device, whose first message
// always has room.
func TestReserveBounds(t *testing.T) {
	q := newQueue(deviceShare * 100)
	if !q.reserve("big", 500) || q.reserve("big", 1) {
		t.Error("a device's first message must have room, and the next none beyond the share")
	}
	n := 0
	for q.reserve(fmt.Sprint("d", n), 100) {
		n++
	}
	if n != deviceShare-5 {
		t.Errorf("%d more devices found room, want %d", n, deviceShare-5)
	}
}

// TestCollectWaits holds that a batch waits for more for its delay and no longer, and goes at once
// when it is full.
func TestCollectWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1 << 20)
		go func() {
			time.Sleep(time.Hour)
			q.put(t, message(Live, "a", 1))
			time.Sleep(10 * time.Millisecond)
			q.put(t, message(Live, "b", 1))
		}()
		start := time.Now()
		got := q.collect(t.Context(), 10, 20*time.Millisecond)
		if took := time.Since(start) - time.Hour; len(got) != 2 || took != 20*time.Millisecond {
			t.Errorf("%d messages after %v, want 2 after 20ms", len(got), took)
		}
		for range 10 {
			q.put(t, message(Live, "c", 1))
		}
		start = time.Now()
		if got := q.collect(t.Context(), 10, 20*time.Millisecond); len(got) != 10 || time.Since(start) != 0 {
			t.Errorf("%d messages after %v, want 10 at once", len(got), time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := q.collect(ctx, 10, time.Millisecond); got != nil {
			t.Errorf("%d messages from an empty queue", len(got))
		}
	})
}
