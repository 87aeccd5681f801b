package rollout

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"skerry.dev/compute/sequential"
	"skerry.dev/sync/spec"
)

// View is what the hub holds of one target device.
type View struct {
	Device    string
	Connected bool
	Assigned  int64 // when this rollout last assigned something to it, microseconds; 0 never
	Wanted    spec.Phase
	Phase     spec.Phase // as reported for this rollout, "" when nothing was
	Reason    string
	Stats     spec.Paired
	SeenAt    int64 // newest report of any kind
}

// Order is what a device should be ordered.
type Order struct {
	Device string
	Phase  spec.Phase
}

// Decision is the next step of a rollout.
type Decision struct {
	State  State
	Status Status
	Orders []Order
	Fail   bool // the version must be tombstoned and taken back
}

// failed reports whether a device has reported or shown that it will not run the candidate.
func (v *View) failed(now, silent int64) (string, bool) {
	switch v.Phase {
	case spec.PhaseVetoed, spec.PhaseReverted, spec.PhaseFailed:
		return fmt.Sprintf("%s %s: %s", v.Device, v.Phase, v.Reason), true
	}
	if v.Connected && v.Assigned > 0 && now-max(v.Assigned, v.SeenAt) > silent {
		return fmt.Sprintf("%s is connected and silent", v.Device), true
	}
	return "", false
}

// Decide computes the next step of a running rollout from what is known. It has no side effects
// and depends on nothing else: devices are sorted by a hash of seed and name, so the same devices
// are canaries at every call. The controller's seed is the model's digest: a dry run names the
// same devices.
func Decide(seed string, s *Spec, st Status, devices []View, now int64) Decision {
	d := Decision{State: Running, Status: st}
	d.Status.Reason, d.Status.Verdict = "", ""
	ordered := order(seed, devices)
	started := startedAt(s, st.Stage, ordered)
	d.Status.Counts = count(s, ordered, started, now)
	c := &d.Status.Counts

	if len(ordered) == 0 {
		d.Status.Reason = "no device runs the task yet"
		if now-st.Since > seconds(s.Deadline) {
			d.State, d.Status.Reason = Paused, "inconclusive: no device runs the task"
		}
		return d
	}
	if why, bad := limits(s, ordered, started, now, st.Stage); bad {
		d.Fail, d.State, d.Status.Reason, d.Status.Verdict = true, RollingBack, why, string(sequential.Fail)
		return d
	}

	d.Orders = orders(st.Stage, ordered, started)
	verdict, ready := judge(s, &d.Status, st.Stage, ordered, started, now)
	if d.Status.Verdict = string(verdict); verdict == worseSoFar {
		d.Status.Verdict = string(sequential.Inconclusive)
	}
	expired := now-st.Since > seconds(s.Deadline)
	switch {
	case verdict == sequential.Fail:
		d.Fail, d.State = true, RollingBack
		d.Status.Reason = fmt.Sprintf("the candidate is worse: mean loss difference at least %.4f, allowed %.4f", d.Status.Bound[0], allowed(s, d.Status.Pooled))
	case !ready && expired:
		d.State, d.Status.Reason = Paused, "inconclusive: the stage's deadline has passed"
	case !ready:
		d.Status.Step = "rolling"
		if c.Waiting == 0 {
			d.Status.Step = "soaking"
		}
		if d.Status.Reason = waiting(ordered); verdict == worseSoFar {
			d.Status.Reason = fmt.Sprintf("worse so far: waits for rows that span %v, or for better ones", time.Duration(s.Cycle)*time.Second)
		}
	case float64(c.Unknown) > s.MaxUnknown*float64(c.Targets):
		d.Status.Step = "soaking"
		d.Status.Reason = fmt.Sprintf("%d of %d devices have no link", c.Unknown, c.Targets)
		if expired {
			d.State, d.Status.Reason = Paused, "inconclusive: "+d.Status.Reason
		}
	case verdict == sequential.Inconclusive:
		d.Status.Step = "judging"
		if expired || d.Status.Pooled.Labelled > int64(50*s.MinShadow*max(c.Targets-c.Unknown, 1)) {
			d.State, d.Status.Reason = Paused, "inconclusive: the losses show neither better nor worse"
		}
	default:
		d.advance(s, now)
	}
	return d
}

