package rollout_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"skerry.dev/hub/blob"
	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/rollout"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/trust/signing"
)

// desk is a controller that nobody runs: rollouts change by commands alone.
type desk struct {
	t   *testing.T
	db  *meta.Store
	reg *registry.Registry
	*rollout.Controller
	fleet *fleet.Fleet
}

func newDesk(t *testing.T, d metatest.DB) *desk {
	t.Helper()
	dir := t.TempDir()
	db := d.Open(t)
	b := bustest.Open(t, dir)
	blobs, err := blob.Open(t.Context(), "", dir, "blobs")
	if err != nil {
		t.Fatal(err)
	}
	sign, err := signing.Open(signing.Options{Keys: dir + "/keys", Dir: dir + "/tuf"})
	if err != nil {
		t.Fatal(err)
	}
	f, reg := fleet.New(db, b.Bus, b.Ring, fleet.Options{}), registry.New(db, blobs, sign)
	return &desk{t: t, db: db, reg: reg, fleet: f, Controller: rollout.New(db, f, reg, nil)}
}

func (d *desk) model(data string) meta.Model {
	d.t.Helper()
	m, err := d.reg.Register(d.t.Context(), []byte(data), registry.Info{Task: "t", Kind: "test", CreatedBy: "test"})
	if err != nil {
		d.t.Fatal(err)
	}
	return m
}

func (d *desk) device(name string) {
	d.t.Helper()
	if err := d.db.Tx(d.t.Context(), func(q *meta.Queries) error {
		return errors.Join(
			q.InsertDevice(d.t.Context(), meta.Device{Name: name, Site: "s", PublicKey: "key-" + name, CreatedAt: meta.Now()}),
			q.PutTask(d.t.Context(), meta.Task{Name: "t", Kind: "forecast", Spec: "task: t", Hash: "h"}, name))
	}); err != nil {
		d.t.Fatal(err)
	}
}

