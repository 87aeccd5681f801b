package spec

import (
	"encoding/json"
	"errors"
	"fmt"
)

// MarkKind is the kind of the events that carry a [Mark] in their detail.
const MarkKind = "mark"

// MaxMarkSource bounds the text of a task file in a mark, in bytes: a longer one is left out, and
// the hub needs a definition with its hash.
const MaxMarkSource = 40 << 10

// MarkOp is what a mark says.
type MarkOp string

// What engines took beside readings. Shadow to Reset are the changes of a task's models, see
// package compute/engine.
const (
	MarkClock  MarkOp = "clock"  // Base holds for the readings behind it, of all tasks
	MarkTask   MarkOp = "task"   // the task begins, or goes on after a start or a change of its file
	MarkGone   MarkOp = "gone"   // the task ends; what it has learned is kept for a while
	MarkLost   MarkOp = "lost"   // its state is not what follows from what came before
	MarkKnown  MarkOp = "known"  // readings from before the task began were offered to it
	MarkRewind MarkOp = "rewind" // the clock was set back
	// MarkIdle: a silence made rows fire, or might have, that the arrivals around it do not show
	MarkIdle     MarkOp = "idle"
	MarkShadow   MarkOp = "shadow"
	MarkActivate MarkOp = "activate"
	MarkRevert   MarkOp = "revert"
	MarkSettle   MarkOp = "settle"
	MarkInstall  MarkOp = "install"
	MarkReset    MarkOp = "reset"
)

// Mark is one thing that an engine took beside readings, with its place among them: with the
// readings in the lake it is everything that the engine's state follows from. What is zero is left
// out of its JSON. See docs/plan/reproduction.md.
type Mark struct {
	Op MarkOp `json:"op"`
	// After is how many readings of the run had been stored before it: it stands behind the one with
	// this sequence number.
	After uint64 `json:"after"`
	// Settled: a silence behind that reading had made the rows fire that waited for the watermark, see
	// engine.Settled.
	Settled bool `json:"settled,omitempty"`
	// Base is when a reading's Mono began to count, microseconds: its message arrived at
	// Base + Mono/1000 by the device's clock.
	Base   int64          `json:"base,omitempty"`
	Digest string         `json:"digest,omitempty"` // of the artifact that a change of models names
	At     int64          `json:"at,omitempty"`     // the clock, of a rewind, or the arrival of known readings
	Ahead  int64          `json:"ahead,omitempty"`  // of a rewind: what engine.Rewind takes, microseconds
	Known  []KnownReading `json:"known,omitempty"`
	State  *MarkState     `json:"state,omitempty"` // of MarkTask
	Why    string         `json:"why,omitempty"`   // of MarkLost
}

// KnownReading is a reading that was offered to a task and is not behind the mark in the lake.
type KnownReading struct {
	Series string  `json:"series"`
	Time   int64   `json:"time"` // microseconds
	Value  float64 `json:"value"`
}

// MarkState says how a task stands at the beginning of a process, or after a change of its file.
type MarkState struct {
	Hash    string  `json:"hash"`             // of the task file
	Source  string  `json:"source,omitempty"` // its text, "" when longer than MaxMarkSource
	Learned Learned `json:"learned"`          // the order of the state's lists
	Anew    bool    `json:"anew,omitempty"`   // it has learned nothing yet
	// Recalibrated: its intervals begin anew, since they are for another coverage.
	Recalibrated bool `json:"recalibrated,omitempty"`
	// Earlier is how many readings runs before this one have stored, lost ones included.
	Earlier uint64 `json:"earlier"`
	// Version is engine.StateVersion of the program, and Arch its GOARCH: with another version or
	// architecture a replay may come to other bits.
	Version int64  `json:"version"`
	Arch    string `json:"arch"`
}

// markOps are all there are.
var markOps = map[MarkOp]bool{
	MarkClock: true, MarkTask: true, MarkGone: true, MarkLost: true, MarkKnown: true, MarkRewind: true, MarkIdle: true,
	MarkShadow: true, MarkActivate: true, MarkRevert: true, MarkSettle: true, MarkInstall: true, MarkReset: true,
}

// ParseMark reads the detail of an event of MarkKind. Unknown fields are ignored, an unknown
// operation is an error: it may have changed a state.
func ParseMark(detail string) (Mark, error) {
	var m Mark
	if err := json.Unmarshal([]byte(detail), &m); err != nil {
		return m, fmt.Errorf("mark: %w", err)
	}
	switch {
	case !markOps[m.Op]:
		return m, fmt.Errorf("mark: operation %.32q is not one that this program knows", m.Op)
	case m.Op == MarkTask && m.State == nil:
		return m, errors.New("mark: a task without its state")
	case len(m.Known) > MaxInputs:
		return m, fmt.Errorf("mark: %d known readings, a task has at most %d inputs", len(m.Known), MaxInputs)
	}
	return m, nil
}
