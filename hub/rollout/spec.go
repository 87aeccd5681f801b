package rollout

import (
	"errors"
	"fmt"
	"time"

	"skerry.dev/sync/spec"
)

// State of a rollout.
type State string

// The states. Completed, RolledBack and Aborted are final.
const (
	Draft       State = "draft"
	Awaiting    State = "awaiting_approval"
	Running     State = "running"
	Paused      State = "paused"
	Completed   State = "completed"
	RollingBack State = "rolling_back"
	RolledBack  State = "rolled_back"
	Aborted     State = "aborted"
)

// Final reports whether nothing more happens to the rollout by itself.
func (s State) Final() bool { return s == Completed || s == RolledBack || s == Aborted }

// Spec describes how a model is rolled out. Zero fields take the defaults of Defaults.
type Spec struct {
	Task    string   `json:"task"`
	Digest  string   `json:"digest"`
	Cohort  string   `json:"cohort,omitempty" doc:"only devices of this cohort"`
	Devices []string `json:"devices,omitempty" doc:"only these devices"`
	Sites   []string `json:"sites,omitempty" doc:"only devices of these sites"`
	Classes []string `json:"classes,omitempty" doc:"only devices of these classes, for example linux/arm64"`
	Stages  []Stage  `json:"stages,omitempty" doc:"who may activate it, after the shadow stage that everybody runs; default canary (20 %, at least one) and all"`

	MinShadow       int          `json:"min_shadow,omitempty" doc:"labelled rows a device needs in shadow, warm-up included; default 48"`
	Probation       int          `json:"probation,omitempty" doc:"labelled rows a device runs on probation; default 48"`
	MaxRegression   float64      `json:"max_regression,omitempty" doc:"by which fraction the candidate's mean loss may exceed the incumbent's; default 0.05"`
	Alpha           float64      `json:"alpha,omitempty" doc:"probability of a wrong verdict on losses over the whole rollout; default 0.05"`
	Cycle           int64        `json:"cycle_s,omitempty" doc:"event time in seconds that losses must span before they settle that the candidate is worse, unless it is grossly so or there are 2000 of them; default 7 days, or three horizons of the task where that is more"`
	MaxLatencyUS    float64      `json:"max_latency_us,omitempty" doc:"p99 of one prediction on a device; default 1000"`
	WithoutLabels   bool         `json:"without_labels,omitempty" doc:"nobody sends what was true: rows are counted instead of labelled ones, and instead of losses the candidate's predictions are judged by how far they are from the incumbent's"`
	MaxDisagreement float64      `json:"max_disagreement,omitempty" doc:"by how much they may differ in the mean without labels, in units of the target's usual change; default 0.5"`
	MaxFailed       float64      `json:"max_failed,omitempty" doc:"fraction of the devices that may fail. Where more, and two at least or three of ten, fail by what the model does, it is rolled back and forbidden; where more fail for other causes (one of three or more may), the rollout pauses; default 0.1"`
	MaxUnknown      float64      `json:"max_unknown,omitempty" doc:"fraction of the targets that may be without a link when a stage passes; default 0.5"`
	Retries         int          `json:"retries,omitempty" doc:"how often a device that failed for no fault of the model is ordered again, after 30 s and twice as long each time up to 4 min, ever more rarely after eight, before it counts as failed; default 3"`
	Silent          int64        `json:"silent_s,omitempty" doc:"seconds after which a connected device that does not report counts as failed; from when its link came up and the hub started; default 120"`
	Deadline        int64        `json:"deadline_s,omitempty" doc:"seconds a stage may take before it is inconclusive; default a day and twice cycle_s"`
	DeviceDeadline  int64        `json:"device_deadline_s,omitempty" doc:"seconds that a stage waits for a device from when it was told; afterwards the stage goes on without it; default: as long as the stage"`
	Expires         int64        `json:"expires_s,omitempty" doc:"seconds that the rollout may take from its creation, pauses included; afterwards it pauses as inconclusive; default no bound"`
	Window          *spec.Window `json:"window,omitempty" doc:"when devices may activate it, by their local time; default always"`
	Approval        bool         `json:"approval,omitempty" doc:"wait for an approval before the shadow stage"`

	Evidence *spec.Evidence `json:"evidence,omitempty" doc:"what training measured of the candidate against what is in force"`
}

