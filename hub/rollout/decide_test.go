package rollout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"skerry.dev/sync/spec"
)

const now = int64(1_800_000_000_000_000)

func ago(d time.Duration) int64 { return now - d.Microseconds() }

// paired has n labelled rows, an hour apart, whose candidate loss is the incumbent's of 1 plus
// diff, with a little noise so that the variance is not zero.
func paired(n int64, diff float64) spec.Paired {
	p := spec.Paired{Rows: n, Labelled: n, SumIncumbent: float64(n), SumCandidate: float64(n) * (1 + diff), LatencyP99US: 50, From: ago(time.Duration(n) * time.Hour), To: now}
	p.SumDiff = float64(n) * diff
	p.SumDiff2 = float64(n) * (diff*diff + 0.0001)
	return p
}

func testSpec(t *testing.T) Spec {
	t.Helper()
	s := Spec{Task: "t", Digest: strings.Repeat("a", 64)}
	if err := s.Defaults(); err != nil {
		t.Fatal(err)
	}
	return s
}

// fleetOf makes n connected devices in a phase, all with the same stats.
func fleetOf(n int, wanted, phase spec.Phase, stats spec.Paired) []View {
	var v []View
	for i := range n {
		v = append(v, View{Device: fmt.Sprintf("dev-%d", i), Connected: true, Assigned: ago(time.Hour), Wanted: wanted, Phase: phase, Stats: stats, SeenAt: ago(time.Second)})
	}
	return v
}

func with(vs []View, i int, f func(*View)) []View {
	f(&vs[i])
	return vs
}

