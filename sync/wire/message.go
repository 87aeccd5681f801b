package wire

import "time"

// ClockFloor is a time that every right clock is past: a machine without a real-time clock starts
// in 1970, or where it was when it was last shut down.
var ClockFloor = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Subjects of the protocol. Site and device are single lower-case subject tokens.
//
//	edge.<site>.<device>.tel.live   request: chunks of readings, labels, predictions, host
//	                                telemetry created since this connection; reply:
//	                                Receipt
//	edge.<site>.<device>.tel.back   the same, created before
//	edge.<site>.<device>.evt        the same with alarms and events
//	edge.<site>.<device>.state      reported state (JSON, see spec.Reported)
//	svc.hello.<device>              request: Hello, reply: HelloReply
//	svc.desired.<device>            request: empty, reply: spec.Desired, empty when there is none
//	applied.<device>                Applied, published by the hub for agents that
//	                                do not read receipts
//	desired.<device>                spec.Desired, republished from the key-value bucket "desired"
const (
	StreamState   = "STATE"
	BucketDesired = "desired"
)

// SubjectLive returns the subject of live telemetry.
func SubjectLive(site, device string) string { return "edge." + site + "." + device + ".tel.live" }

// SubjectBack returns the subject of backfilled telemetry.
func SubjectBack(site, device string) string { return "edge." + site + "." + device + ".tel.back" }

// SubjectEvents returns the subject of alarms and events.
func SubjectEvents(site, device string) string { return "edge." + site + "." + device + ".evt" }

// SubjectState returns the subject of reported state.
func SubjectState(site, device string) string { return "edge." + site + "." + device + ".state" }

// SubjectHello returns the subject of the hello request.
func SubjectHello(device string) string { return "svc.hello." + device }

// SubjectApplied returns the subject on which the hub reports to a device what it applied.
func SubjectApplied(device string) string { return "applied." + device }

// SubjectDesiredRead returns the subject of the request for a device's desired state.
func SubjectDesiredRead(device string) string { return "svc.desired." + device }

// SubjectDesired returns the subject on which desired state is republished.
func SubjectDesired(device string) string { return "desired." + device }

// SubjectDesiredGet returns the direct-get subject that reads a device's desired state from the
// bucket of a hub that does not answer SubjectDesiredRead.
func SubjectDesiredGet(device string) string {
	return "$JS.API.DIRECT.GET.KV_" + BucketDesired + ".$KV." + BucketDesired + "." + device
}

// InboxPrefix returns the device's private reply prefix.
func InboxPrefix(device string) string { return "_INBOX_" + device }

// Range is an inclusive range of sequence numbers.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// RunInfo is one link of a device's run chain.
type RunInfo struct {
	Run       Run              `json:"run"`
	Prev      Run              `json:"prev"`
	BootID    string           `json:"boot_id"`
	StartedAt int64            `json:"started_at"` // microseconds, by the device's own clock
	ClockOK   bool             `json:"clock_ok"`
	Last      map[Class]uint64 `json:"last"` // last sequence number stored per class
}

// MaxHelloRuns is the most runs of one hello: more are said in several, of which each is answered
// by itself. A run takes about 200 bytes, and its answer twice that and more for every hole.
const MaxHelloRuns = 500

// MaxMessage is what a document of the protocol may have in bytes, with room below the 1 MiB at
// which the broker ends the connection of the sender.
const MaxMessage = 1000 << 10

// Hello is what an agent sends after it connected: who it is and what it holds.
type Hello struct {
	Device      string `json:"device"`
	Fingerprint string `json:"fingerprint"`
	JoinCounter uint64 `json:"join_counter"`
	Version     string `json:"version"`
	// Receipts: the agent reads receipts, and asks for its desired state itself.
	Receipts bool `json:"receipts,omitempty"`
	// every run of which something is still held, oldest first, and the current one; at most
	// MaxHelloRuns
	Runs []RunInfo `json:"runs"`
}

// HelloReply answers a Hello with everything the hub has applied of the runs named.
type HelloReply struct {
	Error string `json:"error,omitempty"`
	// clone or restore suspected: telemetry goes on, pushes stop
	Suspect bool `json:"suspect,omitempty"`
	// HubTime is the hub's clock in microseconds, 0 when it is not set. Whoever reads it takes a
	// time before ClockFloor for unset too: older hubs report any.
	HubTime  int64   `json:"hub_time"`
	Applied  Applied `json:"applied"`
	BackedUp Applied `json:"backed_up"`
	// MaxChunks is how many chunks the hub takes in one message (see Pack). 0: the hub is older
	// than receipts; it takes one and reports what it has applied on SubjectApplied alone.
	MaxChunks int `json:"max_chunks,omitempty"`
}

// Receipt answers a message of chunks. Exactly one of Applied, Refused, RetryMS and Stream is
// set.
type Receipt struct {
	// Applied: every chunk of the message is in the ledger, and its disk has it.
	Applied bool `json:"applied,omitempty"`
	// Refused names the chunks that are not in the ledger; the others are. They were kept aside
	// where the hub's operator finds them; sending them again changes nothing.
	Refused []Refusal `json:"refused,omitempty"`
	// RetryMS: nothing was stored, and the message may come again after so many milliseconds.
	RetryMS int64 `json:"retry_ms,omitempty"`
	// Error explains why, when chunks were refused or the message is to come again.
	Error string `json:"error,omitempty"`
	// HubTime is as in HelloReply: a clock that is set while a connection holds is seen. 0: the
	// hub is older, or its clock is not set.
	HubTime int64 `json:"hub_time,omitempty"`
	// Stream is the name in the acknowledgement of a stream: the hub is older than receipts. The
	// chunks are taken and not applied yet.
	Stream string `json:"stream,omitempty"`
}

// Refusal explains why one chunk of a message was refused. Index counts the chunks of the message
// from 0.
type Refusal struct {
	Index  int    `json:"index"`
	Reason string `json:"reason"`
}

// Applied lists which sequence numbers the hub has in its ledger. Sets replaces what the agent
// held of the runs and classes named.
type Applied struct {
	Sets []AppliedSet `json:"sets"`
}

// AppliedSet is the ledger of one (run, class): everything from 1 to Mark, and Ranges above it.
type AppliedSet struct {
	Run    Run     `json:"run"`
	Class  Class   `json:"class"`
	Mark   uint64  `json:"mark"`
	Ranges []Range `json:"ranges,omitempty"`
}

// Gap declares that the records From..To of a class will never arrive and why. Series holds what
// is known of the dropped values. It travels as an event of kind GapKind whose detail is this
// document.
type Gap struct {
	Run    Run                  `json:"run"`
	Class  Class                `json:"class"`
	From   uint64               `json:"from"`
	To     uint64               `json:"to"`
	Reason string               `json:"reason"` // "cap", "enospc", "damage"
	Series map[string]GapSeries `json:"series,omitempty"`
	// LeftOut is how many series, those with the fewest readings, had no room in the record.
	LeftOut int `json:"series_left_out,omitempty"`
}

// GapSeries aggregates the dropped readings of one series.
type GapSeries struct {
	Count    int64   `json:"count"`
	FromTime int64   `json:"from_time"`
	ToTime   int64   `json:"to_time"`
	Min      float64 `json:"min"`
	Max      float64 `json:"max"`
	Mean     float64 `json:"mean"`
}

// GapKind is the kind of the event that carries a Gap.
const GapKind = "gap"
