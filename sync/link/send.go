package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"skerry.dev/sync/outbox"
	"skerry.dev/sync/wire"
)

// Backing off: a hub that answers nothing, or that sends a message back, is tried again after a
// pause that doubles from minPause to maxPause, jittered, so that a fleet does not come back as
// one.
const (
	minPause = 250 * time.Millisecond
	maxPause = 30 * time.Second
	// maxRetry bounds for how long a hub can send a device away.
	maxRetry = 5 * time.Minute
	// maxDoublings bounds how often the wait for a receipt doubles: from 10 s to 5 minutes.
	maxDoublings = 5
	// maxFailures without one success in between end the session: a hello shows what is wrong.
	maxFailures = 20
)

// lane is the state of one lane's sender.
type lane struct {
	outbox.Lane
	wake chan struct{}

	mu       sync.Mutex // guards everything below
	budget   budget
	failures int       // in a row
	until    time.Time // no message before
}

func newLane(l outbox.Lane, slots, most int) *lane {
	return &lane{Lane: l, wake: make(chan struct{}, 1), budget: newBudget(slots, most)}
}

// room returns the bytes that the next message may have, 0 when it must wait for a receipt.
func (s *lane) room() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.budget.room()
}

// begin notes a message that is sent, and returns how long to wait for its receipt: longer after
// every failure, because a message may just be too large for the link.
func (s *lane) begin(bytes int, timeout time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget.sent(bytes)
	return timeout << min(s.failures, maxDoublings)
}

// notify wakes the sender: something is waiting.
func (s *lane) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// succeed ends the backing off: a message was answered after a time.
func (s *lane) succeed(bytes int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget.answered(bytes, took)
	s.failures, s.until = 0, time.Time{}
}

// fail backs off for at least the time the hub requires, and returns how many failures there were
// in a row.
func (s *lane) fail(bytes int, atLeast time.Duration) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget.lost(bytes)
	s.failures++
	pause := jitter(min(minPause<<min(s.failures, 10), maxPause))
	s.until = time.Now().Add(max(pause, atLeast))
	return s.failures
}

// retryAfter is how long to wait when the hub asks for so many milliseconds.
func retryAfter(ms int64) time.Duration {
	return time.Duration(min(max(ms, 0), maxRetry.Milliseconds())) * time.Millisecond
}

// hold waits until the lane may send. It returns false when ctx ends.
func (s *lane) hold(ctx context.Context) bool {
	for {
		s.mu.Lock()
		d := time.Until(s.until)
		s.mu.Unlock()
		if d <= 0 {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(d):
		}
	}
}

// send empties one lane whenever it is woken, with a window of messages under way. It returns an
// error when the hub takes nothing for long, so that the session ends and begins anew.
func (l *Link) send(ctx context.Context, conn *nats.Conn, s *lane) error {
	stuck := make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		for s.hold(ctx) {
			room := s.room()
			if room == 0 {
				break // the next receipt wakes the lane
			}
			refs := l.box.Next(s.Lane, int(l.maxChunks.Load()), min(room, l.opts.MessageBytes))
			if len(refs) == 0 {
				break
			}
			msg, refs := l.message(s.Lane, refs)
			if len(refs) == 0 {
				continue
			}
			if s.Lane == outbox.Backfill {
				if err := l.pace(ctx, len(msg.Data)); err != nil {
					l.box.Failed(refs...)
					return nil
				}
			}
			wait := s.begin(len(msg.Data), l.opts.ReceiptTimeout)
			wg.Go(func() {
				defer s.notify()
				if n := l.request(ctx, conn, s, msg, refs, wait); n > maxFailures {
					select {
					case stuck <- errors.New("the hub takes no telemetry"):
					default:
					}
				}
			})
			select {
			case err := <-stuck:
				return err
			default:
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-stuck:
			return err
		case <-s.wake:
		}
	}
}

