package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/gate"
	"skerry.dev/agent/source"
	"skerry.dev/compute/engine"
	"skerry.dev/compute/feature"
	"skerry.dev/configs"
	"skerry.dev/sync/outbox"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
	"skerry.dev/test/realdata"
)

const taskYAML = `
task: level
kind: forecast
target: {series: y, horizon: 1h}
inputs:
  - {series: y, topic: s/a, path: $.y, range: [0, 1000]}
  - {series: x, topic: s/a, path: $.x}
time: {path: $.ts, format: unix, max_past: 36500d}
rows: {on: y, max_age: 3h}
`

func parse(t *testing.T, text string) *spec.Task {
	t.Helper()
	task, err := spec.ParseTask("test.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// drifting is a model for the tests: the change it expects is its bias plus a part of the last
// change.
type drifting struct{ bias float64 }

func (m drifting) Predict(h *feature.History, back int) (float64, float64, float64, error) {
	d := m.bias
	if back+1 < h.Len() {
		d += 0.3 * (h.Row(back)[0] - h.Row(back + 1)[0])
	}
	return d, d - 5, d + 5, nil
}

func models(id string) (engine.Loaded, error) {
	switch id {
	case "a":
		return engine.Loaded{ID: "a", Model: drifting{0.1}}, nil
	case "b":
		return engine.Loaded{ID: "b", Model: drifting{-0.1}}, nil
	}
	return engine.Loaded{}, fmt.Errorf("no model %q", id)
}

// rig is a runtime with a recorder.
type rig struct {
	*Runtime
	store  *cache.Store
	plan   *source.Plan
	mu     sync.Mutex
	said   []string
	acked  int
	base   int64 // time of hour 0, microseconds
	cancel context.CancelFunc
	ended  chan error
}

func start(t *testing.T, dir string, change func(*Options)) *rig {
	t.Helper()
	st, err := cache.Open(cache.Options{Dir: dir, Outbox: outbox.Options{Device: "dev"}})
	if err != nil {
		t.Fatal(err)
	}
	task := parse(t, taskYAML)
	plan, err := source.Compile([]*spec.Task{task})
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{store: st, plan: plan, ended: make(chan error, 1)}
	opts := Options{Device: "dev", Store: st, Tasks: []*spec.Task{task}, Plan: plan, Models: models, SnapshotRows: 40, AgentCache: configs.AgentCache{CommitInterval: spec.Duration(20 * time.Millisecond)},
		Publish: func(topic string, payload []byte, _ bool) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.said = append(g.said, topic+" "+string(payload))
		}}
	if change != nil {
		change(&opts)
	}
	g.Runtime, err = Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	go func() { g.ended <- g.Run(ctx) }()
	t.Cleanup(func() { g.stop(t); st.Close() })
	return g
}

// startTask is start with one task of the test's own.
func startTask(t *testing.T, dir string, task *spec.Task, change func(*Options)) *rig {
	t.Helper()
	plan, err := source.Compile([]*spec.Task{task})
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, dir, func(o *Options) {
		o.Tasks, o.Plan = []*spec.Task{task}, plan
		if change != nil {
			change(o)
		}
	})
	g.plan = plan
	return g
}

// reading sends one reading of a series.
func (g *rig) reading(t *testing.T, series string, at int64, v float64) {
	t.Helper()
	k, ok := g.plan.Index(series)
	if !ok {
		t.Fatalf("no series %s", series)
	}
	m := source.Message{Plan: g.plan, Topic: "s/a", Arrival: time.Now().UnixMicro(), ClockOK: true, Readings: []source.Reading{{Series: k, Time: at, HasTime: true, Value: v}}, Ack: func() {}}
	if err := g.Message(context.Background(), m); err != nil {
		t.Fatal(err)
	}
}

func (g *rig) stop(t *testing.T) {
	if g.cancel == nil {
		return
	}
	g.cancel()
	if err := <-g.ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	g.cancel = nil
}

func (g *rig) acks() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.acked
}

func (g *rig) output() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.said)
}

// message sends readings of y and x at hour i.
func (g *rig) message(t *testing.T, i int, y, x float64) {
	t.Helper()
	if err := g.send(context.Background(), i, y, x); err != nil {
		t.Fatal(err)
	}
}

