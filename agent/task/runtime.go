package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/gate"
	"skerry.dev/agent/source"
	"skerry.dev/compute/engine"
	"skerry.dev/configs"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// Options of a runtime. Device, Store, Tasks and Plan are required.
type Options struct {
	Device string
	Store  *cache.Store
	Tasks  []*spec.Task
	Plan   *source.Plan
	// Keep keeps what tasks have learned that are not among Tasks: their files could not be read,
	// and Replace may bring them.
	Keep bool
	// Models finds an artifact by its digest, for snapshots, the journal and activations. nil:
	// there are none.
	Models func(digest string) (engine.Loaded, error)
	// Publish sends a payload to the broker without waiting. nil: nothing is published.
	Publish func(topic string, payload []byte, retain bool)
	// Stream is called with every published prediction and every event, for local listeners. It
	// must not block.
	Stream func(kind string, doc []byte)
	// Ahead is called with a reading that is too far ahead of the clock to be used, by that many
	// microseconds. It must not block.
	Ahead func(series string, arrival, ahead int64)
	// Clash is called with a reading that is not used because another value came for its time. It must
	// not block.
	Clash func(series string, arrival int64)
	// ByID is called with a label whose row is known by an id: found is false when no row has had it,
	// and the label is not used. It must not block.
	ByID func(series, id string, found bool, arrival int64)
	// Forgive is called with what a series' reading was used in spite of, besides what its payload
	// showed. It must not block.
	Forgive func(series string, f source.Forgiven)
	// Heartbeat is called at least once a second while the runtime makes progress (the service
	// manager's watchdog).
	Heartbeat func()

	// AgentCache is its section of agent.yaml: when a commit is sealed.
	configs.AgentCache
	// SnapshotRows and SnapshotEvery define when what a task has learned is stored: after so many
	// of its rows, or so long after the last time if it changed. Defaults 2000 rows and 60 s.
	SnapshotRows  int
	SnapshotEvery time.Duration
	Log           *slog.Logger
	Metrics       *Metrics // nil: counted and not exported
}

func (o *Options) defaults() {
	configs.FillDefaults(&o.AgentCache)
	if o.SnapshotRows == 0 {
		o.SnapshotRows = 2000
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
	if o.Clash == nil {
		o.Clash = func(string, int64) {}
	}
	if o.Ahead == nil {
		o.Ahead = func(string, int64, int64) {}
	}
	if o.ByID == nil {
		o.ByID = func(string, string, bool, int64) {}
	}
	if o.Forgive == nil {
		o.Forgive = func(string, source.Forgiven) {}
	}
	if o.Stream == nil {
		o.Stream = func(string, []byte) {}
	}
	if o.Heartbeat == nil {
		o.Heartbeat = func() {}
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
	room chan struct{} // told when the committer takes a commit
	gone chan struct{} // closed when the committer has ended
	done chan struct{} // closed when Run has ended

	// Owned by the goroutine of Run.
	tasks     []*running
	kept      map[string]keptState // of tasks that do not run
	logged    int64                // bytes of the journal since every state was stored
	states    int64                // bytes of the states stored since then
	clock     int64                // arrival of the newest message while the clock was trusted
	ids       map[string]uint32    // series name → stable number
	newIDs    map[string]uint32    // not yet stored
	plans     map[*source.Plan]*routes
	gate      *gate.Gate
	gateRows  int       // rows since the gate's state was stored
	gateSaved time.Time // when it was; zero: never
	turned    time.Time // when states were last stored for their age
	open      *sealed
	position  uint64
	place     place // of what comes next among what goes to the hub
	latency   Latency
	scratch   []engine.Reading
	inputs    []input
	places    map[rowPlace]float64 // the ids of the message's rows

	status  atomic.Pointer[Status]
	trouble atomic.Pointer[string] // why commits fail, nil when they do not
	waits   atomic.Bool            // messages wait until something can be stored
	seen    atomic.Uint64          // the newest generation of the gate's pages that is stored
}

// running is one task.
type running struct {
	spec      *spec.Task      // with its lists in the order of the state
	learned   json.RawMessage // what the state is made for: its spec.Learned
	engine    *engine.Engine
	topic     string
	share     float64
	published int64 // event time of the last prediction published
	last      engine.Prediction
	versions  map[string]string
	anew      bool                // it began with nothing learned
	again     bool                // its intervals began anew, for another coverage
	shares    map[int64]shareList // by row, of predictions that are to be published
	lost      string              // why its state is not what follows from the journal, "" when it is
	fresh     bool                // has no snapshot on disk yet
	changed   bool                // is not as its snapshot any more
	rows      int                 // since its snapshot
	saved     time.Time           // when that was made
}

// Open restores the tasks from the store. It does no work that a later Run would not; a damaged
// snapshot costs the task its learned state and is reported as an alarm.
func Open(opts Options) (*Runtime, error) {
	opts.defaults()
	r := &Runtime{
		opts:   opts,
		log:    opts.Log,
		start:  time.Now(),
		in:     make(chan *inbound, 64),
		do:     make(chan func()),
		seal:   make(chan *sealed, 1),
		room:   make(chan struct{}, 1),
		gone:   make(chan struct{}),
		done:   make(chan struct{}),
		newIDs: map[string]uint32{},
		places: map[rowPlace]float64{},
		kept:   map[string]keptState{},
	}
	ids, err := opts.Store.Series()
	if err != nil {
		return nil, fmt.Errorf("open runtime: %w", err)
	}
	r.ids = ids
	r.open = r.newCommit()
	r.place.earlier = opts.Store.Outbox().Stats().Stored[wire.ClassReading]
	if err := r.restore(); err != nil {
		return nil, fmt.Errorf("open runtime: %w", err)
	}
	for _, t := range r.tasks {
		r.markTask(t)
		r.explain(t)
	}
	r.route(opts.Plan)
	if d := opts.Store.Damage(); d != "" {
		r.alarm("cache_damaged", "", map[string]any{"problem": d})
	}
	if err := opts.Store.Borrowed(); err != nil { // to be stored, so that it is noticed when that is possible
		r.alarm("state_read_only", "", map[string]any{"problem": err.Error()})
	}
	r.setStatus()
	return r, nil
}

func newRunning(t *spec.Task, device string) (*running, error) {
	e, err := engine.New(t.Engine())
	if err != nil {
		return nil, fmt.Errorf("task %q: %w", t.Name, err)
	}
	learned, err := json.Marshal(t.Learned())
	if err != nil {
		return nil, fmt.Errorf("task %q: %w", t.Name, err)
	}
	return &running{
		spec:      t,
		learned:   learned,
		engine:    e,
		topic:     t.PublishTopic(device),
		share:     t.PredictionShare(),
		published: math.MinInt64,
		versions:  map[string]string{},
		anew:      true,
		fresh:     true,
		saved:     time.Now(),
	}, nil
}

// version returns the name of a model's version.
func (t *running) version(digest string) string {
	if v := t.versions[digest]; v != "" {
		return v
	}
	if len(digest) > 12 {
		return digest[:12]
	}
	return digest
}

// Waits reports whether messages wait until something can be stored again: as much as may be is held
// in memory.
func (r *Runtime) Waits() bool { return r.waits.Load() }

// Trouble reports why nothing can be stored at present, "" when all is well.
func (r *Runtime) Trouble() string {
	if p := r.trouble.Load(); p != nil {
		return *p
	}
	return ""
}
