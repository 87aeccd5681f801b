package ingest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/configs"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// Options tune the ingester. The zero value is a sensible default.
type Options struct {
	configs.HubIngest
	// Room reports why nothing may be stored now, nil while there is room. nil: there always is.
	Room func() error
	// Registerer receives the metrics. nil: none are exported.
	Registerer prometheus.Registerer
	// Log is where trouble goes. nil: nowhere.
	Log *slog.Logger
}

// When a message may come again: the queue empties within a transaction or two, a database that
// fails needs longer.
const (
	retryBusy   = 250 * time.Millisecond
	retryFailed = 2 * time.Second
	retryFull   = 10 * time.Second
)

// Ingester stores messages. Make it with New, then Run it; Offer may be called before and while it
// runs.
type Ingester struct {
	db    *meta.Store
	opts  Options
	queue *queue
	m     metrics

	mu       sync.Mutex       // guards everything below
	ordinals map[runKey]int64 // of runs seen; an ordinal never changes
	spent    map[string]spent // of the day, by device
	notes    notes
}

type metrics struct {
	chunks  *prometheus.CounterVec
	records *prometheus.CounterVec
	tx      prometheus.Histogram
	busy    prometheus.Counter
}

// New returns an ingester that does nothing yet.
func New(db *meta.Store, opts Options) *Ingester {
	configs.FillDefaults(&opts.HubIngest)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Room == nil {
		opts.Room = func() error { return nil }
	}
	i := &Ingester{
		db:       db,
		opts:     opts,
		queue:    newQueue(int(opts.Queue)),
		ordinals: map[runKey]int64{},
		spent:    map[string]spent{},
	}
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
		busy: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_ingest_busy_total",
			Help: "Messages sent back because the queue or the device's share was full.",
		}),
	}
	if opts.Registerer != nil {
		opts.Registerer.MustRegister(i.m.chunks, i.m.records, i.m.tx, i.m.busy)
		for l := range numLanes {
			opts.Registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name:        "skerry_ingest_pending_messages",
				Help:        "Messages that wait to be stored, by lane.",
				ConstLabels: prometheus.Labels{"lane": l.String()},
			}, func() float64 { return float64(i.queue.waiting(l)) }))
		}
	}
	return i
}

// Offer queues a message, or sends it back at once when the queue or the device's share of it is
// full, or the device's share of the day is used up. It decodes the chunks, so that nothing
// unreadable ever enters the ledger, and does not block otherwise.
func (i *Ingester) Offer(m Message) {
	if err := i.opts.Room(); err != nil {
		i.m.busy.Inc()
		m.reply(wire.Receipt{RetryMS: retryFull.Milliseconds(), Error: "the hub has no room: " + err.Error()})
		return
	}
	if i.overdrawn(&m) {
		i.m.busy.Inc()
		return
	}
	if i.queue.reserve(m.Device, len(m.Data)) {
		r := decode(&m)
		if i.queue.grow(m.Device, len(m.Data), r.size-len(m.Data)) {
			i.queue.add(r)
			return
		}
	}
	i.m.busy.Inc()
	m.reply(wire.Receipt{RetryMS: retryBusy.Milliseconds(), Error: "the hub has too much waiting"})
}

// Run stores what is offered until ctx ends and returns nil after a clean stop.
func (i *Ingester) Run(ctx context.Context) error {
	for {
		batch := i.queue.collect(ctx, i.opts.BatchChunks, i.opts.BatchDelay.Std())
		if len(batch) == 0 {
			return nil
		}
		i.apply(ctx, batch)
	}
}

// apply stores a batch and answers its messages. A message that cannot be stored keeps no other
// back, and a chunk that cannot be stored no other of its message.
func (i *Ingester) apply(ctx context.Context, batch []*request) {
	bisect(ctx, batch, func(part []*request) error {
		var chunks []*chunk
		for _, r := range part {
			chunks = append(chunks, r.all()...)
		}
		if err := i.commit(ctx, chunks); err != nil {
			return err
		}
		for _, r := range part {
			r.reply(r.receipt())
		}
		return nil
	}, func(part []*request, err error) {
		if len(part) == 1 && meta.IsDataError(err) {
			err = i.separate(ctx, part[0])
		}
		if err == nil || ctx.Err() != nil {
			return // answered; or not, and they come again
		}
		i.opts.Log.Error("storing telemetry failed, it will be sent again", "device", part[0].Device, "messages", len(part), "err", err)
		for _, r := range part {
			r.reply(wire.Receipt{
				RetryMS: retryFailed.Milliseconds(),
				Error:   "the hub cannot store telemetry now",
			})
		}
	})
}

