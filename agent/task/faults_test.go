package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/source"
	"skerry.dev/compute/engine"
	"skerry.dev/configs"
	"skerry.dev/sync/outbox"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// with makes a rig run these tasks.
func with(t *testing.T, tasks []*spec.Task, more func(*Options)) func(*Options) {
	t.Helper()
	plan, err := source.Compile(tasks)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) {
		o.Tasks, o.Plan = tasks, plan
		if more != nil {
			more(o)
		}
	}
}

// copyTo copies the store as a crash now would leave it.
func copyTo(t *testing.T, g *rig) (dir string) {
	t.Helper()
	dir = t.TempDir()
	tx, err := g.store.DB().Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if err := tx.CopyFile(filepath.Join(dir, cache.FileName), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestKillAfterEachStep kills a device of several tasks on one input before and after each control
// and each change of its task files, and after messages between. Whatever was durable then, the
// device that starts from it publishes what the undisturbed one published from there on, byte for
// byte.
func TestKillAfterEachStep(t *testing.T) {
	level := parse(t, taskYAML)
	other := parse(t, strings.NewReplacer("task: level", "task: other", "horizon: 1h", "horizon: 2h").Replace(taskYAML))
	third := parse(t, strings.NewReplacer("task: level", "task: third", "max_age: 3h", "max_age: 2h").Replace(taskYAML))
	changed := parse(t, strings.NewReplacer("task: level", "task: other", "horizon: 1h", "horizon: 3h").Replace(taskYAML))
	ys, xs := values(60)

	type step struct {
		name string
		do   func(g *rig) error
		// in force afterwards, nil as before
		tasks []*spec.Task
	}
	var steps []step
	next := 0
	messages := func(n int) {
		for range n {
			i := next
			next++
			steps = append(steps, step{name: fmt.Sprintf("message %d", i), do: func(g *rig) error {
				g.message(t, i, ys[i], xs[i])
				g.Flush()
				return nil
			}})
		}
	}
	control := func(name string, f func(ctx context.Context, g *rig) error) {
		steps = append(steps, step{name: name, do: func(g *rig) error { return f(t.Context(), g) }})
	}
	replace := func(tasks ...*spec.Task) {
		plan, err := source.Compile(tasks)
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step{name: "replace", tasks: tasks, do: func(g *rig) error {
			if err := g.Replace(t.Context(), tasks, plan, true); err != nil {
				return err
			}
			g.plan = plan
			return nil
		}})
	}
	messages(15)
	control("shadow", func(ctx context.Context, g *rig) error { return g.Shadow(ctx, "level", "a") })
	messages(5)
	control("activate", func(ctx context.Context, g *rig) error { return g.Activate(ctx, "level", "a") })
	messages(4)
	control("revert", func(ctx context.Context, g *rig) error { return g.Revert(ctx, "level") })
	control("install", func(ctx context.Context, g *rig) error { return g.Install(ctx, "other", "b") })
	messages(5)
	replace(level, changed, third)
	messages(6)
	control("settle", func(ctx context.Context, g *rig) error { return g.Settle(ctx, "level") })
	replace(level, third)
	messages(6)
	replace(level, other, third) // comes back, and begins anew
	messages(6)
	control("reset", func(ctx context.Context, g *rig) error { return g.Reset(ctx, "level") })
	messages(6)

	options := func(tasks []*spec.Task) func(*Options) {
		return with(t, tasks, func(o *Options) {
			o.SnapshotRows = 19
			o.Stream = func(_ string, doc []byte) {
				if strings.Contains(string(doc), "replay_control") || strings.Contains(string(doc), "state_lost") {
					t.Errorf("alarm %s: every state and every control is there", doc)
				}
			}
		})
	}
	type crash struct {
		dir       string
		published int
		tasks     []*spec.Task
	}
	tasks := []*spec.Task{level, other}
	whole := start(t, t.TempDir(), options(tasks))
	var crashes []crash
	for _, s := range steps {
		if err := s.do(whole); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if s.tasks != nil {
			tasks = s.tasks
		}
		crashes = append(crashes, crash{copyTo(t, whole), len(whole.output()), tasks})
	}
	whole.stop(t)
	want := whole.output()
	if len(want) < 2*next {
		t.Fatalf("%d predictions of %d messages for two tasks or three", len(want), next)
	}
	for i, c := range crashes {
		if strings.HasPrefix(steps[i].name, "message") && i%4 > 0 && i+1 < len(steps) && strings.HasPrefix(steps[i+1].name, "message") {
			continue // as its neighbours
		}
		g := start(t, c.dir, options(c.tasks))
		for _, s := range steps[i+1:] {
			if err := s.do(g); err != nil {
				t.Fatalf("killed after %s, then %s: %v", steps[i].name, s.name, err)
			}
		}
		got := g.output()
		g.stop(t)
		g.store.Close()
		if tail := want[c.published:]; !slices.Equal(got, tail) {
			k := 0
			for k < min(len(got), len(tail)) && got[k] == tail[k] {
				k++
			}
			t.Fatalf("killed after step %d (%s): %d predictions follow, want %d; number %d differs:\n-want %s\n+got  %s",
				i, steps[i].name, len(got), len(tail), k, at(tail, k), at(got, k))
		}
	}
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "none"
}

// TestControlsThatAreRefused: a control that names what there is not changes nothing, neither now
// nor after a restart.
func TestControlsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	g := start(t, dir, nil)
	for i := range 20 {
		g.message(t, i, float64(10+i%5), 1)
	}
	ctx := t.Context()
	if err := errors.Join(g.Install(ctx, "level", "a"), g.Shadow(ctx, "level", "b")); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"shadow of no task":     {g.Shadow(ctx, "depth", "a"), `no task "depth" on this device`},
		"reset of no task":      {g.Reset(ctx, "depth"), `no task "depth" on this device`},
		"slots of no task":      {func() error { _, err := g.Slots(ctx, "depth"); return err }(), `no task "depth" on this device`},
		"shadow of no model":    {g.Shadow(ctx, "level", "c"), `no model "c"`},
		"install of no model":   {g.Install(ctx, "level", "c"), `no model "c"`},
		"activate another":      {g.Activate(ctx, "level", "c"), "c"},
		"activate the champion": {g.Activate(ctx, "level", "a"), "a"},
		"revert without one":    {g.Revert(ctx, "level"), ""},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s = %v, want %q", name, tt.err, tt.want)
		}
	}
	check := func(g *rig, when string) {
		t.Helper()
		s, err := g.Slots(ctx, "level")
		if err != nil || s.Champion != "a" || s.Shadow != "b" || s.Probation || !s.Running {
			t.Errorf("%s: slots %+v, %v, want a with b in shadow", when, s, err)
		}
	}
	check(g, "after what was refused")
	g.stop(t)
	g.store.Close()
	g = start(t, dir, nil)
	check(g, "after a restart")
	for _, r := range records(t, g) {
		for _, e := range r.Events {
			if e.Kind == "replay_control" {
				t.Errorf("after a restart %s: what was refused is journalled", e.Detail)
			}
		}
	}
}

