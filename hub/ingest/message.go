package ingest

import "skerry.dev/sync/wire"

// Lane orders messages: an earlier lane overtakes a later one.
type Lane uint8

// The lanes, in order of priority.
const (
	Events   Lane = iota // alarms and events
	Live                 // telemetry made since the device connected
	Backfill             // telemetry made before
	numLanes
)

// String returns the lane's name, as metrics have it.
func (l Lane) String() string { return [...]string{"evt", "live", "back"}[l] }

// Message is one message of a device: one chunk, or several in a pack.
type Message struct {
	// Site and Device are whose message it is. The source vouches for them: it let nobody else
	// send here.
	Site, Device string
	Lane         Lane
	// Data is not changed and not read after Reply was called.
	Data []byte
	// Reply is called exactly once, from any goroutine, with the message's fate; it must not
	// block. It is not called for what was still queued when Run ended: nothing was promised, and
	// the sender sends again. nil: the sender needs no receipt.
	Reply func(wire.Receipt)
}

func (m *Message) reply(r wire.Receipt) {
	if m.Reply != nil {
		m.Reply(r)
	}
}
