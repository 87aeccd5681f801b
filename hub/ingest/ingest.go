package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"skerry.dev/hub/bus"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// Options tune the lanes. The zero value is a sensible default.
type Options struct {
	// BatchChunks is the most chunks of one transaction. Default 64.
	BatchChunks int
	// BatchDelay is how long a transaction waits for more chunks. Default 20 ms.
	BatchDelay time.Duration
	// NotifyEvery coalesces applied messages per device. Default 100 ms.
	NotifyEvery time.Duration
	// PurgeEvery is how often acknowledged messages are removed from the streams. Default 30 s.
	PurgeEvery time.Duration
	// Registerer receives the metrics. nil: none are exported.
	Registerer prometheus.Registerer
	// Log is where trouble goes. nil: nowhere.
	Log *slog.Logger
}

// Ingester owns the lanes. Make it with New, then Run it.
type Ingester struct {
	db     *meta.Store
	bus    *bus.Bus
	opts   Options
	ledger ledger
	m      metrics

	mu    sync.Mutex // guards dirty
	dirty map[setKey]bool
}

type metrics struct {
	chunks  *prometheus.CounterVec
	records *prometheus.CounterVec
	tx      prometheus.Histogram
	pending *prometheus.GaugeVec
}

// New returns an ingester that does nothing yet.
func New(db *meta.Store, b *bus.Bus, opts Options) *Ingester {
	if opts.BatchChunks <= 0 {
		opts.BatchChunks = 64
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&opts.BatchDelay, 20*time.Millisecond)
	def(&opts.NotifyEvery, 100*time.Millisecond)
	def(&opts.PurgeEvery, 30*time.Second)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	i := &Ingester{db: db, bus: b, opts: opts, dirty: map[setKey]bool{}}
	i.ledger = ledger{db: db, runs: map[runKey]*[len(wire.Classes) + 1]intervals{}}
	i.m = metrics{
		chunks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skerry_ingest_chunks_total",
			Help: "Chunks received, by what became of them.",
		}, []string{"result"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skerry_ingest_records_total",
			Help: "Records stored, by class.",
		}, []string{"class"}),
		tx: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "skerry_ingest_transaction_seconds",
			Help:    "Duration of the transactions that store chunks.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skerry_ingest_pending_messages",
			Help: "Messages that wait in JetStream, by lane.",
		}, []string{"lane"}),
	}
	if opts.Registerer != nil {
		opts.Registerer.MustRegister(i.m.chunks, i.m.records, i.m.tx, i.m.pending)
	}
	return i
}

// lane is one durable consumer.
type lane struct {
	name, stream, filter string
	ch                   chan jetstream.Msg
	consumer             jetstream.Consumer
}

// ackWait is when JetStream hands a message out again that was not acknowledged. Applying takes
// milliseconds; what a killed hub had in hand waits that long after its restart.
const ackWait = 10 * time.Second

// Run works until ctx ends and returns nil after a clean stop.
func (i *Ingester) Run(ctx context.Context) error {
	lanes := []*lane{ // in order of priority
		{name: "evt", stream: wire.StreamEvents, filter: "edge.*.*.evt"},
		{name: "live", stream: wire.StreamTelemetry, filter: "edge.*.*.tel.live"},
		{name: "back", stream: wire.StreamTelemetry, filter: "edge.*.*.tel.back"},
	}
	state := &lane{name: "state", stream: wire.StreamState, filter: "edge.*.*.state"}
	g, gctx := errgroup.WithContext(ctx)
	for _, l := range append(lanes, state) {
		l.ch = make(chan jetstream.Msg, i.opts.BatchChunks)
		var err error
		if l.consumer, err = i.bus.JS.CreateOrUpdateConsumer(ctx, l.stream, jetstream.ConsumerConfig{
			Durable:       l.name,
			FilterSubject: l.filter,
			DeliverPolicy: jetstream.DeliverAllPolicy,
			AckPolicy:     jetstream.AckExplicitPolicy,
			AckWait:       ackWait,
			MaxAckPending: 4 * i.opts.BatchChunks,
			MaxDeliver:    -1,
		}); err != nil {
			return fmt.Errorf("create consumer %s: %w", l.name, err)
		}
	}
	for _, l := range append(lanes, state) {
		g.Go(func() error { return i.pull(gctx, l) })
	}
	sub, err := i.bus.Conn.QueueSubscribe("svc.hello.*", "hub", func(m *nats.Msg) { i.hello(gctx, m) })
	if err != nil {
		return fmt.Errorf("subscribe to hello: %w", err)
	}
	defer sub.Unsubscribe()
	g.Go(func() error {
		for {
			batch := i.collect(gctx, lanes)
			if len(batch) == 0 {
				return nil
			}
			i.apply(gctx, batch)
		}
	})
	g.Go(func() error {
		for {
			batch := i.collect(gctx, []*lane{state})
			if len(batch) == 0 {
				return nil
			}
			i.states(gctx, batch)
		}
	})
	g.Go(func() error { return every(gctx, i.opts.NotifyEvery, i.notify) })
	g.Go(func() error {
		return every(gctx, i.opts.PurgeEvery, func(ctx context.Context) { i.purge(ctx, lanes) })
	})
	return g.Wait()
}

