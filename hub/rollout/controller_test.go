package rollout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
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
	digest   string
	phase    spec.Phase
	gen      uint64
	cause    spec.Cause
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
			if f.gen = a.Generation; a.Digest != f.digest || f.phase.Final() {
				f.phase = spec.PhaseAssigned // as agents do, another order of the same goes on
			}
			f.digest = a.Digest
		}
		phase, stats, reason := f.behave(a, f.phase)
		f.phase = phase
		if phase == spec.PhaseActive || phase == spec.PhaseProbation {
			f.champion = a.Digest
		} else if f.champion == a.Digest {
			f.champion = ""
		}
		task.Assignment = &spec.ReportedAssignment{Generation: a.Generation, Rollout: a.Rollout, Digest: a.Digest, Phase: phase, Stats: stats, Reason: reason, Cause: f.cause}
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

// measured has n labelled rows over eight days whose losses differ by diff from an incumbent's of 1,
// with a little noise.
func measured(n int64, diff float64) spec.Paired {
	p := spec.Paired{Rows: n, Labelled: n, From: 1, To: 8 * 24 * 3600e6}
	for i := range n {
		d := diff + 0.05*math.Sin(float64(13*i*i))
		p.Blocks.Add(1+i*(p.To/n), 1, 1+d)
		p.SumIncumbent++
		p.SumCandidate += 1 + d
		p.SumDiff += d
	}
	return p
}

// obedient walks through the phases with losses that differ from the incumbent's by diff.
func obedient(diff float64) func(spec.Assignment, spec.Phase) (spec.Phase, spec.Paired, string) {
	return walks(measured(240, diff))
}

func walks(stats spec.Paired) func(spec.Assignment, spec.Phase) (spec.Phase, spec.Paired, string) {
	return func(a spec.Assignment, p spec.Phase) (spec.Phase, spec.Paired, string) {
		switch {
		case a.Phase == spec.PhaseWithdrawn:
			return spec.PhaseWithdrawn, spec.Paired{}, ""
		case a.Return || p == spec.PhaseActive:
			return spec.PhaseActive, stats, ""
		case a.Hold && p != "":
			return p, stats, ""
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
		wait.For(t, n+" is told the tombstone and the model before", func() bool {
			d, err := w.Fleet.Desired(t.Context(), n)
			a := d.Assignments["t"]
			return err == nil && slices.Contains(d.Tombstones, bad.Digest) && a.Digest == good.Digest && a.Phase == spec.PhaseActive && a.Return
		})
		w.running(n, good.Digest)
	}
	if _, err := w.Rollouts.Create(t.Context(), "x", rollout.Spec{Digest: bad.Digest}); !errors.Is(err, registry.ErrTombstoned) {
		t.Errorf("Create of a tombstoned model = %v", err)
	}
}

// TestCommands walks one rollout through what people may tell it, and looks at what devices are told.
func TestCommands(t *testing.T) {
	w := newWorld(t)
	m := w.model("m")
	var free atomic.Bool
	var fs []*fake
	for _, name := range []string{"a", "b"} {
		w.add(name, true)
		few := walks(measured(10, -0.2)) // no verdict without a command
		fs = append(fs, &fake{name: name, behave: func(a spec.Assignment, p spec.Phase) (spec.Phase, spec.Paired, string) {
			if !free.Load() {
				return spec.PhaseDownloading, spec.Paired{}, ""
			}
			return few(a, p)
		}})
	}
	w.start(fs...)
	do := func(r *rollout.Rollout, cmd rollout.Command, want rollout.State) *rollout.Rollout {
		t.Helper()
		r, err := w.Rollouts.Do(t.Context(), "user/ada", r.ID, cmd, "")
		if err != nil || r.State != want {
			t.Fatalf("Do(%s) = %+v, %v, want %s", cmd, r, err, want)
		}
		return r
	}
	told := func(what string, ok func(spec.Assignment) bool) {
		t.Helper()
		for _, name := range []string{"a", "b"} {
			wait.For(t, name+" is told "+what, func() bool {
				d, err := w.Fleet.Desired(t.Context(), name)
				return err == nil && ok(d.Assignments["t"])
			})
		}
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
	if _, err := w.Rollouts.Do(t.Context(), "user/ada", r.ID, rollout.Skip, ""); !errors.Is(err, rollout.ErrRefused) || !strings.Contains(err.Error(), "can only be skipped when one has") {
		t.Errorf("Skip while no device has it = %v, want a refusal", err)
	}
	r = do(r, rollout.Pause, rollout.Paused)
	told("to hold", func(a spec.Assignment) bool { return a.Hold })
	r = do(r, rollout.Resume, rollout.Running)
	told("to go on", func(a spec.Assignment) bool { return a.Digest == m.Digest && !a.Hold })
	free.Store(true)
	w.await(r.ID, "both in shadow", func(r *rollout.Rollout) bool { return r.Status.Counts.Shadow == 2 })
	r = do(r, rollout.Skip, rollout.Running)
	if r.Status.StageName != "canary" {
		t.Errorf("after skip: stage %s, want canary", r.Status.StageName)
	}
	// who skips shadow answers for what it would have shown: nothing contradicts, so it goes on
	r, _ = w.await(r.ID, "completed", is(rollout.Completed))
	if p := r.Status.Proof; p == nil || p.By != "user/ada" || p.Stage != "shadow" {
		t.Errorf("Proof = %+v, want who skipped shadow", p)
	}
	if c, err := w.DB.Read().Champion(t.Context(), "t", ""); err != nil || c.Digest != m.Digest {
		t.Errorf("Champion after skipping to the end = %+v, %v", c, err)
	}
	r = do(r, rollout.Rollback, rollout.RollingBack)
	w.await(r.ID, "taken back", is(rollout.RolledBack))
	told("to leave it", func(a spec.Assignment) bool { return a.Digest == m.Digest && a.Phase == spec.PhaseWithdrawn })
	if _, err := w.Rollouts.Do(t.Context(), "x", r.ID, "dance", ""); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("unknown command = %v", err)
	}
	if _, err := w.Rollouts.Do(t.Context(), "x", "r-none", rollout.Pause, ""); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("unknown rollout = %v", err)
	}
}