// Stage is a share of the targets that may activate the candidate.
type Stage struct {
	Name       string  `json:"name"`
	Percent    float64 `json:"percent,omitempty" doc:"of the targets, 0 to 100"`
	Count      int     `json:"count,omitempty" doc:"at least so many devices"`
	Rate       int     `json:"rate_per_minute,omitempty" doc:"at most so many devices are told to activate it in a minute; default no bound"`
	Soak       int64   `json:"soak_s,omitempty" doc:"seconds that the stage goes on after its devices are through"`
	MinDevices int     `json:"min_devices,omitempty" doc:"so many devices must be through; default 1"`
}

// defaultCycle is a week, in seconds: what a plant, an office or the weather goes through.
const defaultCycle = 7 * 24 * 3600

// ShadowStage is the name of stage 0.
const ShadowStage = "shadow"

// Defaults fills what is not set and checks the rest.
func (s *Spec) Defaults() error {
	if len(s.Stages) == 0 {
		s.Stages = []Stage{{Name: "canary", Percent: 20, Count: 1}, {Name: "all", Percent: 100}}
	}
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	deff := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
	}
	def(&s.MinShadow, 48)
	def(&s.Probation, 48)
	deff(&s.MaxRegression, 0.05)
	deff(&s.Alpha, 0.05)
	deff(&s.MaxLatencyUS, 1000)
	deff(&s.MaxFailed, 0.1)
	deff(&s.MaxUnknown, 0.5)
	if s.Cycle == 0 {
		s.Cycle = defaultCycle
	}
	if s.Silent == 0 {
		s.Silent = 120
	}
	if s.Deadline == 0 {
		s.Deadline = 2*s.Cycle + 24*3600
	}
	def(&s.Retries, 3)
	deff(&s.MaxDisagreement, 0.5)
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Task == "" || len(s.Digest) != 64 {
		bad("task %q, digest %q: a rollout needs a task and the digest of a registered model", s.Task, s.Digest)
	}
	if s.MinShadow < 2 || s.Probation < 2 {
		bad("min_shadow %d, probation %d: at least 2 labelled rows", s.MinShadow, s.Probation)
	}
	for name, v := range map[string]float64{"max_regression": s.MaxRegression, "alpha": s.Alpha, "max_failed": s.MaxFailed, "max_unknown": s.MaxUnknown} {
		if !(v > 0 && v < 1) {
			bad("%s %v: must be above 0 and below 1", name, v)
		}
	}
	for name, v := range map[string]float64{"cycle_s": float64(s.Cycle), "silent_s": float64(s.Silent), "deadline_s": float64(s.Deadline), "retries": float64(s.Retries), "max_latency_us": s.MaxLatencyUS, "max_disagreement": s.MaxDisagreement} {
		if !(v > 0 && v < 1e12) {
			bad("%s %v: must be above 0", name, v)
		}
	}
	for name, v := range map[string]int64{"device_deadline_s": s.DeviceDeadline, "expires_s": s.Expires} {
		if v < 0 {
			bad("%s %d: must not be negative", name, v)
		}
	}
	if err := s.Window.Check(); err != nil {
		errs = append(errs, err)
	}
	last := 0.0
	for i, st := range s.Stages {
		if st.Name == "" || st.Name == ShadowStage {
			bad("stages[%d].name %q: every stage needs a name of its own; shadow is stage 0 and always there", i, st.Name)
		}
		for name, v := range map[string]int64{"count": int64(st.Count), "rate_per_minute": int64(st.Rate), "soak_s": st.Soak, "min_devices": int64(st.MinDevices)} {
			if v < 0 {
				bad("stages[%d].%s %d: must not be negative", i, name, v)
			}
		}
		if !(st.Percent >= last && st.Percent <= 100) {
			bad("stages[%d].percent %v: must grow from stage to stage up to 100", i, st.Percent)
		}
		last = st.Percent
	}
	if last != 100 {
		bad("stages: the last one must be 100 percent, is %v", last)
	}
	return errors.Join(errs...)
}

