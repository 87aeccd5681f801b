package spec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"skerry.dev/compute/sequential"
)

// Phase is where a device is with one assigned artifact.
type Phase string

// The phases of an assignment on a device. Desired state uses only Shadow, Active and
// Withdrawn.
const (
	PhaseAssigned    Phase = "assigned"
	PhaseDownloading Phase = "downloading"
	PhaseVerifying   Phase = "verifying"
	PhaseShadow      Phase = "shadow"    // predicts beside the incumbent, output discarded
	PhaseProbation   Phase = "probation" // active, the previous model runs beside it
	PhaseActive      Phase = "active"
	PhaseReverted    Phase = "reverted" // was active, the device went back on its own or on command
	PhaseVetoed      Phase = "vetoed"   // the device refused to activate it after its trial
	PhaseFailed      Phase = "failed"   // could not be downloaded, verified or loaded
	// PhaseWithdrawn of desired state ends a trial of the artifact and takes it out of use; the device
	// reports it when that is done.
	PhaseWithdrawn Phase = "withdrawn"
)

// Cause says whose fault it is that a device does not run what it is assigned.
type Cause string

// The causes. Only the model's own failure is evidence about the model.
const (
	CauseModel   Cause = "model"   // what it computes: its losses, values that are not finite, panics, its time
	CauseDevice  Cause = "device"  // starts that did not last, files that went bad, a task it does not fit
	CauseHub     Cause = "hub"     // the hub sends other bytes than it has signed
	CauseNetwork Cause = "network" // a device with a link does not report
	CauseOrder   Cause = "order"   // it is forbidden
)

// Final reports whether the device will do nothing more about the assignment without a new
// generation.
func (p Phase) Final() bool {
	return p == PhaseActive || p == PhaseWithdrawn || p.Failed()
}

// Failed reports whether the device does not run the artifact and will not by itself.
func (p Phase) Failed() bool {
	return p == PhaseReverted || p == PhaseVetoed || p == PhaseFailed
}

// Desired is the state that the hub assigns to a device. A document with a smaller Generation
// than one already accepted is ignored.
type Desired struct {
	Device     string `json:"device"`
	Generation uint64 `json:"generation"`
	// Assignments by task name. A task without one keeps what it has.
	Assignments map[string]Assignment `json:"assignments,omitempty"`
	// Tombstones are digests of artifacts that must not run; an active one is reverted. A device
	// remembers them beyond the document.
	Tombstones []string `json:"tombstones,omitempty"`
	// Lifted are digests that were among Tombstones and may run again.
	Lifted []string `json:"lifted,omitempty"`
	// Suspect stops every push to a device that may be a clone (see wire.HelloReply).
	Suspect bool `json:"suspect,omitempty"`
}

// Assignment orders a device to bring one artifact to a phase for one task.
type Assignment struct {
	// the device ignores an assignment older than the newest it has seen for the task
	Generation uint64 `json:"generation"`
	Digest     string `json:"digest"`  // SHA-256 of the artifact, 64 hexadecimal digits
	Version    string `json:"version"` // for people, for example "pm25-next-hour@3"
	// path of the TUF target that signs it, "models/<task>/<digest>.skerry"
	Target string `json:"target"`
	Size   int64  `json:"size"`  // bytes
	Phase  Phase  `json:"phase"` // PhaseShadow, PhaseActive or PhaseWithdrawn
	// Hold keeps the device where it is: a trial goes on, measures and may end badly, but the device
	// neither activates the artifact nor settles it.
	Hold bool `json:"hold,omitempty"`
	// Return says that the device has run the artifact well before and goes back to it: at once, without
	// a trial.
	Return bool `json:"return,omitempty"`
	// Window is when the device may activate it
	Window  *Window `json:"window,omitempty"`
	Rollout string  `json:"rollout"`
	Trial   Trial   `json:"trial"`
}