func (g *rig) send(ctx context.Context, i int, y, x float64) error {
	at := g.base + int64(i)*3600*1e6
	ys, _ := g.plan.Index("y")
	xs, _ := g.plan.Index("x")
	m := source.Message{Plan: g.plan, Topic: "s/a", Arrival: time.Now().UnixMicro(), ClockOK: true,
		Readings: []source.Reading{{Series: ys, Time: at, HasTime: true, Value: y}, {Series: xs, Time: at, HasTime: true, Value: x}},
		Ack:      func() { g.mu.Lock(); g.acked++; g.mu.Unlock() }}
	return g.Message(ctx, m)
}

func values(n int) (ys, xs []float64) {
	rng := rand.New(rand.NewPCG(3, 3))
	y := 50.0
	for range n {
		y = math.Max(1, y+rng.NormFloat64()*4)
		ys, xs = append(ys, math.Round(y*10)/10), append(xs, math.Round(rng.Float64()*100)/10)
	}
	return ys, xs
}

// TestCrashIsInvisible copies the state directory at random moments of a run with model changes,
// restarts from the copy, redelivers what was not acknowledged, and demands that every later
// prediction equals the undisturbed run's, byte for byte, and that each reading is in the outbox
// once.
func TestCrashIsInvisible(t *testing.T) {
	ys, xs := values(400)
	control := func(g *rig, i int) {
		ctx := context.Background()
		var err error
		switch i {
		case 100:
			err = g.Shadow(ctx, "level", "a")
		case 130:
			err = g.Activate(ctx, "level", "a")
		case 170:
			err = g.Settle(ctx, "level")
		case 250:
			err = errors.Join(g.Shadow(ctx, "level", "b"), g.Activate(ctx, "level", "b"))
		case 270:
			err = g.Revert(ctx, "level")
		}
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	dir := t.TempDir()
	whole := start(t, dir, nil)
	type crash struct {
		dir   string
		acked int
		step  int
	}
	var crashes []crash
	rng := rand.New(rand.NewPCG(8, 8))
	for i := range ys {
		control(whole, i)
		whole.message(t, i, ys[i], xs[i])
		if rng.IntN(25) == 0 {
			whole.mu.Lock()
			acked := whole.acked
			whole.mu.Unlock()
			// bbolt's file is copied while it is not being written: inside a read transaction.
			var c crash
			tx, err := whole.store.DB().Begin(false)
			if err != nil {
				t.Fatal(err)
			}
			c = crash{t.TempDir(), acked, i}
			err = tx.CopyFile(filepath.Join(c.dir, cache.FileName), 0o600)
			tx.Rollback()
			if err != nil {
				t.Fatal(err)
			}
			crashes = append(crashes, c)
		}
	}
	whole.Flush()
	whole.stop(t)
	want := whole.output()
	if len(want) != len(ys) {
		t.Fatalf("%d predictions of %d rows", len(want), len(ys))
	}
	if len(crashes) < 5 {
		t.Fatalf("only %d crashes", len(crashes))
	}
	for _, c := range crashes {
		g := start(t, c.dir, nil)
		// the broker redelivers everything that was not acknowledged
		for i := c.acked; i < len(ys); i++ {
			if i > c.step { // controls of messages before the crash were durable when they returned
				control(g, i)
			}
			g.message(t, i, ys[i], xs[i])
		}
		g.Flush()
		got := g.output()
		g.stop(t)
		tail := want[len(want)-len(got):]
		if !slices.Equal(got, tail) {
			for k := range got {
				if got[k] != tail[k] {
					t.Fatalf("crash at %d: prediction %d of %d:\n-want %s\n+got  %s", c.step, k, len(got), tail[k], got[k])
				}
			}
		}
		checkOutbox(t, g, len(ys))
	}
}

// checkOutbox counts every stored reading once.
func checkOutbox(t *testing.T, g *rig, rows int) {
	t.Helper()
	seen := map[string]int{}
	for _, x := range stored(t, g) {
		seen[fmt.Sprint(x.Series, x.Time)]++
	}
	if len(seen) != 2*rows {
		t.Errorf("%d readings stored, want %d", len(seen), 2*rows)
	}
	for k, n := range seen {
		if n != 1 {
			t.Errorf("reading %s stored %d times", k, n)
		}
	}
}

// stored returns the readings in the outbox, in order.
func stored(t *testing.T, g *rig) (out []wire.Reading) {
	t.Helper()
	for _, rec := range records(t, g) {
		out = append(out, rec.Readings...)
	}
	return out
}

// records takes everything out of the outbox.
func records(t *testing.T, g *rig) (out []*wire.Records) {
	t.Helper()
	o := g.store.Outbox()
	o.Online(true)
	for {
		refs := o.Next(outbox.Backfill, 1, 0)
		if len(refs) == 0 {
			return out
		}
		raw, err := o.Read(g.store.DB(), refs[0])
		if err != nil {
			t.Fatal(err)
		}
		_, rec, err := wire.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec)
	}
}

