package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/configs"
)

type mqttPacket = packets.ControlPacket

// Message is one payload's readings, in arrival order. Readings belong to the caller of the Sink
// and are valid until Message returns.
type Message struct {
	Plan     *Plan  // what Reading.Series refers to
	Topic    string // or the path of a file
	Arrival  int64  // microseconds since the Unix epoch, by the device's clock
	ClockOK  bool   // the device's clock is trusted
	Dup      bool   // the broker has sent the message before
	Retained bool   // the broker had kept the message: it was sent at some time before
	Behind   int64  // microseconds that the device's clock is known to be slow, at least 0
	Readings []Reading
	// Stray is called before Ack for each label whose id no row has had. nil: nobody asks.
	Stray func(series, id string)
	// Clash is called before Ack for each reading whose time has another value already, which counts.
	// nil: nobody asks.
	Clash func(series string)
	// Ack means that the readings are durable. It must be called once for every message, from any
	// goroutine and in any order: PUBACKs are sent in the order of arrival (MQTT 3.1.1
	// [MQTT-4.6.0-2]). It may block for as long as the network takes. After a reconnect it does
	// nothing: the broker sends the message again. nil: nobody waits for it.
	Ack func()
}

// Sink takes messages that hold at least one reading, or an Ack alone: that of a message whose
// readings it was given before. It may be called from several goroutines
// (MQTT, HTTP). It may block: the broker then waits as well. An error ends the source.
type Sink interface {
	Message(ctx context.Context, m Message) error
}

// Flusher is implemented by sinks that hold messages back. Flush is called once when the source
// stops, after the last Message and before it disconnects: what becomes durable and is
// acknowledged in it is not sent again at the next start.
type Flusher interface{ Flush() }

// Options of a Client. Zero values take the defaults, except QoS: there 0 is a choice.
type Options struct {
	configs.AgentMQTT
	Device         string        // for the status topic skerry/<device>/status
	ConnectTimeout time.Duration // default 10 s
	// messages received and not yet taken by the sink, default 10,000, and at most 16 MiB of payload;
	// above it the connection is not read
	MaxQueued  int
	MaxPublish int // messages waiting to be published, default 1,024

	// Clock returns the time in microseconds and whether it is trusted. Default: the system's,
	// trusted.
	Clock func() (int64, bool)
	// Behind returns by how many microseconds the clock is known to be slow. nil: it is not known.
	Behind func() int64
	Log    *slog.Logger
	// Metrics receives the source's metrics; nil: they are counted and not exported.
	Metrics prometheus.Registerer
	// Inputs counts what arrives for every series; nil: an account of its own.
	Inputs *Inputs
	// SessionFile keeps what is subscribed to, so that a later process gives up what no task needs
	// any more. Empty: it is not kept.
	SessionFile string
	// Seen is called with the devices that a topic is the first message of, before it is decoded.
	// It may Replace the plan. nil: templates make no tasks.
	Seen func(context.Context, []Sighting)
	// Trouble says why the sink can store nothing at present, "" when it can. Meanwhile messages
	// come by a second connection too, and the sink gets them without an Ack. nil: they do not.
	Trouble func() string
}