// message reads the chunks and joins them. Those that were swept or dropped meanwhile are left
// out.
func (l *Link) message(lane outbox.Lane, refs []outbox.Ref) (*nats.Msg, []outbox.Ref) {
	var chunks [][]byte
	var have []outbox.Ref
	for _, ref := range refs {
		chunk, err := l.box.Read(l.db, ref)
		if err != nil {
			l.box.Sent(ref)
			continue
		}
		chunks, have = append(chunks, chunk), append(have, ref)
	}
	if len(have) == 0 {
		return nil, nil
	}
	msg := &nats.Msg{Subject: l.subject(lane, have[0].Class), Data: wire.Pack(chunks)}
	if l.maxChunks.Load() == 1 {
		// an older hub's stream drops repeats by this name
		msg.Header = nats.Header{}
		msg.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%s.%d.%d", have[0].Run, have[0].Class, have[0].Range.From))
	}
	return msg, have
}

// request sends one message and acts on its receipt. It returns how many requests of the
// lane have failed in a row.
func (l *Link) request(ctx context.Context, conn *nats.Conn, s *lane, msg *nats.Msg, refs []outbox.Ref, timeout time.Duration) int {
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var r wire.Receipt
	began := time.Now()
	m, err := conn.RequestMsgWithContext(wait, msg)
	if err == nil {
		r, err = receipt(m.Data)
	}
	if err == nil && r.RetryMS > 0 {
		err = errors.New(r.Error)
	}
	if err != nil {
		l.box.Failed(refs...)
		if ctx.Err() != nil {
			return 0
		}
		n := s.fail(len(msg.Data), retryAfter(r.RetryMS))
		if n == 1 {
			l.log.Warn("telemetry not taken by the hub, sending it again", "err", err, "chunks", len(refs), "bytes", len(msg.Data))
		}
		return n
	}
	l.clock(r.HubTime)
	s.succeed(len(msg.Data), time.Since(began))
	l.sent.Add(int64(len(refs)))
	if r.Stream != "" { // taken by the stream of an older hub
		l.box.Sent(refs...)
		return 0
	}
	refused := map[int]bool{}
	for _, f := range r.Refused {
		if f.Index < 0 || f.Index >= len(refs) || refused[f.Index] {
			continue
		}
		refused[f.Index] = true
		ref := refs[f.Index]
		l.log.Warn("chunk refused by the hub, which keeps it aside", "reason", clip(f.Reason), "run", ref.Run, "class", ref.Class.String(), "from", ref.Range.From, "to", ref.Range.To)
		l.box.Sent(ref)
	}
	for i, ref := range refs {
		if !refused[i] {
			l.box.Confirm(ref)
		}
	}
	return 0
}

// receipt reads an answer: a receipt, or the acknowledgement or error of an older hub's stream.
func receipt(data []byte) (wire.Receipt, error) {
	var r struct {
		wire.Receipt
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return wire.Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	text := ""
	if len(r.Error) > 0 && json.Unmarshal(r.Error, &text) != nil {
		var stream struct {
			Description string `json:"description"`
		}
		if json.Unmarshal(r.Error, &stream) != nil {
			return wire.Receipt{}, errors.New("receipt: the error is neither a text nor a stream's")
		}
		return wire.Receipt{}, errors.New(clip(stream.Description))
	}
	r.Receipt.Error = clip(text)
	if !r.Applied && len(r.Refused) == 0 && r.RetryMS == 0 && r.Stream == "" {
		return wire.Receipt{}, errors.New("receipt without a verdict")
	}
	return r.Receipt, nil
}

// clip bounds a text of the hub's for the log.
func clip(s string) string {
	if len(s) <= 500 {
		return s
	}
	return strings.ToValidUTF8(s[:500], "") + "…"
}

// pace waits until n bytes of backfill may be sent. The limiter holds one second's worth: more at
// once would stand in the way of live data on a narrow link.
func (l *Link) pace(ctx context.Context, n int) error {
	for burst := l.limiter.Burst(); n > 0; n -= burst {
		if err := l.limiter.WaitN(ctx, min(n, burst)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Link) subject(lane outbox.Lane, c wire.Class) string {
	switch {
	case c <= wire.ClassEvent:
		return wire.SubjectEvents(l.opts.Site, l.opts.Device)
	case lane == outbox.Live:
		return wire.SubjectLive(l.opts.Site, l.opts.Device)
	default:
		return wire.SubjectBack(l.opts.Site, l.opts.Device)
	}
}