// inBubble runs f on a clock of its own. The encoders that it leaves in the pool of sync/wire
// belong to its bubble, and must not be used outside: a pool forgets them after two collections.
func inBubble(t *testing.T, f func(*testing.T)) {
	synctest.Test(t, f)
	runtime.GC()
	runtime.GC()
}

func TestAckOnlyAfterCommit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g := start(t, t.TempDir(), func(o *Options) { o.CommitInterval = spec.Duration(time.Hour) })
		acked := func() int {
			synctest.Wait()
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.acked
		}
		for i := range 15 {
			g.message(t, i, float64(i), 1)
		}
		time.Sleep(59 * time.Minute)
		if n := acked(); n != 0 {
			t.Fatalf("%d messages acknowledged while the commit is open", n)
		}
		g.message(t, 15, 3, 1) // the sixteenth owed acknowledgement seals the commit
		if n := acked(); n != 16 {
			t.Fatalf("%d messages acknowledged, want 16", n)
		}
		g.message(t, 16, 3, 1)
		time.Sleep(59 * time.Minute)
		if n := acked(); n != 16 {
			t.Fatalf("%d messages acknowledged before the delay is over", n)
		}
		time.Sleep(2 * time.Minute)
		if n := acked(); n != 17 {
			t.Fatalf("%d messages acknowledged once it is, want 17", n)
		}
	})
}

// TestFullDisk: somebody else fills the disk and gives the space back. What was stored stays, what
// came meanwhile is stored then, nothing is dropped afterwards, and the cap is what was configured.
func TestFullDisk(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g := start(t, t.TempDir(), nil)
		for i := range 400 {
			g.message(t, i, float64(i%1000), 1)
		}
		g.Flush()
		before := g.store.Outbox().Stats()
		limit(t, g.store, 1)
		i := 400
		for ; g.trouble.Load() == nil && i < 2000; i++ {
			g.message(t, i, float64(i%1000), 1)
			time.Sleep(100 * time.Millisecond)
		}
		if g.trouble.Load() == nil {
			t.Fatal("the disk is full and nobody notices")
		}
		acked, spoken, began := g.acks(), len(g.output()), time.Now()
		for range 500 {
			g.message(t, i, float64(i%1000), 1)
			i++
		}
		synctest.Wait()
		if n := len(g.output()) - spoken; n < 490 || time.Since(began) > time.Second {
			t.Errorf("%d predictions of 500 rows in %v while nothing can be stored, want one each at once", n, time.Since(began))
		}
		if g.Waits() {
			t.Error("messages wait although there is room in memory")
		}
		if n := g.acks(); n != acked {
			t.Errorf("%d messages acknowledged while nothing can be stored", n-acked)
		}
		time.Sleep(fullWait / 2)
		if s := g.store.Outbox().Stats(); s.Dropped != 0 {
			t.Errorf("%d records dropped within the first minutes", s.Dropped)
		}
		limit(t, g.store, 0)
		time.Sleep(5 * time.Second)
		g.Flush()
		for range 200 {
			g.message(t, i, float64(i%1000), 1)
			i++
		}
		g.Flush()
		after := g.store.Outbox().Stats()
		spoken = len(g.output()) - spoken
		if spoken < 690 || spoken > 700 {
			t.Errorf("%d predictions of 700 rows: repeated or missing after the space is back", spoken)
		}
		if g.trouble.Load() != nil || after.Dropped != 0 || after.CapBytes != before.CapBytes || after.PendingRecords < before.PendingRecords+400 {
			t.Errorf("after the space is back: trouble %v, outbox %+v, before %+v", g.trouble.Load(), after, before)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.acked != i {
			t.Errorf("%d messages acknowledged of %d", g.acked, i)
		}
	})
}