// running waits until a device reports a champion.
func (w *world) running(device, digest string) {
	w.t.Helper()
	wait.For(w.t, fmt.Sprintf("%s runs %.8s", device, digest), func() bool {
		r, _, err := w.Fleet.Reported(w.t.Context(), device)
		return err == nil && r.Tasks["t"].Champion == digest
	})
}

// TestAbortWithdraws: what an aborted rollout had begun is taken back on every device, also on one
// that was away, and nothing is forbidden; the model may be rolled out again.
func TestAbortWithdraws(t *testing.T) {
	w := newWorld(t)
	one, two := w.model("one"), w.model("two")
	few := walks(measured(10, -0.2))
	behave := func(a spec.Assignment, p spec.Phase) (spec.Phase, spec.Paired, string) {
		if a.Digest == one.Digest {
			return obedient(-0.2)(a, p)
		}
		return few(a, p)
	}
	var fs []*fake
	for _, name := range []string{"a", "b", "c"} {
		w.add(name, true)
		fs = append(fs, &fake{name: name, behave: behave})
	}
	w.start(fs[:2]...)
	first := w.create(rollout.Spec{Digest: two.Digest})
	w.await(first.ID, "two in shadow", func(r *rollout.Rollout) bool { return r.Status.Counts.Shadow == 2 })
	if _, err := w.Rollouts.Do(t.Context(), "user/ada", first.ID, rollout.Abort, "not today"); err != nil {
		t.Fatal(err)
	}
	w.start(fs[2])
	for _, name := range []string{"a", "b", "c"} {
		wait.For(t, name+" has withdrawn it", func() bool {
			r, _, err := w.Fleet.Reported(t.Context(), name)
			return err == nil && r.Tasks["t"].Assignment != nil && r.Tasks["t"].Assignment.Phase == spec.PhaseWithdrawn && r.Tasks["t"].Champion == ""
		})
	}
	w.await(w.create(rollout.Spec{Digest: one.Digest}).ID, "completed", is(rollout.Completed))
	again := w.create(rollout.Spec{Digest: two.Digest})
	w.await(again.ID, "all in shadow", func(r *rollout.Rollout) bool { return r.Status.Counts.Shadow == 3 })
	if _, err := w.Rollouts.Do(t.Context(), "user/ada", again.ID, rollout.Skip, ""); err != nil {
		t.Fatal(err)
	}
	_, parts := w.await(again.ID, "a canary", func(r *rollout.Rollout) bool { return r.Status.Counts.Active == 1 })
	if _, err := w.Rollouts.Do(t.Context(), "user/ada", again.ID, rollout.Abort, ""); err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		wait.For(t, p.Device+" is told to return to the model before, and nothing forbidden", func() bool {
			d, err := w.Fleet.Desired(t.Context(), p.Device)
			a := d.Assignments["t"]
			return err == nil && a.Digest == one.Digest && a.Return && len(d.Tombstones) == 0
		})
		w.running(p.Device, one.Digest)
	}
}

