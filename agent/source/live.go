package source

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// A broker sends a session only so many messages that are not acknowledged (mosquitto: 20). While
// nothing can be stored nothing is acknowledged, so the session would fall silent although
// predictions can go on. A second connection, without a session, hears what is published then. Its
// messages are taken without an acknowledgement; those of the session stay in the broker, and come
// when it can be stored again. It is remembered which were taken, so that they are acknowledged then
// and not taken a second time. The second connection ends when the session has caught up: until then
// what is new waits behind the backlog.

const (
	// liveSuffix makes the client id of the second connection.
	liveSuffix = "-live"
	liveEvery  = 100 * time.Millisecond // between two looks at Options.Trouble without a message
	liveRetry  = 10 * time.Second       // between two tries to connect
	liveQueue  = 1000                   // messages received and not yet taken by the sink
	takenMax   = 200_000                // payloads remembered, over all topics
	takenLook  = 1024                   // of a topic's that one message is compared with
	earlyMax   = 1000                   // payloads that the session gave first
	// takenFor is how long after the end payloads are remembered; where the session has nothing
	// left, takenIdle.
	takenFor  = 10 * time.Minute
	takenIdle = 2 * time.Second
)

// live is the state of the second connection. Its methods are safe for concurrent use.
type live struct {
	seed maphash.Seed
	kick chan struct{} // nothing can be stored: there is no time to lose

	mu      sync.Mutex
	since   time.Time           // of hearing; zero when it does not
	from    time.Time           // the session's messages received since wait until proceed is closed
	proceed chan struct{}       // nil while they do not wait
	taken   map[uint64][]uint64 // hashes of payloads by that of their topic, whose name may be long
	count   int                 // of all topics
	// what the session has given while there is a second connection, which may bring it too; nil at
	// other times
	early    map[uint64][]uint64
	earlier  int       // of all topics
	unknown  int       // taken beyond takenMax
	released time.Time // when the session's messages went on last
	idle     time.Time // since when the session has nothing left; zero: it has
}

func newLive() *live {
	return &live{seed: maphash.MakeSeed(), kick: make(chan struct{}, 1), taken: map[uint64][]uint64{}}
}

// begin is called before the second connection subscribes.
func (l *live) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.early, l.earlier = map[uint64][]uint64{}, 0
}

// hear notes that everything published from now on comes by the second connection, and makes the
// session's messages wait that are received from now on.
func (l *live) hear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proceed == nil {
		l.proceed, l.from = make(chan struct{}), time.Now()
	}
	if l.since.IsZero() {
		l.since = l.from
	}
}

// release lets the session's messages go on.
func (l *live) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proceed != nil {
		close(l.proceed)
		l.proceed, l.released, l.idle = nil, time.Now(), time.Time{}
	}
}

// caughtUp reports whether the session has given everything that was taken, or had the time to.
func (l *live) caughtUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proceed == nil && (l.count == 0 || time.Since(l.released) > takenFor)
}

// end notes that there is no second connection any more.
func (l *live) end() {
	l.release()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since, l.early, l.earlier = time.Time{}, nil, 0
}

// waitsSince returns from when on the session's messages wait; false while they do not.
func (l *live) waitsSince() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from, l.proceed != nil
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

// note remembers a payload that is about to be taken. again is true where the session has given it
// before, full for the first without room.
func (l *live) note(topic string, payload []byte) (again, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, h := maphash.String(l.seed, topic), maphash.Bytes(l.seed, payload)
	if i := slices.Index(l.early[of], h); i >= 0 {
		if l.earlier--; len(l.early[of]) == 1 {
			delete(l.early, of)
		} else {
			l.early[of] = slices.Delete(l.early[of], i, i+1)
		}
		return true, false
	}
	if l.count >= takenMax {
		l.unknown++
		return false, l.unknown == 1
	}
	l.taken[of] = append(l.taken[of], h)
	l.count++
	return false, false
}