// Trial bounds what a device demands of a candidate before and after it activates it.
type Trial struct {
	// labelled rows in shadow before activation; warm-up from the cache counts
	MinShadow int `json:"min_shadow"`
	Probation int `json:"probation"` // labelled rows on probation
	// candidate's mean loss may exceed the incumbent's by this fraction
	MaxRegression float64 `json:"max_regression"`
	MaxLatencyUS  float64 `json:"max_latency_us"` // p99 of one prediction
	// event time that losses must span before they settle that a candidate is worse, microseconds
	Cycle int64 `json:"cycle_us,omitempty"`
	// WithoutLabels counts rows instead of labelled ones: nobody says what was true. The candidate may
	// then differ from the incumbent by MaxDisagreement in the mean, in units of the target's scale.
	WithoutLabels   bool    `json:"without_labels,omitempty"`
	MaxDisagreement float64 `json:"max_disagreement,omitempty"`
	// probability of a wrong verdict over the whole rollout, of which a device has a part
	Alpha float64 `json:"alpha,omitempty"`
	// what the hub knows of the candidate, nil when nobody has compared it
	Evidence *Evidence `json:"evidence,omitempty"`
}

// Reported is the state a device publishes whenever it changes and at least every 30 s while
// connected.
type Reported struct {
	Device     string `json:"device"`
	Site       string `json:"site"`
	Version    string `json:"version"` // of the agent program
	Run        string `json:"run"`
	Generation uint64 `json:"generation"` // newest desired generation accepted
	Time       int64  `json:"time"`       // microseconds, device clock
	// device class, for example "linux/amd64"
	Class  string                  `json:"class"`
	Cohort string                  `json:"cohort,omitempty"`
	Tasks  map[string]ReportedTask `json:"tasks"`
	Outbox ReportedOutbox          `json:"outbox"`
	Health string                  `json:"health"` // "ok" or "degraded"
	// quantiles of predictions since the process started, microseconds
	LatencyUS map[string]float64 `json:"latency_us,omitempty"`
	Reasons   []string           `json:"reasons,omitempty"`
	// Inputs is what has arrived for the device's inputs, the most important first: what does not fit
	// is left out from the end. Agents up to 0.9 report none.
	Inputs []ReportedInput `json:"inputs,omitempty"`
	// LeftOut explains what the document lacks because it would have been too large.
	LeftOut string `json:"left_out,omitempty"`
}

// Bounds of a reported document: how many inputs and reasons it has, and how many bytes their texts
// have. Topics, payloads and keys of others' making stand in them.
const (
	MaxReportedInputs  = 500
	MaxReportedReasons = 100
	maxReportedText    = 1000
	maxReportedName    = 200
)

// bound makes lists and texts of a document no larger than their bounds, on copies.
func (r *Reported) bound() {
	if n := len(r.Reasons) - MaxReportedReasons; n > 0 {
		r.Reasons = append(slices.Clone(r.Reasons[:MaxReportedReasons-1]), fmt.Sprintf("and %d reasons more: skerry-agent status lists them on the device", n+1))
	}
	r.Reasons = clipped(r.Reasons, maxReportedText)
	r.Inputs = slices.Clone(r.Inputs[:min(len(r.Inputs), MaxReportedInputs)])
	for i := range r.Inputs {
		in := &r.Inputs[i]
		in.Series, in.Topic, in.Path = clip(in.Series, maxReportedName), clip(in.Topic, maxReportedName), clip(in.Path, maxReportedName)
		in.Tasks = clipped(in.Tasks[:min(len(in.Tasks), 8)], maxReportedName)
		in.LastText = clip(in.LastText, maxReportedName)
		in.LastRefused, in.Wrong = clip(in.LastRefused, maxReportedText), clipped(in.Wrong, maxReportedText)
		if math.IsNaN(in.LastValue) || math.IsInf(in.LastValue, 0) { // JSON has no word for it
			in.LastValue = 0
		}
	}
}

func clipped(texts []string, limit int) []string {
	out := slices.Clone(texts)
	for i := range out {
		out[i] = clip(out[i], limit)
	}
	return out
}

// clip bounds a text in bytes and leaves out what no column of text takes: control characters, and
// bytes that are not UTF-8.
func clip(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, ""))
}