// separate stores what can be stored of a message in which the database refuses something, puts the
// chunks that it refuses into quarantine and answers the message.
func (i *Ingester) separate(ctx context.Context, r *request) error {
	var failure error
	store := func(part []*chunk) error { return i.commit(ctx, part) }
	bisect(ctx, r.all(), store, func(part []*chunk, err error) {
		if len(part) == 1 && part[0].bad == "" && meta.IsDataError(err) {
			part[0].bad = "the database refuses it: " + err.Error()
			err = store(part)
		}
		if err != nil {
			failure = err
		}
	})
	if failure == nil {
		r.reply(r.receipt())
	}
	return failure
}

// commit stores chunks in one transaction.
func (i *Ingester) commit(ctx context.Context, chunks []*chunk) error {
	start := time.Now()
	var t *tally
	err := i.db.Tx(ctx, func(q *meta.Queries) error {
		now, err := q.Clock(ctx) // now that it is this transaction's turn: see meta.Event
		if err != nil {
			return err
		}
		t = newTally(now)
		return i.store(ctx, q, chunks, t)
	})
	i.m.tx.Observe(time.Since(start).Seconds())
	if err != nil {
		return err
	}
	i.settle(t)
	for _, c := range chunks {
		i.committed(c)
	}
	return nil
}

// receipt sums up what became of the chunks of a message.
func (r *request) receipt() wire.Receipt {
	var out wire.Receipt
	for n := range r.chunks {
		if why := r.chunks[n].refusal(); why != "" {
			out.Refused = append(out.Refused, wire.Refusal{Index: n, Reason: why})
		}
	}
	if out.Applied = len(out.Refused) == 0; !out.Applied {
		out.Error = "these chunks are not in the ledger, the others are"
	}
	return out
}

// committed updates everything that follows the database.
func (i *Ingester) committed(c *chunk) {
	i.m.chunks.WithLabelValues(string(c.result)).Inc()
	switch c.result {
	case quarantined:
		if !c.kept {
			return // the alarm that it is one of many has been raised
		}
		i.opts.Log.Warn("message quarantined", "device", c.device, "lane", c.lane.String(), "reason", c.bad)
	case stored:
		i.remember(c)
		i.m.records.WithLabelValues(c.header.Class.String()).Add(float64(c.header.Count))
	}
}

// Applied returns what the ledger holds of a device's runs: for every run one set of every class.
func (i *Ingester) Applied(ctx context.Context, device string, runs ...wire.Run) (wire.Applied, error) {
	a := wire.Applied{Sets: []wire.AppliedSet{}}
	for _, r := range runs {
		rows, err := i.db.Read().Islands(ctx, device, r.String())
		if err != nil {
			return a, err
		}
		for _, c := range wire.Classes {
			var s intervals
			for _, row := range rows {
				if row.Class == int64(c) {
					s = append(s, wire.Range{From: uint64(row.From), To: uint64(row.To)})
				}
			}
			a.Sets = append(a.Sets, s.set(r, c))
		}
	}
	return a, nil
}

// errRuns means that a device has begun as many runs as it may in a day.
var errRuns = errors.New("too many runs")

// ordinal returns the number of a run among the runs of its device; errRuns where it would be one
// too many.
func (i *Ingester) ordinal(ctx context.Context, q *meta.Queries, h wire.Header, t *tally) (int64, error) {
	k := runKey{h.Device, h.Run}
	i.mu.Lock()
	n, ok := i.ordinals[k]
	i.mu.Unlock()
	if ok {
		return n, nil
	}
	r, err := q.Run(ctx, h.Device, h.Run.String())
	if !errors.Is(err, meta.ErrNotFound) {
		return r.Ordinal, err
	}
	u, err := t.of(ctx, q, h.Device)
	if err != nil {
		return 0, err
	}
	if u.Runs >= maxRuns {
		return 0, errRuns
	}
	u.Runs++
	r, err = q.PutRun(ctx, meta.Run{ // a chunk that overtook its hello
		Device:    h.Device,
		Run:       h.Run.String(),
		Prev:      wire.Run{}.String(),
		FirstSeen: t.now,
	})
	return r.Ordinal, err
}

// remember keeps the ordinal of a run for later transactions. It is called after a commit: before,
// the run's row may still go, and its number with it.
func (i *Ingester) remember(c *chunk) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.ordinals) >= maxOrdinals {
		clear(i.ordinals)
	}
	i.ordinals[runKey{c.device, c.header.Run}] = c.ordinal
}

// maxOrdinals bounds the runs whose ordinals are remembered.
const maxOrdinals = 65536
