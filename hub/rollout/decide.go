package rollout

import (
	"cmp"
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
	LinkedAt  int64 // when its link came up, microseconds; 0 unknown
	Assigned  int64 // when this rollout last assigned something to it, microseconds; 0 never
	Wanted    spec.Phase
	Phase     spec.Phase // as reported for this rollout, "" when nothing was
	Cause     spec.Cause // of a phase that has failed
	Reason    string
	Stats     spec.Paired // of the phase it is in
	Shadow    spec.Paired // what it had measured in shadow when it was told to activate
	SeenAt    int64       // newest report of any kind
	FailedAt  int64       // when it was first known to have failed, 0 when it has not
	Tries     int         // how often it was ordered again after it had failed
}

// Order is what a device should be ordered.
type Order struct {
	Device string
	Phase  spec.Phase
	Again  bool // it has failed before
}

// Decision is the next step of a rollout.
type Decision struct {
	State  State
	Status Status
	Orders []Order
	Fail   bool // the version must be tombstoned and taken back
}

// Clock is the time of a decision.
type Clock struct {
	Now     int64 // microseconds
	Started int64 // since when this hub decides: what it did not see before is no silence
}

// failed reports whether a device has reported or shown that it does not run the candidate, and
// whose fault that is. Silence counts from the link and from the hub's start.
func (v *View) failed(s *Spec, at Clock) (cause spec.Cause, why string, bad bool) {
	if v.Phase.Failed() {
		// agents up to 0.9 name no cause: a veto rests on what the model did
		cause = cmp.Or(v.Cause, spec.CauseDevice)
		if v.Cause == "" && v.Phase == spec.PhaseVetoed {
			cause = spec.CauseModel
		}
		return cause, fmt.Sprintf("%s %s: %s", v.Device, v.Phase, v.Reason), true
	}
	if since := max(v.Assigned, v.SeenAt, v.LinkedAt, at.Started); v.Connected && v.Assigned > 0 && at.Now-since > seconds(s.Silent) {
		return spec.CauseNetwork, fmt.Sprintf("%s is connected and silent", v.Device), true
	}
	return "", "", false
}

// faulty reports what a device's own figures say against the candidate without statistics, also
// before the device has acted on it.
func (v *View) faulty(s *Spec) (string, bool) {
	switch p := &v.Stats; {
	case p.NonFinite > 0:
		return fmt.Sprintf("%s: %d predictions were not finite", v.Device, p.NonFinite), true
	case p.Panics > 0:
		return fmt.Sprintf("%s: the model panicked %d times", v.Device, p.Panics), true
	case p.LatencyP99US > s.MaxLatencyUS && p.Rows+p.Warm >= 20:
		return fmt.Sprintf("%s: p99 latency %.0f µs, allowed %.0f µs", v.Device, p.LatencyP99US, s.MaxLatencyUS), true
	}
	return "", false
}

// Decide computes the next step of a running rollout from what is known. It has no side effects
// and depends on nothing else: devices are sorted by a hash of seed and name, so the same devices
// are canaries at every call. The controller's seed is the model's digest: a dry run names the
// same devices.
func Decide(seed string, s *Spec, st Status, devices []View, at Clock) Decision {
	d := Decision{State: Running, Status: st}
	d.Status.Reason, d.Status.Verdict, d.Status.Apart = "", "", nil
	ordered := order(seed, devices)
	started := startedAt(s, st.Stage, ordered)
	d.Status.Counts = count(s, ordered, started, at)

	if len(ordered) == 0 {
		d.Status.Reason = "no device runs the task yet"
		if at.Now-st.Since > seconds(s.Deadline) {
			d.State, d.Status.Reason = Paused, "inconclusive: no device runs the task"
		}
		return d
	}
	d.Orders = orders(s, st.Stage, ordered, started, at)
	l := limits(s, ordered, started, at)
	d.Status.Apart = l.apart
	switch {
	case l.model != "":
		d.Fail, d.State, d.Status.Reason, d.Status.Verdict = true, RollingBack, l.model, string(sequential.Fail)
	case l.other != "":
		d.State, d.Status.Reason = Paused, l.other
	default:
		d.weigh(s, ordered, started, at)
	}
	if d.State == RollingBack || d.State == Paused {
		d.Orders = nil
	}
	return d
}