// Encode writes the document in at most limit bytes, with lists and texts within their bounds. What
// does not fit is left out: inputs from the end until the others have half of the space, the
// longest task files, then tasks from the end of the alphabet, and LeftOut tells how much; the
// receiver keeps what it knows of a task whose file is missing. r is not changed.
func (r Reported) Encode(limit int) ([]byte, error) {
	all := len(r.Inputs)
	r.bound()
	for {
		b, err := json.Marshal(r.Inputs)
		if err != nil {
			return nil, err
		}
		if len(b) <= limit/2 {
			break
		}
		r.Inputs = r.Inputs[:len(r.Inputs)*3/4]
	}
	leave := func(files, tasks, allTasks int) {
		var parts []string
		if n := all - len(r.Inputs); n > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d inputs", n, all))
		}
		if files+tasks > 0 {
			parts = append(parts, fmt.Sprintf("%d task files and %d of %d tasks", files, tasks, allTasks))
		}
		if len(parts) > 0 {
			r.LeftOut = fmt.Sprintf("%s: a report has at most %d inputs and %d bytes", strings.Join(parts, ", "), MaxReportedInputs, limit)
		}
	}
	leave(0, 0, 0)
	b, err := json.Marshal(r)
	if err != nil || len(b) <= limit {
		return b, err
	}
	r.Tasks = maps.Clone(r.Tasks)
	names := slices.SortedFunc(maps.Keys(r.Tasks), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(r.Tasks[b].Spec), len(r.Tasks[a].Spec)), cmp.Compare(a, b))
	})
	files, tasks := 0, 0
	for size := len(b); size > limit && files < len(names); files++ {
		t := r.Tasks[names[files]]
		size -= len(t.Spec) // at least: what JSON escapes is longer
		t.Spec = ""
		r.Tasks[names[files]] = t
	}
	slices.Sort(names)
	for {
		leave(files, tasks, len(names))
		if b, err = json.Marshal(r); err != nil || len(b) <= limit || len(r.Tasks) == 0 {
			break
		}
		drop := max(1, len(r.Tasks)/8)
		for _, name := range names[len(r.Tasks)-drop : len(r.Tasks)] {
			delete(r.Tasks, name)
		}
		tasks += drop
	}
	if err == nil && len(b) > limit {
		err = fmt.Errorf("encode reported state: %d bytes without a task, at most %d are allowed", len(b), limit)
	}
	return b, err
}

// ReportedInput is what has arrived for one input since the agent started.
type ReportedInput struct {
	Series   string   `json:"series"`
	Topic    string   `json:"topic"`
	Path     string   `json:"path,omitempty"`
	Tasks    []string `json:"tasks,omitempty"`
	Readings uint64   `json:"readings"`
	Refused  uint64   `json:"refused,omitempty"`
	Outside  uint64   `json:"outside,omitempty"` // readings out of the declared range, which are missing
	// messages on its topics that carried no value for it
	Missing  uint64 `json:"missing,omitempty"`
	LastSeen int64  `json:"last_seen,omitempty"` // arrival of the newest reading, microseconds
	// of the newest reading; that of a category is its index
	LastValue float64 `json:"last_value,omitempty"`
	LastText  string  `json:"last_text,omitempty"` // of a category its name
	// usual time between two readings in seconds, 0 before there are two
	EveryS float64 `json:"every_s,omitempty"`
	// why the newest refused value was refused
	LastRefused string `json:"last_refused,omitempty"`
	// what is wrong and what to do
	Wrong []string `json:"wrong,omitempty"`
}

// ReportedOutbox reports how much waits on the device.
type ReportedOutbox struct {
	PendingRecords int64   `json:"pending_records"`
	PendingBytes   int64   `json:"pending_bytes"`
	CapBytes       int64   `json:"cap_bytes"`
	BytesPerDay    float64 `json:"bytes_per_day"`
	// how long the device can stay offline at this rate, -1 when unknown
	OfflineDays float64 `json:"offline_days"`
	// Stored counts the records ever accepted on the device, by class.
	Stored map[string]uint64 `json:"stored,omitempty"`
}