func TestDecide(t *testing.T) {
	shadow, probation, active := spec.PhaseShadow, spec.PhaseProbation, spec.PhaseActive
	good, bad, few := paired(300, -0.2), paired(300, 0.5), paired(10, -0.2)
	murky := spec.Paired{Rows: 100, Labelled: 100, SumIncumbent: 100, SumCandidate: 100, SumDiff2: 100}
	holiday := bad
	holiday.From = ago(4 * 24 * time.Hour)
	gross := paired(300, 1.5)
	gross.From = holiday.From
	long := ago(8 * 24 * time.Hour)
	for _, tt := range []struct {
		name    string
		stage   int
		since   int64 // 0: an hour ago
		devices []View
		spec    func(*Spec)
		state   State
		to      int // stage after
		step    string
		reason  string
		orders  int
		counts  func(Counts) bool
	}{
		{name: "nobody runs the task", state: Running, reason: "no device"},
		{name: "new devices are told to run it in shadow", devices: fleetOf(5, "", "", spec.Paired{}), state: Running, step: "rolling", orders: 5},
		{name: "shadow soaks", devices: fleetOf(5, shadow, shadow, few), state: Running, step: "soaking", counts: func(c Counts) bool { return c.Shadow == 5 && c.Waiting == 0 }},
		{name: "what a device waits for is said", devices: with(fleetOf(5, shadow, shadow, few), 0, func(v *View) { v.Phase, v.Reason = spec.PhaseDownloading, "waiting: needs 17.5 MB" }), state: Running, step: "rolling",
			reason: "waiting: needs 17.5 MB"},
		{name: "shadow passes", devices: fleetOf(5, shadow, shadow, good), state: Running, to: 1, step: "rolling"},
		{name: "shadow fails by loss", devices: fleetOf(5, shadow, shadow, bad), state: RollingBack, reason: "worse"},
		{name: "a few days that are worse settle nothing", devices: fleetOf(1, shadow, shadow, holiday), state: Running, reason: "worse so far: waits for rows that span 168h0m0s"},
		{name: "a few days that are worse at the deadline", since: long, devices: fleetOf(1, shadow, shadow, holiday), state: Paused, reason: "deadline"},
		{name: "a canary's few days that are worse do not promote", stage: 1, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase, v.Stats = active, probation, holiday }), state: Running, to: 1, reason: "worse so far"},
		{name: "a few days suffice where they are grossly worse", devices: fleetOf(1, shadow, shadow, gross), state: RollingBack, reason: "worse"},
		{name: "a week that is worse against what training measured", devices: fleetOf(1, shadow, shadow, paired(300, 0.3)), spec: func(s *Spec) { s.Evidence = &spec.Evidence{Rows: 6000, Incumbent: 1, Diff: -0.5} }, state: Running, reason: "worse so far"},
		{name: "a week that is far worse than training measured", devices: fleetOf(1, shadow, shadow, paired(300, 0.8)), spec: func(s *Spec) { s.Evidence = &spec.Evidence{Rows: 6000, Incumbent: 1, Diff: -0.5} }, state: RollingBack, reason: "worse"},
		{name: "shadow fails by NaN", devices: with(fleetOf(5, shadow, shadow, good), 3, func(v *View) { v.Stats.NonFinite = 1 }), state: RollingBack, reason: "not finite"},
		{name: "shadow fails by a panic", devices: with(fleetOf(5, shadow, shadow, good), 3, func(v *View) { v.Stats.Panics = 2 }), state: RollingBack, reason: "panicked 2 times"},
		{name: "shadow fails by latency", devices: with(fleetOf(5, shadow, shadow, good), 0, func(v *View) { v.Stats.LatencyP99US = 1500 }), state: RollingBack, reason: "latency 1500 µs, allowed 1000"},
		{name: "one slow answer of few says nothing", devices: with(fleetOf(5, shadow, shadow, good), 0, func(v *View) { v.Stats = paired(10, 0); v.Stats.LatencyP99US = 1500 }), state: Running, step: "soaking"},
		{name: "one of few devices fails in shadow", devices: with(fleetOf(5, shadow, shadow, good), 0, func(v *View) { v.Phase, v.Reason = spec.PhaseFailed, "disk full" }), state: RollingBack, reason: "disk full"},
		{name: "one of many devices fails in shadow", devices: with(fleetOf(20, shadow, shadow, good), 0, func(v *View) { v.Phase, v.Stats = spec.PhaseFailed, spec.Paired{} }), state: Running, to: 1, step: "rolling",
			counts: func(c Counts) bool { return c.Failed == 1 && c.Shadow == 19 }},
		{name: "a silent device of many does not hold the others up", devices: with(fleetOf(20, shadow, shadow, good), 0, func(v *View) { v.Phase, v.SeenAt = "", ago(time.Hour) }), state: Running, to: 1, step: "rolling"},
		{name: "too many silent devices", devices: with(with(fleetOf(10, shadow, "", spec.Paired{}), 0, func(v *View) { v.SeenAt = ago(time.Hour) }), 1, func(v *View) { v.SeenAt = ago(time.Hour) }),
			state: RollingBack, reason: "connected and silent"},
		{name: "a device without a link is unknown, not silent", devices: with(fleetOf(5, shadow, shadow, good), 0, func(v *View) { v.Connected, v.Phase, v.Stats, v.SeenAt = false, "", spec.Paired{}, long }),
			state: Running, to: 1, step: "rolling", counts: func(c Counts) bool { return c.Unknown == 1 && c.Failed == 0 }},
		{name: "too many without a link wait", devices: with(with(fleetOf(3, shadow, shadow, good), 0, func(v *View) { v.Connected, v.Phase = false, "" }), 1, func(v *View) { v.Connected, v.Phase = false, "" }),
			state: Running, step: "soaking", reason: "2 of 3 devices have no link"},
		{name: "too many without a link at the deadline", since: long, devices: with(with(fleetOf(3, shadow, shadow, good), 0, func(v *View) { v.Connected, v.Phase = false, "" }), 1, func(v *View) { v.Connected, v.Phase = false, "" }),
			state: Paused, reason: "inconclusive: 2 of 3"},
		{name: "deadline without labels", since: long, devices: fleetOf(5, shadow, shadow, few), state: Paused, reason: "deadline"},
		{name: "neither better nor worse goes on", devices: fleetOf(5, shadow, shadow, murky), state: Running, step: "judging"},
		{name: "neither better nor worse at the deadline", since: long, devices: fleetOf(5, shadow, shadow, murky), state: Paused, reason: "neither better nor worse"},
		{name: "canaries are told to activate", stage: 1, devices: fleetOf(5, shadow, shadow, good), state: Running, to: 1, step: "soaking", orders: 1},
		{name: "a canary on probation soaks", stage: 1, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase, v.Stats = active, probation, few }), state: Running, to: 1, step: "soaking"},
		{name: "the canary passes", stage: 1, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase = active, active }), state: Running, to: 2, step: "rolling"},
		{name: "the canary vetoes", stage: 1, devices: with(fleetOf(20, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase, v.Reason = active, spec.PhaseVetoed, "slower" }), state: RollingBack, reason: "dev-2 vetoed: slower"},
		{name: "the canary reverts", stage: 1, devices: with(fleetOf(20, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase = active, spec.PhaseReverted }), state: RollingBack, reason: "reverted"},
		{name: "the canary is worse on probation", stage: 1, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase, v.Stats = active, probation, bad }), state: RollingBack, reason: "worse"},
		{name: "a canary that lost its link at the deadline", stage: 1, since: long, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Connected = active, false }), state: Paused, to: 1, reason: "deadline"},
		{name: "the last stage tells everybody", stage: 2, devices: with(fleetOf(5, shadow, shadow, good), 0, func(v *View) { v.Wanted, v.Phase = active, active }), state: Running, to: 2, step: "soaking", orders: 4},
		{name: "the last stage waits for who is connected", stage: 2, devices: with(fleetOf(5, active, active, good), 0, func(v *View) { v.Phase = probation }), state: Running, to: 2, step: "soaking"},
		{name: "the last stage completes", stage: 2, devices: fleetOf(5, active, active, good), state: Completed, to: 2},
		{name: "the last stage completes without who is offline", stage: 2, devices: with(fleetOf(5, active, active, good), 0, func(v *View) { v.Connected, v.Phase = false, "" }), state: Completed, to: 2},
		{name: "a late returner joins with the stage's phase", stage: 2, devices: with(fleetOf(5, active, active, good), 0, func(v *View) { v.Wanted, v.Phase, v.Assigned, v.Stats = "", "", 0, spec.Paired{} }), state: Running, to: 2, step: "rolling", orders: 1},
		{name: "one of many fails at the end", stage: 2, devices: with(fleetOf(20, active, active, good), 0, func(v *View) { v.Phase = spec.PhaseVetoed }), state: Completed, to: 2, counts: func(c Counts) bool { return c.Failed == 1 }},
		{name: "too many fail at the end", stage: 2, devices: with(with(fleetOf(10, active, active, good), 0, func(v *View) { v.Phase = spec.PhaseVetoed }), 1, func(v *View) { v.Phase = spec.PhaseReverted }), state: RollingBack, to: 2, reason: "2 of 10 devices failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := testSpec(t)
			if tt.spec != nil {
				tt.spec(&s)
			}
			st := Status{Stage: tt.stage, StageName: s.StageNames()[tt.stage], Since: tt.since}
			if st.Since == 0 {
				st.Since = ago(time.Hour)
			}
			d := Decide("seed", &s, st, tt.devices, now)
			want := tt.to
			if tt.state != Running || tt.stage > 0 && want == 0 {
				want = max(want, tt.stage)
			}
			if d.State != tt.state || d.Status.Stage != want || !strings.Contains(d.Status.Reason, tt.reason) || tt.step != "" && d.Status.Step != tt.step {
				t.Errorf("Decide = %s, stage %d, step %q, reason %q, want %s, stage %d, step %q, reason with %q", d.State, d.Status.Stage, d.Status.Step, d.Status.Reason, tt.state, want, tt.step, tt.reason)
			}
			if d.Fail != (tt.state == RollingBack) {
				t.Errorf("Fail = %v in state %s", d.Fail, d.State)
			}
			if len(d.Orders) != tt.orders {
				t.Errorf("Orders = %+v, want %d", d.Orders, tt.orders)
			}
			if tt.counts != nil && !tt.counts(d.Status.Counts) {
				t.Errorf("Counts = %+v", d.Status.Counts)
			}
		})
	}
}