// TestStopOnAFullDisk: a stop ends within its bound although nothing can be stored and everything
// that waits for it is full; what was not stored is not acknowledged, and comes again at the next
// start.
func TestStopOnAFullDisk(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		g := start(t, dir, nil)
		for i := range 100 {
			g.message(t, i, float64(i), 1)
		}
		g.Flush()
		limit(t, g.store, 1)
		ctx, cancel := context.WithCancel(t.Context())
		fed := make(chan int)
		go func() {
			i := 100
			for g.send(ctx, i, float64(i), 1) == nil {
				i++
			}
			fed <- i
		}()
		time.Sleep(5 * time.Second)
		if g.trouble.Load() == nil {
			t.Fatal("the disk is full and nobody notices")
		}
		if !g.Waits() {
			t.Error("the memory for what waits is full, and it is not said that messages wait")
		}
		began := time.Now()
		g.cancel()
		err := <-g.ended
		g.cancel = nil
		if took := time.Since(began); err == nil || took > lastCommit+time.Second {
			t.Errorf("Run = %v after %v, want an error within %v", err, took, lastCommit)
		}
		cancel()
		last := <-fed
		limit(t, g.store, 0)
		stored := int(g.store.Outbox().Stats().Stored[wire.ClassReading]) / 2 // two readings a message
		if g.acked > stored || g.acked < 100 || stored >= last {
			t.Errorf("%d messages acknowledged, %d stored, %d sent", g.acked, stored, last)
		}
		if err := g.store.Close(); err != nil {
			t.Fatal(err)
		}
		g = start(t, dir, nil)
		for i := stored; i < last; i++ { // the broker has them still
			g.message(t, i, float64(i), 1)
		}
		g.Flush()
		if n := int(g.store.Outbox().Stats().Stored[wire.ClassReading]) / 2; n != last {
			t.Errorf("%d messages stored in the end, want all %d", n, last)
		}
	})
}

// limit bounds the store's file, while no commit is under way; 0 is no bound.
func limit(t *testing.T, s *cache.Store, bytes int) {
	t.Helper()
	tx, err := s.DB().Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	s.DB().MaxSize = bytes
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}

func TestRepeatsConflictsAndRanges(t *testing.T) {
	g := start(t, t.TempDir(), nil)
	for i := range 30 {
		g.message(t, i, 10, 1)
	}
	g.message(t, 29, 10, 1)   // a redelivery
	g.message(t, 29, 11, 1)   // another value for the same time
	g.message(t, 30, 5000, 1) // outside the range
	g.Flush()
	flags := map[wire.Flags]int{}
	n := 0
	for _, x := range stored(t, g) {
		n++
		flags[x.Flags&(wire.FlagConflict|wire.FlagRange)]++
	}
	if n != 60+1+2 || flags[wire.FlagConflict] != 1 || flags[wire.FlagRange] != 1 {
		t.Errorf("%d readings, flags %v; want 63 with one conflict and one out of range", n, flags)
	}
	for _, s := range g.output() {
		if strings.Contains(s, "5000") {
			t.Errorf("a value outside the range reached a prediction: %s", s)
		}
	}
}

// TestPoisonIsFlagged sends a day of each kind of bad readings between good ones. Every bad one
// carries a flag that states it, a stuck sensor's from where it has stood still longer than ever,
// and no good one does.
func TestPoisonIsFlagged(t *testing.T) {
	const days, warm = 24, 400
	for name, c := range map[string]struct {
		value func(i int) float64
		at    func(i int) int // hour of the reading
		want  wire.Flags
		least int    // bad readings of y to be flagged
		event string // that says since when
	}{
		"not a number": {value: func(int) float64 { return math.NaN() }, want: wire.FlagNotFinite, least: days},
		"infinite":     {value: func(int) float64 { return math.Inf(-1) }, want: wire.FlagNotFinite, least: days},
		"huge":         {value: func(i int) float64 { return []float64{1e308, -1e308}[i%2] }, want: wire.FlagRange, least: days},
		"jump":         {value: func(i int) float64 { return 900 + float64(i%7) }, want: wire.FlagSpike, least: days, event: gate.EventJump},
		// a value is stuck from the sixth time on; the event names the first as well
		"stuck":         {value: func(int) float64 { return 50 }, want: wire.FlagStuck, least: days - 2*6, event: gate.EventStuck},
		"of the future": {value: func(i int) float64 { return 50 + float64(i) }, at: func(i int) int { return 1e6 + i }, want: wire.FlagFuture, least: days},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			told := map[string]string{} // by kind and beginning, of y
			g := start(t, t.TempDir(), func(o *Options) {
				o.Stream = func(kind string, doc []byte) {
					var e struct {
						Kind   string
						Detail struct {
							Series, Since, What string
							Readings            int
						}
					}
					if kind == "event" && json.Unmarshal(doc, &e) == nil && e.Detail.Series == "y" {
						mu.Lock()
						defer mu.Unlock()
						told[e.Kind+" "+e.Detail.Since] = fmt.Sprint(e.Detail.Readings)
					}
				}
			})
			ys, xs := values(2*warm + days)
			for i := range ys {
				y, at := ys[i], i
				if bad := i - warm; bad >= 0 && bad < days {
					y = c.value(bad)
					if c.at != nil {
						at = c.at(bad)
					}
				}
				g.message(t, at, y, xs[i])
			}
			g.Flush()
			const any = wire.FlagNotFinite | wire.FlagRange | wire.FlagSpike | wire.FlagStuck | wire.FlagFuture
			flagged, wrong := 0, 0
			for _, x := range stored(t, g) {
				hour := int(x.Time / 3600e6)
				bad := x.Series == "y" && hour >= warm && hour < warm+days || hour >= 1e6
				switch {
				case bad && x.Series == "y" && x.Flags&c.want != 0:
					flagged++
				case !bad && x.Flags&any != 0:
					wrong++
				}
			}
			if flagged < c.least || wrong > 0 {
				t.Errorf("%d of %d bad readings are flagged, want %d; %d good ones are", flagged, days, c.least, wrong)
			}
			mu.Lock()
			defer mu.Unlock()
			began := " " + stamp(warm*3600e6)
			if over := told[gate.EventWell+began]; c.event != "" && (told[c.event+began] == "" || over != fmt.Sprint(days)) || c.event == "" && len(told) > 0 {
				t.Errorf("people are told %v: want %q and %q since%s, over after %d readings", told, c.event, gate.EventWell, began, days)
			}
		})
	}
}