// TestNamedDevicesAlone: a rollout to named devices gives them its model and nobody else; another of
// the same task to others goes on beside it, one to all is refused while they do.
func TestNamedDevicesAlone(t *testing.T) {
	w := newWorld(t)
	one, two := w.model("one"), w.model("two")
	for _, name := range []string{"a", "b", "c"} {
		w.add(name, true)
		w.start(&fake{name: name, behave: obedient(-0.2)})
	}
	hold := func(digest string, devices ...string) rollout.Spec {
		return rollout.Spec{Digest: digest, Devices: devices, MinShadow: 10_000}
	}
	ra, rb := w.create(hold(one.Digest, "a")), w.create(hold(two.Digest, "b"))
	if _, err := w.Rollouts.Create(t.Context(), "x", rollout.Spec{Digest: two.Digest}); !errors.Is(err, rollout.ErrBusy) {
		t.Errorf("one to all devices = %v, want ErrBusy", err)
	}
	if _, err := w.Rollouts.Create(t.Context(), "x", hold(two.Digest, "nobody")); !errors.Is(err, rollout.ErrRefused) || !strings.Contains(err.Error(), "is not enrolled") {
		t.Errorf("one to an unknown device = %v, want a refusal", err)
	}
	w.await(ra.ID, "in shadow", func(r *rollout.Rollout) bool { return r.Status.Counts.Shadow == 1 })
	w.await(rb.ID, "in shadow", func(r *rollout.Rollout) bool { return r.Status.Counts.Shadow == 1 })
	for _, r := range []*rollout.Rollout{ra, rb} {
		if _, err := w.Rollouts.Do(t.Context(), "x", r.ID, rollout.Abort, ""); err != nil {
			t.Fatal(err)
		}
	}
	ra = w.create(rollout.Spec{Digest: one.Digest, Devices: []string{"a"}})
	w.await(ra.ID, "completed", is(rollout.Completed))
	if c, err := w.DB.Read().Champion(t.Context(), "t", ""); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("Champion of a rollout to one device = %+v, %v, want none", c, err)
	}
	w.running("a", one.Digest)
	w.await(w.create(rollout.Spec{Digest: two.Digest, Devices: []string{"b", "c"}}).ID, "completed", is(rollout.Completed))
	w.running("b", two.Digest)
	w.running("a", one.Digest)
}