// ReportedTask is the state of one task.
type ReportedTask struct {
	Kind      string `json:"kind"`
	Spec      string `json:"spec"`      // the task file, as YAML
	SpecHash  string `json:"spec_hash"` // SHA-256 of it
	Watermark int64  `json:"watermark"` // microseconds of event time
	Rows      int64  `json:"rows"`
	Labels    int64  `json:"labels"`
	Drifts    int64  `json:"drifts"`
	Champion  string `json:"champion"` // digest of the active model, "" while on baselines
	Version   string `json:"version"`
	// trailing prequential error of what was published; of a classification the share of wrong
	// classes
	MAE         float64 `json:"mae"`
	MAEBaseline float64 `json:"mae_persistence"` // the same of the last-value baseline
	Coverage    float64 `json:"coverage"`        // trailing coverage of the interval or the set
	// of a classification with labels
	Classes *ReportedClasses `json:"classes,omitempty"`
	// trailing interval scores, of the interval and of one of constant width around the same values;
	// the smaller the better, 0 when there are none
	IntervalScore float64 `json:"interval_score,omitempty"`
	IntervalPlain float64 `json:"interval_plain,omitempty"`
	// labels by message that belonged to no row
	Unmatched int64 `json:"unmatched,omitempty"`
	// Assignment reports how far the newest assignment has come.
	Assignment *ReportedAssignment `json:"assignment,omitempty"`
}

// ReportedClasses is how a classification does lately. The baseline is the newest label as far as
// labels repeat, else how frequent each class is. Log losses are means in nats.
type ReportedClasses struct {
	ErrorRate         float64 `json:"error_rate"` // share of wrong classes
	ErrorRateBaseline float64 `json:"error_rate_persistence"`
	LogLoss           float64 `json:"log_loss"`
	LogLossBaseline   float64 `json:"log_loss_persistence"`
	SetSize           float64 `json:"set_size"` // mean number of classes in a set
}

// Texts are the errors of the predictions and of the baseline for people.
func (c *ReportedClasses) Texts() (predictions, baseline string) {
	return fmt.Sprintf("%.1f %% wrong, log loss %.3g", 100*c.ErrorRate, c.LogLoss), fmt.Sprintf("%.1f %%, %.3g", 100*c.ErrorRateBaseline, c.LogLossBaseline)
}

// LabelsText is how many labels found their row, and how many did not.
func (t *ReportedTask) LabelsText() string {
	if t.Unmatched == 0 {
		return fmt.Sprint(t.Labels)
	}
	return fmt.Sprintf("%d, %d without a row", t.Labels, t.Unmatched)
}

// IntervalText is the interval score beside that of intervals of constant width, "-" where there is
// none.
func (t *ReportedTask) IntervalText() string {
	if t.IntervalPlain == 0 {
		return "-"
	}
	return fmt.Sprintf("%.4g, constant %.4g", t.IntervalScore, t.IntervalPlain)
}

// ReportedAssignment is a device's progress with an assignment. Losses are paired: both models on
// the same labelled rows, each loss scaled by the trailing scale of the target's change and
// clipped to [0, 4].
type ReportedAssignment struct {
	Generation uint64 `json:"generation"`
	Rollout    string `json:"rollout"`
	Digest     string `json:"digest"`
	Phase      Phase  `json:"phase"`
	Reason     string `json:"reason,omitempty"` // why vetoed, reverted or failed, or what it waits for
	Cause      Cause  `json:"cause,omitempty"`  // whose fault that is; agents up to 0.9 name none
	Stats      Paired `json:"stats"`
}

// Paired is what a trial has measured so far, in a form that adds up over devices.
type Paired struct {
	Rows         int64   `json:"rows"`          // predictions made by the candidate
	Labelled     int64   `json:"labelled"`      // rows with both losses
	Warm         int64   `json:"warm"`          // of these, rows from the local cache
	From         int64   `json:"from"`          // event time of the first labelled row, microseconds
	To           int64   `json:"to"`            // and of the newest
	SumIncumbent float64 `json:"sum_incumbent"` // sum of the incumbent's losses
	SumCandidate float64 `json:"sum_candidate"`
	SumDiff      float64 `json:"sum_diff"` // sum of candidate - incumbent
	NonFinite    int64   `json:"non_finite"`
	Panics       int64   `json:"panics"`
	LatencyP99US float64 `json:"latency_p99_us"`
	Disagreement float64 `json:"disagreement"` // mean |candidate - incumbent| in units of the scale
	// the same losses by event time: what a verdict rests on
	Blocks sequential.Blocks `json:"blocks,omitzero"`
}
