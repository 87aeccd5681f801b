package ingest

import (
	"context"
	"sync"
	"time"
)

// backfillShare is the part of a batch that live telemetry leaves to backfill: one eighth. Without
// it a saturated live lane would starve the backfill of every device.
const backfillShare = 8

// deviceShare is the part of the queue that one device may fill: one sixteenth. What a device may
// have under way is far less; the share is for those that ignore it.
const deviceShare = 16

// request is a message whose chunks are decoded.
type request struct {
	Message
	chunks []chunk
}

// queue holds what waits for a transaction, bounded in bytes. Safe for concurrent use.
type queue struct {
	limit int // bytes of messages

	mu      sync.Mutex // guards everything below
	lanes   [numLanes][]*request
	chunks  int
	bytes   int
	devices map[string]int // bytes that wait, by device
	filled  chan struct{}  // has room for one token; holds one when something was added
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, devices: map[string]int{}, filled: make(chan struct{}, 1)}
}

// reserve takes room for n bytes of a device; it refuses when the queue or the device's share is
// full. take returns what was reserved.
func (q *queue) reserve(device string, n int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+n > q.limit || q.devices[device]+n > max(q.limit/deviceShare, n) && q.devices[device] > 0 {
		return false
	}
	q.bytes += n
	q.devices[device] += n
	return true
}

// drop returns room; mu is held.
func (q *queue) drop(device string, n int) {
	q.bytes -= n
	if q.devices[device] -= n; q.devices[device] <= 0 {
		delete(q.devices, device)
	}
}

// add queues a request for which room was reserved.
func (q *queue) add(r *request) {
	q.mu.Lock()
	q.lanes[r.Lane] = append(q.lanes[r.Lane], r)
	q.chunks += len(r.chunks)
	q.mu.Unlock()
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

// waiting returns how many messages of a lane wait.
func (q *queue) waiting(l Lane) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lanes[l])
}

// collect waits for a request, then up to delay for more, and returns those of one transaction of
// about limit chunks. It returns nothing when ctx ends.
func (q *queue) collect(ctx context.Context, limit int, delay time.Duration) []*request {
	var full <-chan time.Time
	for {
		q.mu.Lock()
		n := q.chunks
		q.mu.Unlock()
		if n >= limit {
			return q.take(limit)
		}
		if n > 0 && full == nil {
			t := time.NewTimer(delay)
			defer t.Stop()
			full = t.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-full:
			return q.take(limit)
		case <-q.filled:
		}
	}
}

// take removes about limit chunks, earlier lanes first.
func (q *queue) take(limit int) (batch []*request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := limit
	from := func(l Lane, share int) {
		lane, n := q.lanes[l], 0
		for n < len(lane) && share > 0 && left > 0 {
			r := lane[n]
			lane[n] = nil
			n++
			share -= len(r.chunks)
			left -= len(r.chunks)
			q.chunks -= len(r.chunks)
			q.drop(r.Device, len(r.Data))
			batch = append(batch, r)
		}
		q.lanes[l] = lane[n:]
		if len(q.lanes[l]) == 0 {
			q.lanes[l] = nil // a slice that is cut at its head never gives its memory back
		}
	}
	from(Events, left)
	from(Live, left-left/backfillShare)
	from(Backfill, left)
	from(Live, left)
	return batch
}