// was reports whether a message of the session was taken before, and forgets it with those of its
// topic before it: a broker keeps the order of a topic, so they do not come any more.
func (l *live) was(msg mqtt.Message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := maphash.String(l.seed, msg.Topic())
	have := l.taken[of]
	if msg.Qos() == 0 || len(have) == 0 && l.early == nil {
		return false // what is sent without acknowledgement is not kept by the broker
	}
	h := maphash.Bytes(l.seed, msg.Payload())
	for i, x := range have[:min(len(have), takenLook)] {
		if x != h {
			continue
		}
		l.count -= i + 1
		if have = have[i+1:]; len(have) == 0 {
			delete(l.taken, of)
		} else {
			l.taken[of] = have
		}
		return true
	}
	if l.early != nil {
		if l.earlier++; l.earlier > earlyMax {
			clear(l.early)
			l.earlier = 1
		}
		l.early[of] = append(l.early[of], h)
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
	case l.count == 0 || !l.since.IsZero():
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

// Live returns since when messages are taken from the second connection; zero when they are not.
func (c *Client) Live() time.Time { return c.live.hearing() }

// Deaf reports whether messages may be published that do not come: nothing can be stored, so that
// the session falls silent, and there is no second connection.
func (c *Client) Deaf() bool {
	return c.opts.Trouble != nil && c.opts.Trouble() != "" && c.Live().IsZero()
}

// hurry begins to listen at once when nothing can be stored: what the broker queues before is not
// heard.
func (c *Client) hurry() {
	if c.opts.Trouble != nil && c.Live().IsZero() && c.opts.Trouble() != "" {
		select {
		case c.live.kick <- struct{}{}:
		default:
		}
	}
}

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
		case <-c.live.kick:
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

// hear serves the second connection until something can be stored again and the session has caught
// up; an error means that it ended before.
func (c *Client) hear(ctx context.Context, sink Sink) error {
	heard := make(chan inbound, liveQueue)
	o, lost := c.clientOptions(c.opts.ClientID + liveSuffix)
	o.SetCleanSession(true)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, msg mqtt.Message) {
		msg.Ack() // the session's copy is what is owed
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
	c.live.begin()
	defer c.live.end()
	if err := c.hearPlan(cli, plan, nil); err != nil {
		return err
	}
	c.live.hear()
	began, taken := time.Now(), 0
	c.opts.Log.Warn("predicting from memory, by a second connection to the broker: nothing is acknowledged until it can be stored",
		"client_id", c.opts.ClientID+liveSuffix, "err", c.opts.Trouble())
	defer func() {
		c.opts.Log.Info("the second connection to the broker is given up: its messages are stored and acknowledged",
			"messages", taken, "seconds", int(time.Since(began).Seconds()))
	}()
	var r reader
	take := func(in inbound) error {
		if err := c.behind(ctx); err != nil {
			return err
		}
		if in.msg.Qos() > 0 { // of others the broker keeps no copy
			again, full := c.live.note(in.msg.Topic(), in.msg.Payload())
			if again {
				return nil
			}
			if full {
				c.opts.Log.Warn("too many messages are held in memory: of later ones readings without a time of their own are stored a second time when the broker sends them again", "limit", takenMax)
			}
		}
		m := c.read(ctx, &r, &in, nil)
		if taken++; len(m.Readings) == 0 {
			return nil
		}
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
			c.live.hear()
			continue
		}
		if c.live.release(); !c.live.caughtUp() {
			continue
		}
		cli.Disconnect(0)
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

// behind waits while the session has given messages before the second connection was heard that the
// sink does not have yet: what the second connection brings is newer, and of a reading that comes
// after a newer one nothing is predicted.
func (c *Client) behind(ctx context.Context) error {
	for {
		from, waits := c.live.waitsSince()
		if !waits || !c.feeds(from) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// feeds reports whether a message that the session gave before a time is not with the sink yet.
func (c *Client) feeds(before time.Time) bool {
	c.inMu.Lock()
	defer c.inMu.Unlock()
	at := c.feeding
	if at.IsZero() && len(c.queue) > 0 {
		at = c.queue[0].at
	}
	return !at.IsZero() && at.Before(before)
}

// hearPlan subscribes the second connection to a plan's filters in place of another's.
func (c *Client) hearPlan(cli mqtt.Client, p, old *Plan) error {
	subs := map[string]byte{}
	for _, f := range p.Filters() {
		subs[f] = 1
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
	refused, err := c.subscribeTo(cli, subs)
	if err == nil && len(refused) > 0 {
		err = fmt.Errorf("the broker refused the subscription %s", refused[0])
	}
	return err
}

// subscribeTo subscribes a connection to filters and returns those that the broker refuses.
func (c *Client) subscribeTo(cli mqtt.Client, filters map[string]byte) (refused []string, err error) {
	token := cli.SubscribeMultiple(filters, nil)
	if !token.WaitTimeout(c.opts.ConnectTimeout) {
		return nil, errors.New("no answer from the broker")
	}
	if err := token.Error(); err != nil {
		return nil, err
	}
	for f, code := range token.(*mqtt.SubscribeToken).Result() {
		if code > 2 {
			refused = append(refused, f)
		}
	}
	slices.Sort(refused)
	return refused, nil
}