// TestDecideIsStable holds that canaries do not change from call to call, nor when one of them
// loses its link after it was told. TestFailedInShadowIsNoCanary holds that a box which shadow
// has tolerated neither becomes a canary nor ends the canary stage.
func TestFailedInShadowIsNoCanary(t *testing.T) {
	s := testSpec(t)
	for broken := range 20 {
		devices := with(fleetOf(20, spec.PhaseShadow, spec.PhaseShadow, paired(300, -0.2)), broken, func(v *View) { v.Phase, v.Reason = spec.PhaseFailed, "no space left" })
		st := Status{Stage: 1, StageName: "canary", Since: ago(time.Minute)}
		d := Decide("seed", &s, st, devices, now)
		if d.State != Running || d.Status.Counts.Started != 4 {
			t.Fatalf("device %d failed in shadow: %s, %q, %d canaries, want the canary stage to go on with 4", broken, d.State, d.Status.Reason, d.Status.Counts.Started)
		}
		for _, o := range d.Orders {
			if o.Device == devices[broken].Device && o.Phase == spec.PhaseActive {
				t.Errorf("%s failed in shadow and was made a canary", o.Device)
			}
		}
		for _, o := range d.Orders { // a canary that fails is still one too many
			for i := range devices {
				if devices[i].Device == o.Device {
					devices[i].Wanted, devices[i].Phase = spec.PhaseActive, spec.PhaseReverted
				}
			}
		}
		if d := Decide("seed", &s, st, devices, now); d.State != RollingBack {
			t.Errorf("with every canary reverted the rollout is %s, want rolling_back", d.State)
		}
	}
}