// TestTwoOperators gives orders at once: whatever the order in which they come, each is carried out
// on what the others left or refused, the state is one that they lead to, the history has exactly
// the orders that were taken, and the audit too.
func TestTwoOperators(t *testing.T) {
	metatest.Each(t, func(t *testing.T, db metatest.DB) {
		d := newDesk(t, db)
		d.device("a")
		for name, tt := range map[string]struct {
			orders []rollout.Command
			taken  []int // how many may be taken
			states []rollout.State
		}{
			"two pause":           {[]rollout.Command{rollout.Pause, rollout.Pause}, []int{1}, []rollout.State{rollout.Paused}},
			"two abort":           {[]rollout.Command{rollout.Abort, rollout.Abort}, []int{1}, []rollout.State{rollout.Aborted}},
			"pause and abort":     {[]rollout.Command{rollout.Pause, rollout.Abort}, []int{1, 2}, []rollout.State{rollout.Aborted}},
			"abort and roll back": {[]rollout.Command{rollout.Abort, rollout.Rollback}, []int{1, 2}, []rollout.State{rollout.RollingBack}},
			"pause and skip":      {[]rollout.Command{rollout.Pause, rollout.Skip}, []int{2}, []rollout.State{rollout.Paused, rollout.Running}},
			"skipped thrice":      {[]rollout.Command{rollout.Skip, rollout.Skip, rollout.Skip}, []int{3}, []rollout.State{rollout.Completed}},
		} {
			m := d.model(name)
			r, err := d.Create(t.Context(), "user/ada", rollout.Spec{Digest: m.Digest})
			if err != nil {
				t.Fatalf("%s: Create = %v", name, err)
			}
			d.has("a", r.ID)
			errs := make([]error, len(tt.orders))
			var wg sync.WaitGroup
			for i, cmd := range tt.orders {
				wg.Go(func() { _, errs[i] = d.Do(t.Context(), fmt.Sprintf("user/%d", i), r.ID, cmd, "") })
			}
			wg.Wait()
			taken := 0
			for i, err := range errs {
				if err == nil {
					taken++
				} else if !errors.Is(err, rollout.ErrRefused) {
					t.Errorf("%s: order %s = %v, want it taken or refused", name, tt.orders[i], err)
				}
			}
			r, _, err = d.Get(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(tt.taken, taken) || !slices.Contains(tt.states, r.State) {
				t.Errorf("%s: %d orders taken, state %s, want one of %v and %v", name, taken, r.State, tt.taken, tt.states)
			}
			byPeople := slices.DeleteFunc(slices.Clone(r.Status.History), func(s rollout.Step) bool { return s.Actor == "user/ada" })
			if len(byPeople) != taken {
				t.Errorf("%s: the history has %+v, want the %d orders", name, byPeople, taken)
			}
			entries, err := d.db.Read().AuditEntries(t.Context(), 0, 10_000)
			if err != nil {
				t.Fatal(err)
			}
			audited := 0
			for _, e := range entries {
				if e.Object == r.ID && e.Action != "rollout.create" {
					audited++
				}
			}
			if audited != taken {
				t.Errorf("%s: the audit has %d orders, want %d", name, audited, taken)
			}
			d.end(r)
		}
	})
}

// has stores that a device runs the model of a rollout.
func (d *desk) has(device, id string) {
	d.t.Helper()
	if err := d.db.Tx(d.t.Context(), func(q *meta.Queries) error {
		return q.PutRolloutDevice(d.t.Context(), meta.RolloutDevice{Rollout: id, Device: device, Stage: 1, Generation: 1, Phase: string(spec.PhaseActive), Stats: "{}"})
	}); err != nil {
		d.t.Fatal(err)
	}
}

// end makes room for the task's next rollout.
func (d *desk) end(r *rollout.Rollout) {
	d.t.Helper()
	if r.State.Final() {
		return
	}
	if r.State != rollout.RollingBack {
		if _, err := d.Do(d.t.Context(), "user/ada", r.ID, rollout.Abort, ""); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	// nobody runs the controller that would end it
	if err := d.db.Tx(d.t.Context(), func(q *meta.Queries) error {
		row, err := q.Rollout(d.t.Context(), r.ID)
		if err != nil {
			return err
		}
		row.State = string(rollout.RolledBack)
		return q.PutRollout(d.t.Context(), row)
	}); err != nil {
		d.t.Fatal(err)
	}
}

// TestTwoCreate holds that of several rollouts of a task that are created at once one comes to be.
func TestTwoCreate(t *testing.T) {
	metatest.Each(t, func(t *testing.T, db metatest.DB) {
		d := newDesk(t, db)
		m := d.model("m")
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = d.Create(t.Context(), "user/ada", rollout.Spec{Digest: m.Digest}) })
		}
		wg.Wait()
		created := 0
		for _, err := range errs {
			if err == nil {
				created++
			} else if !errors.Is(err, rollout.ErrBusy) {
				t.Errorf("Create = %v, want ErrBusy", err)
			}
		}
		all, err := d.List(t.Context(), "t", "", 0)
		if err != nil || created != 1 || len(all) != 1 {
			t.Errorf("%d of %d were created, %d are stored, %v; want one", created, len(errs), len(all), err)
		}
	})
}