func (o *Options) defaults() {
	qos := o.QoS
	configs.FillDefaults(&o.AgentMQTT)
	o.QoS = qos
	num := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	if o.ClientID == "" {
		o.ClientID = "skerry-" + o.Device
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 10 * time.Second
	}
	num(&o.MaxQueued, 10_000)
	num(&o.MaxPublish, 1024)
	if o.Clock == nil {
		o.Clock = func() (int64, bool) { return time.Now().UnixMicro(), true }
	}
	o.Clock = rising(o.Clock)
	if o.Behind == nil {
		o.Behind = func() int64 { return 0 }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Inputs == nil {
		o.Inputs = NewInputs(o.Metrics)
	}
}

// Client is the agent's connection to the MQTT broker.
type Client struct {
	opts Options
	url  *url.URL
	tls  *tls.Config // nil: the system's roots
	in   intake
	m    *metrics
	log  *complaints
	out  *outgoing
	acks acks
	live *live

	mu        sync.Mutex  // guards cli, plan, refused
	cli       mqtt.Client // of the present connection; nil before the first
	plan      *Plan
	refused   []string // filters the broker did not accept
	replan    chan struct{}
	connected atomic.Bool

	session *session               // of connectLoop
	short   int                    // connections in a row that did not stand; of connectLoop
	since   atomic.Int64           // unix nanoseconds of the newest connection
	taken   atomic.Pointer[string] // why it seems that another client has this one's id

	inMu    sync.Mutex // guards what follows
	inCond  *sync.Cond
	queue   []inbound
	bytes   int       // of the queue's payloads
	feeding time.Time // when the message came that is being handed to the sink; zero: none is
	closed  bool
}

type inbound struct {
	msg     mqtt.Message
	arrival int64
	clockOK bool
	at      time.Time   // by the monotonic clock
	by      mqtt.Client // the connection
}

// New checks the options, reads the certificates and returns a client that is not connected;
// [Client.Run] connects.
func New(plan *Plan, opts Options) (*Client, error) {
	opts.defaults()
	u, err := url.Parse(opts.Broker)
	if err != nil {
		// The error of url.Parse quotes the address, and with it a password.
		return nil, fmt.Errorf("broker address %q cannot be read: write special characters of user and password as %%XX, or use mqtt.username and mqtt.password", configs.Redacted(opts.Broker))
	}
	switch u.Scheme {
	case "tcp", "mqtt", "tls", "ssl", "mqtts", "ws", "wss", "unix":
	default:
		return nil, schemeError(u.Scheme)
	}
	certificates, err := opts.TLS()
	if err != nil {
		return nil, err
	}
	c := &Client{
		opts:   opts,
		url:    u,
		tls:    certificates,
		plan:   plan,
		m:      newMetrics(opts.Metrics),
		replan: make(chan struct{}, 1),
	}
	c.log = &complaints{log: opts.Log, every: time.Minute}
	c.live = newLive()
	c.in = intake{m: c.m, log: c.log, inputs: opts.Inputs}
	if c.session, err = openSession(opts.SessionFile, u.Redacted(), opts.ClientID); err != nil {
		opts.Log.Warn("subscriptions of the session before are not known", "err", err)
	}
	c.inCond = sync.NewCond(&c.inMu)
	c.out = newOutgoing(opts.MaxPublish, c.m)
	return c, nil
}

func (c *Client) statusTopic() string { return "skerry/" + c.opts.Device + "/status" }

// connection makes the client of one connection. paho warns against connecting a client again:
// parts of the old connection may still run. Nothing has to survive in it, the session is the
// broker's. lost gets the reason when the connection ends.
func (c *Client) connection() (cli mqtt.Client, lost chan error) {
	o, lost := c.clientOptions(c.opts.ClientID)
	o.SetCleanSession(false)
	o.SetBinaryWill(c.statusTopic(), []byte("offline"), 1, true)
	o.SetDefaultPublishHandler(c.receive)
	cli = mqtt.NewClient(o)
	c.mu.Lock()
	c.cli = cli
	c.mu.Unlock()
	return cli, lost
}

// rising returns a clock that gives every caller a time of his own: what has no time of its own has
// that of its arrival, and of two readings of one time the second would be a contradiction. It may
// run a second ahead of the clock that it follows, a microsecond for each call.
func rising(clock func() (int64, bool)) func() (int64, bool) {
	var mu sync.Mutex
	var last int64
	return func() (int64, bool) {
		now, ok := clock()
		mu.Lock()
		defer mu.Unlock()
		if ahead := last - now; ahead >= 0 && ahead < time.Second.Microseconds() {
			now = last + 1
		}
		last = now
		return now, ok
	}
}

// clientOptions are those of every connection. lost gets the reason when it ends.
func (c *Client) clientOptions(id string) (o *mqtt.ClientOptions, lost chan error) {
	lost = make(chan error, 1)
	o = mqtt.NewClientOptions()
	o.AddBroker(c.opts.Broker)
	o.SetClientID(id)
	o.SetUsername(c.opts.Username)
	o.SetPassword(c.opts.Password)
	o.SetProtocolVersion(4)
	o.SetAutoAckDisabled(true)
	o.SetOrderMatters(true)
	o.SetStore(noStore{})
	// Run reconnects: it holds the back-off, what to log once and when to stop.
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetKeepAlive(c.opts.KeepAlive.Std())
	o.SetPingTimeout(c.opts.ConnectTimeout)
	o.SetConnectTimeout(c.opts.ConnectTimeout)
	o.SetWriteTimeout(c.opts.ConnectTimeout)
	// called at most once
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err })
	// A frame holds topic (at most 65,535 bytes), lengths and packet id beside the payload; one
	// byte above the limit shows that it is too long.
	limit := int(c.opts.MaxPayload) + 65535 + 4 + 1
	o.SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
		return dialBroker(c.url, c.tls, c.opts.ConnectTimeout, limit)
	})
	return o, lost
}

