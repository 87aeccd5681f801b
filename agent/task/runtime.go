package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/source"
	"skerry.dev/compute/engine"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// Options of a runtime. Device, Store, Tasks and Plan are required.
type Options struct {
	Device string
	Store  *cache.Store
	Tasks  []*spec.Task
	Plan   *source.Plan
	// Models finds an artifact by its digest, for snapshots, the journal and activations. nil:
	// there are none.
	Models func(digest string) (engine.Loaded, error)
	// Publish sends a payload to the broker without waiting. nil: nothing is published.
	Publish func(topic string, payload []byte, retain bool)
	// Stream is called with every published prediction and every event, for local listeners. It
	// must not block.
	Stream func(kind string, doc []byte)
	// Heartbeat is called at least once a second while the runtime makes progress (the service
	// manager's watchdog).
	Heartbeat func()
	// Trusted says whether the device's clock may be believed. nil: yes.
	Trusted func() bool

	// A commit is sealed at MaxRecords records (default 100), MaxAcks owed acknowledgements
	// (default 16: a broker's window is often 20) or MaxDelay (default 1 s).
	MaxRecords int
	MaxAcks    int
	MaxDelay   time.Duration
	// SnapshotRows and SnapshotEvery say when learned state is stored. Defaults 2000 rows and 60 s.
	SnapshotRows  int
	SnapshotEvery time.Duration
	Log           *slog.Logger
	Metrics       *Metrics // nil: counted and not exported
}

func (o *Options) defaults() {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&o.MaxRecords, 100)
	def(&o.MaxAcks, 16)
	def(&o.SnapshotRows, 2000)
	if o.MaxDelay == 0 {
		o.MaxDelay = time.Second
	}
	if o.SnapshotEvery == 0 {
		o.SnapshotEvery = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Models == nil {
		o.Models = func(string) (engine.Loaded, error) { return engine.Loaded{}, errors.New("this agent has no models") }
	}
	if o.Publish == nil {
		o.Publish = func(string, []byte, bool) {}
	}
	if o.Stream == nil {
		o.Stream = func(string, []byte) {}
	}
	if o.Heartbeat == nil {
		o.Heartbeat = func() {}
	}
	if o.Trusted == nil {
		o.Trusted = func() bool { return true }
	}
}

// Runtime owns the engines. Use Open, then Run; every other method is safe from any goroutine
// while Run runs.
type Runtime struct {
	opts  Options
	log   *slog.Logger
	start time.Time

	in   chan *inbound
	do   chan func()
	seal chan *sealed
	done chan struct{} // closed when Run has ended

	// Owned by the goroutine of Run.
	tasks     []*running
	ids       map[string]uint32 // series name → stable number
	newIDs    map[string]uint32 // not yet stored
	plans     map[*source.Plan]*routes
	gate      *gate
	open      *sealed
	position  uint64
	sinceSnap int
	lastSnap  time.Time
	lastInput time.Time
	idled     bool
	latency   Latency
	scratch   []engine.Reading
	inputs    []input
	gateReady bool

	status  atomic.Pointer[Status]
	trouble atomic.Pointer[string] // why commits fail, nil when they do not
}

// running is one task.
type running struct {
	spec      *spec.Task
	engine    *engine.Engine
	topic     string
	share     float64
	published int64 // event time of the last prediction published
	last      engine.Prediction
	versions  map[string]string
	fresh     bool // has no snapshot on disk yet
}

// routes maps a plan's series to stable numbers and to the tasks' engines.
type routes struct {
	ids    []uint32
	names  []string
	sync   []bool
	number []bool  // not a category
	tasks  [][]int // task → series → engine series, or noSeries
	rng    [][2]float64
}

const noSeries = math.MinInt

// inbound is a message with its own copy of the readings.
type inbound struct {
	source.Message
	readings []source.Reading
}

var inbounds = sync.Pool{New: func() any { return new(inbound) }}

// sealed is a commit under way with the acknowledgements it owes.
type sealed struct {
	cache.Commit
	acks    []func()
	records int
	began   time.Time
	after   []func() // run once the commit is durable
}