// Trial is the check that devices make themselves.
func (s *Spec) Trial() spec.Trial {
	return spec.Trial{
		MinShadow:       s.MinShadow,
		Probation:       s.Probation,
		MaxRegression:   s.MaxRegression,
		MaxLatencyUS:    s.MaxLatencyUS,
		Cycle:           seconds(s.Cycle),
		Alpha:           s.Alpha,
		WithoutLabels:   s.WithoutLabels,
		MaxDisagreement: s.MaxDisagreement,
		Evidence:        s.Evidence,
	}
}

// named reports whether it is for some devices alone, whose model it becomes, and nobody's champion.
func (s *Spec) named() bool { return len(s.Devices)+len(s.Sites)+len(s.Classes) > 0 }

// StageNames lists shadow and the stages.
func (s *Spec) StageNames() []string {
	names := []string{ShadowStage}
	for _, st := range s.Stages {
		names = append(names, st.Name)
	}
	return names
}

// Status is the moving part of a rollout.
type Status struct {
	Stage     int         `json:"stage"`
	StageName string      `json:"stage_name"`
	Step      string      `json:"step"`  // rolling, soaking or judging
	Since     int64       `json:"since"` // start of the stage, microseconds of hub time
	Reason    string      `json:"reason,omitempty"`
	Verdict   string      `json:"verdict,omitempty"`
	Counts    Counts      `json:"counts"`
	Pooled    spec.Paired `json:"pooled"`
	Bound     [2]float64  `json:"bound"`              // of the mean loss difference, candidate minus incumbent
	Proof     *Proof      `json:"proof,omitempty"`    // what has shown that it is not worse
	Needs     float64     `json:"needs"`              // about how many rows would show that it is not worse; 1e9 unknown
	Apart     []Apart     `json:"apart,omitempty"`    // devices that do not count with the others, and why
	Left      string      `json:"left,omitempty"`     // for whom the stage before did not wait
	ReadyAt   int64       `json:"ready_at,omitempty"` // since when the stage soaks, microseconds
	HalfAt    int64       `json:"half_at,omitempty"`  // when half of the stage's devices were through, microseconds
	History   []Step      `json:"history,omitempty"`
	PausedAs  string      `json:"paused_as,omitempty"`
}

// Proof is the look at which the losses of a rollout have shown that the candidate is not worse, or
// whoever went on without that. At no look afterwards is it asked for again: a confidence sequence
// holds for all of them together, and what comes later may only contradict.
type Proof struct {
	At    int64      `json:"at"`
	Stage string     `json:"stage"`
	Rows  float64    `json:"rows"`
	Bound [2]float64 `json:"bound"`
	By    string     `json:"by,omitempty" doc:"who skipped the stage that asks for it"`
}

// Step is one line of a rollout's history.
type Step struct {
	At     int64  `json:"at"`
	State  State  `json:"state"`
	Stage  string `json:"stage"`
	Reason string `json:"reason,omitempty"`
	Actor  string `json:"actor,omitempty"`
}

// Counts sort the targets of a rollout.
type Counts struct {
	Targets int `json:"targets"`
	Started int `json:"started"` // may activate by the present stage
	Waiting int `json:"waiting"` // with a link, not there yet
	Shadow  int `json:"shadow"`
	Trial   int `json:"probation"`
	Active  int `json:"active"`
	Failed  int `json:"failed"`  // vetoed, reverted, failed or silent
	Penalty int `json:"penalty"` // failed, to be ordered again
	Unknown int `json:"unknown"` // without a link, and not known to run it
}

func seconds(s int64) int64 { return s * int64(time.Second/time.Microsecond) }