func every(ctx context.Context, d time.Duration, fn func(context.Context)) error {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			fn(ctx)
		}
	}
}

// pull feeds a lane's channel. A broken iterator (JetStream restarted) is replaced.
func (i *Ingester) pull(ctx context.Context, l *lane) error {
	for ctx.Err() == nil {
		it, err := l.consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(2*i.opts.BatchChunks, 16<<20))
		if err != nil {
			i.opts.Log.Warn("pull failed", "lane", l.name, "err", err)
			sleep(ctx, time.Second)
			continue
		}
		stop := context.AfterFunc(ctx, it.Stop)
		for {
			m, err := it.Next()
			if err != nil {
				if ctx.Err() == nil {
					i.opts.Log.Warn("pull interrupted", "lane", l.name, "err", err)
					sleep(ctx, 200*time.Millisecond)
				}
				break
			}
			select {
			case l.ch <- m:
			case <-ctx.Done():
			}
		}
		stop()
		it.Stop()
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// collect waits for a message and then up to BatchDelay for more, always preferring earlier
// lanes. It returns nothing when ctx ends.
func (i *Ingester) collect(ctx context.Context, lanes []*lane) (batch []jetstream.Msg) {
	var deadline <-chan time.Time
	for len(batch) < i.opts.BatchChunks {
		if m := ready(lanes); m != nil {
			batch = append(batch, m)
		} else {
			var ch [3]chan jetstream.Msg // a nil channel is never ready
			for n, l := range lanes {
				ch[n] = l.ch
			}
			select {
			case <-ctx.Done():
				return nil
			case <-deadline:
				return batch
			case m := <-ch[0]:
				batch = append(batch, m)
			case m := <-ch[1]:
				batch = append(batch, m)
			case m := <-ch[2]:
				batch = append(batch, m)
			}
		}
		if deadline == nil {
			t := time.NewTimer(i.opts.BatchDelay)
			defer t.Stop()
			deadline = t.C
		}
	}
	return batch
}

func ready(lanes []*lane) jetstream.Msg {
	for _, l := range lanes {
		select {
		case m := <-l.ch:
			return m
		default:
		}
	}
	return nil
}

// apply stores a batch in one transaction, or each message in its own when that fails, and
// acknowledges what was stored.
func (i *Ingester) apply(ctx context.Context, batch []jetstream.Msg) {
	chunks := make([]chunk, len(batch))
	for n, m := range batch {
		chunks[n] = parse(m.Subject(), m.Data())
	}
	start := time.Now()
	outcomes := make([]outcome, len(batch))
	err := i.db.Tx(ctx, func(q *meta.Queries) (err error) {
		for n := range chunks {
			if outcomes[n], err = chunks[n].store(ctx, q, start.UnixMicro()); err != nil {
				return err
			}
		}
		return report(ctx, q, chunks, outcomes)
	})
	i.m.tx.Observe(time.Since(start).Seconds())
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return // unacknowledged: they come again
	case len(batch) > 1:
		for n := range batch {
			i.apply(ctx, batch[n:n+1])
		}
		return
	default:
		i.opts.Log.Error("storing a chunk failed, it will be tried again", "subject", batch[0].Subject(), "err", err)
		if err := batch[0].NakWithDelay(2 * time.Second); err != nil {
			i.opts.Log.Warn("refusing a message failed", "err", err)
		}
		return
	}
	for n := range batch {
		if err := i.committed(ctx, &chunks[n], outcomes[n]); err != nil {
			i.opts.Log.Error("ledger cache failed", "device", chunks[n].device, "err", err)
		}
	}
	for n, m := range batch {
		i.acknowledge(ctx, m, &chunks[n])
	}
}