// TestAfterCompletion: devices are brought to what the others run at all times: one that was deleted
// and enrolled again, one that lost it; what is forbidden is so on every device; a model that fails
// later on as many devices as would have stopped it is taken back for the one before; what an admin
// allows again may run again.
func TestAfterCompletion(t *testing.T) {
	w := newWorld(t)
	one, two := w.model("one"), w.model("two")
	var broken atomic.Bool
	var fs []*fake
	behave := func(a spec.Assignment, p spec.Phase) (spec.Phase, spec.Paired, string) {
		if broken.Load() && a.Digest == two.Digest && a.Phase != spec.PhaseWithdrawn {
			return spec.PhaseReverted, spec.Paired{}, "25 of the last 40 predictions had no finite value"
		}
		return obedient(-0.2)(a, p)
	}
	for _, name := range []string{"a", "b", "c"} {
		w.add(name, true)
		fs = append(fs, &fake{name: name, behave: behave, cause: spec.CauseModel})
	}
	w.start(fs...)
	w.await(w.create(rollout.Spec{Digest: one.Digest}).ID, "completed", is(rollout.Completed))
	r := w.create(rollout.Spec{Digest: two.Digest})
	w.await(r.ID, "completed", is(rollout.Completed))
	w.tx(func(q *meta.Queries) error {
		return errors.Join(q.DeleteDevice(t.Context(), "c"))
	})
	w.add("c", true)
	wait.For(t, "the device that was enrolled again is told", func() bool {
		d, err := w.Fleet.Desired(t.Context(), "c")
		return err == nil && d.Assignments["t"].Digest == two.Digest
	})
	broken.Store(true)
	r, _ = w.await(r.ID, "taken back", is(rollout.RolledBack))
	if !strings.Contains(r.Status.Reason, "after completion the model fails on ") {
		t.Errorf("Reason = %q", r.Status.Reason)
	}
	for _, f := range fs {
		w.running(f.name, one.Digest)
		d, err := w.Fleet.Desired(t.Context(), f.name)
		if err != nil || !slices.Contains(d.Tombstones, two.Digest) {
			t.Errorf("%s is told %+v, %v, want the tombstone", f.name, d, err)
		}
	}
	if c, err := w.DB.Read().Champion(t.Context(), "t", ""); err != nil || c.Digest != one.Digest {
		t.Errorf("Champion = %+v, %v, want the one before", c, err)
	}
	broken.Store(false)
	if err := errors.Join(w.Registry.Lift(t.Context(), "user/ada", two.Digest, "the sensor was at fault"), w.Fleet.Lift(t.Context(), two.Digest)); err != nil {
		t.Fatal(err)
	}
	for _, f := range fs {
		d, err := w.Fleet.Desired(t.Context(), f.name)
		if err != nil || slices.Contains(d.Tombstones, two.Digest) || !slices.Contains(d.Lifted, two.Digest) {
			t.Errorf("%s is told %+v, %v, want it lifted", f.name, d, err)
		}
	}
	if err := w.Registry.Lift(t.Context(), "user/ada", two.Digest, "again"); !errors.Is(err, registry.ErrNotTombstoned) {
		t.Errorf("lifting it again = %v, want ErrNotTombstoned", err)
	}
	w.await(w.create(rollout.Spec{Digest: two.Digest}).ID, "completed anew", is(rollout.Completed))
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
			if a.Hold {
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

// TestFreeze: whatever runs is held where it is, what is created meanwhile too, and what is frozen
// says so; afterwards all goes on.
func TestFreeze(t *testing.T) {
	w := newWorld(t)
	m := w.model("m")
	for _, name := range []string{"a", "b"} {
		w.add(name, true)
		w.start(&fake{name: name, behave: walks(measured(10, -0.2))})
	}
	r := w.create(rollout.Spec{Digest: m.Digest})
	w.await(r.ID, "both in shadow", func(r *rollout.Rollout) bool { return r.Status.Counts.Shadow == 2 })
	if _, err := w.Rollouts.Freeze(t.Context(), "user/ada", "", ""); !errors.Is(err, rollout.ErrRefused) {
		t.Errorf("a freeze without a reason = %v, want a refusal", err)
	}
	if _, err := w.Rollouts.Freeze(t.Context(), "user/ada", "nothing", "why"); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("a freeze of an unknown task = %v, want ErrNotFound", err)
	}
	if _, err := w.Rollouts.Freeze(t.Context(), "user/ada", "", "inventory"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, name := range []string{"a", "b"} {
		wait.For(t, name+" is told to hold", func() bool {
			d, err := w.Fleet.Desired(t.Context(), name)
			return err == nil && d.Assignments["t"].Hold
		})
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("devices are told after %s", took)
	}
	if _, err := w.Rollouts.Do(t.Context(), "user/ada", r.ID, rollout.Skip, ""); err != nil {
		t.Fatal(err)
	}
	r, _ = w.await(r.ID, "it says that it is frozen", func(r *rollout.Rollout) bool { return r.Status.Reason == "frozen by user/ada: inventory" })
	time.Sleep(time.Second)
	if r, _, err := w.Rollouts.Get(t.Context(), r.ID); err != nil || r.Status.Counts.Active+r.Status.Counts.Trial > 0 || r.State != rollout.Running {
		t.Errorf("a frozen rollout goes on: %+v, %v", r.Status, err)
	}
	if fs, err := w.Rollouts.Freezes(t.Context()); err != nil || len(fs) != 1 || fs[0].Reason != "inventory" {
		t.Errorf("Freezes = %+v, %v", fs, err)
	}
	if err := w.Rollouts.Thaw(t.Context(), "user/ada", "", "done"); err != nil {
		t.Fatal(err)
	}
	if err := w.Rollouts.Thaw(t.Context(), "user/ada", "", ""); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("a second thaw = %v, want ErrNotFound", err)
	}
	w.await(r.ID, "completed", is(rollout.Completed))
}