// TestPoisonRecovers plays a real station through the whole runtime and compares its errors after
// a bad day with those of a run without.
func TestPoisonRecovers(t *testing.T) {
	station := realdata.Station(t, "gucheng")
	var y, x []float64
	for i, v := range station["PM2.5"] {
		if w := station["TEMP"][i]; !math.IsNaN(v + w) {
			y, x = append(y, v), append(x, w)
		}
	}
	const warm, days, settle, rows = 2500, 24, 48, 4500
	run := func(poison func(i int, y float64) (int, float64)) (before, after float64) {
		g := start(t, t.TempDir(), nil)
		for i := range rows {
			at, v := i, y[i]
			if poison != nil && i >= warm && i < warm+days {
				at, v = poison(i, v)
			}
			g.message(t, at, v, x[i])
		}
		g.Flush()
		var n, m float64
		for _, rec := range records(t, g) {
			for _, l := range rec.Labels {
				off := math.Abs(l.Truth - l.Predicted)
				switch hour := l.Row / 3600e6; {
				case hour >= warm+days+settle && !math.IsNaN(off):
					after += off
					n++
				case hour >= 500 && hour < warm && !math.IsNaN(off):
					before += off
					m++
				}
			}
		}
		if n < 1000 || m < 1000 {
			t.Fatalf("%v and %v labels", n, m)
		}
		return before / m, after / n
	}
	before, clean := run(nil)
	t.Logf("clean: %.3f before, %.3f after", before, clean)
	for name, poison := range map[string]func(i int, y float64) (int, float64){
		"not a number":  func(i int, _ float64) (int, float64) { return i, math.NaN() },
		"huge":          func(i int, _ float64) (int, float64) { return i, []float64{1e308, -1e308}[i%2] },
		"stuck":         func(i int, _ float64) (int, float64) { return i, 50 },
		"jump":          func(i int, y float64) (int, float64) { return i, y + 800 },
		"extremes":      func(i int, _ float64) (int, float64) { return i, []float64{0, 1000}[i%2] },
		"of the future": func(i int, y float64) (int, float64) { return i + 1e6, y },
	} {
		_, after := run(poison)
		t.Logf("%s: %.3f", name, after)
		if after > 1.1*clean {
			t.Errorf("%s: error %.3f after recovery, %.3f without the bad day", name, after, clean)
		}
	}
}

func TestReplaceKeepsTheOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g := start(t, t.TempDir(), nil)
		for i := range 50 {
			g.message(t, i, float64(10+i%5), 1)
		}
		second := parse(t, strings.Replace(taskYAML, "task: level", "task: other", 1))
		first := parse(t, taskYAML)
		plan, err := source.Compile([]*spec.Task{first, second})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Replace(context.Background(), []*spec.Task{first, second}, plan, true); err != nil {
			t.Fatal(err)
		}
		g.plan = plan
		for i := 50; i < 80; i++ {
			g.message(t, i, float64(10+i%5), 1)
		}
		g.Flush()
		time.Sleep(time.Second) // the status is half a second old at most
		synctest.Wait()
		st := g.Status()
		if len(st.Tasks) != 2 || st.Tasks[0].Engine.Rows != 80 || st.Tasks[1].Engine.Rows != 30 {
			t.Errorf("rows %d and %d, want 80 and 30", st.Tasks[0].Engine.Rows, st.Tasks[1].Engine.Rows)
		}
		g.mu.Lock()
		said := len(g.said)
		g.mu.Unlock()
		if plan, err = source.Compile([]*spec.Task{first}); err != nil {
			t.Fatal(err)
		}
		if err := g.Replace(context.Background(), []*spec.Task{first}, plan, true); err != nil {
			t.Fatal(err)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if got, want := g.said[said:], []string{"skerry/dev/other/prediction "}; !slices.Equal(got, want) {
			t.Errorf("published %q after a task was taken away, want its topic emptied", got)
		}
	})
}

// TestNewTaskKnowsItsInputs: a task that is added sees the newest reading of inputs that were read
// before, but not of the series that makes its rows, nor what is out of range or older than max_age.
func TestNewTaskKnowsItsInputs(t *testing.T) {
	for _, tt := range []struct {
		about string
		rows  string
		y     float64
		age   time.Duration
		knows bool
	}{
		{"the newest reading", "{on: x}", 5, time.Minute, true},
		{"its own rows", "{on: y}", 5, time.Minute, false},
		{"out of range", "{on: x}", 2000, time.Minute, false},
		{"too old", "{on: x, max_age: 1m}", 5, time.Hour, false},
	} {
		inBubble(t, func(t *testing.T) {
			g := start(t, t.TempDir(), nil)
			first := parse(t, taskYAML)
			at := time.Now().Add(-tt.age).UnixMicro()
			g.reading(t, "y", at, tt.y)
			g.Flush()
			second := parse(t, "\ntask: other\ntarget: {series: x, horizon: 1h}\ninputs: [{series: y, topic: s/a, path: $.y, range: [0, 1000]}, {series: x, topic: s/a, path: $.x}]\ntime: {path: $.ts, format: unix, max_past: 36500d}\nrows: "+tt.rows+"\n")
			plan, err := source.Compile([]*spec.Task{first, second})
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Replace(context.Background(), []*spec.Task{first, second}, plan, true); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // the status is half a second old at most
			synctest.Wait()
			if st := g.Status().Tasks[1].Engine; (st.Watermark == at) != tt.knows || st.Rows != 0 {
				t.Errorf("%s: watermark %d, rows %d", tt.about, st.Watermark, st.Rows)
			}
		})
	}
}

