package rollout

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/sync/spec"
)

const now = int64(1_800_000_000_000_000)

func ago(d time.Duration) int64 { return now - d.Microseconds() }

// paired has n labelled rows, an hour apart, of an incumbent with a mean loss of 1 and a candidate
// whose loss differs by diff and by a little noise without a trend.
func paired(n int64, diff float64) spec.Paired { return noisy(n, diff, 0.05) }

func noisy(n int64, diff, noise float64) spec.Paired {
	p := spec.Paired{Rows: n, Labelled: n, LatencyP99US: 50, From: ago(time.Duration(n) * time.Hour), To: now}
	for i := range n {
		d := diff + noise*math.Sin(float64(13*i*i))
		p.Blocks.Add(p.From+i*3600e6, 1, 1+d)
		p.SumIncumbent++
		p.SumCandidate += 1 + d
		p.SumDiff += d
	}
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
	murky := noisy(200, 0, 3)
	holiday := paired(90, 0.5)
	gross := paired(90, 1.5)
	long := ago(16 * 24 * time.Hour)
	failed := func(cause spec.Cause, tries int, since time.Duration) func(*View) {
		return func(v *View) {
			v.Phase, v.Cause, v.Reason, v.Tries, v.FailedAt = spec.PhaseFailed, cause, "no space left", tries, ago(since)
		}
	}
	both := func(vs []View, f func(*View)) []View { return with(with(vs, 0, f), 1, f) }
	three := func(vs []View, f func(*View)) []View { return with(both(vs, f), 2, f) }
	passed := func(s *Spec) { s.Evidence = &spec.Evidence{Rows: 6000, Incumbent: 1, Diff: -0.2, Passed: true} }
	for _, tt := range []struct {
		name    string
		stage   int
		since   int64 // 0: an hour ago
		started int64 // of the hub
		devices []View
		spec    func(*Spec)
		state   State
		to      int // stage after
		step    string
		reason  string
		orders  int
		counts  func(Counts) bool
		apart   string // device that is named
	}{
		{name: "nobody runs the task", state: Running, reason: "no device"},
		{name: "nobody runs the task until the deadline", since: long, state: Paused, reason: "inconclusive: no device"},
		{name: "new devices are told to run it in shadow", devices: fleetOf(5, "", "", spec.Paired{}), state: Running, step: "rolling", orders: 5},
		{name: "shadow soaks", devices: fleetOf(5, shadow, shadow, few), state: Running, step: "soaking", counts: func(c Counts) bool { return c.Shadow == 5 && c.Waiting == 0 }},
		{name: "what a device waits for is said", devices: with(fleetOf(5, shadow, shadow, few), 0, func(v *View) { v.Phase, v.Reason = spec.PhaseDownloading, "waiting: needs 17.5 MB" }), state: Running, step: "rolling",
			reason: "waiting: needs 17.5 MB"},
		{name: "shadow passes", devices: fleetOf(5, shadow, shadow, good), state: Running, to: 1, step: "rolling"},
		{name: "shadow fails by loss", devices: fleetOf(5, shadow, shadow, bad), state: RollingBack, reason: "worse"},
		{name: "a few days that are worse settle nothing", devices: fleetOf(1, shadow, shadow, holiday), state: Running, reason: "worse so far: it waits for rows that span 168h0m0s"},
		{name: "a few days that are worse at the deadline", since: long, devices: fleetOf(1, shadow, shadow, holiday), state: Paused, reason: "inconclusive: worse so far"},
		{name: "a canary's few days that are worse do not promote", stage: 1, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase, v.Shadow, v.Stats = active, probation, good, holiday }), state: Running, to: 1, reason: "on probation, worse so far"},
		{name: "a few days suffice where they are grossly worse", devices: fleetOf(1, shadow, shadow, gross), state: RollingBack, reason: "worse"},
		{name: "a week that is worse against what training measured", devices: fleetOf(1, shadow, shadow, paired(300, 0.3)), spec: func(s *Spec) { s.Evidence = &spec.Evidence{Rows: 6000, Incumbent: 1, Diff: -0.5} }, state: Running, reason: "worse so far"},
		{name: "a week that is far worse than training measured", devices: fleetOf(1, shadow, shadow, paired(300, 0.8)), spec: func(s *Spec) { s.Evidence = &spec.Evidence{Rows: 6000, Incumbent: 1, Diff: -0.5} }, state: RollingBack, reason: "worse"},
		{name: "a few rows pass that agree with what the hub has shown", devices: fleetOf(5, shadow, shadow, paired(50, -0.2)), spec: passed, state: Running, to: 1},
		{name: "without it they do not", devices: fleetOf(1, shadow, shadow, paired(50, -0.2)), state: Running, step: "judging", reason: "not worse so far: it waits for rows that span"},
		{name: "a model that is not finite anywhere", devices: both(fleetOf(5, shadow, shadow, good), func(v *View) { v.Stats.NonFinite = 1 }), state: RollingBack, reason: "fails on 2 of 5 devices; first: dev-"},
		{name: "one device where it is not finite", devices: with(fleetOf(20, shadow, shadow, good), 3, func(v *View) { v.Stats.NonFinite = 1 }), state: Running, to: 1, apart: "dev-3"},
		{name: "a model that panics on the only device", devices: with(fleetOf(1, shadow, shadow, good), 0, func(v *View) { v.Stats.Panics = 2 }), state: RollingBack, reason: "panicked 2 times"},
		{name: "one slow device", devices: with(fleetOf(20, shadow, shadow, good), 0, func(v *View) { v.Stats.LatencyP99US = 1500 }), state: Running, to: 1, apart: "dev-0"},
		{name: "a slow model", devices: fleetOf(3, shadow, shadow, func() spec.Paired { p := paired(300, -0.2); p.LatencyP99US = 1500; return p }()), state: RollingBack, reason: "latency 1500 µs, allowed 1000"},
		{name: "one slow answer of few says nothing", devices: with(fleetOf(5, shadow, shadow, good), 0, func(v *View) { v.Stats = paired(10, 0); v.Stats.LatencyP99US = 1500 }), state: Running, step: "soaking"},
		{name: "a device that failed waits in the penalty box", devices: with(fleetOf(5, shadow, shadow, good), 0, failed(spec.CauseDevice, 0, 10*time.Second)), state: Running, to: 1,
			counts: func(c Counts) bool { return c.Penalty == 1 && c.Failed == 0 }},
		{name: "and is told again", devices: with(fleetOf(5, shadow, shadow, good), 0, failed(spec.CauseHub, 1, 61*time.Second)), state: Running, to: 1, orders: 1},
		{name: "the wait doubles", devices: with(fleetOf(5, shadow, shadow, good), 0, failed(spec.CauseHub, 2, 61*time.Second)), state: Running, to: 1},
		{name: "until it counts as failed, which one of five may", devices: with(fleetOf(5, shadow, shadow, good), 0, failed(spec.CauseDevice, 3, time.Second)), state: Running, to: 1, apart: "dev-0",
			counts: func(c Counts) bool { return c.Failed == 1 && c.Shadow == 4 }},
		{name: "two of five may not: the rollout pauses, and nothing is forbidden", devices: both(fleetOf(5, shadow, shadow, good), failed(spec.CauseDevice, 3, time.Second)), state: Paused, reason: "2 of 5 devices failed; first: dev-"},
		{name: "a silent device of many does not hold the others up", devices: with(fleetOf(20, shadow, shadow, good), 0, func(v *View) { v.Phase, v.SeenAt = "", ago(time.Hour) }), state: Running, to: 1, step: "rolling", apart: "dev-0"},
		{name: "too many silent devices", devices: both(fleetOf(10, shadow, "", spec.Paired{}), func(v *View) { v.SeenAt = ago(time.Hour) }), state: Paused, reason: "connected and silent"},
		{name: "silence counts from the link", devices: both(fleetOf(10, shadow, "", spec.Paired{}), func(v *View) { v.SeenAt, v.LinkedAt = ago(time.Hour), ago(time.Minute) }), state: Running},
		{name: "silence counts from the hub's start", started: ago(time.Minute), devices: both(fleetOf(10, shadow, "", spec.Paired{}), func(v *View) { v.SeenAt = ago(time.Hour) }), state: Running},
		{name: "a device without a link is unknown, not silent", devices: with(fleetOf(5, shadow, shadow, good), 0, func(v *View) { v.Connected, v.Phase, v.Stats, v.SeenAt = false, "", spec.Paired{}, long }),
			state: Running, to: 1, step: "rolling", counts: func(c Counts) bool { return c.Unknown == 1 && c.Failed == 0 }},
		{name: "too many without a link wait", devices: both(fleetOf(3, shadow, shadow, good), func(v *View) { v.Connected = false }),
			state: Running, step: "soaking", reason: "2 of 3 devices have no link", counts: func(c Counts) bool { return c.Unknown == 2 }},
		{name: "too many without a link at the deadline", since: long, devices: both(fleetOf(3, shadow, shadow, good), func(v *View) { v.Connected = false }),
			state: Paused, reason: "inconclusive: 2 of 3"},
		{name: "links come back after a start", stage: 2, started: ago(time.Minute), devices: with(fleetOf(3, active, active, good), 0, func(v *View) { v.Connected, v.Phase = false, probation }), state: Running, to: 2, reason: "no link since the hub started"},
		{name: "nobody is back after a start", stage: 2, devices: with(both(fleetOf(3, active, probation, good), func(v *View) { v.Connected = false }), 2, func(v *View) { v.Connected = false }), state: Running, to: 2},
		{name: "deadline without labels", since: long, devices: fleetOf(5, shadow, shadow, few), state: Paused, reason: "inconclusive: dev-"},
		{name: "one device without labels holds the others up", devices: with(fleetOf(3, shadow, shadow, good), 0, func(v *View) { v.Stats = spec.Paired{} }), state: Running, step: "soaking", reason: "dev-0 has 0 labelled rows in shadow"},
		{name: "neither better nor worse goes on", devices: fleetOf(1, shadow, shadow, murky), state: Running, step: "judging", reason: "neither better nor worse; it would take some"},
		{name: "neither better nor worse at the deadline", since: long, devices: fleetOf(1, shadow, shadow, murky), state: Paused, reason: "inconclusive: the losses of 200 rows show neither better nor worse"},
		{name: "canaries are told to activate", stage: 1, devices: fleetOf(5, shadow, shadow, good), state: Running, to: 1, step: "soaking", orders: 1},
		{name: "a canary on probation soaks", stage: 1, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase, v.Shadow, v.Stats = active, probation, good, few }), state: Running, to: 1, step: "soaking"},
		{name: "the canary passes", stage: 1, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase = active, active }), state: Running, to: 2, step: "rolling"},
		{name: "another takes the place of a canary that vetoes", stage: 1, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) {
			v.Wanted, v.Phase, v.Cause, v.Reason = active, spec.PhaseVetoed, spec.CauseModel, "slower"
		}), state: Running, to: 1, orders: 1, apart: "dev-2"},
		{name: "a sick canary and one that lies are two of twenty", stage: 1, devices: both(fleetOf(20, shadow, shadow, good), func(v *View) {
			v.Wanted, v.Phase, v.Cause, v.Reason = active, spec.PhaseReverted, spec.CauseModel, "slower"
		}), state: Running, to: 1, orders: 4, apart: "dev-1"},
		{name: "a third one that reverts is one too many", stage: 1, devices: three(fleetOf(20, shadow, shadow, good), func(v *View) {
			v.Wanted, v.Phase, v.Cause, v.Reason = active, spec.PhaseReverted, spec.CauseModel, "slower"
		}), state: RollingBack, reason: "dev-"},
		{name: "the canary is worse on probation", stage: 1, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase, v.Shadow, v.Stats = active, probation, good, bad }), state: RollingBack, reason: "on probation, loss is 1."},
		{name: "a canary that lost its link at the deadline", stage: 1, since: long, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Connected = active, false }), state: Paused, to: 1, reason: "deadline"},
		{name: "the last stage tells everybody", stage: 2, devices: with(fleetOf(5, shadow, shadow, good), 0, func(v *View) { v.Wanted, v.Phase = active, active }), state: Running, to: 2, step: "soaking", orders: 4},
		{name: "the last stage waits for who is connected", stage: 2, since: ago(time.Second), devices: with(fleetOf(5, active, active, good), 0, func(v *View) { v.Phase = probation }), state: Running, to: 2, step: "soaking"},
		{name: "the last stage completes", stage: 2, devices: fleetOf(5, active, active, good), state: Completed, to: 2},
		{name: "the last stage completes without who is offline", stage: 2, devices: with(fleetOf(5, active, active, good), 0, func(v *View) { v.Connected, v.Phase = false, "" }), state: Completed, to: 2},
		{name: "a late returner joins with the stage's phase", stage: 2, devices: with(fleetOf(5, active, active, good), 0, func(v *View) { v.Wanted, v.Phase, v.Assigned, v.Stats = "", "", 0, spec.Paired{} }), state: Running, to: 2, step: "rolling", orders: 1},
		{name: "one of many fails at the end", stage: 2, devices: with(fleetOf(20, active, active, good), 0, func(v *View) { v.Phase, v.Cause = spec.PhaseVetoed, spec.CauseModel }), state: Completed, to: 2, counts: func(c Counts) bool { return c.Failed == 1 }},
		{name: "too many fail at the end", stage: 2, devices: three(fleetOf(10, active, active, good), func(v *View) { v.Phase = spec.PhaseVetoed }), state: RollingBack, to: 2, reason: "fails on 3 of 10 devices"},
		{name: "a stage tells so many in a minute", stage: 2, spec: func(s *Spec) { s.Stages[1].Rate = 5 }, devices: with(fleetOf(20, shadow, shadow, good), 0, func(v *View) { v.Wanted, v.Phase, v.Assigned = active, probation, ago(30*time.Second) }), state: Running, to: 2, orders: 4},
		{name: "those who came meanwhile get ready", stage: 2, spec: func(s *Spec) { s.Stages[1].Rate = 1 }, devices: fleetOf(3, "", "", spec.Paired{}), state: Running, to: 2, orders: 3},
		{name: "a stage soaks", stage: 1, spec: func(s *Spec) { s.Stages[0].Soak = 3600 }, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase = active, active }), state: Running, to: 1, step: "soaking", reason: "soaks until 2027-01-15 09:00:00 UTC"},
		{name: "a stage needs so many devices", stage: 1, spec: func(s *Spec) { s.Stages[0].MinDevices = 2 }, devices: with(fleetOf(5, shadow, shadow, good), 2, func(v *View) { v.Wanted, v.Phase = active, active }), state: Running, to: 1, reason: "1 devices are through, at least 2 must be"},
		{name: "a stage goes on without a device whose deadline has passed", spec: func(s *Spec) { s.DeviceDeadline = 60 }, devices: with(fleetOf(5, shadow, shadow, good), 0, func(v *View) { v.Stats = few }), state: Running, to: 1},
		{name: "a task without labels", spec: func(s *Spec) { s.WithoutLabels = true }, devices: fleetOf(5, shadow, shadow, spec.Paired{Rows: 500, Disagreement: 0.2}), state: Running, to: 1},
		{name: "one that differs too much", spec: func(s *Spec) { s.WithoutLabels = true }, devices: fleetOf(5, shadow, shadow, spec.Paired{Rows: 500, Disagreement: 0.7}), state: RollingBack, reason: "differ from the incumbent's by 0.7"},
		{name: "one device that differs too much", spec: func(s *Spec) { s.WithoutLabels = true }, devices: with(fleetOf(5, shadow, shadow, spec.Paired{Rows: 500, Disagreement: 0.2}), 1, func(v *View) { v.Stats.Disagreement = 5 }), state: Running, to: 1},
		{name: "labels that never come", devices: fleetOf(3, shadow, shadow, spec.Paired{Rows: 3000}), state: Running, step: "soaking", reason: "rolled out with without_labels"},
		{name: "a fleet that is split", devices: both(fleetOf(9, shadow, shadow, good), func(v *View) { v.Stats = paired(300, 0.6) }), state: Paused, reason: "the fleet is split: 2 devices differ"},
		{name: "one that differs does not count", devices: with(fleetOf(9, shadow, shadow, good), 4, func(v *View) { v.Stats = paired(300, 0.6) }), state: Running, to: 1, apart: "dev-4"},
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
			d := Decide("seed", &s, st, tt.devices, Clock{Now: now, Started: tt.started})
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
			if named := slices.ContainsFunc(d.Status.Apart, func(a Apart) bool { return a.Device == tt.apart }); tt.apart != "" && !named {
				t.Errorf("apart are %+v, want %s", d.Status.Apart, tt.apart)
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
		devices := with(fleetOf(20, spec.PhaseShadow, spec.PhaseShadow, paired(300, -0.2)), broken, func(v *View) {
			v.Phase, v.Cause, v.Reason, v.FailedAt = spec.PhaseFailed, spec.CauseDevice, "no space left", now
		})
		st := Status{Stage: 1, StageName: "canary", Since: ago(time.Minute)}
		d := Decide("seed", &s, st, devices, Clock{Now: now})
		if d.State != Running || d.Status.Counts.Started != 4 {
			t.Fatalf("device %d failed in shadow: %s, %q, %d canaries, want the canary stage to go on with 4", broken, d.State, d.Status.Reason, d.Status.Counts.Started)
		}
		for _, o := range d.Orders {
			if o.Device == devices[broken].Device && o.Phase == spec.PhaseActive {
				t.Errorf("%s failed in shadow and was made a canary", o.Device)
			}
		}
		for _, o := range d.Orders {
			for i := range devices {
				if devices[i].Device == o.Device {
					devices[i].Wanted, devices[i].Phase, devices[i].Cause = spec.PhaseActive, spec.PhaseReverted, spec.CauseModel
				}
			}
		}
		if d := Decide("seed", &s, st, devices, Clock{Now: now}); d.State != RollingBack {
			t.Errorf("with every canary reverted by what the model did the rollout is %s, want rolling_back", d.State)
		}
	}
}