// Open restores the tasks from the store. It does no work that a later Run would not; a damaged
// snapshot costs the task its learned state and is reported as an alarm.
func Open(opts Options) (*Runtime, error) {
	opts.defaults()
	r := &Runtime{
		opts:      opts,
		log:       opts.Log,
		start:     time.Now(),
		in:        make(chan *inbound, 64),
		do:        make(chan func()),
		seal:      make(chan *sealed, 1),
		done:      make(chan struct{}),
		newIDs:    map[string]uint32{},
		gate:      newGate(),
		lastSnap:  time.Now(),
		lastInput: time.Now(),
	}
	ids, err := opts.Store.Series()
	if err != nil {
		return nil, fmt.Errorf("open runtime: %w", err)
	}
	r.ids = ids
	r.open = r.newCommit()
	if err := r.restore(); err != nil {
		return nil, fmt.Errorf("open runtime: %w", err)
	}
	r.route(opts.Plan)
	if d := opts.Store.Damage(); d != "" {
		r.alarm("cache_damaged", "", map[string]any{"problem": d})
	}
	r.setStatus()
	return r, nil
}

func newRunning(t *spec.Task, device string) (*running, error) {
	e, err := engine.New(t.Engine())
	if err != nil {
		return nil, fmt.Errorf("task %q: %w", t.Name, err)
	}
	return &running{
		spec:      t,
		engine:    e,
		topic:     t.PublishTopic(device),
		share:     t.PredictionShare(),
		published: math.MinInt64,
		versions:  map[string]string{},
		fresh:     true,
	}, nil
}

const gateSnapshot = ".gate"

// restore loads snapshots and feeds the journal entries behind them.
func (r *Runtime) restore() error {
	snaps, err := r.opts.Store.Snapshots()
	if err != nil {
		return err
	}
	from := make([]uint64, len(r.opts.Tasks))
	for i, t := range r.opts.Tasks {
		run, err := newRunning(t, r.opts.Device)
		if err != nil {
			return err
		}
		from[i] = math.MaxUint64
		if sn, ok := snaps[t.Name]; ok && sn.Hash == t.Hash {
			if err := run.engine.Load(sn.Data, r.opts.Models); err != nil {
				r.alarm("state_lost", t.Name, map[string]any{"problem": err.Error()})
				if run, err = newRunning(t, r.opts.Device); err != nil {
					return err
				}
			} else {
				from[i], run.fresh = sn.Position, false
			}
		}
		r.tasks = append(r.tasks, run)
		delete(snaps, t.Name)
	}
	gateFrom := uint64(0)
	if sn, ok := snaps[gateSnapshot]; ok {
		if err := r.gate.load(sn.Data); err != nil {
			r.alarm("state_lost", "", map[string]any{"problem": fmt.Sprintf("repeated readings are not known: %v", err)})
			r.gate = newGate()
		} else {
			gateFrom = sn.Position
		}
		r.position = sn.Position
	}
	delete(snaps, gateSnapshot)
	for name := range snaps {
		r.open.Forget = append(r.open.Forget, name)
	}
	names := make(map[uint32]string, len(r.ids))
	for n, id := range r.ids {
		names[id] = n
	}
	began, entries := time.Now(), 0
	err = r.opts.Store.Journal(func(pos uint64, entry []byte) error {
		r.position = max(r.position, pos)
		entries++
		return eachItem(entry, func(it *item) error {
			if pos > gateFrom && it.kind == itemMessage {
				for _, in := range it.inputs {
					r.gate.remember(in.series, in.time, in.value, in.flags)
				}
			}
			for i, t := range r.tasks {
				if pos > from[i] {
					r.replay(t, it, names)
				}
			}
			return nil
		})
	})
	if entries > 0 {
		r.log.Info("journal replayed", "entries", entries, "ms", time.Since(began).Milliseconds())
	}
	return err
}

// replay offers one journal item to a task; what follows was published and stored before the crash.
func (r *Runtime) replay(t *running, it *item, names map[uint32]string) {
	switch it.kind {
	case itemMessage:
		r.scratch = r.scratch[:0]
		for _, in := range it.inputs {
			if k, ok := t.spec.EngineSeries(names[in.series]); ok && in.flags&blocked == 0 {
				r.scratch = append(r.scratch, engineReading(k, in))
			}
		}
		if len(r.scratch) > 0 {
			r.note(t, t.engine.Ingest(r.scratch))
		}
	case itemIdle:
		r.note(t, t.engine.Idle(it.now))
	case itemControl:
		if it.task == t.spec.Name {
			if err := r.apply(t, it.op, it.digest); err != nil {
				r.alarm("replay_control", t.spec.Name, map[string]any{"problem": err.Error(), "digest": it.digest})
			}
		}
	}
}