// weigh judges the losses and goes on, or does not.
func (d *Decision) weigh(s *Spec, ordered []View, started int, at Clock) {
	st, c := d.Status, &d.Status.Counts
	expired := at.Now-st.Since > seconds(s.Deadline)
	j := judge(s, &d.Status, st.Stage, ordered, started)
	switch {
	case j.Outcome == sequential.Pass && st.Proof == nil:
		d.Status.Proof = &Proof{At: at.Now, Stage: st.StageName, Rows: j.Rows, Bound: d.Status.Bound}
	case j.Outcome == sequential.Inconclusive && st.Proof != nil && !j.Worse:
		// what it has shown once holds at every later look: nothing may contradict it
		j.Outcome = sequential.Pass
	}
	d.Status.Verdict = string(j.Outcome)
	left, ready := d.ready(s, ordered, started, at)
	waiting := func(step, reason string) {
		d.Status.Step, d.Status.Reason = step, reason
		if expired {
			d.State, d.Status.Reason = Paused, "inconclusive: the stage's deadline has passed"
			if reason != "" {
				d.Status.Reason = "inconclusive: " + reason
			}
		}
	}
	switch {
	case j.Outcome == sequential.Fail:
		d.Fail, d.State, d.Status.Reason = true, RollingBack, "the candidate is worse: "+j.Reason
	case j.split:
		d.State, d.Status.Reason = Paused, fmt.Sprintf("inconclusive: the fleet is split: %d devices differ from the others, first %s: %s", len(d.Status.Apart), d.Status.Apart[0].Device, d.Status.Apart[0].Reason)
	case j.Worse:
		waiting("soaking", j.Reason)
	case !ready:
		d.Status.Step = "rolling"
		if c.Waiting == 0 {
			d.Status.Step = "soaking"
		}
		waiting(d.Status.Step, cmp.Or(reasonOf(ordered), left))
	case float64(c.Unknown) > s.MaxUnknown*float64(c.Targets):
		waiting("soaking", fmt.Sprintf("%d of %d devices have no link", c.Unknown, c.Targets))
	case j.Outcome != sequential.Pass:
		waiting("judging", j.Reason)
	case st.Stage == len(s.Stages) && c.Active == 0:
		waiting("rolling", "no device runs it yet")
	case !d.soaked(s, at):
		waiting("soaking", fmt.Sprintf("soaks until %s", time.UnixMicro(d.Status.ReadyAt+seconds(s.Stages[st.Stage-1].Soak)).UTC().Format("2006-01-02 15:04:05 UTC")))
	default:
		d.advance(s, at.Now)
		d.Status.Left = left
	}
}

// soaked reports whether a stage whose devices are through has gone on for as long as it is to.
func (d *Decision) soaked(s *Spec, at Clock) bool {
	st := &d.Status
	if st.Stage == 0 || s.Stages[st.Stage-1].Soak == 0 {
		return true
	}
	if st.ReadyAt == 0 {
		st.ReadyAt = at.Now
	}
	return at.Now-st.ReadyAt >= seconds(s.Stages[st.Stage-1].Soak)
}