// TestAfterTheEnd: whoever still calls a runtime that has ended gets an error, at once, and its
// message is not acknowledged.
func TestAfterTheEnd(t *testing.T) {
	g := start(t, t.TempDir(), nil)
	g.message(t, 1, 10, 1)
	g.Flush()
	g.stop(t)
	g.mu.Lock()
	acked := g.acked
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var room error
	for range 200 { // what still has room is taken, and never acknowledged
		if room = g.Message(ctx, source.Message{Plan: g.plan, Ack: func() { t.Error("acknowledged after the end") }}); room != nil {
			break
		}
	}
	g.Flush()
	for name, err := range map[string]error{
		"Message": room,
		"Event":   g.Event(ctx, "note", "", 0, nil),
		"Alarm":   g.Alarm(ctx, "note", "", nil),
		"Hosts":   g.Hosts(ctx, []wire.Host{{}}),
		"Replace": g.Replace(ctx, nil, g.plan, true),
		"Shadow":  g.Shadow(ctx, "level", "a"),
		"Version": g.Version(ctx, "level", "a", "one"),
	} {
		if err == nil || !strings.Contains(err.Error(), "the runtime has stopped") {
			t.Errorf("%s after the end = %v, want that it has stopped", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Event(ended, "note", "", 0, nil); err == nil {
		t.Error("Event of a context that has ended = nil")
	}
	if acked != 1 {
		t.Errorf("%d messages acknowledged before the end, want 1", acked)
	}
}

// TestStateThatIsLost starts from snapshots that cannot be used: the task begins anew and an alarm
// names why, unless its file was changed, which is no fault. Readings known before are known again.
func TestStateThatIsLost(t *testing.T) {
	task := parse(t, taskYAML)
	good := func() []byte {
		e, err := engine.New(task.Engine())
		if err != nil {
			t.Fatal(err)
		}
		m, err := models("a")
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Install(m); err != nil {
			t.Fatal(err)
		}
		return e.Save(nil)
	}()
	for name, tt := range map[string]struct {
		snap   cache.Snapshot
		models func(string) (engine.Loaded, error)
		alarm  string // its task and part of the problem; "" none
		kept   bool
	}{
		"whole":           {cache.Snapshot{Name: "level", Hash: task.Hash, Data: good}, models, "", true},
		"of another file": {cache.Snapshot{Name: "level", Hash: "other", Data: good}, models, "", false},
		"of another task": {cache.Snapshot{Name: "depth", Hash: task.Hash, Data: good}, models, "", false},
		"cut off":         {cache.Snapshot{Name: "level", Hash: task.Hash, Data: good[:len(good)/2]}, models, "level", false},
		"empty":           {cache.Snapshot{Name: "level", Hash: task.Hash}, models, "level", false},
		"without its model": {cache.Snapshot{Name: "level", Hash: task.Hash, Data: good},
			func(id string) (engine.Loaded, error) { return engine.Loaded{}, errors.New("the file is gone") }, "names model a: the file is gone", false},
		"of the gate": {cache.Snapshot{Name: gateSnapshot, Data: []byte{0xff, 0xff}}, models, " repeated readings are not known", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			st, err := cache.Open(cache.Options{Dir: dir, Outbox: outbox.Options{Device: "dev"}})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(st.Commit(&cache.Commit{Snapshots: []cache.Snapshot{tt.snap}}), st.Close()); err != nil {
				t.Fatal(err)
			}
			g := start(t, dir, func(o *Options) { o.Models = tt.models })
			s, err := g.Slots(t.Context(), "level")
			if err != nil || (s.Champion == "a") != tt.kept {
				t.Errorf("slots %+v, %v, want the champion kept %v", s, err, tt.kept)
			}
			for i := range 5 {
				g.message(t, i, 10, 1)
			}
			g.Flush()
			if n := len(g.output()); n != 5 {
				t.Errorf("%d predictions of 5 rows", n)
			}
			snaps, err := g.store.Snapshots()
			if sn, ok := snaps["depth"]; err != nil || ok != (tt.snap.Name == "depth") || ok && (sn.Gone == 0 || sn.Position != cache.Detached) {
				t.Errorf("the state of a task that is gone is there: %v, gone %d, at %d, %v; want it kept, with no journal", ok, sn.Gone, sn.Position, err)
			}
			var got []string
			resets := 0
			for _, r := range records(t, g) {
				for _, a := range r.Events {
					if a.Kind == spec.MarkKind {
						continue
					}
					var detail struct{ Problem string }
					if err := json.Unmarshal([]byte(a.Detail), &detail); err != nil {
						t.Fatalf("event %+v, %v", a, err)
					}
					if a.Kind != "state_lost" && a.Kind != "model_gone" {
						resets++
						continue
					}
					got = append(got, a.Task+" "+detail.Problem)
				}
			}
			if tt.alarm == "" && len(got) > 0 || tt.alarm != "" && (len(got) != 1 || !strings.Contains(got[0], tt.alarm)) {
				t.Errorf("alarms %q, want %q", got, tt.alarm)
			}
			if want := name == "of another file"; (resets == 1) != want {
				t.Errorf("%d events that a task starts anew, want one: %v", resets, want)
			}
		})
	}
}

// TestModelGoneFromTheJournal: a control of before the crash whose artifact is gone is an alarm at
// replay, and the rows behind it are replayed all the same.
func TestModelGoneFromTheJournal(t *testing.T) {
	g := start(t, t.TempDir(), func(o *Options) { o.SnapshotRows = 1000 })
	for i := range 10 {
		g.message(t, i, 10, 1)
	}
	g.Flush() // with the first snapshot
	if err := g.Install(t.Context(), "level", "a"); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		g.message(t, 10+i, 10, 1)
	}
	g.Flush()
	dir := copyTo(t, g)
	g.stop(t)
	g = start(t, dir, func(o *Options) {
		o.SnapshotRows = 1000
		o.Models = func(string) (engine.Loaded, error) { return engine.Loaded{}, errors.New("the file is gone") }
	})
	if st := g.Status(); len(st.Tasks) != 1 || st.Tasks[0].Engine.Rows != 20 || st.Tasks[0].Engine.Champion != "" {
		t.Errorf("status %+v, want 20 rows on the baselines", st.Tasks)
	}
	g.message(t, 20, 10, 1)
	g.Flush()
	found := 0
	for _, r := range records(t, g) {
		for _, a := range r.Events {
			if a.Kind == "replay_control" && strings.Contains(a.Detail, "the file is gone") && a.Task == "level" {
				found++
			}
		}
	}
	if found != 1 {
		t.Errorf("%d alarms of the control that cannot be replayed, want 1", found)
	}
}

// TestStoreThatFails closes the store under a runtime: it ends with the error, and acknowledges
// nothing that is not durable.
func TestStoreThatFails(t *testing.T) {
	st, err := cache.Open(cache.Options{Dir: t.TempDir(), Outbox: outbox.Options{Device: "dev"}})
	if err != nil {
		t.Fatal(err)
	}
	task := parse(t, taskYAML)
	plan, err := source.Compile([]*spec.Task{task})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(Options{Device: "dev", Store: st, Tasks: []*spec.Task{task}, Plan: plan,
		AgentCache: configs.AgentCache{CommitInterval: spec.Duration(10 * time.Millisecond)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.DB().Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	err = r.Message(t.Context(), source.Message{Plan: plan, Arrival: 1, Ack: func() { t.Error("acknowledged without a store") },
		Readings: []source.Reading{{Time: 1, HasTime: true, Value: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "database not open") {
			t.Errorf("Run = %v, want the store's error", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run goes on though its store is closed")
	}
}

// TestPublishedAndSampled: a task publishes no more often than it says, on its own topic, and what
// goes to the hub is sampled by the row alone.
func TestPublishedAndSampled(t *testing.T) {
	task := parse(t, taskYAML+`
publish: {topic: "out/{device}/{task}", min_interval: 3h, retain: false}
sync: {readings: all, predictions: 25%}
`)
	run := func() (said []string, rows []int64) {
		retained := false
		g := start(t, t.TempDir(), with(t, []*spec.Task{task}, func(o *Options) {
			publish := o.Publish
			o.Publish = func(topic string, payload []byte, retain bool) {
				retained = retained || retain
				publish(topic, payload, retain)
			}
		}))
		for i := range 400 {
			g.message(t, i, float64(10+i%5), 1)
		}
		g.Flush()
		for _, r := range records(t, g) {
			for _, p := range r.Predictions {
				rows = append(rows, p.Row)
			}
		}
		slices.Sort(rows) // the newest chunks go first
		if retained {
			t.Error("a prediction is retained though the task says not to")
		}
		return g.output(), rows
	}
	said, rows := run()
	for i, s := range said {
		if !strings.HasPrefix(s, "out/dev/level ") || !strings.Contains(s, `"ts":"`+stamp(int64(3*i)*3600e6)+`"`) {
			t.Fatalf("publication %d = %s, want that of hour %d", i, s, 3*i)
		}
	}
	if len(said) != 134 {
		t.Errorf("%d publications of 400 hours, want one every three", len(said))
	}
	if len(rows) < 70 || len(rows) > 130 {
		t.Errorf("%d of 400 predictions go to the hub, want about 100", len(rows))
	}
	if _, again := run(); !slices.Equal(again, rows) {
		t.Error("another run samples other rows")
	}
}

// TestBacklogLeavesTheRestAlive: while more messages come than are handled, the runtime still gives
// its heartbeat, seals what it has taken and answers.
func TestBacklogLeavesTheRestAlive(t *testing.T) {
	var beats atomic.Int64
	task := parse(t, "\ntask: a\ntarget: {series: a, horizon: 1h}\ninputs: [{series: a, topic: s/a}]\n")
	g := startTask(t, t.TempDir(), task, func(o *Options) { o.Heartbeat = func() { beats.Add(1) } })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var senders sync.WaitGroup
	var sent atomic.Int64
	for range 8 {
		senders.Go(func() {
			for ctx.Err() == nil {
				at := 1_790_000_000_000_000 + sent.Add(1)
				m := source.Message{Plan: g.plan, Topic: "s/a", Arrival: at, ClockOK: true, Ack: func() {},
					Readings: []source.Reading{{Time: at, HasTime: true, Value: float64(at % 7)}}}
				if g.Message(ctx, m) != nil {
					return
				}
			}
		})
	}
	for deadline := time.Now().Add(20 * time.Second); beats.Load() < 2 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	before := beats.Load()
	answered := make(chan error, 1)
	go func() { answered <- g.Event(ctx, "test", "", 1, map[string]any{}) }()
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("no answer within twenty seconds")
	}
	if before < 2 {
		t.Errorf("%d heartbeats in twenty seconds, want one each half second", before)
	}
	cancel()
	senders.Wait()
}
