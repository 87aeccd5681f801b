package reproduce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/source"
	"skerry.dev/agent/task"
	"skerry.dev/compute/artifact"
	"skerry.dev/compute/artifact/shares"
	"skerry.dev/compute/engine"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
	"skerry.dev/configs"
	"skerry.dev/hub/blob"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/replay"
	"skerry.dev/sync/outbox"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

const (
	device = "dev-1"
	// step is how far apart rows are. The runtime wakes ten times a second: an hour of its time takes
	// half a second.
	step = time.Minute
)

func parse(t *testing.T, text string) *spec.Task {
	t.Helper()
	s, err := spec.ParseTask("test.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// artifacts are bytes by digest.
type artifacts map[string][]byte

func (as artifacts) load(_ context.Context, digest string) ([]byte, error) {
	if b := as[digest]; b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("no artifact %q", digest)
}

// engine loads an artifact as the agent does.
func (as artifacts) engine(digest string) (engine.Loaded, error) {
	a, err := artifact.DecodeBytes(as[digest])
	if err != nil {
		return engine.Loaded{}, err
	}
	run, err := artifact.NewRunner(a)
	if err != nil {
		return engine.Loaded{}, err
	}
	x, err := shares.New(a)
	if err != nil && !errors.Is(err, shares.ErrNone) {
		return engine.Loaded{}, err
	}
	return engine.Loaded{ID: digest, Model: sharing{artifact.Model{Runner: run}, x}, Usual: a.Usual, Inputs: a.InputNames(), Classes: a.Manifest.Output.Classes}, nil
}

// sharing is an artifact as the agent has it.
type sharing struct {
	artifact.Model
	x *shares.Explainer
}

// Shares implements task.Sharer.
func (m sharing) Shares(class string, n int) []shares.Share {
	if m.x == nil {
		return nil
	}
	s, err := m.x.Of(m.Features(), class)
	if err != nil {
		panic(err)
	}
	return s.Features[:n]
}

// add adds an artifact for the tasks of this package, of trees that are drawn by seed or, with a
// slope, a linear model, and returns its digest.
func (as artifacts) add(t *testing.T, seed uint64, slope float64) string {
	t.Helper()
	in := []feature.Input{{Name: "y"}, {Name: "x"}}
	zero := 0.0
	a := &artifact.Artifact{
		Manifest: artifact.Manifest{
			Task:      "level",
			Kind:      artifact.KindForecast,
			HorizonUS: step.Microseconds(),
			Inputs:    in,
			Output:    artifact.Output{Series: "y"},
			Rows:      1,
		},
		Pipeline: &feature.Pipeline{
			Inputs:    in,
			Tolerance: step.Microseconds() / 2,
			Rows:      2,
			Columns: []feature.Column{
				{Name: "y", Op: feature.OpValue, Series: 0, Impute: &zero},
				{Name: "x", Op: feature.OpValue, Series: 1, Impute: &zero},
				{Name: "y_before", Op: feature.OpLag, Series: 0, Lag: step.Microseconds(), Impute: &zero},
			},
		},
		Calibration: artifact.Calibration{Level: 0.9, Scores: []float64{0.1, 0.5, 1}},
	}
	var err error
	var m artifact.Predictor
	if slope != 0 {
		m, err = linear.New(3, ensemble.Identity, []float64{0}, []float64{slope, 0.1, -slope})
	} else {
		m, err = ensemble.Build(ensemble.Spec{Inputs: 3, Base: []float64{0}, Covers: true}, drawn(seed))
	}
	if err != nil {
		t.Fatal(err)
	}
	a.Models = map[artifact.Role]artifact.Predictor{artifact.Point: m}
	b, err := artifact.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	d := artifact.Digest(b)
	as[d] = b
	return d
}

// drawn are trees of two levels with covers.
func drawn(seed uint64) (trees []ensemble.Tree) {
	rng := rand.New(rand.NewPCG(seed, 3))
	cut := func(j int) float64 {
		return []float64{35 + 30*rng.Float64(), 10 * rng.Float64(), 35 + 30*rng.Float64()}[j]
	}
	for range 12 {
		var tree ensemble.Tree
		f := [3]int{rng.IntN(3), rng.IntN(3), rng.IntN(3)}
		tree = append(tree,
			ensemble.Node{Feature: f[0], Threshold: cut(f[0]), Left: 1, Right: 2, Cover: 100},
			ensemble.Node{Feature: f[1], Threshold: cut(f[1]), Left: 3, Right: 4, Cover: 40},
			ensemble.Node{Feature: f[2], Threshold: cut(f[2]), Left: 5, Right: 6, Cover: 60})
		for _, cover := range []float64{10, 30, 25, 35} {
			tree = append(tree, ensemble.Node{Value: rng.NormFloat64(), Cover: cover})
		}
		trees = append(trees, tree)
	}
	return trees
}

// box is a device's runtime over a store, which can be crashed and begun again.
type box struct {
	t      *testing.T
	dir    string
	tasks  []*spec.Task
	models artifacts
	store  *cache.Store
	*task.Runtime
	plan   *source.Plan
	cancel context.CancelFunc
	ended  chan error
	mu     sync.Mutex
	acked  int               // messages
	said   map[string][]said // what was published of rows, by their times
}

func (b *box) open() {
	b.t.Helper()
	var err error
	b.store, err = cache.Open(cache.Options{Dir: b.dir, Outbox: outbox.Options{Device: device, StartedAt: time.Now().UnixMicro(), ClockOK: true}})
	if err != nil {
		b.t.Fatal(err)
	}
	if b.plan, err = source.Compile(b.tasks); err != nil {
		b.t.Fatal(err)
	}
	b.Runtime, err = task.Open(task.Options{
		Device: device, Store: b.store, Tasks: b.tasks, Plan: b.plan, Models: b.models.engine, SnapshotRows: 37, Publish: b.publish,
		AgentCache: configs.AgentCache{CommitInterval: spec.Duration(4 * step)},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.ended = cancel, make(chan error, 1)
	go func() { b.ended <- b.Run(ctx) }()
}

// said is what the tests read of a payload.
type said struct {
	Value  float64
	Shares []struct {
		Feature string
		Share   float64
	}
}

func (b *box) publish(_ string, payload []byte, _ bool) {
	if payload == nil { // what a task that is gone has left at the broker is taken back
		return
	}
	var p struct {
		TS, Task string
		said
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		b.t.Error(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.said == nil {
		b.said = map[string][]said{}
	}
	b.said[p.Task+" "+p.TS] = append(b.said[p.Task+" "+p.TS], p.said)
}

func (b *box) close() {
	b.t.Helper()
	b.cancel()
	if err := <-b.ended; err != nil {
		b.t.Fatal(err)
	}
	if err := b.store.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// crash goes on with the file as it is on disk at this moment: what is not committed is lost.
func (b *box) crash() {
	b.t.Helper()
	tx, err := b.store.DB().Begin(false)
	if err != nil {
		b.t.Fatal(err)
	}
	dir := b.t.TempDir()
	b.mu.Lock()
	acked := b.acked
	b.mu.Unlock()
	if err := tx.CopyFile(filepath.Join(dir, cache.FileName), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		b.t.Fatal(err)
	}
	b.close()
	b.dir = dir
	b.mu.Lock()
	b.acked = acked
	b.mu.Unlock()
	b.open()
}

// value is a reading of a series at a time.
type value struct {
	series string
	at     int64
	v      float64
}

// send sends a message. back is by how much the clock was set back, microseconds.
func (b *box) send(back int64, vs ...value) {
	b.t.Helper()
	m := source.Message{Plan: b.plan, Topic: "s", Arrival: time.Now().UnixMicro() - back, ClockOK: true, Ack: func() { b.mu.Lock(); b.acked++; b.mu.Unlock() }}
	for _, v := range vs {
		k, ok := b.plan.Index(v.series)
		if !ok {
			b.t.Fatalf("no series %s", v.series)
		}
		m.Readings = append(m.Readings, source.Reading{Series: k, Time: v.at, HasTime: true, Value: v.v})
	}
	if err := b.Message(context.Background(), m); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// sent is everything of a device that waits to be sent.
type sent struct {
	chain  []wire.RunInfo
	chunks [][]byte
}

// take empties the outbox.
func (b *box) take() (s sent) {
	b.t.Helper()
	o := b.store.Outbox()
	s.chain = o.Chain()
	o.Online(true)
	for {
		refs := o.Next(outbox.Backfill, 1, 0)
		if len(refs) == 0 {
			return s
		}
		raw, err := o.Read(b.store.DB(), refs[0])
		if err != nil {
			b.t.Fatal(err)
		}
		s.chunks = append(s.chunks, append([]byte(nil), raw...))
	}
}

// live runs f on a clock of its own.
func live(t *testing.T, f func(*testing.T)) {
	synctest.Test(t, f)
	runtime.GC() // see agent/task: encoders of the bubble leave the pool
	runtime.GC()
}

// hub is ingest, lake and replay over a database of its own.
type hub struct {
	*replay.Replayer
	lake *lake.Lake
	db   *meta.Store
}

// receive is a hub that has got what a device sent, but for the chunks that keep refuses.
func receive(t *testing.T, s sent, models artifacts, keep func(h wire.Header, r *wire.Records) bool) *hub {
	t.Helper()
	dir := t.TempDir()
	db, err := meta.Open(t.Context(), meta.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Tx(t.Context(), func(q *meta.Queries) error {
		return q.InsertDevice(t.Context(), meta.Device{Name: device, Site: "north", PublicKey: "k"})
	}); err != nil {
		t.Fatal(err)
	}
	in := ingest.New(db, ingest.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if _, err := in.Greet(t.Context(), device, wire.Hello{Device: device, JoinCounter: 1, Version: "v", Runs: s.chain}); err != nil {
		t.Fatal(err)
	}
	var kept []ingest.Message
	for _, c := range s.chunks {
		h, r, err := wire.Decode(c)
		if err != nil {
			t.Fatal(err)
		}
		if keep != nil && !keep(h, r) {
			continue
		}
		lane := ingest.Live
		if h.Class == wire.ClassAlarm || h.Class == wire.ClassEvent {
			lane = ingest.Events
		}
		kept = append(kept, ingest.Message{Site: "north", Device: device, Lane: lane, Data: c})
	}
	for len(kept) > 0 {
		window := kept[:min(len(kept), 100)]
		kept = kept[len(window):]
		got := make(chan wire.Receipt, len(window))
		for _, m := range window {
			m.Reply = func(r wire.Receipt) { got <- r }
			in.Offer(m)
		}
		for range window {
			if r := <-got; !r.Applied {
				t.Fatalf("a chunk is not stored: %+v", r)
			}
		}
	}
	blobs, err := blob.Open(t.Context(), "", dir, "lake")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	l := lake.New(db, blobs, lake.Options{})
	if _, err := l.Compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	return &hub{replay.New(db, l, models.load), l, db}
}

// all recomputes every prediction of a task that came to the hub.
func (h *hub) all(t *testing.T, name string) *replay.Checked {
	t.Helper()
	c, err := h.Check(t.Context(), device, name, math.MinInt64, math.MaxInt64, replay.MaxDrawn, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// replace has the device run other tasks.
func (b *box) replace(tasks []*spec.Task) {
	b.t.Helper()
	plan, err := source.Compile(tasks)
	b.must(err)
	b.must(b.Replace(context.Background(), tasks, plan, true))
	b.tasks, b.plan = tasks, plan
}