func (c *Client) current() mqtt.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cli
}

// Connected reports whether the broker is connected now.
func (c *Client) Connected() bool { return c.connected.Load() }

// Since returns when the present connection to the broker began; zero when there is none.
func (c *Client) Since() time.Time {
	if !c.connected.Load() {
		return time.Time{}
	}
	return time.Unix(0, c.since.Load())
}

// Refused returns the topic filters that the broker did not accept at the last subscription.
func (c *Client) Refused() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.refused...)
}

// Replace makes p the plan from the next message on and adjusts the subscriptions. No message is
// lost: filters of both plans stay subscribed until the new ones are.
func (c *Client) Replace(p *Plan) {
	c.mu.Lock()
	c.plan = p
	c.mu.Unlock()
	select {
	case c.replan <- struct{}{}:
	default:
	}
}

// Publish hands a payload to the broker, in order, without waiting. While the broker is away for
// longer than ten seconds, or more than MaxPublish payloads wait, the last of each topic is kept,
// and those it replaces are counted; when more than MaxPublish topics wait the oldest is dropped
// and counted. After a reconnect the last payload of each topic is sent again, because the end of
// the old connection may have swallowed it. The payload must not be changed afterwards.
func (c *Client) Publish(topic string, payload []byte, retain bool) {
	c.out.add(topic, payload, retain)
}

// receive runs on paho's goroutine. It must not wait for the sink: paho reads ping replies behind
// the same queue.
func (c *Client) receive(cli mqtt.Client, msg mqtt.Message) {
	if msg.Qos() == 0 && !c.live.hearing().IsZero() {
		return // it comes by the second connection, and the broker keeps it for none
	}
	now, ok := c.opts.Clock()
	c.inMu.Lock()
	defer c.inMu.Unlock()
	for (len(c.queue) >= c.opts.MaxQueued || c.bytes > maxQueuedBytes) && !c.closed {
		// the limit protects memory: the broker is not read until the sink has caught up
		c.inCond.Wait()
	}
	if c.closed {
		return
	}
	c.queue = append(c.queue, inbound{msg, now, ok, time.Now(), cli})
	c.bytes += len(msg.Payload())
	c.inCond.Broadcast()
}

const maxQueuedBytes = 16 << 20

// take waits for messages and swaps the queue with the empty one given.
func (c *Client) take(empty []inbound) []inbound {
	c.inMu.Lock()
	defer c.inMu.Unlock()
	c.feeding = time.Time{}
	for len(c.queue) == 0 && !c.closed {
		c.inCond.Wait()
	}
	if c.closed {
		return nil
	}
	full := c.queue
	c.feeding = full[0].at
	c.queue, c.bytes = empty, 0
	c.inCond.Broadcast()
	return full
}

func (c *Client) closeQueue() {
	c.inMu.Lock()
	c.closed = true
	c.inCond.Broadcast()
	c.inMu.Unlock()
}

