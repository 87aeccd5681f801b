package natslanes

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"skerry.dev/hub/bus"
	"skerry.dev/hub/ingest"
	"skerry.dev/sync/wire"
)

// legacyEvery coalesces what an older agent receives of the ledger.
const legacyEvery = 250 * time.Millisecond

// legacy serves agents that publish chunks to a stream, as all did before receipts: it answers as
// the stream did, and then publishes what is applied, which alone makes them release a chunk.
type legacy struct {
	bus *bus.Bus
	in  *ingest.Ingester
	log *slog.Logger

	mu    sync.Mutex // guards dirty
	dirty map[string]map[wire.Run]bool
}

func newLegacy(b *bus.Bus, in *ingest.Ingester, log *slog.Logger) *legacy {
	return &legacy{bus: b, in: in, log: log, dirty: map[string]map[wire.Run]bool{}}
}

// pubAck is the acknowledgement of a stream.
type pubAck struct {
	Error    *apiError `json:"error,omitempty"`
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"seq,omitempty"`
}

type apiError struct {
	Code        int    `json:"code"`
	Description string `json:"description"`
}

// ack turns a receipt into the answer of a stream.
func (l *legacy) ack(device string, chunk []byte, r wire.Receipt) pubAck {
	const stream = "TEL"
	if r.RetryMS > 0 {
		return pubAck{Stream: stream, Error: &apiError{Code: 503, Description: r.Error}}
	}
	if h, err := wire.DecodeHeader(chunk); err == nil {
		l.mu.Lock()
		if l.dirty[device] == nil {
			l.dirty[device] = map[wire.Run]bool{}
		}
		l.dirty[device][h.Run] = true
		l.mu.Unlock()
	}
	return pubAck{Stream: stream, Sequence: 1} // a number that nobody looks at
}

// pushDesired publishes a device's desired state to it, as a change would be.
func (l *legacy) pushDesired(ctx context.Context, device string) {
	e, err := l.bus.Desired.Get(ctx, device)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return
	}
	if err == nil {
		err = l.bus.Conn.Publish(wire.SubjectDesired(device), e.Value())
	}
	if err != nil && ctx.Err() == nil {
		l.log.Warn("desired state not published to an older agent, its next hello asks again", "device", device, "err", err)
	}
}

func (l *legacy) run(ctx context.Context) error {
	t := time.NewTicker(legacyEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			l.publish(ctx)
		}
	}
}

// publish reports to every device that sent something what its runs have in the ledger.
func (l *legacy) publish(ctx context.Context) {
	l.mu.Lock()
	dirty := l.dirty
	l.dirty = map[string]map[wire.Run]bool{}
	l.mu.Unlock()
	for device, runs := range dirty {
		list := make([]wire.Run, 0, len(runs))
		for r := range runs {
			list = append(list, r)
		}
		a, err := l.in.Applied(ctx, device, list...)
		var b []byte
		if err == nil {
			b, err = json.Marshal(a)
		}
		if err == nil {
			err = l.bus.Conn.Publish(wire.SubjectApplied(device), b)
		}
		if err != nil && ctx.Err() == nil {
			l.log.Warn("reporting to a device what is applied failed, its next hello requests it again", "device", device, "err", err)
		}
	}
}
