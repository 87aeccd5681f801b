package rollout

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"skerry.dev/sync/spec"
)

// perfect has n rows within the last days on which a candidate made no error at all.
func perfect(n int64) spec.Paired {
	p := spec.Paired{Rows: n, Labelled: n, From: ago(300 * time.Hour), To: now, LatencyP99US: 50}
	step := (p.To - p.From) / n
	for i := range n {
		p.Blocks.Add(p.From+i*step, 1, 0)
		p.SumIncumbent++
		p.SumDiff--
	}
	return p
}

// TestRogueAndSick: of 20 devices one reports what cannot be and one is sick, in every way: the
// verdict is that of the other 18, and both are named.
func TestRogueAndSick(t *testing.T) {
	rogues := map[string]func(*View){
		"100,000 perfect rows": func(v *View) { v.Stats = perfect(100_000) },
		"perfect rows":         func(v *View) { v.Stats = perfect(300) },
		"100,000 rows that are as bad as can be": func(v *View) {
			v.Stats = spec.Paired{Rows: 1e5, Labelled: 1e5, From: ago(300 * time.Hour), To: now}
			for i := range int64(1e5) {
				v.Stats.Blocks.Add(v.Stats.From+i*10_800_000, 0.01, 4)
				v.Stats.SumIncumbent += 0.01
				v.Stats.SumCandidate += 4
				v.Stats.SumDiff += 3.99
			}
			v.Phase = spec.PhaseShadow
		},
		"rows of another century": func(v *View) {
			v.Stats = perfect(300)
			v.Stats.Blocks.First += 100 * 365 * 24 * 3600e6 / v.Stats.Blocks.Length
		},
	}
	sicknesses := map[string]func(*View){
		"slow":    func(v *View) { v.Stats.LatencyP99US, v.Stats.Rows = 1200, 20 },
		"one NaN": func(v *View) { v.Stats.NonFinite = 1 },
		"a panic": func(v *View) { v.Stats.Panics = 1 },
		"no space": func(v *View) {
			v.Phase, v.Cause, v.Reason, v.Tries = spec.PhaseFailed, spec.CauseDevice, "no space left", 3
		},
		"veto":   func(v *View) { v.Phase, v.Cause, v.Reason = spec.PhaseVetoed, spec.CauseModel, "loss is 9" },
		"silent": func(v *View) { v.SeenAt, v.Phase = ago(time.Hour), "" },
	}
	for rname, rogue := range rogues {
		for sname, sick := range sicknesses {
			for _, diff := range []float64{-0.2, 0.15, 0.5} {
				devices := fleetOf(20, spec.PhaseShadow, spec.PhaseShadow, spec.Paired{})
				for i := range devices {
					devices[i].Stats = noisy(300, diff+0.01*float64(i%5), 0.3)
				}
				rogue(&devices[7])
				sick(&devices[12])
				s := testSpec(t)
				d := Decide("seed", &s, Status{StageName: ShadowStage, Since: ago(10 * 24 * time.Hour)}, devices, Clock{Now: now})
				want := Running
				if diff > 0 {
					want = RollingBack
				}
				if d.State != want || (d.Status.Stage == 1) != (want == Running) {
					t.Errorf("%s and %s, candidate %+.2f: %s, stage %d, %q; want %s", rname, sname, diff, d.State, d.Status.Stage, d.Status.Reason, want)
				}
				for _, name := range []string{"dev-7", "dev-12"} {
					if !slices.ContainsFunc(d.Status.Apart, func(a Apart) bool { return a.Device == name && a.Reason != "" }) {
						t.Errorf("%s and %s, candidate %+.2f: apart are %v, want %s among them", rname, sname, diff, d.Status.Apart, name)
					}
				}
				if len(d.Status.Apart) > 2 {
					t.Errorf("%s and %s, candidate %+.2f: apart are %v", rname, sname, diff, d.Status.Apart)
				}
			}
		}
	}
}

// TestPoolIsBounded: a device with a thousand times the rows counts for twice as many as the others,
// and what is common to all is in the variance of the sum.
func TestPoolIsBounded(t *testing.T) {
	var all []source
	for i := range 5 {
		all = append(all, source{fmt.Sprint(i), noisy(300, 0, 1)})
	}
	equal, _, _ := pool(all, 0.05, 0.05)
	big := noisy(300, 0, 1)
	for i := range big.Blocks.Sums {
		big.Blocks.Sums[i].Scale(1000)
	}
	all[4] = source{"4", big}
	p, apart, split := pool(all, 0.05, 0.05)
	if got, want := p.Blocks.Rows(), equal.Blocks.Rows()*6/5; math.Abs(got-want) > 1e-6 || len(apart) > 0 || split {
		t.Errorf("pooled rows %v, want %v; apart %v, split %v", got, want, apart, split)
	}
	one := noisy(300, 0, 1)
	same := []source{{"a", one}, {"b", one}, {"c", one}, {"d", one}}
	p, _, _ = pool(same, 0.05, 0.05)
	a, b := one.Blocks.Estimate(0.05, 0.05, 2000), p.Blocks.Estimate(0.05, 0.05, 2000)
	if math.Abs(a.Mean-b.Mean) > 1e-9 || b.Half < 0.8*a.Half {
		t.Errorf("four devices with the same losses: %v ± %v, one: %v ± %v; they know no more together", b.Mean, b.Half, a.Mean, a.Half)
	}
}

// TestSpread: devices whose losses differ by chance are neither outliers nor a split fleet, however
// few they are.
func TestSpread(t *testing.T) {
	for n := 1; n <= 12; n++ {
		var all []source
		for i := range n {
			all = append(all, source{fmt.Sprint(i), noisy(60+int64(7*i), 0.02*float64(i%3), 1)})
		}
		if _, apart, split := pool(all, 0.05, 0.05); len(apart) > 0 || split {
			t.Errorf("%d devices: apart %v, split %v", n, apart, split)
		}
	}
}
