package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"skerry.dev/sync/outbox"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
	"skerry.dev/test/wait"
)

// answer makes a hub treat its messages by f from now on: f gets each message and what the ledger
// would answer, and returns the answers to send.
func (h *fakeHub) answer(t *testing.T, f func(n int, body []byte) [][]byte) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mute = true // its own receipts are not sent
	n := 0
	for _, s := range []string{"edge.*.*.tel.>", "edge.*.*.evt"} {
		_, err := h.nc.Subscribe(s, func(m *nats.Msg) {
			h.mu.Lock()
			n++
			k := n
			h.mu.Unlock()
			for _, body := range f(k, []byte(`{"applied":true}`)) {
				_ = m.Respond(body)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnswersOfEveryKind sends telemetry to hubs that answer the first message wrongly and every
// one after it as they should: each record is applied, and nothing is released before its
// receipt.
func TestAnswersOfEveryKind(t *testing.T) {
	for name, first := range map[string][][]byte{
		"never":                 nil,
		"twice":                 {[]byte(`{"applied":true}`), []byte(`{"applied":true}`)},
		"no JSON":               {[]byte("\x00\xff")},
		"nothing":               {{}},
		"a verdict of nothing":  {[]byte(`{}`)},
		"null":                  {[]byte(`null`)},
		"a list":                {[]byte(`[true]`)},
		"a number as error":     {[]byte(`{"error":7}`)},
		"text as verdict":       {[]byte(`{"applied":"yes"}`)},
		"busy":                  {[]byte(`{"retry_ms":1,"error":"busy"}`)},
		"a stream's error":      {[]byte(`{"error":{"code":503,"description":"insufficient resources"}}`)},
		"one that says nothing": {[]byte(`{"refused":[]}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHub(t, t.TempDir(), -1)
			defer h.stop()
			h.answer(t, func(n int, right []byte) [][]byte {
				if n == 1 {
					return first
				}
				return [][]byte{right}
			})
			d := newDevice(t, h.srv.ClientURL(), func(o *Options) { o.ReceiptTimeout = 50 * time.Millisecond })
			for range 3 {
				d.put(t, 600)
			}
			wait.For(t, "everything released", func() bool { return d.box.Stats().PendingRecords == 0 })
			h.mu.Lock()
			defer h.mu.Unlock()
			if set := h.ledger[d.box.Run()][wire.ClassReading]; set == nil || set.Mark() != 1800 {
				t.Errorf("ledger %v, want 1..1800", set)
			}
			if set := h.ledger[d.box.Run()][wire.ClassEvent]; set == nil || set.Mark() != 3 {
				t.Errorf("ledger of events %v, want 1..3", set)
			}
		})
	}
}

// TestLateAnswer: a receipt that comes when the message has been given up is no answer to the
// message after it, which has an inbox of its own.
func TestLateAnswer(t *testing.T) {
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	var late []byte
	first := make(chan *nats.Msg, 1)
	h.mu.Lock()
	h.mute = true
	h.mu.Unlock()
	seen := 0
	_, err := h.nc.Subscribe("edge.*.*.tel.>", func(m *nats.Msg) {
		switch seen++; seen {
		case 1:
			first <- m
		case 2: // the message before, sent again: the first one is answered now, with a refusal
			_ = (<-first).Respond([]byte(`{"refused":[{"index":0,"reason":"late"}]}`))
			late = []byte(`{"applied":true}`)
			_ = m.Respond(late)
		default:
			_ = m.Respond(late)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.nc.Subscribe("edge.*.*.evt", func(m *nats.Msg) { _ = m.Respond([]byte(`{"applied":true}`)) }); err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, h.srv.ClientURL(), func(o *Options) { o.ReceiptTimeout = 50 * time.Millisecond })
	d.put(t, 10)
	wait.For(t, "the records released", func() bool { return d.box.Stats().PendingRecords == 0 })
	if sent, _ := d.link.Sent(); sent != 2 {
		t.Errorf("%d chunks are answered for, want 2: the late refusal counts for nothing", sent)
	}
}

// TestRefusedChunks: a chunk that the hub keeps aside is not sent again in this session; the others
// of its message are released. Indices that the message does not have are passed over.
func TestRefusedChunks(t *testing.T) {
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	h.refuse = "wait"
	d := newDevice(t, h.srv.ClientURL(), nil)
	const chunks = 6
	for range chunks {
		d.put(t, 10)
	}
	h.answer(t, func(int, []byte) [][]byte {
		return [][]byte{[]byte(`{"applied":true,"refused":[{"index":0,"reason":"damaged"},{"index":0,"reason":"again"},{"index":-1},{"index":99}]}`)}
	})
	h.mu.Lock()
	h.refuse = ""
	h.mu.Unlock()
	wait.For(t, "every chunk answered for", func() bool { sent, _ := d.link.Sent(); return sent == 2*chunks })
	h.mu.Lock()
	messages := len(h.sizes)
	h.mu.Unlock()
	// one chunk of each message is refused; those of readings hold 10 records, those of events one
	left := d.box.Stats().PendingRecords
	if left == 0 || left > int64(10*messages) {
		t.Errorf("%d records are left of %d messages, want those of one chunk each", left, messages)
	}
}

// TestHelloOfEveryKind: no telemetry flows before a hello that is understood, and the reason why
// the link is down names what was wrong.
func TestHelloOfEveryKind(t *testing.T) {
	for name, tt := range map[string]struct{ reply, want string }{
		"no JSON":          {"\x00", "hello: reply: "},
		"another type":     {`[]`, "hello: reply: "},
		"refused":          {`{"error":"device is revoked"}`, "hello: the hub reports: device is revoked"},
		"never":            {"", "hello: context deadline exceeded"},
		"of another shape": {`{"applied":7}`, "hello: reply: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHub(t, t.TempDir(), -1)
			defer h.stop()
			h.mu.Lock()
			h.reply = func() []byte { return []byte(tt.reply) }
			h.mu.Unlock()
			d := newDevice(t, h.srv.ClientURL(), func(o *Options) { o.HelloTimeout = 50 * time.Millisecond })
			d.put(t, 10)
			wait.For(t, tt.want, func() bool { return strings.Contains(d.link.LastError(), tt.want) })
			h.mu.Lock()
			if d.link.Up() || len(h.sizes) > 0 {
				t.Errorf("up %v with %d messages sent, want neither", d.link.Up(), len(h.sizes))
			}
			h.reply = nil
			h.mu.Unlock()
			wait.For(t, "the link up and everything applied", func() bool { return d.link.Up() && d.box.Stats().PendingRecords == 0 })
			if got := d.link.LastError(); got != "" {
				t.Errorf("LastError of a link that is up = %q", got)
			}
		})
	}
}

// TestHelloTellsTheDevice: a hub's suspicion, its clock and what it can take are known after the
// hello.
func TestHelloTellsTheDevice(t *testing.T) {
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	for name, tt := range map[string]struct {
		max, want int
	}{
		"none":      {0, 1},
		"fewer":     {-5, 1},
		"some":      {3, 3},
		"without a": {1 << 30, wire.MaxChunks},
	} {
		h.mu.Lock()
		h.reply = func() []byte {
			body, _ := json.Marshal(wire.HelloReply{Suspect: true, HubTime: time.Now().Add(time.Hour).UnixMicro(), MaxChunks: tt.max})
			return body
		}
		h.mu.Unlock()
		var statuses []bool
		var mu sync.Mutex
		var greeted int
		d := newDevice(t, h.srv.ClientURL(), func(o *Options) {
			o.Status = func(up bool) { mu.Lock(); statuses = append(statuses, up); mu.Unlock() }
			o.Greeted = func(wire.Applied) { mu.Lock(); greeted++; mu.Unlock() }
		})
		wait.For(t, "the link up", d.link.Up)
		if got := int(d.link.maxChunks.Load()); got != tt.want || !d.link.Suspect() {
			t.Errorf("%s: %d chunks a message, suspect %v, want %d and a suspicion", name, got, d.link.Suspect(), tt.want)
		}
		if off := d.link.ClockOffset(); off < 59*time.Minute || off > 61*time.Minute {
			t.Errorf("%s: the hub is %v ahead, want an hour", name, off)
		}
		wait.For(t, "the status", func() bool { mu.Lock(); defer mu.Unlock(); return slices.Equal(statuses, []bool{true}) && greeted == 1 })
	}
}

// TestReconnectStorm counts the attempts of a link that cannot connect: the pauses double up to half
// a minute, each jittered by half of it.
func TestReconnectStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		box, db := newBox(t)
		l := New(box, db, Options{Device: "dev", NATS: func() ([]string, []nats.Option, error) {
			at = append(at, time.Since(began))
			return nil, nil, errors.New("no credentials")
		}})
		done := make(chan error, 1)
		go func() { done <- l.Run(t.Context()) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(at); n < 20 || n > 50 {
			t.Errorf("%d attempts in ten minutes, want about one every 15 to 30 s", n)
		}
		for i := 1; i < len(at); i++ {
			gap := at[i] - at[i-1]
			most := min(200*time.Millisecond<<min(i-1, 10), 30*time.Second)
			if gap < most/2 || gap > most {
				t.Errorf("attempt %d comes %v after the one before, want %v to %v", i, gap, most/2, most)
			}
		}
		if got := l.LastError(); got != "no credentials" {
			t.Errorf("LastError = %q", got)
		}
	})
}

// TestDesiredStateThatIsRefused: what is no desired state of this device is passed over, the next
// document is taken.
func TestDesiredStateThatIsRefused(t *testing.T) {
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	d := newDevice(t, h.srv.ClientURL(), nil)
	wait.For(t, "the link up", d.link.Up)
	other, _ := json.Marshal(spec.Desired{Device: "another", Generation: 9})
	mine, _ := json.Marshal(spec.Desired{Device: "dev", Generation: 5})
	for _, body := range [][]byte{nil, []byte("{"), []byte(`{"device":7}`), []byte(`[]`), other, mine} {
		if err := h.nc.Publish(wire.SubjectDesired("dev"), body); err != nil {
			t.Fatal(err)
		}
	}
	wait.For(t, "the document", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.desired) > 0
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.desired, []uint64{5}) {
		t.Errorf("generations %v, want 5 alone", d.desired)
	}
}

// TestAppliedMessages: ranges that the hub reports release what they name, garbage releases
// nothing, and ranges of a run that is not the device's change nothing.
func TestAppliedMessages(t *testing.T) {
	box, db := newBox(t)
	l := New(box, db, Options{Device: "dev"})
	fill(t, box, db, 100, 0)
	all := box.Stats().PendingRecords
	set := func(run wire.Run, from, to uint64) []byte {
		var s outbox.Set
		s.Add(wire.Range{From: from, To: to})
		body, err := json.Marshal(wire.Applied{Sets: []wire.AppliedSet{{Run: run, Class: wire.ClassReading, Mark: s.Mark(), Ranges: s}}})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for _, tt := range []struct {
		what string
		body []byte
		want int64
	}{
		{"garbage", []byte("\x00"), all},
		{"another type", []byte(`7`), all},
		{"another run", set(wire.Run{1}, 1, 100), all},
		{"a part of the chunk", set(box.Run(), 1, 99), all},
		{"all of it", set(box.Run(), 1, 100), all - 100},
		{"all of it again", set(box.Run(), 1, 100), all - 100},
	} {
		l.applied(tt.body)
		if got := box.Stats().PendingRecords; got != tt.want {
			t.Errorf("after an applied message of %s %d records are pending, want %d", tt.what, got, tt.want)
		}
	}
}

// TestOnlyTheNewestState: reported states that wait for the link are replaced by newer ones.
func TestOnlyTheNewestState(t *testing.T) {
	box, db := newBox(t)
	l := New(box, db, Options{Device: "dev"})
	for i := range 100 {
		l.PublishState([]byte(fmt.Sprint(i)))
	}
	if got := string(<-l.state); got != "99" || len(l.state) > 0 {
		t.Errorf("state %s and %d more wait, want the newest alone", got, len(l.state))
	}
}
