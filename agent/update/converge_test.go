package update

import (
	"slices"
	"testing"
	"time"

	"skerry.dev/sync/spec"
)

// order changes the newest assignment and gives it a generation.
func (b *bench) order(a spec.Assignment, generation uint64, change func(*spec.Assignment)) spec.Assignment {
	b.t.Helper()
	a.Generation = generation
	change(&a)
	b.apply(spec.Desired{Generation: generation, Assignments: map[string]spec.Assignment{"t": a}})
	return a
}

func (b *bench) runs(digest, why string) {
	b.t.Helper()
	if got := b.engine.now("t"); got != digest {
		b.t.Errorf("%s: the task runs %.6s, want %.6s", why, got, digest)
	}
}

// TestShadowGoesOn: what a device has measured in shadow counts when it is told to activate: the
// trial does not begin anew, nor does a download.
func TestShadowGoesOn(t *testing.T) {
	b := newBench(t)
	a := b.assign(1, "model", spec.PhaseShadow)
	b.engine.set(good(150), spec.Paired{})
	b.reach(spec.PhaseShadow, "")
	b.order(a, 2, func(a *spec.Assignment) { a.Phase = spec.PhaseActive })
	b.reach(spec.PhaseProbation, "")
	if n := slices.DeleteFunc(slices.Clone(b.engine.log), func(s string) bool { return s != "shadow "+short(a.Digest) }); len(n) != 1 {
		t.Errorf("the engine was told %v, want one trial", b.engine.log)
	}
	if r := b.m.Reported("t"); r.Generation != 2 {
		t.Errorf("reported generation %d, want 2", r.Generation)
	}
}

// TestHold: a paused rollout keeps every device where it is, in shadow and on probation, and a device
// that is held still gives up what is worse.
func TestHold(t *testing.T) {
	b := newBench(t)
	a := b.assign(1, "model", spec.PhaseActive)
	b.reach(spec.PhaseShadow, "")
	a = b.order(a, 2, func(a *spec.Assignment) { a.Hold = true })
	b.engine.set(good(150), spec.Paired{})
	b.looksTwice()
	b.reach(spec.PhaseShadow, "")
	a = b.order(a, 3, func(a *spec.Assignment) { a.Hold = false })
	b.reach(spec.PhaseProbation, "")
	b.order(a, 4, func(a *spec.Assignment) { a.Hold = true })
	b.engine.set(good(150), good(100))
	for range 100 { // of the manager's rounds
		b.m.notify()
	}
	b.reach(spec.PhaseProbation, "")
	b.engine.set(good(150), bad(100))
	b.reach(spec.PhaseReverted, "loss is 2.")
	if r := b.m.Reported("t"); r.Cause != spec.CauseModel {
		t.Errorf("cause %q, want the model", r.Cause)
	}
}

// TestWithdrawn: a rollout that was aborted leaves every device, in shadow, on probation and after
// it, on what it ran before, and forbids nothing.
func TestWithdrawn(t *testing.T) {
	withdraw := func(b *bench, a spec.Assignment) {
		b.t.Helper()
		b.order(a, 9, func(a *spec.Assignment) { a.Phase = spec.PhaseWithdrawn })
		b.reach(spec.PhaseWithdrawn, "")
	}
	t.Run("shadow", func(t *testing.T) {
		b := newBench(t)
		one := b.activate(1, "model one")
		a := b.assign(2, "model two", spec.PhaseActive)
		b.engine.set(good(10), spec.Paired{})
		b.reach(spec.PhaseShadow, "")
		withdraw(b, a)
		b.runs(one.Digest, "withdrawn in shadow")
		if _, beside, _ := b.engine.Running("t"); beside != "" {
			t.Errorf("%.6s still runs beside it", beside)
		}
	})
	t.Run("probation", func(t *testing.T) {
		b := newBench(t)
		one := b.activate(1, "model one")
		a := b.assign(2, "model two", spec.PhaseActive)
		b.engine.set(good(150), good(10))
		b.reach(spec.PhaseProbation, "")
		withdraw(b, a)
		b.runs(one.Digest, "withdrawn on probation")
	})
	t.Run("active, and nothing before it", func(t *testing.T) {
		b := newBench(t)
		a := b.activate(1, "model one")
		withdraw(b, a)
		b.runs("", "withdrawn with nothing before it")
		b.restart()
		b.runs("", "withdrawn, after a start")
	})
	t.Run("and again", func(t *testing.T) {
		b := newBench(t)
		a := b.activate(1, "model one")
		withdraw(b, a)
		b.engine.set(good(150), good(100))
		b.order(a, 10, func(*spec.Assignment) {})
		b.reach(spec.PhaseActive, "")
		b.runs(a.Digest, "assigned again")
	})
}

// TestReturn: a device goes back at once to what it has run well before, from its own disk where it
// is still there and from the hub where it is not, without a trial against the better one.
func TestReturn(t *testing.T) {
	for _, forgotten := range []bool{false, true} {
		b := newBench(t)
		one := b.activate(1, "model one")
		b.activate(2, "model two")
		if forgotten {
			b.activate(3, "model three")
		}
		b.engine.set(bad(150), bad(100)) // it would not pass a trial
		b.order(one, 9, func(a *spec.Assignment) { a.Return = true })
		b.reach(spec.PhaseActive, "")
		b.runs(one.Digest, "told to return")
	}
}

