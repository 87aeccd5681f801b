package source

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// A broker sends a session only so many messages that are not acknowledged (mosquitto: 20). While
// nothing can be stored nothing is acknowledged, so the session would fall silent although
// predictions can go on. A second connection, without a session, hears what is published then. Its
// messages are taken without an acknowledgement; those of the session stay in the broker, and come
// when it can be stored again: readings with a time of their own are then known as repeats, and for
// payloads without one live remembers which were taken.

const (
	// liveSuffix makes the client id of the second connection.
	liveSuffix = "-live"
	liveEvery  = 100 * time.Millisecond // between two looks at Options.Trouble
	liveRetry  = 10 * time.Second       // between two tries to connect
	liveQueue  = 1000                   // messages received and not yet taken by the sink
	takenMax   = 200_000                // payloads remembered, over all topics
	takenLook  = 1024                   // of a topic's that one message is compared with
	// takenFor is how long after the end payloads are remembered; where the session has nothing
	// left, takenIdle.
	takenFor  = 10 * time.Minute
	takenIdle = 2 * time.Second
)

// live is the state of the second connection. Its methods are safe for concurrent use.
type live struct {
	seed maphash.Seed

	mu       sync.Mutex
	since    time.Time     // of hearing; zero when it does not
	from     time.Time     // the session's messages received since wait until proceed is closed
	proceed  chan struct{} // nil while they do not wait
	taken    map[string][]uint64
	count    int       // of all topics
	unknown  int       // taken beyond takenMax
	released time.Time // when the session's messages went on
	idle     time.Time // since when the session has nothing left; zero: it has
}

func newLive() *live { return &live{seed: maphash.MakeSeed(), taken: map[string][]uint64{}} }

// hold makes the session's messages wait that are received from now on.
func (l *live) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.from, l.proceed = time.Now(), make(chan struct{})
}

// hear notes that everything published from now on comes by the second connection.
func (l *live) hear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = time.Now()
}

// release lets the session's messages go on.
func (l *live) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proceed != nil {
		close(l.proceed)
	}
	l.proceed, l.since, l.released, l.idle = nil, time.Time{}, time.Now(), time.Time{}
}

// wait blocks while a message of the session has to wait. It reports whether it had to, and false
// for ok when ctx has ended.
func (l *live) wait(ctx context.Context, in *inbound) (waited, ok bool) {
	l.mu.Lock()
	proceed, from := l.proceed, l.from
	l.mu.Unlock()
	if proceed == nil || in.at.Before(from) {
		return false, true
	}
	select {
	case <-proceed:
		return true, true
	case <-ctx.Done():
		return true, false
	}
}

// hearing reports since when messages come by the second connection; zero: they do not.
func (l *live) hearing() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since
}

// note remembers a payload that was taken, and reports whether it is the first without room.
func (l *live) note(topic string, payload []byte) (full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count >= takenMax {
		l.unknown++
		return l.unknown == 1
	}
	if _, ok := l.taken[topic]; !ok {
		topic = strings.Clone(topic)
	}
	l.taken[topic] = append(l.taken[topic], maphash.Bytes(l.seed, payload))
	l.count++
	return false
}

// was reports whether a message of the session was taken before, and forgets it with those of its
// topic before it: a broker keeps the order of a topic, so they do not come any more.
func (l *live) was(msg mqtt.Message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	have := l.taken[msg.Topic()]
	if msg.Qos() == 0 || len(have) == 0 {
		return false // what is sent without acknowledgement is not kept by the broker
	}
	h := maphash.Bytes(l.seed, msg.Payload())
	for i, x := range have[:min(len(have), takenLook)] {
		if x != h {
			continue
		}
		l.count -= i + 1
		if have = have[i+1:]; len(have) == 0 {
			delete(l.taken, msg.Topic())
		} else {
			l.taken[msg.Topic()] = have
		}
		return true
	}
	return false
}

// tidy forgets what is remembered once the session has delivered all that the broker had. pending
// says that some of it is not acknowledged.
func (l *live) tidy(pending bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch {
	case l.count == 0 || l.proceed != nil:
		return
	case pending:
		l.idle = time.Time{}
	case l.idle.IsZero():
		l.idle = now
	}
	if now.Sub(l.released) >= takenFor || !l.idle.IsZero() && now.Sub(l.idle) >= takenIdle {
		clear(l.taken)
		l.count, l.unknown = 0, 0
	}
}

// Live returns since when messages are taken from the second connection, because nothing can be
// stored; zero when they are not.
func (c *Client) Live() time.Time { return c.live.hearing() }

