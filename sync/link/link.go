// Package link connects a device's outbox with the hub over NATS.
//
// It keeps one connection, sends a hello on every connect, gets what the hub has applied, and then
// sends chunks as requests: the live lane first, backfill within a byte rate beside it. A message
// carries one chunk, or several when more are waiting. The hub's receipt releases them, because it
// comes after the commit; without one in time they are sent again, after a pause that grows. With a
// hub from before receipts a stream takes the chunks, which moves the send cursor only, and the
// hub's applied messages release them.
// Desired state is read once after the hello and then arrives as a push.
package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.etcd.io/bbolt"
	"golang.org/x/time/rate"

	"skerry.dev/sync/outbox"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// Options of a link. Device, Site and NATS are required.
type Options struct {
	Device, Site string
	// NATS returns the server addresses and the credentials; it is called at every attempt to
	// connect.
	NATS func() (urls []string, opts []nats.Option, err error)
	// Hello fills in what the device reports of itself; Device and Runs are set by the link.
	Hello func() wire.Hello
	// Desired is called with every desired state received, in order, from one goroutine.
	Desired func(spec.Desired)
	// Greeted is called after every hello with what the hub has applied.
	Greeted func(wire.Applied)
	// Status is called when the link comes up or goes down.
	Status func(up bool)
	// BackfillBytes bounds backfill in bytes a second. Default 2 MiB; live data is never held
	// back for it.
	BackfillBytes int
	// InFlight bounds the messages per lane that wait for a receipt; on a slow link they are fewer.
	// Default 16.
	InFlight int
	// MessageBytes bounds a message of several chunks. Default 128 KiB.
	MessageBytes int
	// ReceiptTimeout bounds the wait for a receipt. Default 10 s.
	ReceiptTimeout time.Duration
	// HelloTimeout bounds one hello. Default 5 s.
	HelloTimeout time.Duration
	Log          *slog.Logger // nil: discard
}

// Link is one device's connection. Use New, then Run.
type Link struct {
	opts    Options
	box     *outbox.Outbox
	db      *bbolt.DB
	log     *slog.Logger
	limiter *rate.Limiter

	up        atomic.Bool
	suspect   atomic.Bool
	lastError atomic.Pointer[string]
	sent      atomic.Int64
	rewound   atomic.Int64
	greeting  atomic.Pointer[greeting]
	maxChunks atomic.Int32 // chunks the hub takes in one message
	state     chan []byte
	conn      atomic.Pointer[nats.Conn]
}

// New returns a link that sends box's chunks, which are read from db.
func New(box *outbox.Outbox, db *bbolt.DB, opts Options) *Link {
	if opts.BackfillBytes == 0 {
		opts.BackfillBytes = 2 << 20
	}
	if opts.InFlight == 0 {
		opts.InFlight = 16
	}
	if opts.MessageBytes == 0 {
		opts.MessageBytes = 128 << 10
	}
	if opts.ReceiptTimeout == 0 {
		opts.ReceiptTimeout = 10 * time.Second
	}
	if opts.HelloTimeout == 0 {
		opts.HelloTimeout = 5 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Link{opts: opts, box: box, db: db, log: opts.Log, state: make(chan []byte, 1),
		limiter: rate.NewLimiter(rate.Limit(opts.BackfillBytes), opts.BackfillBytes)}
}

// Up reports whether the hub has answered a hello on the present connection.
func (l *Link) Up() bool { return l.up.Load() }

// Suspect reports whether the hub holds this device for a clone.
func (l *Link) Suspect() bool { return l.suspect.Load() }

// Sent counts the chunks that the hub has answered for, and those that had to be sent again because
// they were taken and never applied.
func (l *Link) Sent() (sent, rewound int64) { return l.sent.Load(), l.rewound.Load() }

// LastError returns why the link is down, "" when it is up or was never tried.
func (l *Link) LastError() string {
	if p := l.lastError.Load(); p != nil && !l.Up() {
		return *p
	}
	return ""
}

func (l *Link) fail(err error) {
	s := err.Error()
	l.lastError.Store(&s)
}

// PublishState offers a reported state; only the newest waits for the link.
func (l *Link) PublishState(doc []byte) {
	for {
		select {
		case l.state <- doc:
			return
		default:
		}
		select {
		case <-l.state:
		default:
		}
	}
}

// Run connects and works until ctx ends. It reconnects by itself with growing, jittered pauses;
// an unreachable hub is not an error.
func (l *Link) Run(ctx context.Context) error {
	pause := 200 * time.Millisecond
	warned := false
	for ctx.Err() == nil {
		up, err := l.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			l.fail(err)
			if !warned {
				l.log.Warn("hub link down", "err", err)
				warned = true
			}
		}
		if up > pause { // it held longer than was waited for it: this is no flapping link
			pause, warned = 200*time.Millisecond, false
		}
		select {
		case <-ctx.Done():
		case <-time.After(jitter(pause)):
		}
		pause = min(2*pause, 30*time.Second)
	}
	return nil
}

func jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(time.Now().UnixNano()%int64(d/2+1))
}

// session is one connection from hello to its loss. It returns how long the hub was there.
func (l *Link) session(ctx context.Context) (up time.Duration, err error) {
	urls, creds, err := l.opts.NATS()
	if err != nil {
		return 0, err
	}
	if len(urls) == 0 {
		return 0, errors.New("no hub address: enrol the device first")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o := nats.GetDefaultOptions()
	o.Servers = urls
	for _, f := range append([]nats.Option{
		nats.Name("skerry-agent " + l.opts.Device),
		nats.CustomInboxPrefix(wire.InboxPrefix(l.opts.Device)),
		// every connection starts with a hello, so it is this loop that reconnects
		nats.NoReconnect(),
		nats.Timeout(5 * time.Second),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err == nil {
				err = errors.New("the hub closed the connection")
			}
			cancel(err)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.log.Warn("hub link error", "err", err) }),
	}, creds...) {
		if err := f(&o); err != nil {
			return 0, err
		}
	}
	conn, err := o.Connect()
	if err != nil {
		return 0, fmt.Errorf("connect to hub: %w", err)
	}
	defer conn.Close()
	l.conn.Store(conn)

	desired := make(chan *nats.Msg, 64)
	sub, err := conn.ChanSubscribe(wire.SubjectDesired(l.opts.Device), desired)
	if err != nil {
		return 0, err
	}
	defer sub.Unsubscribe()
	applied, err := conn.Subscribe(wire.SubjectApplied(l.opts.Device), func(m *nats.Msg) { l.applied(m.Data) })
	if err != nil {
		return 0, err
	}
	defer applied.Unsubscribe()

	if err := l.hello(ctx, conn); err != nil {
		return 0, err
	}
	l.box.Online(true)
	l.up.Store(true)
	l.notify(true)
	l.log.Info("hub link up", "url", conn.ConnectedUrlRedacted())
	defer func() {
		l.up.Store(false)
		l.box.Online(false)
		l.notify(false)
	}()
	began := time.Now()
	err = l.work(ctx, conn, desired)
	return time.Since(began), err
}

func (l *Link) notify(up bool) {
	if l.opts.Status != nil {
		l.opts.Status(up)
	}
}

// hello introduces the device and takes over what the hub has applied. A chain of many runs takes
// several messages.
func (l *Link) hello(ctx context.Context, conn *nats.Conn) error {
	var h wire.Hello
	if l.opts.Hello != nil {
		h = l.opts.Hello()
	}
	h.Device, h.Receipts = l.opts.Device, true
	chain := l.box.Chain()
	var all wire.Applied
	for first := true; first || len(chain) > 0; first = false {
		n := min(len(chain), wire.MaxHelloRuns)
		h.Runs, chain = chain[:n], chain[n:]
		applied, err := l.greet(ctx, conn, h)
		if err != nil {
			return fmt.Errorf("hello: %w", err)
		}
		all.Sets = append(all.Sets, applied.Sets...)
	}
	if l.opts.Greeted != nil {
		l.opts.Greeted(all)
	}
	return nil
}