// advance enters the next stage or completes the rollout.
func (d *Decision) advance(s *Spec, now int64) {
	if d.Status.Stage == len(s.Stages) {
		d.State, d.Status.Step = Completed, ""
		return
	}
	d.Status.Stage++
	d.Status.StageName = s.Stages[d.Status.Stage-1].Name
	d.Status.Step, d.Status.Since = "rolling", now
}

// order sorts devices by a hash, those with a link first and those that have failed last: a
// canary that cannot report or did not get through shadow is of no use.
func order(seed string, devices []View) []View {
	out := slices.Clone(devices)
	hash := func(v View) uint64 {
		h := fnv.New64a()
		h.Write([]byte(seed + "/" + v.Device))
		return h.Sum64()
	}
	slices.SortFunc(out, func(a, b View) int {
		// who has started stays started
		if x, y := a.Wanted == spec.PhaseActive, b.Wanted == spec.PhaseActive; x != y {
			if x {
				return -1
			}
			return 1
		}
		if x, y := failedPhase(a.Phase), failedPhase(b.Phase); x != y {
			if y {
				return -1
			}
			return 1
		}
		if a.Connected != b.Connected {
			if a.Connected {
				return -1
			}
			return 1
		}
		if x, y := hash(a), hash(b); x != y {
			if x < y {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Device, b.Device)
	})
	return out
}

// startedAt is how many devices may activate in a stage.
func startedAt(s *Spec, stage int, devices []View) int {
	if stage == 0 {
		return 0
	}
	st := s.Stages[stage-1]
	n := int(math.Ceil(st.Percent / 100 * float64(len(devices))))
	return min(max(n, st.Count), len(devices))
}

// waiting explains what the first device with a link and a reason waits for, "" when none does.
func waiting(devices []View) string {
	for i := range devices {
		if v := &devices[i]; v.Connected && v.Reason != "" && (v.Phase == spec.PhaseAssigned || v.Phase == spec.PhaseDownloading || v.Phase == spec.PhaseVerifying) {
			return v.Device + ": " + v.Reason
		}
	}
	return ""
}

func count(s *Spec, devices []View, started int, now int64) Counts {
	c := Counts{Targets: len(devices), Started: started}
	for i := range devices {
		v := &devices[i]
		_, bad := v.failed(now, seconds(s.Silent))
		switch {
		case bad:
			c.Failed++
		case v.Phase == spec.PhaseActive:
			c.Active++
		case v.Phase == spec.PhaseProbation:
			c.Trial++
		case v.Phase == spec.PhaseShadow:
			c.Shadow++
		case !v.Connected:
			c.Unknown++
		default:
			c.Waiting++
		}
	}
	return c
}

// limits are the gates that need no statistics.
func limits(s *Spec, devices []View, started int, now int64, stage int) (string, bool) {
	failures, tried := 0, 0
	// one of the canaries has failed; a box that failed in shadow, with a full disk for example,
	// is no evidence about the model
	canary := false
	var first string
	for i := range devices {
		v := &devices[i]
		if v.Stats.NonFinite > 0 {
			return fmt.Sprintf("%s: %d predictions were not finite", v.Device, v.Stats.NonFinite), true
		}
		if v.Stats.Panics > 0 {
			return fmt.Sprintf("%s: the model panicked %d times", v.Device, v.Stats.Panics), true
		}
		if v.Stats.LatencyP99US > s.MaxLatencyUS && v.Stats.Rows+v.Stats.Warm >= 20 {
			return fmt.Sprintf("%s: p99 latency %.0f µs, allowed %.0f µs", v.Device, v.Stats.LatencyP99US, s.MaxLatencyUS), true
		}
		if v.Assigned > 0 {
			tried++
		}
		if why, bad := v.failed(now, seconds(s.Silent)); bad {
			failures++
			canary = canary || stage == 1 && len(s.Stages) > 1 && i < started
			if first == "" {
				first = why
			}
		}
	}
	if failures > 0 && (canary || float64(failures) > s.MaxFailed*float64(max(tried, 1))) {
		return fmt.Sprintf("%d of %d devices failed; first: %s", failures, tried, first), true
	}
	return "", false
}

// orders brings every device to what the stage requires of it; it repeats nothing that was ordered
// before.
func orders(stage int, devices []View, started int) (out []Order) {
	for i, v := range devices {
		want := spec.PhaseShadow
		if i < started {
			want = spec.PhaseActive
		}
		if v.Wanted != want && v.Wanted != spec.PhaseActive {
			out = append(out, Order{v.Device, want})
		}
	}
	return out
}

// judge pools the paired losses of the devices that matter to the stage. ready reports that every
// one of them that has a link and has not failed has its labelled rows; what failed devices
// measured counts, and how many may fail is for limits to decide.
func judge(s *Spec, st *Status, stage int, devices []View, started int, now int64) (sequential.Verdict, bool) {
	st.Pooled = spec.Paired{}
	ready, counted := true, 0
	for i := range devices {
		v := &devices[i]
		if stage > 0 && i >= started {
			continue
		}
		need := int64(s.MinShadow)
		if stage > 0 {
			need = int64(s.Probation)
		}
		settled := stage > 0 && v.Phase == spec.PhaseActive // has passed its own probation
		there := settled || v.Stats.Labelled >= need && (stage == 0 && v.Phase == spec.PhaseShadow || stage > 0 && v.Phase == spec.PhaseProbation)
		if _, bad := v.failed(now, seconds(s.Silent)); bad {
			add(&st.Pooled, v.Stats)
			continue
		}
		switch {
		case there:
			counted++
			add(&st.Pooled, v.Stats)
		case v.Connected:
			ready = false
			if v.Phase == spec.PhaseShadow || v.Phase == spec.PhaseProbation {
				if stage == 0 || v.Phase == spec.PhaseProbation {
					add(&st.Pooled, v.Stats)
				}
			}
		}
		if stage > 0 && stage == len(s.Stages) && v.Connected && v.Phase != spec.PhaseActive {
			ready = false // the last stage is over when everybody who can is active
		}
	}
	if counted == 0 {
		ready = false
	}
	p := st.Pooled
	n := float64(p.Labelled)
	lo, hi := sequential.Bound(n, p.SumDiff, p.SumDiff2, s.Alpha, float64(s.MinShadow*max(counted, 1)))
	st.Bound = [2]float64{finite(lo), finite(hi)}
	verdict := sequential.NonInferior(n, p.SumIncumbent, p.SumDiff, p.SumDiff2, s.MaxRegression, s.Alpha, s.MinShadow)
	if verdict == sequential.Fail {
		if _, settled := s.trial().Worse(p, p.SumDiff/n-lo); !settled {
			return worseSoFar, false
		}
	}
	if stage > 0 && ready && verdict == sequential.Inconclusive {
		// shadow has shown on everybody's rows that it is not worse; here nothing may contradict
		verdict = sequential.Pass
	}
	return verdict, ready
}

// worseSoFar is the verdict on losses that show a candidate to be worse without settling it.
const worseSoFar sequential.Verdict = "worse so far"

func finite(v float64) float64 {
	return min(max(v, -1e9), 1e9) // JSON has no infinity
}

func allowed(s *Spec, p spec.Paired) float64 {
	return s.MaxRegression * p.SumIncumbent / float64(max(p.Labelled, 1))
}

func add(a *spec.Paired, b spec.Paired) {
	a.Rows += b.Rows
	a.Labelled += b.Labelled
	a.Warm += b.Warm
	if b.From != 0 && (a.From == 0 || b.From < a.From) {
		a.From = b.From
	}
	a.To = max(a.To, b.To)
	a.SumIncumbent += b.SumIncumbent
	a.SumCandidate += b.SumCandidate
	a.SumDiff += b.SumDiff
	a.SumDiff2 += b.SumDiff2
	a.NonFinite += b.NonFinite
	a.Panics += b.Panics
	a.LatencyP99US = max(a.LatencyP99US, b.LatencyP99US)
	a.Disagreement = max(a.Disagreement, b.Disagreement)
}