func TestDecideIsStable(t *testing.T) {
	s := testSpec(t)
	devices := fleetOf(10, spec.PhaseShadow, spec.PhaseShadow, paired(300, -0.2))
	st := Status{Stage: 1, StageName: "canary", Since: ago(time.Minute)}
	first := Decide("seed", &s, st, devices, now)
	if len(first.Orders) != 2 {
		t.Fatalf("Orders = %+v, want the two canaries", first.Orders)
	}
	told := map[string]bool{}
	for _, o := range first.Orders {
		told[o.Device] = true
	}
	for i := range devices {
		if told[devices[i].Device] {
			devices[i].Wanted, devices[i].Connected = spec.PhaseActive, false
		}
	}
	if again := Decide("seed", &s, st, devices, now); len(again.Orders) != 0 {
		t.Errorf("Orders = %+v, want none: the canaries have been told", again.Orders)
	}
}

func TestSpecDefaults(t *testing.T) {
	for name, tt := range map[string]struct {
		s    Spec
		want string
	}{
		"no task":        {Spec{}, "needs a task"},
		"shrinking":      {Spec{Task: "t", Digest: strings.Repeat("a", 64), Stages: []Stage{{Name: "a", Percent: 50}, {Name: "b", Percent: 20}}}, "must grow"},
		"not everybody":  {Spec{Task: "t", Digest: strings.Repeat("a", 64), Stages: []Stage{{Name: "a", Percent: 50}}}, "must be 100 percent"},
		"reserved name":  {Spec{Task: "t", Digest: strings.Repeat("a", 64), Stages: []Stage{{Name: "shadow", Percent: 100}}}, "shadow is stage 0"},
		"wrong fraction": {Spec{Task: "t", Digest: strings.Repeat("a", 64), Alpha: 2}, "alpha 2"},
	} {
		if err := tt.s.Defaults(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Defaults = %v, want %q", name, err, tt.want)
		}
	}
}