// listen hears what is published by the second connection whenever nothing can be stored.
func (c *Client) listen(ctx context.Context, sink Sink) {
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	var failed time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.live.tidy(c.acks.pending() || !c.connected.Load())
		if c.opts.Trouble() == "" {
			failed = time.Time{}
			continue
		}
		if !c.connected.Load() || !failed.IsZero() && time.Since(failed) < liveRetry {
			continue
		}
		if err := c.hear(ctx, sink); err != nil && ctx.Err() == nil {
			failed = time.Now()
			c.log.warn("live", "no second connection while nothing can be stored: predictions end with the messages that the broker sends without an acknowledgement",
				"client_id", c.opts.ClientID+liveSuffix, "err", err, "retry_ms", liveRetry.Milliseconds())
		}
	}
}

// hear serves the second connection until something can be stored again; an error means that it
// ended before.
func (c *Client) hear(ctx context.Context, sink Sink) error {
	heard := make(chan inbound, liveQueue)
	o, lost := c.clientOptions(c.opts.ClientID + liveSuffix)
	o.SetCleanSession(true)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, msg mqtt.Message) {
		if msg.Retained() {
			return // the session has had it, or will
		}
		now, ok := c.opts.Clock()
		select {
		case heard <- inbound{msg: msg, arrival: now, clockOK: ok}:
		default: // the session has it
		}
	})
	cli := mqtt.NewClient(o)
	defer cli.Disconnect(0)
	token := cli.Connect()
	select {
	case <-token.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := token.Error(); err != nil {
		return err
	}
	c.mu.Lock()
	plan := c.plan
	c.mu.Unlock()
	defer c.live.release()
	if err := c.hearPlan(cli, plan, nil); err != nil {
		return err
	}
	c.live.hear()
	began, taken := time.Now(), 0
	c.opts.Log.Warn("predicting from memory, by a second connection to the broker: nothing is acknowledged until it can be stored",
		"client_id", c.opts.ClientID+liveSuffix, "err", c.opts.Trouble())
	defer func() {
		c.opts.Log.Info("the second connection to the broker is given up: what it took comes again and is acknowledged once it is stored",
			"messages", taken, "seconds", int(time.Since(began).Seconds()))
	}()
	var r reader
	take := func(in inbound) error {
		m := c.read(ctx, &r, &in, nil)
		if len(m.Readings) == 0 {
			return nil
		}
		for i := range m.Readings {
			if !m.Readings[i].HasTime {
				if c.live.note(m.Topic, in.msg.Payload()) {
					c.opts.Log.Warn("too many readings without a time of their own are held in memory: later ones are stored a second time when the broker sends them again", "limit", takenMax)
				}
				break
			}
		}
		taken++
		return sink.Message(ctx, m)
	}
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		select {
		case in := <-heard:
			if err := take(in); err != nil {
				return err
			}
			continue
		case err := <-lost:
			return fmt.Errorf("%w: %w", errLost, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		c.mu.Lock()
		now := c.plan
		c.mu.Unlock()
		if now != plan {
			if err := c.hearPlan(cli, now, plan); err != nil {
				return err
			}
			plan = now
		}
		if c.opts.Trouble() != "" {
			continue
		}
		cli.Disconnect(0) // no handler runs after it
		for {
			select {
			case in := <-heard:
				if err := take(in); err != nil {
					return err
				}
				continue
			default:
			}
			return nil
		}
	}
}

// hearPlan subscribes the second connection to a plan's filters in place of another's. The
// session's messages wait from just before the first time, so that what comes by both waits.
func (c *Client) hearPlan(cli mqtt.Client, p, old *Plan) error {
	subs := map[string]byte{}
	for _, f := range p.Filters() {
		subs[f] = 0
	}
	if old != nil {
		var gone []string
		for _, f := range old.Filters() {
			if _, ok := subs[f]; !ok {
				gone = append(gone, f)
			}
		}
		if len(gone) > 0 {
			cli.Unsubscribe(gone...)
		}
	}
	if len(subs) == 0 {
		return errors.New("no task reads a topic")
	}
	if old == nil {
		c.live.hold()
	}
	token := cli.SubscribeMultiple(subs, nil)
	if !token.WaitTimeout(c.opts.ConnectTimeout) {
		return errors.New("no answer from the broker")
	}
	if err := token.Error(); err != nil {
		return err
	}
	for f, code := range token.(*mqtt.SubscribeToken).Result() {
		if code > 2 {
			return fmt.Errorf("the broker refused the subscription %s", f)
		}
	}
	return nil
}