func (i *Ingester) acknowledge(ctx context.Context, m jetstream.Msg, c *chunk) {
	if c.bad != "" {
		i.opts.Log.Warn("message quarantined", "subject", c.subject, "reason", c.bad)
		if err := m.TermWithReason("quarantined"); err != nil {
			i.opts.Log.Warn("terminating a message failed", "err", err)
		}
		return
	}
	ack, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := m.DoubleAck(ack); err != nil && ctx.Err() == nil {
		i.opts.Log.Warn("acknowledging failed, the message will come again", "subject", m.Subject(), "err", err)
	}
}

// committed updates everything that follows the database.
func (i *Ingester) committed(ctx context.Context, c *chunk, out outcome) error {
	i.m.chunks.WithLabelValues(string(out.result)).Inc()
	if c.bad != "" {
		return nil
	}
	key := setKey{runKey{c.device, c.header.Run}, c.header.Class}
	var errs []error
	if out.result == stored {
		i.m.records.WithLabelValues(c.header.Class.String()).Add(float64(c.header.Count))
		errs = append(errs, i.ledger.add(ctx, key, wire.Range{From: c.header.First, To: c.header.Last()}))
	}
	i.mu.Lock()
	i.dirty[key] = true // also after a repeat: the device does not know yet
	for _, g := range out.gaps {
		i.dirty[g.key] = true
	}
	i.mu.Unlock()
	for _, g := range out.gaps {
		errs = append(errs, i.ledger.add(ctx, g.key, g.r))
	}
	return errors.Join(errs...)
}

// notify tells devices what was applied since the last time.
func (i *Ingester) notify(ctx context.Context) {
	i.mu.Lock()
	dirty := i.dirty
	i.dirty = map[setKey]bool{}
	i.mu.Unlock()
	byDevice := map[string]*wire.Applied{}
	for k := range dirty {
		sets, err := i.ledger.applied(ctx, k.runKey, k.class)
		if err != nil {
			if ctx.Err() == nil {
				i.opts.Log.Error("reading the ledger failed", "device", k.device, "err", err)
			}
			continue // the device asks again with its next hello
		}
		a := byDevice[k.device]
		if a == nil {
			a = new(wire.Applied)
			byDevice[k.device] = a
		}
		a.Sets = append(a.Sets, sets...)
	}
	for device, a := range byDevice {
		b, err := json.Marshal(a)
		if err == nil {
			err = i.bus.Conn.Publish(wire.SubjectApplied(device), b)
		}
		if err != nil {
			i.opts.Log.Warn("telling a device what was applied failed", "device", device, "err", err)
		}
	}
}

// purge removes acknowledged messages: the database has them, and a full stream would refuse new
// ones.
func (i *Ingester) purge(ctx context.Context, lanes []*lane) {
	for _, l := range lanes {
		info, err := l.consumer.Info(ctx)
		if err != nil {
			if ctx.Err() == nil {
				i.opts.Log.Warn("reading a consumer failed", "lane", l.name, "err", err)
			}
			continue
		}
		i.m.pending.WithLabelValues(l.name).Set(float64(info.NumPending) + float64(info.NumAckPending))
		if info.AckFloor.Stream == 0 {
			continue
		}
		s, err := i.bus.JS.Stream(ctx, l.stream)
		if err == nil {
			err = s.Purge(ctx, jetstream.WithPurgeSubject(l.filter), jetstream.WithPurgeSequence(info.AckFloor.Stream+1))
		}
		if err != nil && ctx.Err() == nil {
			i.opts.Log.Warn("purging acknowledged messages failed", "lane", l.name, "err", err)
		}
	}
}

// Applied returns what the ledger holds of a device's runs.
func (i *Ingester) Applied(ctx context.Context, device string, runs ...wire.Run) (wire.Applied, error) {
	a := wire.Applied{Sets: []wire.AppliedSet{}}
	for _, r := range runs {
		sets, err := i.ledger.applied(ctx, runKey{device, r})
		if err != nil {
			return a, err
		}
		a.Sets = append(a.Sets, sets...)
	}
	return a, nil
}

// subjectDevice returns the last token of svc.hello.<device>.
func subjectDevice(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }
