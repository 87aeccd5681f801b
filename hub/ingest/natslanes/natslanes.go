package natslanes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"skerry.dev/hub/bus"
	"skerry.dev/hub/clock"
	"skerry.dev/hub/health"
	"skerry.dev/hub/ingest"
	"skerry.dev/sync/wire"
)

// queueGroup shares messages between the hubs of one bus: each is handled by one of them.
const queueGroup = "hub"

// Lanes brings what devices send over NATS to the ingester. Make it with New, then Run it.
type Lanes struct {
	bus    *bus.Bus
	in     *ingest.Ingester
	log    *slog.Logger
	again  *health.Repeats // of log: what is tried again each second
	legacy *legacy
	notes  chan noted

	mu     sync.Mutex               // guards greets
	greets map[string]*rate.Limiter // of hellos and requests of desired state, by device
}

// New returns lanes that carry nothing yet. log may be nil.
func New(b *bus.Bus, in *ingest.Ingester, log *slog.Logger) *Lanes {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Lanes{bus: b, in: in, log: log, again: health.NewRepeats(log), legacy: newLegacy(b, in, log), notes: make(chan noted, 64), greets: map[string]*rate.Limiter{}}
}

// Run subscribes and works until ctx ends. It returns nil after a clean stop.
func (l *Lanes) Run(ctx context.Context) error {
	subjects := map[string]nats.MsgHandler{
		"svc.hello.*":       func(m *nats.Msg) { l.hello(ctx, m) },
		"svc.desired.*":     func(m *nats.Msg) { l.desired(ctx, m) },
		"edge.*.*.evt":      func(m *nats.Msg) { l.chunks(m, ingest.Events) },
		"edge.*.*.tel.live": func(m *nats.Msg) { l.chunks(m, ingest.Live) },
		"edge.*.*.tel.back": func(m *nats.Msg) { l.chunks(m, ingest.Backfill) },
	}
	for subject, handle := range subjects {
		sub, err := l.bus.Conn.QueueSubscribe(subject, queueGroup, handle)
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", subject, err)
		}
		defer sub.Unsubscribe()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.states(ctx) })
	g.Go(func() error { return l.legacy.run(ctx) })
	g.Go(func() error { return l.report(ctx) })
	return g.Wait()
}

// token returns the n-th token of a subject, counted from 0, "" when it has fewer.
func token(subject string, n int) string {
	for ; n > 0; n-- {
		_, rest, ok := strings.Cut(subject, ".")
		if !ok {
			return ""
		}
		subject = rest
	}
	t, _, _ := strings.Cut(subject, ".")
	return t
}

// answer replies to a device, into its own inbox and nowhere else: the hub may publish everywhere,
// so an address that the sender chose would let it write in the hub's name.
func (l *Lanes) answer(m *nats.Msg, device string, reply any) {
	b, err := json.Marshal(reply)
	if err != nil {
		l.log.Error("answer not encoded", "device", device, "subject", m.Subject, "err", err)
		return
	}
	l.respond(m, device, b)
}

func (l *Lanes) respond(m *nats.Msg, device string, reply []byte) {
	if m.Reply == "" {
		return
	}
	if !l.own(m, device) {
		return
	}
	if err := m.Respond(reply); err != nil {
		l.log.Warn("answering a device failed", "device", device, "subject", m.Subject, "err", err)
	}
}

// own reports whether an answer would go into the device's own inbox, and names the device when it
// would not.
func (l *Lanes) own(m *nats.Msg, device string) bool {
	if strings.HasPrefix(m.Reply, wire.InboxPrefix(device)+".") {
		return true
	}
	l.note(device, "foreign_reply", map[string]any{
		"reason": "the device asked for an answer to an address that is not its own; it got none",
		"reply":  fmt.Sprintf("%.128s", m.Reply),
	})
	return false
}

// How often a device may say hello or ask for its desired state: once a connection, and as many
// messages as a long chain of runs takes. Each costs a transaction, for which all others wait.
const (
	greetsPerSecond = 2
	greetsBurst     = 64
	maxGreeters     = 65536 // beyond it everybody begins anew
)

// mayAsk reports whether a request of a device is to be looked at. Others are not answered, so that
// they cost nothing: an agent tries again.
func (l *Lanes) mayAsk(m *nats.Msg, device string) bool {
	if m.Reply != "" && !l.own(m, device) {
		return false
	}
	l.mu.Lock()
	limit := l.greets[device]
	if limit == nil {
		if len(l.greets) >= maxGreeters {
			clear(l.greets)
		}
		limit = rate.NewLimiter(greetsPerSecond, greetsBurst)
		l.greets[device] = limit
	}
	l.mu.Unlock()
	if limit.Allow() {
		return true
	}
	l.note(device, "request_flood", map[string]any{
		"reason":     fmt.Sprintf("the device says hello or asks for its desired state more than %d times a second; what is beyond is not answered", greetsPerSecond),
		"what_to_do": "look for a second agent with the same identity, or an agent that does not come up: its log says why",
	})
	return false
}

// note raises an alarm about a device from a goroutine of its own, so that a subscription never
// waits for the database.
func (l *Lanes) note(device, kind string, detail map[string]any) {
	select {
	case l.notes <- noted{device, kind, detail}:
	default: // very many at once: the device does it again
	}
}

// noted is something that a device did outside of its telemetry.
type noted struct {
	device, kind string
	detail       map[string]any
}

