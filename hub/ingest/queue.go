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
	size   int // bytes that it holds in memory, about
	cost   int // of storing it: a chunk is one, every record that is indexed by itself another
}

// all returns the chunks of the request, which change in place.
func (r *request) all() []*chunk {
	out := make([]*chunk, len(r.chunks))
	for n := range r.chunks {
		out[n] = &r.chunks[n]
	}
	return out
}

// lane is the messages of one lane: of every device in order, of the devices in turn, so that one
// that sends without end waits for itself.
type lane struct {
	turn    []string // devices with a message, the next first
	waiting map[string][]*request
	n       int
}

func (l *lane) add(r *request) {
	if len(l.waiting[r.Device]) == 0 {
		l.turn = append(l.turn, r.Device)
	}
	l.waiting[r.Device] = append(l.waiting[r.Device], r)
	l.n++
}

// next removes the message whose turn it is; nil when none waits.
func (l *lane) next() *request {
	if len(l.turn) == 0 {
		return nil
	}
	device := l.turn[0]
	l.turn = l.turn[1:]
	list := l.waiting[device]
	r := list[0]
	list[0] = nil
	if list = list[1:]; len(list) == 0 {
		delete(l.waiting, device)
	} else {
		l.waiting[device] = list
		l.turn = append(l.turn, device)
	}
	l.n--
	return r
}

// queue holds what waits for a transaction, bounded in bytes. Safe for concurrent use.
type queue struct {
	limit int // bytes

	mu      sync.Mutex // guards everything below
	lanes   [numLanes]lane
	cost    int
	bytes   int
	devices map[string]int // bytes that wait, by device
	filled  chan struct{}  // has room for one token; holds one when something was added
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit, devices: map[string]int{}, filled: make(chan struct{}, 1)}
	for l := range q.lanes {
		q.lanes[l].waiting = map[string][]*request{}
	}
	return q
}

// reserve takes room for n bytes of a device; it refuses when the queue or the device's share is
// full. take returns what was reserved. A device's first message always has room within the limit.
func (q *queue) reserve(device string, n int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	mine := q.devices[device]
	if q.bytes > 0 && q.bytes+n > q.limit || mine > 0 && mine+n > q.limit/deviceShare {
		return false
	}
	q.bytes += n
	q.devices[device] += n
	return true
}

// grow takes room for more bytes of a message for which had were reserved: as many as it has
// decoded. When it refuses, nothing stays reserved.
func (q *queue) grow(device string, had, more int) bool {
	q.mu.Lock()
	q.drop(device, had)
	q.mu.Unlock()
	return q.reserve(device, had+more)
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
	q.lanes[r.Lane].add(r)
	q.cost += r.cost
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
	return q.lanes[l].n
}

// collect waits for a request, then up to delay for more, and returns those of one transaction that
// costs about limit. It returns nothing when ctx ends.
func (q *queue) collect(ctx context.Context, limit int, delay time.Duration) []*request {
	var full <-chan time.Time
	for {
		q.mu.Lock()
		n := q.cost
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

// take removes requests that cost about limit, earlier lanes first.
func (q *queue) take(limit int) (batch []*request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := limit
	from := func(l Lane, share int) {
		for share > 0 && left > 0 {
			r := q.lanes[l].next()
			if r == nil {
				return
			}
			share -= r.cost
			left -= r.cost
			q.cost -= r.cost
			q.drop(r.Device, r.size)
			batch = append(batch, r)
		}
	}
	from(Events, left)
	from(Live, left-left/backfillShare)
	from(Backfill, left)
	from(Live, left)
	return batch
}