// TestEveryOrderInEveryState walks a rollout into every state and gives every order there.
func TestEveryOrderInEveryState(t *testing.T) {
	d := newDesk(t, metatest.SQLite(t))
	d.device("a")
	orders := []rollout.Command{rollout.Approve, rollout.Pause, rollout.Resume, rollout.Abort, rollout.Rollback, rollout.Skip, rollout.Retry}
	for state, tt := range map[rollout.State]struct {
		way     []rollout.Command // from the beginning
		approve bool
		allowed map[rollout.Command]rollout.State
	}{
		rollout.Awaiting: {nil, true, map[rollout.Command]rollout.State{
			rollout.Approve: rollout.Running,
			rollout.Abort:   rollout.Aborted,
		}},
		rollout.Running: {nil, false, map[rollout.Command]rollout.State{
			rollout.Pause:    rollout.Paused,
			rollout.Abort:    rollout.Aborted,
			rollout.Rollback: rollout.RollingBack,
			rollout.Skip:     rollout.Running,
			rollout.Retry:    rollout.Running,
		}},
		rollout.Paused: {[]rollout.Command{rollout.Pause}, false, map[rollout.Command]rollout.State{
			rollout.Resume:   rollout.Running,
			rollout.Abort:    rollout.Aborted,
			rollout.Rollback: rollout.RollingBack,
			rollout.Skip:     rollout.Running,
			rollout.Retry:    rollout.Running,
		}},
		rollout.Completed: {[]rollout.Command{rollout.Skip, rollout.Skip, rollout.Skip}, false, map[rollout.Command]rollout.State{
			rollout.Rollback: rollout.RollingBack,
		}},
		rollout.Aborted: {[]rollout.Command{rollout.Abort}, false, map[rollout.Command]rollout.State{
			rollout.Rollback: rollout.RollingBack,
		}},
		rollout.RollingBack: {[]rollout.Command{rollout.Rollback}, false, nil},
	} {
		for _, order := range orders {
			m := d.model(string(state) + string(order))
			r, err := d.Create(t.Context(), "user/ada", rollout.Spec{Digest: m.Digest, Approval: tt.approve})
			if err != nil {
				t.Fatal(err)
			}
			d.has("a", r.ID)
			for _, cmd := range tt.way {
				if r, err = d.Do(t.Context(), "user/ada", r.ID, cmd, ""); err != nil {
					t.Fatal(err)
				}
			}
			if r.State != state {
				t.Fatalf("%v leads to %s, want %s", tt.way, r.State, state)
			}
			got, err := d.Do(t.Context(), "user/bob", r.ID, order, "because")
			want, ok := tt.allowed[order]
			switch {
			case !ok && (!errors.Is(err, rollout.ErrRefused) || !strings.Contains(err.Error(), "possible only while")):
				t.Errorf("%s while %s = %v, want it refused with where it is possible", order, state, err)
			case ok && (err != nil || got.State != want):
				t.Errorf("%s while %s = %+v, %v, want %s", order, state, got, err, want)
			case ok:
				last := got.Status.History[len(got.Status.History)-1]
				if last.Reason != "because" || last.Actor != "user/bob" || last.State != want {
					t.Errorf("%s while %s: the history ends with %+v", order, state, last)
				}
			}
			if r, _, err = d.Get(t.Context(), r.ID); err != nil {
				t.Fatal(err)
			}
			if !ok && r.State != state {
				t.Errorf("a refused %s made %s of %s", order, r.State, state)
			}
			d.end(r)
		}
	}
}

// TestSkipNeedsADevice holds that a stage is only skipped when a device has the model as far as the
// stage brings it, so that no rollout completes that nobody runs.
func TestSkipNeedsADevice(t *testing.T) {
	d := newDesk(t, metatest.SQLite(t))
	d.device("a")
	m := d.model("m")
	r, err := d.Create(t.Context(), "user/ada", rollout.Spec{Digest: m.Digest, Stages: []rollout.Stage{{Name: "all", Percent: 100}}})
	if err != nil {
		t.Fatal(err)
	}
	skip := func() (*rollout.Rollout, error) { return d.Do(t.Context(), "user/ada", r.ID, rollout.Skip, "") }
	if _, err := skip(); !errors.Is(err, rollout.ErrRefused) || !strings.Contains(err.Error(), "no device has the model in [shadow probation active] yet") {
		t.Errorf("a skip while nobody has it = %v, want a refusal", err)
	}
	put := func(phase spec.Phase) {
		t.Helper()
		if err := d.db.Tx(t.Context(), func(q *meta.Queries) error {
			return q.PutRolloutDevice(t.Context(), meta.RolloutDevice{Rollout: r.ID, Device: "a", Stage: 1, Generation: 1, Phase: string(phase), Stats: "{}"})
		}); err != nil {
			t.Fatal(err)
		}
	}
	put(spec.PhaseShadow)
	if r, err = skip(); err != nil || r.Status.StageName != "all" {
		t.Fatalf("a skip of shadow = %+v, %v", r, err)
	}
	put(spec.PhaseProbation)
	if _, err := skip(); !errors.Is(err, rollout.ErrRefused) {
		t.Errorf("a skip of the last stage while nobody has passed probation = %v, want a refusal", err)
	}
	put(spec.PhaseActive)
	if r, err = skip(); err != nil || r.State != rollout.Completed {
		t.Errorf("a skip of the last stage = %+v, %v", r, err)
	}
}