// Run connects, reconnects and feeds the sink until ctx ends or the sink fails. It then publishes
// what waits (at most a second), publishes "offline" and disconnects; messages without Ack come
// again with the next run. It may be called once.
func (c *Client) Run(ctx context.Context, sink Sink) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	fed := make(chan struct{})
	wg.Go(func() {
		defer close(fed)
		if err := c.feed(ctx, sink); err != nil {
			cancel(err)
		}
	})
	wg.Go(func() { c.out.run(c.send) })
	heard := make(chan struct{})
	wg.Go(func() {
		defer close(heard)
		if c.opts.Trouble != nil && c.opts.QoS > 0 {
			c.listen(ctx, sink)
		}
	})
	c.connectLoop(ctx)
	c.closeQueue()
	<-fed
	<-heard
	if f, ok := sink.(Flusher); ok {
		f.Flush()
	}
	if c.connected.Load() {
		c.out.drain(time.Second)
		cli := c.current()
		cli.Publish(c.statusTopic(), 1, true, "offline").WaitTimeout(time.Second)
		cli.Disconnect(250)
		c.connected.Store(false)
	}
	c.m.connected.Set(0)
	c.out.close()
	wg.Wait()
	c.log.flush()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (c *Client) connectLoop(ctx context.Context) {
	failed := 0
	for ctx.Err() == nil {
		cli, lost := c.connection()
		token := cli.Connect()
		select {
		case <-token.Done():
		case <-ctx.Done():
			cli.Disconnect(0)
			<-token.Done()
			return
		}
		err := token.Error()
		short := 0
		if err == nil {
			began := time.Now()
			c.since.Store(began.UnixNano())
			err = c.online(ctx, cli, lost, failed)
			failed = 0
			if errors.Is(err, errLost) && ctx.Err() == nil {
				short = c.ended(time.Since(began))
			}
		}
		if ctx.Err() != nil {
			return
		}
		c.connected.Store(false)
		c.m.connected.Set(0)
		c.out.setOnline(false)
		failed++
		wait := backoff(max(failed, short), c.opts.MaxBackoff.Std())
		if failed == 1 && short < takeovers {
			c.opts.Log.Warn("broker not connected", "broker", c.url.Redacted(), "err", err, "retry_ms", wait.Milliseconds())
		} else {
			c.log.warn("connect", "broker not connected", "broker", c.url.Redacted(), "err", err, "attempt", failed, "retry_ms", wait.Milliseconds())
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

var errLost = errors.New("connection lost")

// online subscribes, serves one connection and returns why it ended.
func (c *Client) online(ctx context.Context, cli mqtt.Client, lost chan error, failed int) error {
	c.m.connects.Inc()
	c.out.setOnline(true) // readings of a session that goes on come before it is subscribed to
	if err := c.subscribe(cli); err != nil {
		cli.Disconnect(0)
		return fmt.Errorf("subscribe: %w", err)
	}
	cli.Publish(c.statusTopic(), 1, true, "online")
	c.connected.Store(true)
	c.m.connected.Set(1)
	if c.short < takeovers {
		c.opts.Log.Info("broker connected", "broker", c.url.Redacted(), "client_id", c.opts.ClientID, "failed_attempts", failed)
	}
	for {
		select {
		case err := <-lost:
			return fmt.Errorf("%w: %w", errLost, err)
		case <-c.replan:
			if err := c.subscribe(cli); err != nil {
				c.opts.Log.Error("subscribe to changed task files failed", "err", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// subscribe subscribes to the plan's filters and afterwards drops those of the session that are
// gone.
func (c *Client) subscribe(cli mqtt.Client) error {
	c.mu.Lock()
	filters := c.plan.Filters()
	c.mu.Unlock()
	keep := func(filters []string) {
		if err := c.session.set(filters); err != nil {
			c.log.warn("session", "subscriptions not kept: a later start may not give up those that no task needs", "err", err)
		}
	}
	have := c.session.Filters
	all := slices.Clone(have)
	for _, f := range filters {
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	keep(all) // before the broker does
	var refused []string
	if len(filters) > 0 {
		subs := make(map[string]byte, len(filters))
		for _, f := range filters {
			subs[f] = byte(c.opts.QoS)
		}
		var err error
		if refused, err = c.subscribeTo(cli, subs); err != nil {
			return err
		}
		for _, f := range refused {
			c.opts.Log.Error("broker refused a subscription: check its access rules for this client", "filter", f, "client_id", c.opts.ClientID)
		}
	}
	c.mu.Lock()
	c.refused = refused
	c.mu.Unlock()
	var gone []string
	for _, f := range have {
		if !slices.Contains(filters, f) {
			gone = append(gone, f)
		}
	}
	if len(gone) > 0 {
		token := cli.Unsubscribe(gone...)
		if !token.WaitTimeout(c.opts.ConnectTimeout) || token.Error() != nil {
			return nil // the session still has them: they are given up at the next connection
		}
		c.opts.Log.Info("subscriptions given up that no task needs any more", "filters", gone)
	}
	keep(filters)
	return nil
}

// backoff doubles from half a second to limit, with a jitter of half of it so that a site's
// agents do not return together.
func backoff(attempt int, limit time.Duration) time.Duration {
	d := min(500*time.Millisecond<<min(attempt-1, 16), limit)
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1))
}

// feed decodes what was received and hands it to the sink.
func (c *Client) feed(ctx context.Context, sink Sink) error {
	var r reader
	var batch []inbound
	for {
		clear(batch)
		if batch = c.take(batch[:0]); batch == nil {
			return nil
		}
		for i := range batch {
			in := &batch[i]
			c.inMu.Lock()
			c.feeding = in.at
			c.inMu.Unlock()
			switch waited, ok := c.live.wait(ctx, in); {
			case !ok:
				return nil
			case waited && in.msg.Qos() > 0 && in.by != c.current():
				continue // the broker sends it again
			}
			ack := c.acks.add(in.msg.Ack)
			m := Message{Topic: in.msg.Topic(), Ack: ack}
			if c.live.was(in.msg) {
				c.mu.Lock()
				m.Plan = c.plan
				c.mu.Unlock()
			} else if m = c.read(ctx, &r, in, ack); len(m.Readings) == 0 {
				m.Ack() // nothing to store, and it will not become better by being sent again
				continue
			}
			if err := sink.Message(ctx, m); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			c.hurry()
		}
	}
}

// reader is the decoder of one goroutine.
type reader struct{ dec *Decoder }

// of returns the decoder of the present plan.
func (r *reader) of(c *Client) *Decoder {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.dec == nil || r.dec.plan != c.plan {
		r.dec = NewDecoder(c.plan, int(c.opts.MaxPayload))
	}
	return r.dec
}

// read decodes what was received. The message's readings are valid until the reader's next.
func (c *Client) read(ctx context.Context, r *reader, in *inbound, ack func()) Message {
	dec := r.of(c)
	if tp := dec.of(in.msg.Topic()); tp != nil && len(tp.fresh) > 0 && c.opts.Seen != nil {
		c.opts.Seen(ctx, tp.fresh)
		dec = r.of(c)
	}
	m := Message{
		Plan:     dec.plan,
		Topic:    in.msg.Topic(),
		Arrival:  in.arrival,
		ClockOK:  in.clockOK,
		Dup:      in.msg.Duplicate(),
		Retained: in.msg.Retained(),
		Behind:   c.opts.Behind(),
		Ack:      ack,
	}
	m.Readings = c.in.account(dec, m.Topic, in.msg.Payload(), arrived{m.Arrival, m.ClockOK, m.Retained})
	return m
}

// acks sends acknowledgements in the order in which their messages arrived.
type acks struct {
	mu    sync.Mutex
	queue []*ack
}

type ack struct {
	send func()
	done bool
}

// pending reports whether a message is not acknowledged.
func (a *acks) pending() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.queue) > 0
}

func (a *acks) add(send func()) func() {
	e := &ack{send: send}
	a.mu.Lock()
	a.queue = append(a.queue, e)
	a.mu.Unlock()
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		e.done = true
		for len(a.queue) > 0 && a.queue[0].done {
			a.queue[0].send()
			a.queue = a.queue[1:]
		}
	}
}