func TestPublishedDocument(t *testing.T) {
	g := start(t, t.TempDir(), nil)
	for i := range 60 {
		g.message(t, i, float64(10+i%7), 1)
	}
	g.Flush()
	out := g.output()
	topic, body, _ := strings.Cut(out[len(out)-1], " ")
	var doc struct {
		TS, For, Task, Model string
		Value, Lo, Hi        float64
		HorizonS             float64 `json:"horizon_s"`
		Baseline             bool
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	if topic != "skerry/dev/level/prediction" || doc.TS != "1970-01-03T11:00:00Z" || doc.For != "1970-01-03T12:00:00Z" || doc.HorizonS != 3600 || !doc.Baseline || doc.Model != "baseline" {
		t.Errorf("published %s on %s", body, topic)
	}
	if !(doc.Lo < doc.Value && doc.Value < doc.Hi) {
		t.Errorf("interval [%v, %v] around %v", doc.Lo, doc.Hi, doc.Value)
	}
}

// TestPublishedClasses plays a machine that breaks when it is hot, and sometimes when it is warm:
// sets must hold the truth as often as promised, and hold one class where there is no doubt.
func TestPublishedClasses(t *testing.T) {
	task := parse(t, `
task: fault
kind: classification
target: {series: fault, topic: s/f, path: $.fault, categories: [ok, broken]}
inputs: [{series: x, topic: s/a, path: $.x}]
time: {path: $.ts, format: unix, max_past: 36500d}
rows: {on: x}
`)
	g := startTask(t, t.TempDir(), task, nil)
	send := func(series string, at int64, v float64) { t.Helper(); g.reading(t, series, at, v) }
	rng := rand.New(rand.NewPCG(8, 8))
	const rows, warm = 3000, 1000
	truth := make([]string, rows)
	for i := range rows {
		x := 10 * rng.Float64()
		class := 0.0
		if x > 7 || x > 5 && rng.Float64() < 0.5 {
			class = 1
		}
		truth[i] = task.Target.Categories[int(class)]
		at := int64(i) * 60e6
		send("x", at, x)
		send("fault", at, class)
	}
	g.Flush()
	var held, one, right, n float64
	for _, line := range g.output() {
		_, body, _ := strings.Cut(line, " ")
		var doc struct {
			TS    time.Time
			Class string
			Set   []string
		}
		if err := json.Unmarshal([]byte(body), &doc); err != nil {
			t.Fatal(err)
		}
		i := doc.TS.Unix() / 60
		if i < warm {
			continue
		}
		n++
		if slices.Contains(doc.Set, truth[i]) {
			held++
		}
		if len(doc.Set) == 1 {
			one++
		}
		if doc.Class == truth[i] {
			right++
		}
	}
	t.Logf("%v rows: %.3f of the sets hold the truth, %.3f are one class, %.3f of the classes are right", n, held/n, one/n, right/n)
	if n < rows-warm-10 || math.Abs(held/n-0.9) > 0.03 || one/n < 0.5 || right/n < 0.85 {
		t.Error("want 0.90 of the sets to hold the truth, half of them to be one class, and 0.85 of the classes to be right")
	}
}

// TestPublishedManyClasses plays a machine of four states: what is published names every class with
// its probability in the order of the task file, and a set that always holds the class; what is
// stored for the hub has the same numbers.
func TestPublishedManyClasses(t *testing.T) {
	task := parse(t, `
task: state
kind: classification
target: {series: state, topic: s/f, path: $.state, categories: [off, "low, eco", high, off2]}
inputs: [{series: x, topic: s/a, path: $.x}]
time: {path: $.ts, format: unix, max_past: 36500d}
rows: {on: x}
`)
	g := startTask(t, t.TempDir(), task, nil)
	send := func(series string, at int64, v float64) { t.Helper(); g.reading(t, series, at, v) }
	rng := rand.New(rand.NewPCG(8, 8))
	const rows, warm = 2000, 500
	names := task.Target.Categories
	truth := make([]string, rows)
	for i := range rows {
		class := rng.IntN(3) // the fourth never comes
		truth[i] = names[class]
		send("x", int64(i)*60e6, float64(class)+0.45*rng.NormFloat64())
		send("state", int64(i)*60e6, float64(class))
	}
	g.Flush()
	type published struct {
		TS            time.Time
		Value         float64
		Class         string
		Probabilities map[string]float64
		Set           []string
	}
	byRow := map[int64]published{}
	var held, right, n float64
	for _, line := range g.output() {
		_, body, _ := strings.Cut(line, " ")
		var doc published
		if err := json.Unmarshal([]byte(body), &doc); err != nil {
			t.Fatal(err)
		}
		byRow[doc.TS.UnixMicro()] = doc
		if !slices.Contains(doc.Set, doc.Class) || len(doc.Probabilities) != 4 || names[int(doc.Value)] != doc.Class {
			t.Fatalf("published %s", body)
		}
		at := -1
		for _, name := range names { // as the task file has them
			next := strings.Index(body, strconv.Quote(name)+":")
			if next < at {
				t.Fatalf("the classes are out of order in %s", body)
			}
			at = next
		}
		if i := doc.TS.Unix() / 60; i >= warm {
			n++
			if slices.Contains(doc.Set, truth[i]) {
				held++
			}
			if doc.Class == truth[i] {
				right++
			}
		}
	}
	t.Logf("%v rows: %.3f of the sets hold the truth, %.3f of the classes are right", n, held/n, right/n)
	if n < rows-warm-10 || math.Abs(held/n-0.9) > 0.03 || right/n < 0.75 {
		t.Error("want 0.90 of the sets to hold the truth and 0.75 of the classes to be right")
	}
	stored, labels := 0, 0
	for _, r := range records(t, g) {
		for _, p := range r.Predictions {
			stored++
			doc := byRow[p.Row]
			if len(p.Chances) != 4 || int(p.Value) != int(doc.Value) {
				t.Fatalf("stored %+v, published %+v", p, doc)
			}
			for c, name := range names {
				if math.Abs(float64(p.Chances[c])-doc.Probabilities[name]) > 1e-6 || p.Set[c] != slices.Contains(doc.Set, name) {
					t.Fatalf("stored %+v, published %+v", p, doc)
				}
			}
		}
		for _, l := range r.Labels {
			labels++
			doc := byRow[l.Row]
			if doc.Class != "" && (l.Classes != 4 || math.Abs(l.Chance-doc.Probabilities[names[int(l.Truth)]]) > 1e-6 || l.SetSize != len(doc.Set) || l.Covered != slices.Contains(doc.Set, names[int(l.Truth)])) {
				t.Fatalf("label %+v of %+v", l, doc)
			}
		}
	}
	if stored < rows-10 || labels != rows {
		t.Errorf("%d predictions and %d labels are stored for the hub", stored, labels)
	}
}

// TestDriftEventsTellWeights lets the target begin to jump: the drift that is found says what
// each expert weighed.
func TestDriftEventsTellWeights(t *testing.T) {
	var mu sync.Mutex
	var found []string
	g := start(t, t.TempDir(), func(o *Options) {
		o.Stream = func(kind string, doc []byte) {
			mu.Lock()
			defer mu.Unlock()
			if kind == "event" && strings.Contains(string(doc), `"drift"`) {
				found = append(found, string(doc))
			}
		}
	})
	for i := range 1500 {
		y := 50 + math.Sin(float64(i))
		if i > 1000 {
			y += float64(i%2) * 60
		}
		g.message(t, i, y, 1)
	}
	g.Flush()
	mu.Lock()
	defer mu.Unlock()
	if len(found) == 0 {
		t.Fatal("no drift was found")
	}
	var e struct {
		Detail struct {
			Detector string
			Weights  map[string]float64
		}
	}
	if err := json.Unmarshal([]byte(found[0]), &e); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, w := range e.Detail.Weights {
		sum += w
	}
	if e.Detail.Detector == "" || math.Abs(sum-1) > 1e-3 || e.Detail.Weights["linear"] == 0 || e.Detail.Weights["model"] != 0 {
		t.Errorf("event %s", found[0])
	}
}

// TestJournalOfEarlierBuilds reads a message without its arrival, and passes over what a flush of
// then had fired.
func TestJournalOfEarlierBuilds(t *testing.T) {
	old := []byte{itemUndated, 1, 3, 14} // one reading of series 3 at 7
	old = append(old, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 5)
	old = append(old, itemFlush, 18)
	var kinds []byte
	err := eachItem(appendMessage(old, 100, []input{{series: 2, time: 90, value: 4}}), func(it *item) error {
		kinds = append(kinds, it.kind)
		switch len(kinds) {
		case 1:
			if x := it.inputs[0]; it.arrival != engine.NoArrival || x.series != 3 || x.time != 7 || x.value != 1 || x.flags != 5 {
				t.Errorf("first item = %+v", it)
			}
		case 3:
			if x := it.inputs[0]; it.arrival != 100 || x.series != 2 || x.time != 90 || x.value != 4 {
				t.Errorf("third item = %+v", it)
			}
		}
		return nil
	})
	if err != nil || !slices.Equal(kinds, []byte{itemMessage, itemFlush, itemMessage}) {
		t.Errorf("kinds %v, %v", kinds, err)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add(appendControl(appendIdle(appendMessage(nil, 3, []input{{series: 1, time: 5, value: 2}}), 7), opShadow, "t", "d"))
	f.Fuzz(func(t *testing.T, b []byte) { _ = eachItem(b, func(*item) error { return nil }) })
}

func TestHistogram(t *testing.T) {
	var h Histogram
	for i := 1; i <= 1000; i++ {
		h.Add(time.Duration(i) * time.Microsecond)
	}
	if p := h.Quantile(0.5); math.Abs(p-500) > 40 {
		t.Errorf("median %v µs, want about 500", p)
	}
	if p := h.Quantile(0.99); math.Abs(p-990) > 80 {
		t.Errorf("p99 %v µs, want about 990", p)
	}
}

// TestClash: of readings of one time the first makes the row, and each other one with another value
// is told, a repeat is not.
func TestClash(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var told []string
		g := startTask(t, t.TempDir(), parse(t, taskYAML), func(o *Options) { o.Clash = func(series string, _ int64) { told = append(told, series) } })
		at := time.Now().UnixMicro()
		for _, v := range []float64{5, 5, 6, 7, 5} {
			g.reading(t, "y", at, v)
		}
		g.Flush()
		if !slices.Equal(told, []string{"y", "y"}) {
			t.Errorf("told %q, want y twice", told)
		}
	})
}