// greet sends one hello and takes over its answer.
func (l *Link) greet(ctx context.Context, conn *nats.Conn, h wire.Hello) (wire.Applied, error) {
	var r wire.HelloReply
	body, err := json.Marshal(h)
	if err != nil {
		return r.Applied, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.HelloTimeout)
	defer cancel()
	m, err := conn.RequestWithContext(ctx, wire.SubjectHello(l.opts.Device), body)
	if err != nil {
		return r.Applied, err
	}
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return r.Applied, fmt.Errorf("reply: %w", err)
	}
	if r.Error != "" {
		return r.Applied, fmt.Errorf("the hub reports: %s", clip(r.Error))
	}
	l.suspect.Store(r.Suspect)
	l.clock(r.HubTime)
	l.maxChunks.Store(int32(min(max(r.MaxChunks, 1), wire.MaxChunks)))
	l.box.Applied(r.Applied)
	return r.Applied, nil
}

func (l *Link) applied(data []byte) {
	var a wire.Applied
	if err := json.Unmarshal(data, &a); err != nil {
		l.log.Warn("applied message refused", "err", err)
		return
	}
	l.box.Applied(a)
}

// work sends until the connection is lost.
func (l *Link) work(ctx context.Context, conn *nats.Conn, desired <-chan *nats.Msg) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	wg.Go(func() { l.receive(ctx, conn, desired) })
	lanes := []*lane{
		newLane(outbox.Live, l.opts.InFlight, l.opts.InFlight*l.opts.MessageBytes),
		newLane(outbox.Backfill, l.opts.InFlight, l.opts.InFlight*l.opts.MessageBytes),
	}
	for _, s := range lanes {
		wg.Go(func() {
			if err := l.send(ctx, conn, s); err != nil {
				cancel(err)
			}
		})
	}
	wake := func() {
		for _, s := range lanes {
			s.notify()
		}
	}
	rewind := time.NewTicker(5 * time.Second)
	defer rewind.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.box.Wake():
			wake()
		case <-rewind.C:
			if n := l.box.Rewind(); n > 0 {
				l.rewound.Add(int64(n))
				l.log.Warn("chunks sent and not applied in time, sending again", "chunks", n)
			}
			wake()
		case doc := <-l.state:
			if err := conn.Publish(wire.SubjectState(l.opts.Site, l.opts.Device), doc); err != nil {
				return err
			}
		}
	}
}

// receive reads desired state once and then follows it.
func (l *Link) receive(ctx context.Context, conn *nats.Conn, pushes <-chan *nats.Msg) {
	if l.opts.Desired == nil {
		return
	}
	take := func(data []byte) {
		var d spec.Desired
		if err := json.Unmarshal(data, &d); err != nil {
			l.log.Warn("desired state refused", "err", err)
			return
		}
		if d.Device != l.opts.Device {
			l.log.Warn("desired state is for another device", "device", clip(d.Device))
			return
		}
		l.opts.Desired(d)
	}
	first, cancel := context.WithTimeout(ctx, l.opts.HelloTimeout)
	m, err := conn.RequestWithContext(first, wire.SubjectDesiredRead(l.opts.Device), nil)
	if errors.Is(err, nats.ErrNoResponders) { // an older hub
		m, err = conn.RequestWithContext(first, wire.SubjectDesiredGet(l.opts.Device), nil)
	}
	cancel()
	switch {
	case err == nil && m.Header.Get("Status") == "" && len(m.Data) > 0:
		take(m.Data)
	case err == nil: // 404: there is no desired state yet
	case ctx.Err() == nil:
		l.log.Warn("desired state not read", "err", err)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-pushes:
			take(m.Data)
		}
	}
}

// greeting is the hub's clock, in microseconds, at an instant of this process: that of its newest
// answer.
type greeting struct {
	hub int64
	at  time.Time
}

// clock notes the hub's clock as an answer reports it. A hub whose clock is not set knows no better
// than this device.
func (l *Link) clock(hub int64) {
	if hub >= wire.ClockFloor.UnixMicro() {
		l.greeting.Store(&greeting{hub, time.Now()})
	}
}

// ClockOffset returns hub time minus device time by the newest answer, zero before the first. What
// has passed since is counted by the monotonic clock: a device's clock that is set meanwhile is
// seen.
func (l *Link) ClockOffset() time.Duration {
	g := l.greeting.Load()
	if g == nil {
		return 0
	}
	return time.UnixMicro(g.hub).Add(time.Since(g.at)).Sub(time.Now().Round(0))
}