// note keeps what the status shows of an output.
func (r *Runtime) note(t *running, o *engine.Output) {
	if n := len(o.Predictions); n > 0 {
		t.last = o.Predictions[n-1]
	}
}

func engineReading(series int, in input) engine.Reading {
	v := in.value
	if in.flags&missing != 0 {
		v = math.NaN()
	}
	return engine.Reading{Series: series, Time: in.time, Value: v}
}

func (r *Runtime) newCommit() *sealed { return &sealed{} }

// route prepares the mapping of a plan's series.
func (r *Runtime) route(p *source.Plan) *routes {
	if rt := r.plans[p]; rt != nil {
		return rt
	}
	rt := &routes{}
	for _, s := range p.Series() {
		id, ok := r.ids[s.Name]
		if !ok {
			id = uint32(len(r.ids) + 1)
			r.ids[s.Name] = id
			r.newIDs[s.Name] = id
		}
		rng := [2]float64{math.Inf(-1), math.Inf(1)}
		if s.Range != nil {
			rng = *s.Range
		}
		rt.ids, rt.names, rt.sync, rt.rng = append(rt.ids, id), append(rt.names, s.Name), append(rt.sync, s.Sync), append(rt.rng, rng)
		rt.number = append(rt.number, len(s.Categories) == 0)
	}
	for _, t := range r.tasks {
		m := make([]int, len(rt.names))
		for i, n := range rt.names {
			m[i] = noSeries
			if k, ok := t.spec.EngineSeries(n); ok {
				m[i] = k
			}
		}
		rt.tasks = append(rt.tasks, m)
	}
	r.plans = map[*source.Plan]*routes{p: rt}
	return rt
}

// Message implements source.Sink: it copies the readings and waits until the runtime has room.
func (r *Runtime) Message(ctx context.Context, m source.Message) error {
	in := inbounds.Get().(*inbound)
	in.Message = m
	in.readings = append(in.readings[:0], m.Readings...)
	in.Message.Readings = nil
	select {
	case r.in <- in:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return errors.New("the runtime has stopped")
	}
}

// Flush implements source.Flusher: it makes the open commit durable.
func (r *Runtime) Flush() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// the source acknowledges what it can; the rest comes again
	_ = r.durably(ctx, func(*sealed) error { return nil })
}

// call runs f in the runtime's goroutine.
func (r *Runtime) call(ctx context.Context, f func()) error {
	ran := make(chan struct{})
	select {
	case r.do <- func() { defer close(ran); f() }:
		<-ran
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return errors.New("the runtime has stopped")
	}
}

// durably runs f in the runtime's goroutine and returns once what it added to the open commit is
// stored.
func (r *Runtime) durably(ctx context.Context, f func(*sealed) error) error {
	stored := make(chan struct{})
	var ferr error
	err := r.call(ctx, func() {
		r.drain(ctx) // what was handed over before comes before
		if ferr = f(r.open); ferr != nil {
			return
		}
		r.open.after = append(r.open.after, func() { close(stored) })
		r.sealNow(ctx)
	})
	if err != nil || ferr != nil {
		return errors.Join(err, ferr)
	}
	select {
	case <-stored:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return errors.New("the runtime has stopped")
	}
}

// drain handles the messages that wait.
func (r *Runtime) drain(ctx context.Context) {
	for {
		select {
		case in := <-r.in:
			r.message(ctx, in)
		default:
			return
		}
	}
}

