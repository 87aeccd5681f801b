package source

import (
	"sync"
	"time"
)

// brief is how long a connection may be away, at the start as well, so that no message is left out:
// what a session brings at once when it goes on is predicted before there are subscriptions. Of
// what comes later the newest of each topic waits.
const brief = 10 * time.Second

// outgoing is the bounded queue of messages to publish, and the last message of each topic.
type outgoing struct {
	mu     sync.Mutex
	cond   *sync.Cond
	max    int
	m      *metrics
	queue  []*outMessage
	last   map[string]*outMessage // by topic, the newest one sent or waiting
	online bool
	since  time.Time // offline
	closed bool
}

type outMessage struct {
	topic   string
	payload []byte
	retain  bool
	waiting bool
}

func newOutgoing(max int, m *metrics) *outgoing {
	o := &outgoing{max: max, m: m, last: map[string]*outMessage{}, since: time.Now()}
	o.cond = sync.NewCond(&o.mu)
	return o
}

func (o *outgoing) add(topic string, payload []byte, retain bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if prev := o.last[topic]; prev != nil && prev.waiting && (!o.online && time.Since(o.since) > brief || len(o.queue) >= o.max) {
		prev.payload, prev.retain = payload, retain
		o.m.superseded.Inc()
		return
	}
	if len(o.queue) >= o.max {
		o.queue[0].waiting = false
		o.queue = o.queue[1:]
		o.m.dropped.Inc()
	}
	if len(o.last) >= o.max && o.last[topic] == nil {
		clear(o.last) // more topics than the bound: resending is a courtesy, memory is not
	}
	m := &outMessage{topic, payload, retain, true}
	o.last[topic] = m
	o.queue = append(o.queue, m)
	o.cond.Broadcast()
}

// setOnline starts or pauses sending. At the start of a connection the last message of every
// topic that is not waiting is sent again.
func (o *outgoing) setOnline(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if on && !o.online {
		for _, m := range o.last {
			if !m.waiting && len(o.queue) < o.max {
				m.waiting = true
				o.queue = append(o.queue, m)
			}
		}
	}
	o.turn(on)
	o.cond.Broadcast()
}

// turn notes whether messages can be sent. o.mu is held.
func (o *outgoing) turn(on bool) {
	if o.online && !on {
		o.since = time.Now()
	}
	o.online = on
}

// run sends until close. send returns false when the connection is gone.
func (o *outgoing) run(send func(topic string, payload []byte, retain bool) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for !o.closed && (!o.online || len(o.queue) == 0) {
			o.cond.Wait()
		}
		if o.closed {
			return
		}
		m := o.queue[0]
		o.queue = o.queue[1:]
		m.waiting = false
		topic, payload, retain := m.topic, m.payload, m.retain
		o.mu.Unlock()
		ok := send(topic, payload, retain)
		o.mu.Lock()
		if !ok && o.last[topic] == m && !m.waiting {
			m.waiting = true
			o.queue = append([]*outMessage{m}, o.queue...)
			o.turn(false)
		}
		if len(o.queue) == 0 {
			o.cond.Broadcast()
		}
	}
}

// drain waits until the queue is empty, at most d.
func (o *outgoing) drain(d time.Duration) {
	end := time.Now().Add(d)
	for time.Now().Before(end) {
		o.mu.Lock()
		n := len(o.queue)
		o.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (o *outgoing) close() {
	o.mu.Lock()
	o.closed = true
	o.cond.Broadcast()
	o.mu.Unlock()
}

// send publishes with QoS 0: ordered, never queued inside the client, never behind a newer value
// after a reconnect.
func (c *Client) send(topic string, payload []byte, retain bool) bool {
	token := c.current().Publish(topic, 0, retain, payload)
	if !token.WaitTimeout(c.opts.ConnectTimeout) || token.Error() != nil {
		return false
	}
	c.m.published.Inc()
	return true
}