func (l *Lanes) report(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-l.notes:
			if err := l.in.Note(ctx, n.device, n.kind, n.detail); err != nil && ctx.Err() == nil {
				l.log.Error("raising an alarm failed", "device", n.device, "kind", n.kind, "err", err)
			}
		}
	}
}

// hello answers svc.hello.<device>.
func (l *Lanes) hello(ctx context.Context, m *nats.Msg) {
	device := token(m.Subject, 2)
	if !l.mayAsk(m, device) {
		return
	}
	var h wire.Hello
	var reply wire.HelloReply
	err := json.Unmarshal(m.Data, &h)
	if err != nil {
		err = fmt.Errorf("read hello: %w", err)
	} else {
		reply, err = l.in.Greet(ctx, device, h)
	}
	if err != nil {
		l.log.Warn("hello refused", "device", device, "err", err)
		reply = wire.HelloReply{
			Error:    err.Error(),
			HubTime:  clock.Known(time.Now()),
			Applied:  wire.Applied{Sets: []wire.AppliedSet{}},
			BackedUp: wire.Applied{Sets: []wire.AppliedSet{}},
		}
	}
	l.answer(m, device, reply)
	if err == nil && !h.Receipts { // it would ask the bucket, which it may not any more
		l.legacy.pushDesired(ctx, device)
	}
}

// desired answers svc.desired.<device> with the device's desired state, or with nothing.
func (l *Lanes) desired(ctx context.Context, m *nats.Msg) {
	device := token(m.Subject, 2)
	if !l.mayAsk(m, device) {
		return
	}
	e, err := l.bus.Desired.Get(ctx, device)
	switch {
	case err == nil:
		l.respond(m, device, e.Value())
	case errors.Is(err, jetstream.ErrKeyNotFound):
		l.respond(m, device, nil)
	default:
		l.log.Warn("desired state not read, the device asks again when it connects", "device", device, "err", err)
	}
}

// chunks offers a message of edge.<site>.<device>.… to the ingester.
func (l *Lanes) chunks(m *nats.Msg, lane ingest.Lane) {
	device := token(m.Subject, 2)
	reply := func(r wire.Receipt) {
		r.HubTime = clock.Known(time.Now())
		l.answer(m, device, r)
	}
	if m.Header.Get(jetstream.MsgIDHeader) != "" { // an agent that publishes to a stream
		reply = func(r wire.Receipt) { l.answer(m, device, l.legacy.ack(device, m.Data, r)) }
	}
	l.in.Offer(ingest.Message{
		Site:   token(m.Subject, 1),
		Device: device,
		Lane:   lane,
		Data:   m.Data,
		Reply:  reply,
	})
}

// stateBatch bounds the reported states of one transaction, and stateWait how long it waits for
// more after the first.
const (
	stateBatch = 64
	stateWait  = 20 * time.Millisecond
)

// states follows the stream of reported state, which keeps the newest of every device.
func (l *Lanes) states(ctx context.Context) error {
	consumer, err := l.bus.JS.CreateOrUpdateConsumer(ctx, wire.StreamState, jetstream.ConsumerConfig{
		Durable:       "state",
		FilterSubject: "edge.*.*.state",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       10 * time.Second,
		MaxAckPending: 4 * stateBatch,
		MaxDeliver:    -1,
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create consumer of reported state: %w", err)
	}
	for ctx.Err() == nil {
		l.again.Flush()
		batch, err := next(ctx, consumer)
		if err != nil {
			l.again.Log(slog.LevelWarn, "not read: "+err.Error(), "reported state not read, trying again", "err", err)
			sleep(ctx, time.Second)
			continue
		}
		if len(batch) == 0 {
			continue
		}
		states := make([]ingest.State, len(batch))
		for n, m := range batch {
			states[n] = ingest.State{Device: token(m.Subject(), 2), Data: m.Data()}
		}
		failed, failures := 0, l.in.States(ctx, states)
		for n, m := range batch {
			if failures[n] != nil {
				failed++
				// lost with the connection at worst, then it is redelivered
				_ = m.NakWithDelay(time.Second)
			} else if err := m.Ack(); err != nil && ctx.Err() == nil {
				l.log.Warn("acknowledging failed, the message will come again", "subject", m.Subject(), "err", err)
			}
		}
		if failed > 0 && ctx.Err() == nil {
			n := slices.IndexFunc(failures, func(err error) bool { return err != nil })
			l.again.Log(slog.LevelError, "not stored: "+failures[n].Error(), "storing reported state failed, it will be tried again", "states", failed, "device", states[n].Device, "err", failures[n])
		}
	}
	return nil
}

// next waits for a message and then a moment for more. It returns nothing when none came for a
// while.
func next(ctx context.Context, c jetstream.Consumer) ([]jetstream.Msg, error) {
	wait, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	first, err := c.Fetch(1, jetstream.FetchContext(wait))
	if err != nil {
		return nil, ignoreEnd(ctx, err)
	}
	var out []jetstream.Msg
	for m := range first.Messages() {
		out = append(out, m)
	}
	if err := first.Error(); err != nil || len(out) == 0 {
		return out, ignoreEnd(ctx, err)
	}
	more, err := c.Fetch(stateBatch, jetstream.FetchMaxWait(stateWait))
	if err != nil {
		return out, nil // the first is enough
	}
	for m := range more.Messages() {
		out = append(out, m)
	}
	return out, nil
}

// ignoreEnd drops the errors of a wait that ended: by its time or by the end of ctx.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
