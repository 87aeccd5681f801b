package feed

// Kinds of events and the details they carry. What is added to a detail later is optional: readers
// ignore kinds that are new to them.
const (
	// KindApplied: ingest has applied a batch. Detail: Applied.
	KindApplied = "applied"
	// KindDrift: a device found drift in the errors of a task. Detail: Drift.
	KindDrift = "drift"
	// KindState: a device reported its state. Detail: State.
	KindState = "state"
	// KindSuspect: a device may be a copy of another. Detail: Suspect.
	KindSuspect = "suspect"
	// KindLink: a device's link came up or went down. Detail: Link.
	KindLink = "link"
	// KindDevice: a device was enrolled, revoked or deleted. Detail: Changed.
	KindDevice = "device"
	// KindJob: a job was queued, started or ended. Detail: Job.
	KindJob = "job"
	// KindRollout: a rollout changed its state or its stage. Detail: Rollout.
	KindRollout = "rollout"
	// KindLake: chunks were moved to the lake. Detail: Lake.
	KindLake = "lake"
)

// Applied sums up what a batch of chunks brought. A large batch gives several events.
type Applied struct {
	Tasks map[string]LabelSum `json:"tasks,omitempty"`
	// Series counts readings by series.
	Series map[string]int64 `json:"series,omitempty"`
}

// LabelSum is what the labels of one task add up to.
type LabelSum struct {
	Labels int64 `json:"labels"`
	Newest int64 `json:"newest"` // the newest label's event time, microseconds
	// Scored labels have a finite error of the hub's model and of the last value; Model and Base
	// are the sums of those absolute errors.
	Scored int64   `json:"scored,omitempty"`
	Model  float64 `json:"model,omitempty"`
	Base   float64 `json:"base,omitempty"`
}

// Drift is one drift event of a device.
type Drift struct {
	Time  int64  `json:"time"`  // event time, microseconds
	Model string `json:"model"` // the hub's model that errs, "" for the device's baselines
}

// State names the tasks that a device runs by the hashes of their files.
type State struct {
	Tasks map[string]string `json:"tasks"`
}

// Suspect describes why a device may be a copy.
type Suspect struct {
	Reason string `json:"reason"`
}

// Link is the state of a device's link.
type Link struct {
	Connected bool `json:"connected"`
}

// Changed describes what became of a device: "enrolled", "revoked" or "deleted".
type Changed struct {
	Change string `json:"change"`
}

// Job is the state of a job.
type Job struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	State string `json:"state"`
}

// Rollout is the state of a rollout.
type Rollout struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Stage  string `json:"stage"`
	Reason string `json:"reason,omitempty"`
}

// Lake describes how many chunks of a class and site were moved.
type Lake struct {
	Class  string `json:"class"`
	Site   string `json:"site"`
	Chunks int    `json:"chunks"`
}