// advance enters the next stage or completes the rollout.
func (d *Decision) advance(s *Spec, now int64) {
	if d.Status.Stage == len(s.Stages) {
		d.State, d.Status.Step = Completed, ""
		return
	}
	d.Status.Stage++
	d.Status.StageName = s.Stages[d.Status.Stage-1].Name
	d.Status.Step, d.Status.Since, d.Status.HalfAt, d.Status.ReadyAt, d.Status.Left = "rolling", now, 0, 0, ""
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
		// another takes the place of one that has failed
		if x, y := a.Phase.Failed(), b.Phase.Failed(); x != y {
			if y {
				return -1
			}
			return 1
		}
		// who has started stays started
		if x, y := a.Wanted == spec.PhaseActive, b.Wanted == spec.PhaseActive; x != y {
			if x {
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

// reasonOf explains what the first device with a link and a reason waits for, "" when none does.
func reasonOf(devices []View) string {
	for i := range devices {
		if v := &devices[i]; v.Connected && v.Reason != "" && (v.Phase == spec.PhaseAssigned || v.Phase == spec.PhaseDownloading || v.Phase == spec.PhaseVerifying) {
			return v.Device + ": " + v.Reason
		}
	}
	return ""
}

func count(s *Spec, devices []View, started int, at Clock) Counts {
	c := Counts{Targets: len(devices), Started: started}
	for i := range devices {
		v := &devices[i]
		cause, _, bad := v.failed(s, at)
		switch {
		case bad && v.again(s, cause):
			c.Penalty++
		case bad:
			c.Failed++
		case v.Phase == spec.PhaseActive:
			c.Active++
		case !v.Connected: // what it does now is unknown
			c.Unknown++
		case v.Phase == spec.PhaseProbation:
			c.Trial++
		case v.Phase == spec.PhaseShadow:
			c.Shadow++
		default:
			c.Waiting++
		}
	}
	return c
}

// again reports whether a device that has failed for a cause is ordered again soon: not for what the
// model itself has done, and not after its tries.
func (v *View) again(s *Spec, cause spec.Cause) bool {
	return (cause == spec.CauseDevice || cause == spec.CauseHub) && v.Tries < s.Retries
}

// limit is what the gates that need no statistics say: why the model is at fault, or why something
// else is that stops the rollout, "" for neither; apart are the devices whose failures stay theirs.
type limit struct {
	model, other string
	apart        []Apart
}

// limits counts failures by their cause. One device's failure is its own: a model is at fault when
// as many devices say so as quorum, of all that have tried it or of those that have started it.
func limits(s *Spec, devices []View, started int, at Clock) (l limit) {
	var model, modelStarted, other, tried, began int
	var firstModel, firstOther string
	for i := range devices {
		v := &devices[i]
		if v.Assigned > 0 {
			tried++
		}
		if v.Wanted == spec.PhaseActive {
			began++
		}
		cause, why, bad := v.failed(s, at)
		if text, faulty := v.faulty(s); faulty && (!bad || cause == spec.CauseModel) {
			cause, why, bad = spec.CauseModel, text, true
		}
		switch {
		case !bad || cause == spec.CauseOrder:
			continue
		case cause == spec.CauseModel:
			model++
			if v.Wanted == spec.PhaseActive {
				modelStarted++
			}
			firstModel = cmp.Or(firstModel, why)
		case v.again(s, cause):
			continue
		default:
			other++
			firstOther = cmp.Or(firstOther, why)
		}
		l.apart = append(l.apart, Apart{v.Device, why})
	}
	switch {
	case model >= quorum(s, tried, len(devices)):
		l.model = fmt.Sprintf("the model fails on %d of %d devices; first: %s", model, tried, firstModel)
	case modelStarted >= quorum(s, began, len(devices)):
		l.model = fmt.Sprintf("the model fails on %d of the %d devices that have started it; first: %s", modelStarted, began, firstModel)
	case model+other > tolerated(s, tried):
		l.other = fmt.Sprintf("%d of %d devices failed; first: %s", model+other, tried, cmp.Or(firstOther, firstModel))
	}
	return l
}

// quorum is how many devices must say that a model is at fault: more than MaxFailed of them, two
// where there are two, and three in a fleet of ten, where one may be sick and one a liar.
func quorum(s *Spec, tried, targets int) int {
	least := min(2, targets)
	if targets >= 10 {
		least = 3
	}
	return max(least, int(s.MaxFailed*float64(tried))+1)
}

// tolerated is how many devices may have failed while the others go on.
func tolerated(s *Spec, tried int) int {
	n := int(s.MaxFailed * float64(tried))
	if tried > 2 {
		n = max(n, 1)
	}
	return n
}

const (
	firstPenalty int64 = 30 * 1_000_000 // microseconds
	maxPenalty   int64 = 4 * 60 * 1_000_000
	// after so many tries waits double again
	quickTries           = 8
	lastingPenalty int64 = 6 * 3600 * 1_000_000
)

// penalty is how long a device that has failed waits before it is ordered again: soon after trouble
// that passes, such as kills and full disks, and rarely where it does not.
func penalty(tries int) int64 {
	if tries < quickTries {
		return min(firstPenalty<<tries, maxPenalty)
	}
	return min(maxPenalty<<min(tries-quickTries+1, 10), lastingPenalty)
}

// orders brings every device to what the stage requires of it; it repeats nothing that was ordered
// before, but to a device that has failed for no fault of the model, after a wait that doubles.
func orders(s *Spec, stage int, devices []View, started int, at Clock) (out []Order) {
	left := len(devices) // that may be told to activate it now
	if stage > 0 && s.Stages[stage-1].Rate > 0 {
		left = s.Stages[stage-1].Rate
		for i := range devices {
			if v := &devices[i]; v.Wanted == spec.PhaseActive && at.Now-v.Assigned < seconds(60) {
				left--
			}
		}
	}
	for i := range devices {
		v := &devices[i]
		want := spec.PhaseShadow
		if i < started {
			want = spec.PhaseActive
		}
		cause, _, bad := v.failed(s, at)
		switch {
		case bad && (cause == spec.CauseDevice || cause == spec.CauseHub):
			if v.FailedAt > 0 && at.Now-v.FailedAt >= penalty(v.Tries) {
				out = append(out, Order{v.Device, cmp.Or(v.Wanted, want), true})
			}
		case bad:
		case v.Wanted != want && v.Wanted != spec.PhaseActive:
			if want == spec.PhaseActive && left <= 0 {
				if v.Wanted != "" {
					continue
				}
				want = spec.PhaseShadow // it gets ready meanwhile
			}
			if want == spec.PhaseActive {
				left--
			}
			out = append(out, Order{v.Device, want, false})
		}
	}
	return out
}

// there reports whether a device has done what its stage asks of it.
func (v *View) there(s *Spec, stage int) bool {
	if stage == 0 {
		return v.Phase == spec.PhaseShadow && s.enough(v.Stats, s.MinShadow) || v.Phase == spec.PhaseProbation || v.Phase == spec.PhaseActive
	}
	return v.Phase == spec.PhaseActive || stage > 0 && v.Phase == spec.PhaseProbation && s.enough(v.Stats, s.Probation)
}

// ready reports whether the devices of the stage that have a link have done what it asks of them. A
// few that are slow do not hold the others for ever: half of them decide for the stage after twice
// the time that it took them. left says for whom it does not wait, or for whom it does.
func (d *Decision) ready(s *Spec, devices []View, started int, at Clock) (left string, ready bool) {
	st := &d.Status
	var there, slow int
	var first *View
	var late []string
	least := 1
	if st.Stage > 0 {
		least = max(s.Stages[st.Stage-1].MinDevices, 1)
	}
	for i := range devices {
		v := &devices[i]
		if st.Stage > 0 && i >= started {
			break
		}
		if _, _, bad := v.failed(s, at); bad {
			continue
		}
		switch done := v.there(s, st.Stage) && (st.Stage < len(s.Stages) || v.Phase == spec.PhaseActive); {
		case done && (v.Connected || v.Phase == spec.PhaseActive):
			there++
		case s.DeviceDeadline > 0 && v.Assigned > 0 && at.Now-v.Assigned > seconds(s.DeviceDeadline):
			late = append(late, v.Device)
		case v.Connected, v.Assigned > 0 && v.Assigned < at.Started && at.Now-at.Started < seconds(s.Silent): // links come back after a start
			slow++
			if first == nil {
				first = v
			}
		}
	}
	if there > 0 && there >= slow {
		if st.HalfAt == 0 {
			st.HalfAt = at.Now
		}
	} else {
		st.HalfAt = 0
	}
	if slow == 0 {
		if len(late) > 0 {
			left = fmt.Sprintf("the deadline of %d devices has passed, first %s", len(late), late[0])
		}
		if there == 0 {
			return left, false
		}
		if there < least {
			return fmt.Sprintf("%d devices are through, at least %d must be", there, least), false
		}
		return left, true
	}
	left = fmt.Sprintf("%s has %d labelled rows in %s", first.Device, first.Stats.Labelled, cmp.Or(string(first.Phase), "no phase"))
	if first.Stats.Rows >= unlabelledRows && first.Stats.Labelled == 0 && !s.WithoutLabels {
		left += fmt.Sprintf(" of %d: a task whose truth nobody sends is rolled out with without_labels", first.Stats.Rows)
	}
	if !first.Connected {
		left = first.Device + " has no link since the hub started"
	}
	if slow > 1 {
		left += fmt.Sprintf(", and %d more are not there yet", slow-1)
	}
	return left, there >= least && st.HalfAt > 0 && at.Now-st.Since > 2*(st.HalfAt-st.Since)+seconds(s.Silent)
}

// judgement is a judgement of pooled losses.
type judgement struct {
	spec.Judgement
	split bool
}

// judge judges the losses of all devices together, in shadow and on probation, and apart from them
// those of the stage's devices on probation, which may only contradict.
func judge(s *Spec, st *Status, stage int, devices []View, started int) judgement {
	var all, own []source
	for i := range devices {
		v := &devices[i]
		sum := v.Stats
		if stage > 0 && i < started && v.Wanted == spec.PhaseActive {
			own = append(own, source{v.Device, v.Stats})
			sum = joined(v.Shadow, v.Stats)
		}
		all = append(all, source{v.Device, sum})
	}
	pooled, apart, split := pool(all, s.MaxRegression, s.Alpha)
	st.Pooled, st.Apart = pooled, append(st.Apart, apart...)
	trial := s.Trial()
	if s.WithoutLabels {
		j := judgement{Judgement: spec.Judgement{Outcome: sequential.Inconclusive}}
		switch why := trial.Disagrees(spec.Paired{Rows: pooled.Rows, Disagreement: typical(all)}); {
		case why != "":
			j.Outcome, j.Worse, j.Reason = sequential.Fail, true, why
		case pooled.Rows >= int64(s.MinShadow):
			j.Outcome = sequential.Pass
		}
		return j
	}
	j := judgement{trial.Judge(pooled, pooledShare*s.Alpha, max(counted(all), 1)), split}
	half := j.Half
	st.Bound = [2]float64{finite(j.Mean - half), finite(j.Mean + half)}
	st.Needs = finite(j.Needs(s.MaxRegression))
	if len(own) > 0 && j.Outcome != sequential.Fail {
		p, _, _ := pool(own, s.MaxRegression, s.Alpha)
		if k := trial.Judge(p, stageShare*s.Alpha, max(counted(own), 1)); k.Outcome == sequential.Fail || k.Worse {
			j.Judgement = k
			j.Reason = "on probation, " + j.Reason
		}
	}
	return j
}

// unlabelledRows are so many that some would have a label by now where there are any.
const unlabelledRows = 2000

func (s *Spec) enough(p spec.Paired, need int) bool { return s.Trial().Enough(p, need) }

// typical is by how much the predictions of the median device differ: one that is far off decides
// nothing for the others.
func typical(all []source) float64 {
	var v []float64
	for _, s := range all {
		if s.Rows > 0 {
			v = append(v, s.Disagreement)
		}
	}
	return median(v)
}

// counted is how many devices have losses.
func counted(sources []source) (n int) {
	for _, s := range sources {
		if s.Labelled > 0 {
			n++
		}
	}
	return n
}

// joined adds what one device measured in two phases.
func joined(a, b spec.Paired) spec.Paired {
	b.Rows += a.Rows
	b.Labelled += a.Labelled
	b.Warm += a.Warm
	if a.From != 0 && (b.From == 0 || a.From < b.From) {
		b.From = a.From
	}
	b.To = max(a.To, b.To)
	b.SumIncumbent += a.SumIncumbent
	b.SumCandidate += a.SumCandidate
	b.SumDiff += a.SumDiff
	b.NonFinite += a.NonFinite
	b.Panics += a.Panics
	b.LatencyP99US = max(a.LatencyP99US, b.LatencyP99US)
	b.Disagreement = max(a.Disagreement, b.Disagreement)
	sum := a.Blocks.Clone()
	sum.Merge(b.Blocks)
	b.Blocks = sum
	return b
}

func finite(v float64) float64 {
	return min(max(v, -1e9), 1e9) // JSON has no infinity
}