// TestTombstonesAreRemembered: a document that does not name what an earlier one forbade allows
// nothing, as after a new enrolment; one that lifts it does.
func TestTombstonesAreRemembered(t *testing.T) {
	b := newBench(t)
	a := b.assign(1, "model", spec.PhaseActive)
	b.engine.set(good(10), spec.Paired{})
	b.reach(spec.PhaseShadow, "")
	b.apply(spec.Desired{Generation: 2, Tombstones: []string{a.Digest}})
	b.reach(spec.PhaseVetoed, "tombstoned")
	if r := b.m.Reported("t"); r.Cause != spec.CauseOrder {
		t.Errorf("cause %q, want an order", r.Cause)
	}
	b.restart()
	b.engine.set(good(10), spec.Paired{})
	b.order(a, 3, func(*spec.Assignment) {})
	b.reach(spec.PhaseVetoed, "tombstoned")
	a.Generation = 4
	b.apply(spec.Desired{Generation: 4, Lifted: []string{a.Digest}, Assignments: map[string]spec.Assignment{"t": a}})
	b.reach(spec.PhaseShadow, "")
}

// TestIncumbentForbiddenInShadow: the trial of a candidate begins anew against what is left.
func TestIncumbentForbiddenInShadow(t *testing.T) {
	b := newBench(t)
	one := b.activate(1, "model one")
	two := b.assign(2, "model two", spec.PhaseActive)
	b.engine.set(good(10), spec.Paired{})
	b.reach(spec.PhaseShadow, "")
	b.apply(spec.Desired{Generation: 3, Tombstones: []string{one.Digest}, Assignments: map[string]spec.Assignment{"t": two}})
	b.reach(spec.PhaseShadow, "")
	b.looksTwice()
	b.runs("", "its incumbent is forbidden")
	b.engine.set(good(150), good(100))
	b.reach(spec.PhaseActive, "")
	b.runs(two.Digest, "it has passed")
}

// TestTaskThatBeginsAnew: a task that comes back without its model, whoever took it away, gets it
// again; one that does not run at all loses nothing.
func TestTaskThatBeginsAnew(t *testing.T) {
	b := newBench(t)
	a := b.activate(1, "model one")
	await := func(digest, why string) {
		t.Helper()
		for range 1000 {
			if b.engine.now("t") == digest {
				return
			}
			b.m.notify()
			b.looks()
		}
		b.runs(digest, why)
	}
	b.engine.mu.Lock()
	b.engine.gone = map[string]bool{"t": true}
	b.engine.champion["t"] = ""
	b.engine.mu.Unlock()
	for range 30 {
		b.m.notify()
		b.looks()
	}
	b.runs("", "a task that does not run")
	if r := b.m.Reported("t"); r.Phase != spec.PhaseActive {
		t.Errorf("reported %+v, want it active still", r)
	}
	b.engine.mu.Lock()
	b.engine.gone = nil
	b.engine.mu.Unlock()
	await(a.Digest, "the task runs again")
}

// TestActiveModelThatFails: an active model whose predictions have no value any more gives way to
// the one before it; now and then one of a hundred changes nothing.
func TestActiveModelThatFails(t *testing.T) {
	b := newBench(t)
	one := b.activate(1, "model one")
	two := b.activate(2, "model two")
	faults := func(rows, faulted int64) {
		b.engine.mu.Lock()
		b.engine.rows += rows
		b.engine.faulted += faulted
		b.engine.mu.Unlock()
		for range 3 {
			b.m.notify()
			b.looks()
		}
	}
	for range 10 {
		faults(100, 5)
	}
	b.runs(two.Digest, "one of twenty failed")
	faults(50, 30)
	b.reach(spec.PhaseReverted, "predictions had no finite value")
	b.runs(one.Digest, "most failed")
	if r := b.m.Reported("t"); r.Cause != spec.CauseModel {
		t.Errorf("cause %q, want the model", r.Cause)
	}
}

// TestWindow: a device activates a model only within the window of its own time, and says so.
func TestWindow(t *testing.T) {
	b := newBench(t)
	now := time.Now().UTC()
	open := func(from, to time.Duration) *spec.Window {
		return &spec.Window{From: now.Add(from).Format("15:04"), To: now.Add(to).Format("15:04")}
	}
	a := b.assign(1, "model", spec.PhaseShadow)
	b.engine.set(good(150), good(100))
	b.reach(spec.PhaseShadow, "")
	a = b.order(a, 2, func(a *spec.Assignment) { a.Phase, a.Window = spec.PhaseActive, open(2*time.Hour, 3*time.Hour) })
	b.reach(spec.PhaseShadow, "waiting: it may be activated from "+now.Add(2*time.Hour).Format("15:04"))
	b.order(a, 3, func(a *spec.Assignment) { a.Window = open(-time.Hour, time.Hour) })
	b.reach(spec.PhaseActive, "")
}

// TestWithoutLabels: where nobody says what was true rows count, and a candidate that differs too
// much is given up.
func TestWithoutLabels(t *testing.T) {
	b := newBench(t)
	a := b.assign(1, "model", spec.PhaseShadow)
	a = b.order(a, 2, func(a *spec.Assignment) {
		a.Phase, a.Trial.WithoutLabels, a.Trial.MaxDisagreement = spec.PhaseActive, true, 0.5
	})
	b.engine.set(spec.Paired{Rows: 300, Disagreement: 0.3}, spec.Paired{Rows: 60, Disagreement: 0.3})
	b.reach(spec.PhaseActive, "")
	b.runs(a.Digest, "it differs a little")
	c := b.assign(3, "another", spec.PhaseShadow)
	b.order(c, 4, func(a *spec.Assignment) {
		a.Phase, a.Trial.WithoutLabels, a.Trial.MaxDisagreement = spec.PhaseActive, true, 0.5
	})
	b.engine.set(spec.Paired{Rows: 300, Disagreement: 0.8}, spec.Paired{})
	b.reach(spec.PhaseVetoed, "differ from the incumbent's by 0.8")
	b.runs(a.Digest, "the other differs too much")
}
