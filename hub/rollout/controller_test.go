package rollout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/server"
	"skerry.dev/hub/training"
	"skerry.dev/sync/spec"
	"skerry.dev/test/wait"
)

// world is a running hub with devices that answer desired state as agents do.
type world struct {
	*server.Hub
	*server.Learning
	t *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	h, err := server.Open(t.Context(), server.Options{Config: configs.HubConfig{DataDir: t.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:-1"}, AdminPassword: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Hub: h, Learning: h.Learn(training.Policy{Disabled: true}, rollout.Spec{}), t: t}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, h.Close()); err != nil {
			t.Errorf("hub: %v", err)
		}
	})
	return w
}

func (w *world) tx(fn func(*meta.Queries) error) {
	w.t.Helper()
	if err := w.DB.Tx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// model registers bytes as a model of task t.
func (w *world) model(data string) meta.Model {
	w.t.Helper()
	m, err := w.Registry.Register(w.t.Context(), []byte(data), registry.Info{Task: "t", Kind: "test", CreatedBy: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) add(name string, connected bool) {
	w.tx(func(q *meta.Queries) error {
		return errors.Join(q.InsertDevice(w.t.Context(), meta.Device{Name: name, Site: "s", PublicKey: "key-" + name, CreatedAt: meta.Now()}),
			q.PutTask(w.t.Context(), meta.Task{Name: "t", Kind: "forecast", Spec: "task: t", Hash: "h", FirstSeen: meta.Now(), LastSeen: meta.Now()}, name),
			q.SetConnected(w.t.Context(), name, "", connected, meta.Now()))
	})
}

// fake is a device that does what it is told, one phase at a look, with the losses of behave.
type fake struct {
	w        *world
	name     string
	champion string
	phase    spec.Phase
	gen      uint64
	behave   func(spec.Assignment, spec.Phase) (spec.Phase, spec.Paired, string)
}

func (f *fake) run(ctx context.Context) {
	for ctx.Err() == nil {
		d, err := f.w.Fleet.Desired(ctx, f.name)
		if err != nil {
			return
		}
		f.look(ctx, d)
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (f *fake) look(ctx context.Context, d spec.Desired) {
	task := spec.ReportedTask{Kind: "forecast", Spec: "task: t", SpecHash: "h"}
	a, ok := d.Assignments["t"]
	if slices.Contains(d.Tombstones, f.champion) {
		f.champion = ""
	}
	if ok {
		if a.Generation > f.gen {
			f.gen = a.Generation
			f.phase = spec.PhaseAssigned
		}
		phase, stats, reason := f.behave(a, f.phase)
		f.phase = phase
		if phase == spec.PhaseActive || phase == spec.PhaseProbation {
			f.champion = a.Digest
		}
		task.Assignment = &spec.ReportedAssignment{Generation: a.Generation, Rollout: a.Rollout, Digest: a.Digest, Phase: phase, Stats: stats, Reason: reason}
	}
	task.Champion = f.champion
	doc, err := json.Marshal(spec.Reported{Device: f.name, Generation: d.Generation, Time: meta.Now(), Tasks: map[string]spec.ReportedTask{"t": task}})
	if err == nil {
		err = f.w.DB.Tx(ctx, func(q *meta.Queries) error {
			return errors.Join(
				q.PutReported(ctx, meta.Document{Device: f.name, Generation: int64(d.Generation), Document: string(doc), At: meta.Now()}),
				feed.Add(ctx, q, feed.KindState, "", f.name, feed.State{Tasks: map[string]string{"t": "h"}}))
		})
	}
	if err != nil && ctx.Err() == nil {
		f.w.t.Errorf("device %s: %v", f.name, err)
	}
}

// obedient walks through the phases with losses that differ from the incumbent's by diff.
func obedient(diff float64) func(spec.Assignment, spec.Phase) (spec.Phase, spec.Paired, string) {
	return func(a spec.Assignment, p spec.Phase) (spec.Phase, spec.Paired, string) {
		n := int64(200)
		stats := spec.Paired{Rows: n, Labelled: n, From: 1, To: 8 * 24 * 3600e6, SumIncumbent: 200, SumCandidate: 200 * (1 + diff), SumDiff: 200 * diff, SumDiff2: 200 * (diff*diff + 0.001)}
		switch {
		case a.Phase == spec.PhaseShadow:
			return spec.PhaseShadow, stats, ""
		case p == spec.PhaseAssigned || p == spec.PhaseShadow:
			return spec.PhaseProbation, stats, ""
		}
		return spec.PhaseActive, stats, ""
	}
}

func (w *world) start(fs ...*fake) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	for _, f := range fs {
		f.w = w
		go func() { f.run(ctx); done <- struct{}{} }()
	}
	w.t.Cleanup(func() {
		cancel()
		for range fs {
			<-done
		}
	})
}

func (w *world) create(s rollout.Spec) *rollout.Rollout {
	w.t.Helper()
	r, err := w.Rollouts.Create(w.t.Context(), "user/ada", s)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) await(id string, what string, ok func(*rollout.Rollout) bool) (*rollout.Rollout, []rollout.Part) {
	w.t.Helper()
	var last *rollout.Rollout
	for range 400 {
		r, parts, err := w.Rollouts.Get(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		if ok(r) {
			return r, parts
		}
		last = r
		time.Sleep(25 * time.Millisecond)
	}
	w.t.Fatalf("%s: not within ten seconds; state %s, %+v", what, last.State, last.Status)
	return nil, nil
}

func is(s rollout.State) func(*rollout.Rollout) bool {
	return func(r *rollout.Rollout) bool { return r.State == s }
}

func TestRolloutCompletes(t *testing.T) {
	w := newWorld(t)
	m := w.model("good")
	var fs []*fake
	for i := range 3 {
		name := fmt.Sprintf("dev-%d", i)
		w.add(name, true)
		fs = append(fs, &fake{name: name, behave: obedient(-0.2)})
	}
	w.add("away", false)
	w.start(fs...)

	plan, err := w.Rollouts.Plan(t.Context(), rollout.Spec{Digest: m.Digest})
	if err != nil || len(plan.Devices) != 4 || plan.Offline != 1 || plan.Blocked != "" {
		t.Fatalf("Plan = %+v, %v", plan, err)
	}
	if first, last := plan.Devices[0], plan.Devices[3]; first.Stage != "canary" || last.Device != "away" || last.Stage != "all" || last.LinkShare != -1 {
		t.Errorf("Plan: first %+v, last %+v, want a canary, and the one without a link last", first, last)
	}

	r := w.create(rollout.Spec{Digest: m.Digest})
	if _, err := w.Rollouts.Create(t.Context(), "x", rollout.Spec{Digest: m.Digest}); !errors.Is(err, rollout.ErrBusy) {
		t.Errorf("second Create = %v, want ErrBusy", err)
	}
	r, parts := w.await(r.ID, "completed", is(rollout.Completed))
	if r.Status.Counts.Active != 3 || r.Status.Counts.Unknown != 1 {
		t.Errorf("Counts = %+v, want 3 active, 1 unknown", r.Status.Counts)
	}
	var stages []string
	for _, h := range r.Status.History {
		stages = append(stages, h.Stage)
	}
	if want := []string{"shadow", "canary", "all", "all"}; !slices.Equal(stages, want) {
		t.Errorf("History went through %v, want %v", stages, want)
	}
	if i := slices.IndexFunc(parts, func(p rollout.Part) bool { return p.Device == "away" }); i < 0 || parts[i].Wanted != spec.PhaseActive {
		t.Errorf("the device without a link has wanted phase %+v, want active for its return", parts)
	}
	if c, err := w.DB.Read().Champion(t.Context(), "t", ""); err != nil || c.Digest != m.Digest {
		t.Errorf("Champion = %+v, %v", c, err)
	}
	for _, cmd := range []rollout.Command{rollout.Approve, rollout.Pause, rollout.Resume, rollout.Abort, rollout.Skip, rollout.Retry} {
		if _, err := w.Rollouts.Do(t.Context(), "user/ada", r.ID, cmd, ""); err == nil || !strings.Contains(err.Error(), "possible only while") {
			t.Errorf("%s of a completed rollout = %v, want a refusal", cmd, err)
		}
	}

	// A device that comes later gets the champion without a rollout of its own.
	w.add("late", true)
	w.start(&fake{name: "late", behave: obedient(-0.2)})
	wait.For(t, "what follows from it", func() bool {
		d, err := w.Fleet.Desired(t.Context(), "late")
		return err == nil && d.Assignments["t"].Digest == m.Digest && d.Assignments["t"].Phase == spec.PhaseActive
	})

	// A poisoned version after it: back to the one before, and never again.
	bad := w.model("bad")
	w2 := w.create(rollout.Spec{Digest: bad.Digest})
	if _, err := w.Rollouts.Do(t.Context(), "user/ada", w2.ID, rollout.Rollback, "smells"); err != nil {
		t.Fatal(err)
	}
	w.await(w2.ID, "rolled back on command", is(rollout.RolledBack))
	if c, err := w.DB.Read().Champion(t.Context(), "t", ""); err != nil || c.Digest != m.Digest {
		t.Errorf("Champion after a rollback of another version = %+v, %v", c, err)
	}
}

func TestRolloutRollsBackPoison(t *testing.T) {
	w := newWorld(t)
	good, bad := w.model("good"), w.model("bad")
	w.tx(func(q *meta.Queries) error {
		return q.SetChampion(t.Context(), meta.Champion{Task: "t", Digest: good.Digest, Since: meta.Now()})
	})
	poison := func(a spec.Assignment, p spec.Phase) (spec.Phase, spec.Paired, string) {
		if a.Digest == good.Digest {
			return spec.PhaseActive, spec.Paired{}, ""
		}
		return obedient(0.6)(a, p)
	}
	for _, n := range []string{"a", "b", "c"} {
		w.add(n, true)
	}
	w.start(&fake{name: "a", champion: good.Digest, behave: poison}, &fake{name: "b", champion: good.Digest, behave: poison}, &fake{name: "c", champion: good.Digest, behave: poison})
	wait.For(t, "what follows from it", func() bool {
		r, _, err := w.Fleet.Reported(t.Context(), "c")
		return err == nil && r.Tasks["t"].Champion == good.Digest
	})
	r := w.create(rollout.Spec{Digest: bad.Digest})
	r, _ = w.await(r.ID, "rolled back", is(rollout.RolledBack))
	if !strings.Contains(r.Status.Reason, "worse") {
		t.Errorf("Reason = %q", r.Status.Reason)
	}
	if m, err := w.DB.Read().Model(t.Context(), bad.Digest); err != nil || m.TombstonedAt == 0 || !strings.Contains(m.Tombstone, "worse") {
		t.Errorf("Model = %+v, %v, want a tombstone with the reason", m, err)
	}
	for _, n := range []string{"a", "b", "c"} {
		d, err := w.Fleet.Desired(t.Context(), n)
		if err != nil || !slices.Contains(d.Tombstones, bad.Digest) || d.Assignments["t"].Digest != good.Digest || d.Assignments["t"].Phase != spec.PhaseActive {
			t.Errorf("Desired(%s) = %+v, %v, want the tombstone and the model before", n, d, err)
		}
	}
	if _, err := w.Rollouts.Create(t.Context(), "x", rollout.Spec{Digest: bad.Digest}); !errors.Is(err, registry.ErrTombstoned) {
		t.Errorf("Create of a tombstoned model = %v", err)
	}
}

// TestCommands walks one rollout through what people may tell it.
func TestCommands(t *testing.T) {
	w := newWorld(t)
	m := w.model("m")
	w.add("a", true)
	w.add("b", true)
	stuck := &fake{name: "a", behave: func(a spec.Assignment, p spec.Phase) (spec.Phase, spec.Paired, string) {
		return spec.PhaseDownloading, spec.Paired{}, ""
	}}
	flaky := &fake{name: "b", behave: func(a spec.Assignment, p spec.Phase) (spec.Phase, spec.Paired, string) {
		if a.Generation > 1 {
			return obedient(-0.2)(a, p)
		}
		return spec.PhaseDownloading, spec.Paired{}, ""
	}}
	w.start(stuck, flaky)
	do := func(r *rollout.Rollout, cmd rollout.Command, want rollout.State) *rollout.Rollout {
		t.Helper()
		r, err := w.Rollouts.Do(t.Context(), "user/ada", r.ID, cmd, "")
		if err != nil || r.State != want {
			t.Fatalf("Do(%s) = %+v, %v, want %s", cmd, r, err, want)
		}
		return r
	}
	r := w.create(rollout.Spec{Digest: m.Digest, Approval: true})
	if r.State != rollout.Awaiting {
		t.Fatalf("State = %s, want awaiting", r.State)
	}
	if _, err := w.Rollouts.Do(t.Context(), "user/ada", r.ID, rollout.Pause, ""); err == nil {
		t.Error("Pause while awaiting: want a refusal")
	}
	r = do(r, rollout.Approve, rollout.Running)
	w.await(r.ID, "everybody told", func(r *rollout.Rollout) bool { return r.Status.Counts.Waiting == 2 })
	r = do(r, rollout.Pause, rollout.Paused)
	r = do(r, rollout.Resume, rollout.Running)
	r = do(r, rollout.Skip, rollout.Running)
	if r.Status.StageName != "canary" {
		t.Errorf("after skip: stage %s, want canary", r.Status.StageName)
	}
	r = do(r, rollout.Skip, rollout.Running)
	r = do(r, rollout.Skip, rollout.Completed) // the last stage
	if c, err := w.DB.Read().Champion(t.Context(), "t", ""); err != nil || c.Digest != m.Digest {
		t.Errorf("Champion after skipping to the end = %+v, %v", c, err)
	}
	_, parts, err := w.Rollouts.Get(t.Context(), r.ID)
	for _, p := range parts {
		if err != nil || p.Wanted != spec.PhaseActive {
			t.Errorf("%s: wanted %q, want active", p.Device, p.Wanted)
		}
	}
	r = do(r, rollout.Rollback, rollout.RollingBack)
	w.await(r.ID, "taken back", is(rollout.RolledBack))
	if _, err := w.Rollouts.Do(t.Context(), "x", r.ID, "dance", ""); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("unknown command = %v", err)
	}
	if _, err := w.Rollouts.Do(t.Context(), "x", "r-none", rollout.Pause, ""); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("unknown rollout = %v", err)
	}
}

// TestRetry holds that a device that failed while the rollout was paused gets another try, and is
// not judged by what it said before.
func TestRetry(t *testing.T) {
	w := newWorld(t)
	m := w.model("m")
	for _, n := range []string{"a", "b"} {
		w.add(n, true)
	}
	behave := func(a spec.Assignment, p spec.Phase) (spec.Phase, spec.Paired, string) {
		if a.Generation == 1 {
			if r, _, err := w.Rollouts.Get(context.Background(), a.Rollout); err == nil && r.State == rollout.Paused {
				return spec.PhaseFailed, spec.Paired{}, "disk full"
			}
			return spec.PhaseDownloading, spec.Paired{}, ""
		}
		return obedient(-0.2)(a, p)
	}
	w.start(&fake{name: "a", behave: behave}, &fake{name: "b", behave: obedient(-0.2)})
	r := w.create(rollout.Spec{Digest: m.Digest})
	w.await(r.ID, "told", func(r *rollout.Rollout) bool { return r.Status.Counts.Shadow == 1 && r.Status.Counts.Waiting == 1 })
	if _, err := w.Rollouts.Do(t.Context(), "user/ada", r.ID, rollout.Pause, ""); err != nil {
		t.Fatal(err)
	}
	wait.For(t, "what follows from it", func() bool {
		rep, _, err := w.Fleet.Reported(t.Context(), "a")
		return err == nil && rep.Tasks["t"].Assignment.Phase == spec.PhaseFailed
	})
	if _, err := w.Rollouts.Do(t.Context(), "user/ada", r.ID, rollout.Retry, "disk cleaned"); err != nil {
		t.Fatal(err)
	}
	w.await(r.ID, "completed after the retry", is(rollout.Completed))
}

// TestCycle: what losses must span follows the task's horizon where that is long, and goes to the
// devices with what training measured.
func TestCycle(t *testing.T) {
	const day = 24 * 3600
	file := func(horizon string) string {
		return "task: t\ntarget: {series: x, horizon: " + horizon + "}\ninputs: [{series: x, topic: a, path: $.x}]\n"
	}
	w := newWorld(t)
	w.add("dev-1", true)
	digest := w.model("one").Digest
	for _, tt := range []struct {
		file string
		asks int64
		want int64
	}{{file("1h"), 0, 7 * day}, {file("10d"), 0, 30 * day}, {file("10d"), 3600, 3600}, {"no task file", 0, 7 * day}} {
		w.tx(func(q *meta.Queries) error {
			return q.PutTask(t.Context(), meta.Task{Name: "t", Kind: "forecast", Spec: tt.file, Hash: tt.file, FirstSeen: meta.Now(), LastSeen: meta.Now()}, "dev-1")
		})
		p, err := w.Rollouts.Plan(t.Context(), rollout.Spec{Digest: digest, Cycle: tt.asks})
		if err != nil || p.Spec.Cycle != tt.want {
			t.Errorf("a rollout of %q asking for %d = cycle %d s, %v, want %d", tt.file, tt.asks, p.Spec.Cycle, err, tt.want)
		}
	}
	if _, err := w.Rollouts.Plan(t.Context(), rollout.Spec{Digest: digest, Cycle: -1}); !errors.Is(err, rollout.ErrRefused) {
		t.Errorf("a negative cycle = %v, want it refused", err)
	}
	evidence := &spec.Evidence{Rows: 6000, Incumbent: 1, Diff: -0.5}
	if _, err := w.Rollouts.Create(t.Context(), "user/ada", rollout.Spec{Digest: digest, Evidence: evidence}); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		d, err := w.Fleet.Desired(t.Context(), "dev-1")
		if err != nil {
			t.Fatal(err)
		}
		if a, ok := d.Assignments["t"]; ok {
			if a.Trial.Cycle != 7*day*1e6 || a.Trial.Evidence == nil || *a.Trial.Evidence != *evidence {
				t.Errorf("the device is ordered %+v, want the cycle and the evidence in it", a.Trial)
			}
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Error("the device is not ordered anything within ten seconds")
}