func TestDecideIsStable(t *testing.T) {
	s := testSpec(t)
	devices := fleetOf(10, spec.PhaseShadow, spec.PhaseShadow, paired(300, -0.2))
	st := Status{Stage: 1, StageName: "canary", Since: ago(time.Minute)}
	first := Decide("seed", &s, st, devices, Clock{Now: now})
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
	if again := Decide("seed", &s, st, devices, Clock{Now: now}); len(again.Orders) != 0 {
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
		"negative":       {Spec{Task: "t", Digest: strings.Repeat("a", 64), Silent: -1}, "silent_s -1: must be above 0"},
		"negative count": {Spec{Task: "t", Digest: strings.Repeat("a", 64), Stages: []Stage{{Name: "a", Percent: 100, Count: -2}}}, "stages[0].count -2"},
		"wrong window":   {Spec{Task: "t", Digest: strings.Repeat("a", 64), Window: &spec.Window{From: "25:00", To: "01:00"}}, `window.from "25:00"`},
		"negative rate":  {Spec{Task: "t", Digest: strings.Repeat("a", 64), Stages: []Stage{{Name: "a", Percent: 100, Rate: -2}}}, "stages[0].rate_per_minute -2"},
		"wrong fraction": {Spec{Task: "t", Digest: strings.Repeat("a", 64), Alpha: 2}, "alpha 2"},
	} {
		if err := tt.s.Defaults(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Defaults = %v, want %q", name, err, tt.want)
		}
	}
}

// TestPenalty: a device that goes on failing is told again soon for half an hour, and then ever more
// rarely: each time it downloads the artifact.
func TestPenalty(t *testing.T) {
	var sum time.Duration
	for tries := range 60 {
		w := time.Duration(penalty(tries)) * time.Microsecond
		if tries < 8 && w > 4*time.Minute || w < 30*time.Second || w > 6*time.Hour {
			t.Errorf("after %d tries it waits %s", tries, w)
		}
		if sum += w; tries == 15 && sum < 12*time.Hour {
			t.Errorf("sixteen tries within %s", sum)
		}
	}
}