// Run works until ctx ends and everything accepted is durable, or until the store fails in a way
// that leaves its state unknown.
func (r *Runtime) Run(ctx context.Context) error {
	defer close(r.done)
	stored := make(chan error, 1)
	cctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() { stored <- r.committer(cctx) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	beat := time.Now()
	for {
		select {
		case in := <-r.in:
			r.message(ctx, in)
		case f := <-r.do:
			f()
		case err := <-stored:
			return err
		case now := <-tick.C:
			r.idle(now)
			if r.due(now) {
				r.sealNow(ctx)
			}
			if now.Sub(beat) >= 500*time.Millisecond {
				beat = now
				r.opts.Heartbeat()
				r.setStatus()
			}
		case <-ctx.Done():
			r.snapshot(r.open)
			r.sealNow(cctx)
			close(r.seal)
			select {
			case err := <-stored:
				return err
			case <-time.After(10 * time.Second):
				cancel()
				return errors.Join(errors.New("the last commit did not become durable in 10 s"), <-stored)
			}
		}
	}
}

func (s *sealed) empty() bool {
	b := &s.Batch
	return s.Journal == nil && len(s.acks) == 0 && len(s.after) == 0 && len(s.Snapshots) == 0 && len(s.Forget) == 0 &&
		len(b.Readings)+len(b.Labels)+len(b.Predictions)+len(b.Events)+len(b.Alarms)+len(b.Hosts) == 0
}

// due reports whether the open commit must not wait longer.
func (r *Runtime) due(now time.Time) bool {
	return !r.open.empty() && (r.open.records >= r.opts.MaxRecords || len(r.open.acks) >= r.opts.MaxAcks || now.Sub(r.open.began) >= r.opts.MaxDelay)
}

// sealNow hands the open commit to the committer and begins a new one. It waits while the one
// before is being stored.
func (r *Runtime) sealNow(ctx context.Context) {
	if r.open.empty() {
		return
	}
	now := time.Now()
	if r.sinceSnap >= r.opts.SnapshotRows || now.Sub(r.lastSnap) >= r.opts.SnapshotEvery || r.anyFresh() {
		r.snapshot(r.open)
	}
	if len(r.newIDs) > 0 {
		r.open.Series, r.newIDs = r.newIDs, map[string]uint32{}
	}
	if r.open.Journal != nil {
		r.open.Position = r.position + 1
		r.position++
		for i := range r.open.Snapshots {
			r.open.Snapshots[i].Position = r.position
		}
	}
	select {
	case r.seal <- r.open:
	case <-r.done:
	}
	r.open = r.newCommit()
}

func (r *Runtime) anyFresh() bool {
	for _, t := range r.tasks {
		if t.fresh {
			return true
		}
	}
	return !r.gateReady
}

// snapshot adds the state of every engine and of the gate to a commit. Positions are set when it
// is sealed: they contain the commit's own journal entry.
func (r *Runtime) snapshot(c *sealed) {
	c.Snapshots = c.Snapshots[:0]
	for _, t := range r.tasks {
		c.Snapshots = append(c.Snapshots, cache.Snapshot{
			Name:     t.spec.Name,
			Hash:     t.spec.Hash,
			Position: r.position,
			Data:     t.engine.Save(nil),
		})
		t.fresh = false
	}
	c.Snapshots = append(c.Snapshots, cache.Snapshot{
		Name:     gateSnapshot,
		Position: r.position,
		Data:     r.gate.save(),
	})
	r.gateReady = true
	r.sinceSnap, r.lastSnap = 0, time.Now()
}

// committer stores sealed commits in order.
func (r *Runtime) committer(ctx context.Context) error {
	for c := range r.seal {
		began := time.Now()
		if err := r.store(ctx, c); err != nil {
			return err
		}
		r.opts.Metrics.commit(time.Since(began), c.records)
		for _, ack := range c.acks {
			ack()
		}
		for _, f := range c.after {
			f()
		}
	}
	return nil
}

// store commits c, waiting out a full or read-only disk: nothing is acknowledged meanwhile, so
// the broker keeps what comes.
func (r *Runtime) store(ctx context.Context, c *sealed) error {
	for {
		err := r.opts.Store.Commit(&c.Commit)
		if err == nil {
			if r.trouble.Swap(nil) != nil {
				r.log.Info("storing again")
			}
			return nil
		}
		what := cache.Classify(err)
		if what == cache.Unknown {
			r.log.Error("commit failed, state on disk is unknown: stopping", "err", err)
			return err
		}
		msg := err.Error()
		if old := r.trouble.Swap(&msg); old == nil {
			r.log.Error("commit failed: predictions go on, nothing is acknowledged", "err", err)
		}
		if what == cache.Full {
			r.opts.Store.Outbox().Shrink(0.9)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// Trouble tells why nothing can be stored at present, "" when all is well.
func (r *Runtime) Trouble() string {
	if p := r.trouble.Load(); p != nil {
		return *p
	}
	return ""
}

// message passes one message through gate, engines and into the open commit.
func (r *Runtime) message(ctx context.Context, in *inbound) {
	began := time.Now()
	r.lastInput, r.idled = began, false
	rt := r.route(in.Plan)
	if r.open.began.IsZero() {
		r.open.began = began
	}
	mono := began.Sub(r.start).Nanoseconds()
	r.inputs = r.inputs[:0]
	first := wire.FlagFirst
	for _, rd := range in.readings {
		x := input{
			series: rt.ids[rd.Series],
			time:   rd.Time,
			value:  rd.Value,
			flags:  r.flags(&in.Message, rd, rt),
			at:     rd.Series,
		}
		repeated, conflict := r.gate.check(x.series, x.time, x.value)
		if repeated {
			r.opts.Metrics.Repeated.Inc()
			continue
		}
		if conflict {
			x.flags |= wire.FlagConflict
		}
		if rt.number[rd.Series] {
			x.flags |= r.gate.judge(x.series, x.value, x.flags)
		}
		for _, c := range r.gate.remember(x.series, x.time, x.value, x.flags) {
			r.event(c.kind, "", x.time, map[string]any{"series": rt.names[rd.Series], "what": c.what, "since": stamp(c.since), "readings": c.readings, "value": c.value})
		}
		r.inputs = append(r.inputs, x)
		if rt.sync[rd.Series] {
			r.open.Batch.Readings = append(r.open.Batch.Readings, wire.Reading{
				Series: rt.names[rd.Series],
				Time:   x.time,
				Value:  x.value,
				Mono:   mono,
				Flags:  x.flags | first,
			})
			first = 0
			r.open.records++
		}
		r.opts.Metrics.flagged(x.flags)
	}
	stored := len(r.open.Batch.Readings)
	r.opts.Metrics.Accepted.Add(float64(len(r.inputs)))
	if len(r.inputs) > 0 {
		r.open.Journal = appendMessage(r.open.Journal, r.inputs)
		late := false
		for i, t := range r.tasks {
			late = r.feed(t, rt.tasks[i], in.Arrival) || late
		}
		if late { // the flag is for people; engines judge lateness by their own watermark
			for k := stored - 1; k >= 0 && k >= stored-len(r.inputs); k-- {
				r.open.Batch.Readings[k].Flags |= wire.FlagLate
			}
		}
	}
	if in.Ack != nil {
		r.open.acks = append(r.open.acks, in.Ack)
	}
	*in = inbound{readings: in.readings[:0]}
	inbounds.Put(in)
	if r.due(began) {
		r.sealNow(ctx)
	}
}

func (r *Runtime) flags(m *source.Message, rd source.Reading, rt *routes) (f wire.Flags) {
	if !rd.HasTime {
		f |= wire.FlagArrival
		if !m.ClockOK {
			f |= wire.FlagNoClock
		}
	} else if m.ClockOK && rd.Time > m.Arrival+r.maxFuture(rt.names[rd.Series]) {
		f |= wire.FlagFuture
	}
	if m.Dup {
		f |= wire.FlagDup
	}
	switch rng := rt.rng[rd.Series]; {
	case math.IsNaN(rd.Value) || math.IsInf(rd.Value, 0):
		f |= wire.FlagNotFinite
	case rd.Value < rng[0] || rd.Value > rng[1]:
		f |= wire.FlagRange
	}
	return f
}

// maxFuture is the smallest limit of the tasks that use a series.
func (r *Runtime) maxFuture(name string) int64 {
	limit := int64(math.MaxInt64)
	for _, t := range r.tasks {
		if _, ok := t.spec.EngineSeries(name); ok {
			limit = min(limit, t.spec.Time.MaxFuture.Micros())
		}
	}
	if limit == math.MaxInt64 {
		return 5 * time.Minute.Microseconds()
	}
	return limit
}

// feed offers the accepted inputs of a message to one task.
func (r *Runtime) feed(t *running, to []int, arrival int64) (late bool) {
	r.scratch = r.scratch[:0]
	for _, in := range r.inputs {
		if in.flags&blocked != 0 {
			continue
		}
		if k := to[in.at]; k != noSeries {
			r.scratch = append(r.scratch, engineReading(k, in))
		}
	}
	if len(r.scratch) == 0 {
		return false
	}
	began := time.Now()
	o := t.engine.Ingest(r.scratch)
	spent := time.Since(began)
	if len(o.Predictions) > 0 {
		r.latency.Predict.Add(spent / time.Duration(len(o.Predictions)))
		r.opts.Metrics.PredictSeconds.Observe(spent.Seconds() / float64(len(o.Predictions)))
	}
	r.emit(t, o, arrival)
	return o.Late > 0
}

// emit publishes and stores what an engine said.
func (r *Runtime) emit(t *running, o *engine.Output, arrival int64) {
	r.note(t, o)
	r.sinceSnap += len(o.Rows)
	b := &r.open.Batch
	for i := range o.Predictions {
		p := &o.Predictions[i]
		if p.Value == p.Value {
			r.publish(t, p, arrival)
			if sampled(t.share, p.Row) {
				b.Predictions = append(b.Predictions, wire.Prediction{
					Task:  t.spec.Name,
					Row:   p.Row,
					For:   p.For,
					Value: p.Value,
					Lower: p.Lower,
					Upper: p.Upper,
					Model: p.Champion,
				})
				r.open.records++
			}
		}
	}
	r.opts.Metrics.Predictions.Add(float64(len(o.Predictions)))
	r.opts.Metrics.Labels.Add(float64(len(o.Labels)))
	for i := range o.Labels {
		l := &o.Labels[i]
		b.Labels = append(b.Labels, wire.Label{
			Task:        t.spec.Name,
			Row:         l.Row,
			At:          l.At,
			Truth:       l.Truth,
			Predicted:   l.Predicted,
			Lower:       l.Lower,
			Upper:       l.Upper,
			Persistence: l.Persistence,
			Champion:    l.Champion,
			Candidate:   l.Shadow,
			ChampionID:  l.ChampionID,
			ShadowID:    l.ShadowID,
			BaselineLo:  l.BaselineLo,
			BaselineHi:  l.BaselineHi,
		})
		r.open.records++
	}
	for i := range o.Events {
		e := &o.Events[i]
		switch e.Kind {
		case engine.EventAnomaly:
			r.opts.Metrics.Anomalies.Inc()
		case engine.EventDrift, engine.EventInputDrift:
			r.opts.Metrics.Drifts.Inc()
		}
		detail := map[string]any{"detector": e.Detector, "series": e.Series, "value": e.Value, "model": t.engine.Champion()}
		if len(e.Others) > 0 {
			detail["others"] = e.Others
		}
		if e.Kind == engine.EventDrift {
			weights := map[string]float64{}
			for _, x := range t.engine.Status().Experts {
				weights[x.Name] = math.Round(1e4*x.Weight) / 1e4
			}
			detail["weights"] = weights
		}
		r.event(string(e.Kind), t.spec.Name, e.Time, detail)
	}
}

// sampled decides by the row's time alone, so that a replay decides the same.
func sampled(share float64, row int64) bool {
	if share >= 1 {
		return true
	}
	h := uint64(row) * 0x9e3779b97f4a7c15
	h ^= h >> 32
	return float64(h&0xffffffff) < share*(1<<32)
}

// published is the payload on a task's prediction topic.
type published struct {
	Time      string   `json:"ts"`
	For       string   `json:"for"`
	Task      string   `json:"task"`
	Model     string   `json:"model"`
	HorizonS  float64  `json:"horizon_s"`
	Value     float64  `json:"value"`
	Lower     *float64 `json:"lo,omitempty"`
	Upper     *float64 `json:"hi,omitempty"`
	Base      float64  `json:"persistence"`
	Baselines bool     `json:"baseline,omitempty"` // no hub model yet
	Alarm     *bool    `json:"alarm,omitempty"`    // of an anomaly task, whose value is the score
	// of a classification task, whose value is the probability of its second class: the more
	// probable one,
	Class string `json:"class,omitempty"`
	// and those that the truth is one of with the nominal coverage; none when a row is like no
	// class
	Set []string `json:"set,omitempty"`
}

func (r *Runtime) publish(t *running, p *engine.Prediction, arrival int64) {
	if gap := t.spec.Publish.MinInterval.Micros(); gap > 0 && t.published != math.MinInt64 && p.Row-t.published < gap {
		return
	}
	t.published = p.Row
	doc := published{
		Time:      stamp(p.Row),
		For:       stamp(p.For),
		Task:      t.spec.Name,
		Model:     t.version(p.Champion),
		HorizonS:  float64(p.For-p.Row) / 1e6,
		Value:     p.Value,
		Base:      p.Persistence,
		Baselines: p.Champion == "",
	}
	if p.Champion == "" {
		doc.Model = "baseline"
	}
	if finite(p.Lower) && finite(p.Upper) {
		doc.Lower, doc.Upper = &p.Lower, &p.Upper
	}
	if !finite(doc.Base) {
		doc.Base = p.Value
	}
	if t.spec.Kind == spec.KindClassification {
		names := t.spec.Target.Categories
		doc.Class = names[int(math.Round(p.Value))]
		for c, name := range names {
			if float64(c) >= p.Lower && float64(c) <= p.Upper {
				doc.Set = append(doc.Set, name)
			}
		}
	}
	if t.spec.Kind == spec.KindAnomaly {
		doc.Model, doc.Baselines, doc.Alarm = "device", false, &p.Alarm
	}
	body, err := json.Marshal(doc)
	if err != nil {
		r.log.Error("prediction cannot be written", "err", err, "task", t.spec.Name)
		return
	}
	r.opts.Publish(t.topic, body, t.spec.Retains())
	r.opts.Stream("prediction", body)
	if arrival > 0 {
		r.latency.Total.Add(time.Duration(time.Now().UnixMicro()-arrival) * time.Microsecond)
	}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func stamp(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }

// version returns the name people know a model by.
func (t *running) version(digest string) string {
	if v := t.versions[digest]; v != "" {
		return v
	}
	if len(digest) > 12 {
		return digest[:12]
	}
	return digest
}

// event stores an event in the open commit.
func (r *Runtime) event(kind, task string, at int64, detail map[string]any) {
	r.open.Batch.Events = append(r.open.Batch.Events, r.makeEvent(kind, task, at, detail))
	r.open.records++
}

// alarm stores an event of the most important class.
func (r *Runtime) alarm(kind, task string, detail map[string]any) {
	r.log.Error("alarm", "kind", kind, "task", task, "detail", detail)
	r.open.Batch.Alarms = append(r.open.Batch.Alarms, r.makeEvent(kind, task, time.Now().UnixMicro(), detail))
	r.open.records++
}

func (r *Runtime) makeEvent(kind, task string, at int64, detail map[string]any) wire.Event {
	for k, v := range detail {
		if f, ok := v.(float64); ok && !finite(f) || v == "" {
			delete(detail, k)
		}
	}
	body, err := json.Marshal(detail)
	if err != nil {
		body = []byte("{}")
	}
	if r.open.began.IsZero() {
		r.open.began = time.Now()
	}
	e := wire.Event{Time: at, Kind: kind, Task: task, Detail: string(body)}
	if doc, err := json.Marshal(map[string]any{"ts": stamp(at), "kind": kind, "task": task, "detail": json.RawMessage(body)}); err == nil {
		r.opts.Stream("event", doc)
	}
	return e
}

// idle fires rows that are due when live readings have stopped. It matters to tasks whose rows
// wait for the watermark: a cadence or a lateness.
func (r *Runtime) idle(now time.Time) {
	if r.idled || !r.opts.Trusted() {
		return
	}
	for _, t := range r.tasks {
		if t.spec.Rows.Every == 0 && t.spec.Rows.Lateness == 0 || now.Sub(r.lastInput) < t.spec.Rows.Idle.Std() {
			continue
		}
		at := now.UnixMicro() - t.spec.Rows.Lateness.Micros()
		if w := t.engine.Status().Watermark; w == math.MinInt64 || at-w > 24*time.Hour.Microseconds() {
			continue // no readings yet, or a replay of old ones: wall time says nothing about them
		}
		r.idled = true
		r.open.Journal = appendIdle(r.open.Journal, at)
		for _, t := range r.tasks {
			r.emit(t, t.engine.Idle(at), 0)
		}
		return
	}
}
