package link

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.etcd.io/bbolt"

	"skerry.dev/sync/outbox"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
	"skerry.dev/test/wait"
)

// fakeHub is a real NATS server and a ledger in memory. It applies what arrives unless it is told
// to lose it, and answers with receipts; an old one has streams that take everything, and publishes
// what it has applied.
type fakeHub struct {
	now    func() int64 // its clock in microseconds, nil: the machine's
	srv    *server.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	mu     sync.Mutex
	ledger map[wire.Run]map[wire.Class]*outbox.Set
	order  []wire.Header // in order of application
	lane   []string
	lose   int // messages to take and forget
	busy   int // messages to send back
	old    bool
	sizes  []int // chunks by message
	hellos int
	refuse string
	reply  func() []byte // of a hello, instead of the right one; nil data: none
	mute   bool          // applies, and leaves it to the test to answer
}

func startHub(t *testing.T, dir string, port int) *fakeHub { return startHubOf(t, dir, port, false) }

func startHubOf(t *testing.T, dir string, port int, old bool) *fakeHub {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("no NATS server")
	}
	h := &fakeHub{srv: srv, old: old, ledger: map[wire.Run]map[wire.Class]*outbox.Set{}}
	if h.nc, err = nats.Connect(srv.ClientURL()); err != nil {
		t.Fatal(err)
	}
	if h.js, err = jetstream.New(h.nc); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	streams := map[string]string{wire.StreamState: "edge.*.*.state"}
	if old {
		streams["TEL"], streams["EVT"] = "edge.*.*.tel.>", "edge.*.*.evt"
	}
	for name, subject := range streams {
		if _, err := h.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = h.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: wire.BucketDesired,
		RePublish: &jetstream.RePublish{Source: "$KV.desired.*", Destination: "desired.{{wildcard(1)}}"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.nc.Subscribe("svc.hello.*", h.hello); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"edge.*.*.tel.>", "edge.*.*.evt"} {
		if _, err := h.nc.Subscribe(s, h.take); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *fakeHub) stop() {
	h.nc.Close()
	h.srv.Shutdown()
	h.srv.WaitForShutdown()
}

func (h *fakeHub) hello(m *nats.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hellos++
	if h.reply != nil {
		if body := h.reply(); len(body) > 0 {
			_ = m.Respond(body)
		}
		return
	}
	reply := wire.HelloReply{Error: h.refuse, HubTime: h.time(), Applied: h.applied()}
	if !h.old {
		reply.MaxChunks = 8
	}
	body, _ := json.Marshal(reply)
	_ = m.Respond(body)
}

// time is the hub's clock. Call it with mu held.
func (h *fakeHub) time() int64 {
	if h.now != nil {
		return h.now()
	}
	return time.Now().UnixMicro()
}

func (h *fakeHub) applied() (a wire.Applied) {
	for run, classes := range h.ledger {
		for c, s := range classes {
			a.Sets = append(a.Sets, wire.AppliedSet{Run: run, Class: c, Mark: s.Mark(), Ranges: *s})
		}
	}
	return a
}

func (h *fakeHub) take(m *nats.Msg) {
	chunks, err := wire.Unpack(m.Data)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sizes = append(h.sizes, len(chunks))
	if h.lose > 0 {
		h.lose--
		return
	}
	receipt := wire.Receipt{Applied: true, HubTime: h.time()}
	if h.busy > 0 {
		h.busy--
		receipt = wire.Receipt{RetryMS: 1, Error: "busy"}
	} else {
		for _, c := range chunks {
			h.apply(m.Subject, c)
		}
	}
	if h.old {
		body, _ := json.Marshal(h.applied())
		_ = h.nc.Publish(wire.SubjectApplied("dev"), body)
		return // the stream answers
	}
	if h.mute {
		return
	}
	body, _ := json.Marshal(receipt)
	_ = m.Respond(body)
}

func (h *fakeHub) apply(subject string, chunk []byte) {
	head, _, err := wire.Decode(chunk)
	if err != nil {
		return
	}
	if h.ledger[head.Run] == nil {
		h.ledger[head.Run] = map[wire.Class]*outbox.Set{}
	}
	if h.ledger[head.Run][head.Class] == nil {
		h.ledger[head.Run][head.Class] = new(outbox.Set)
	}
	h.ledger[head.Run][head.Class].Add(wire.Range{From: head.First, To: head.Last()})
	h.order, h.lane = append(h.order, head), append(h.lane, subject)
}

type deviceRig struct {
	db      *bbolt.DB
	box     *outbox.Outbox
	link    *Link
	mu      sync.Mutex
	desired []uint64
	next    int64
}

// newBox opens an empty outbox.
func newBox(t *testing.T) (*outbox.Outbox, *bbolt.DB) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "d.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	box, err := outbox.Open(db, outbox.Options{Device: "dev", Resend: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return box, db
}

func newDevice(t *testing.T, url string, change func(*Options)) *deviceRig {
	t.Helper()
	box, db := newBox(t)
	d := &deviceRig{db: db, box: box}
	opts := Options{Device: "dev", Site: "s1", NATS: func() ([]string, []nats.Option, error) { return []string{url}, nil, nil },
		Desired: func(doc spec.Desired) { d.mu.Lock(); d.desired = append(d.desired, doc.Generation); d.mu.Unlock() }}
	if change != nil {
		change(&opts)
	}
	d.link = New(box, db, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.link.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return d
}

func (d *deviceRig) put(t *testing.T, n int) {
	t.Helper()
	fill(t, d.box, d.db, n, d.next)
	d.next += int64(n)
}

// fill stores n readings of the times behind a first one, and an event.
func fill(t *testing.T, box *outbox.Outbox, db *bbolt.DB, n int, behind int64) {
	t.Helper()
	b := new(outbox.Batch)
	for range n {
		behind++
		b.Readings = append(b.Readings, wire.Reading{Series: "s", Time: behind, Value: 1})
	}
	b.Events = []wire.Event{{Kind: "note", Time: behind}}
	var a *outbox.Added
	if err := db.Update(func(tx *bbolt.Tx) (err error) { a, err = box.Append(tx, b); return err }); err != nil {
		t.Fatal(err)
	}
	box.Committed(a)
}

// TestHubClockSeenAgain holds that a device sees a clock of the hub that is set while the connection
// holds, and takes none that is not set.
func TestHubClockSeenAgain(t *testing.T) {
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	set := func(now func() int64) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.now = now
	}
	set(func() int64 { return time.Hour.Microseconds() })
	d := newDevice(t, h.srv.ClientURL(), nil)
	wait.For(t, "the link up", d.link.Up)
	if off := d.link.ClockOffset(); off != 0 {
		t.Errorf("clock offset %v from a hub in 1970, want none", off)
	}
	for _, ahead := range []time.Duration{time.Hour, 0} {
		set(func() int64 { return time.Now().Add(ahead).UnixMicro() })
		d.put(t, 10)
		wait.For(t, "the hub's clock", func() bool {
			off := d.link.ClockOffset()
			return off != 0 && (off-ahead).Abs() < 10*time.Second
		})
	}
	set(func() int64 { return 0 })
	sent, _ := d.link.Sent()
	d.put(t, 10)
	wait.For(t, "another receipt", func() bool { now, _ := d.link.Sent(); return now > sent })
	if off := d.link.ClockOffset(); off == 0 || off.Abs() > 10*time.Second {
		t.Errorf("clock offset %v after the hub lost its clock, want the one from before", off)
	}
}

func TestSendApplyRelease(t *testing.T) {
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	d := newDevice(t, h.srv.ClientURL(), nil)
	d.put(t, 700)
	wait.For(t, "everything applied", func() bool { return d.box.Stats().PendingRecords == 0 && d.link.Up() })
	if off := d.link.ClockOffset(); off > time.Second || off < -time.Second {
		t.Errorf("clock offset %v on one machine", off)
	}
	// the hub may apply before the broker answers
	wait.For(t, "three chunks acknowledged", func() bool { sent, _ := d.link.Sent(); return sent >= 3 })
	doc := []byte(`{"device":"dev"}`)
	d.link.PublishState([]byte(`{"old":1}`))
	d.link.PublishState(doc)
	wait.For(t, "state stored", func() bool {
		s, err := h.js.Stream(t.Context(), wire.StreamState)
		if err != nil {
			return false
		}
		m, err := s.GetLastMsgForSubject(t.Context(), wire.SubjectState("s1", "dev"))
		return err == nil && string(m.Data) == string(doc)
	})
}

// TestTakenIsNotApplied lets the stream of an older hub acknowledge chunks that nobody applies:
// they must come again.
func TestTakenIsNotApplied(t *testing.T) {
	h := startHubOf(t, t.TempDir(), -1, true)
	defer h.stop()
	h.lose = 3
	d := newDevice(t, h.srv.ClientURL(), nil)
	d.put(t, 600)
	wait.For(t, "lost chunks sent again", func() bool { return d.box.Stats().PendingRecords == 0 })
	if _, rewound := d.link.Sent(); rewound == 0 {
		t.Error("nothing was sent again although three chunks were lost behind the acknowledgement")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.sizes {
		if n != 1 {
			t.Fatalf("an older hub was sent %d chunks in one message", n)
		}
	}
}

// TestNoReceipt loses messages and sends others back: they must come again, and the lane goes on.
func TestNoReceipt(t *testing.T) {
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	h.lose, h.busy = 2, 3
	d := newDevice(t, h.srv.ClientURL(), func(o *Options) { o.ReceiptTimeout = 50 * time.Millisecond })
	for range 4 {
		d.put(t, 600)
	}
	wait.For(t, "everything applied", func() bool { return d.box.Stats().PendingRecords == 0 })
	h.mu.Lock()
	defer h.mu.Unlock()
	if set := h.ledger[d.box.Run()][wire.ClassReading]; set.Mark() != 2400 {
		t.Errorf("ledger %v, want 1..2400", set)
	}
}

// TestBacklogIsJoined holds that a backlog of small chunks travels in few messages, and that no
// message has more chunks than the hub takes.
func TestBacklogIsJoined(t *testing.T) {
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	h.refuse = "wait"
	d := newDevice(t, h.srv.ClientURL(), nil)
	for range 60 {
		d.put(t, 3)
	}
	h.mu.Lock()
	h.refuse = ""
	h.mu.Unlock()
	wait.For(t, "everything applied", func() bool { return d.box.Stats().PendingRecords == 0 })
	h.mu.Lock()
	defer h.mu.Unlock()
	total := 0
	for _, n := range h.sizes {
		if total += n; n > 8 {
			t.Errorf("a message of %d chunks, the hub takes 8", n)
		}
	}
	if total != 120 || len(h.sizes) > 30 {
		t.Errorf("%d chunks came in %d messages, want 120 in about 15", total, len(h.sizes))
	}
}

func TestReceipt(t *testing.T) {
	for body, want := range map[string]struct {
		applied bool
		retry   int64
		stream  string
		err     string
	}{
		`{"applied":true}`:                 {applied: true},
		`{"retry_ms":250,"error":"busy"}`:  {retry: 250},
		`{"stream":"TEL","seq":7}`:         {stream: "TEL"},
		`{"refused":[{"index":0}]}`:        {},
		`{"error":{"description":"full"}}`: {err: "full"},
		`{}`:                               {err: "receipt without a verdict"},
		`{"error":[1]}`:                    {err: "receipt: the error is neither a text nor a stream's"},
	} {
		r, err := receipt([]byte(body))
		if got := ""; err != nil {
			if got = err.Error(); got != want.err {
				t.Errorf("receipt(%s) = %q, want %q", body, got, want.err)
			}
		} else if want.err != "" || r.Applied != want.applied || r.RetryMS != want.retry || r.Stream != want.stream {
			t.Errorf("receipt(%s) = %+v, want %+v", body, r, want)
		}
	}
}

// TestHubRestart keeps a device running over a hub that goes away and comes back with what it had.
func TestHubRestart(t *testing.T) {
	dir := t.TempDir()
	h := startHub(t, dir, -1)
	var mu sync.Mutex
	url := h.srv.ClientURL()
	d := newDevice(t, url, func(o *Options) {
		o.NATS = func() ([]string, []nats.Option, error) { mu.Lock(); defer mu.Unlock(); return []string{url}, nil, nil }
	})
	d.put(t, 10)
	wait.For(t, "first records applied", func() bool { return d.box.Stats().PendingRecords == 0 })
	ledger := h.ledger
	h.stop()
	wait.For(t, "link down", func() bool { return !d.link.Up() })
	d.put(t, 20)
	again := startHub(t, dir, -1)
	defer again.stop()
	again.mu.Lock()
	again.ledger = ledger
	again.mu.Unlock()
	mu.Lock()
	url = again.srv.ClientURL()
	mu.Unlock()
	wait.For(t, "the rest applied", func() bool { return d.box.Stats().PendingRecords == 0 })
	again.mu.Lock()
	defer again.mu.Unlock()
	if set := again.ledger[d.box.Run()][wire.ClassReading]; set.Mark() != 30 || again.hellos == 0 {
		t.Errorf("ledger %v after %d hellos, want 1..30", set, again.hellos)
	}
}

func TestLiveOvertakesBackfill(t *testing.T) {
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	d := newDevice(t, h.srv.ClientURL(), func(o *Options) {
		o.BackfillBytes = 20_000 // a chunk or two a second
		o.NATS = func() ([]string, []nats.Option, error) { return []string{h.srv.ClientURL()}, nil, nil }
	})
	wait.For(t, "link up", d.link.Up)
	h.mu.Lock()
	h.refuse = "wait"
	h.mu.Unlock()
	_ = h.srv.DisconnectClientByID(clientOf(t, h, "skerry-agent dev"))
	wait.For(t, "link down", func() bool { return !d.link.Up() })
	for range 400 {
		d.put(t, 100)
	}
	h.mu.Lock()
	h.refuse = ""
	h.mu.Unlock()
	wait.For(t, "link up again", d.link.Up)
	if d.link.LastError() != "" {
		t.Errorf("LastError = %q on a link that is up", d.link.LastError())
	}
	d.put(t, 1)
	last := uint64(d.next)
	wait.For(t, "the live reading applied", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for i, head := range h.order {
			if head.Class == wire.ClassReading && head.Last() == last {
				if h.lane[i] != wire.SubjectLive("s1", "dev") {
					t.Errorf("the live reading came by %s", h.lane[i])
				}
				return true
			}
		}
		return false
	})
	if p := d.box.Stats().PendingRecords; p < 5000 {
		t.Errorf("only %d records of backlog left when the live reading arrived", p)
	}
}

// clientOf finds a connection by name.
func clientOf(t *testing.T, h *fakeHub, name string) uint64 {
	t.Helper()
	z, err := h.srv.Connz(&server.ConnzOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range z.Conns {
		if c.Name == name {
			return c.Cid
		}
	}
	t.Fatalf("no connection named %q", name)
	return 0
}

func TestDesiredIsReadAndFollowed(t *testing.T) {
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	kv, err := h.js.KeyValue(t.Context(), wire.BucketDesired)
	if err != nil {
		t.Fatal(err)
	}
	put := func(g uint64, device string) {
		body, _ := json.Marshal(spec.Desired{Device: device, Generation: g})
		if _, err := kv.Put(t.Context(), "dev", body); err != nil {
			t.Fatal(err)
		}
	}
	put(3, "dev")
	d := newDevice(t, h.srv.ClientURL(), nil)
	has := func(want ...uint64) func() bool {
		return func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			if len(d.desired) < len(want) {
				return false
			}
			for i, g := range want {
				if d.desired[i] != g {
					return false
				}
			}
			return true
		}
	}
	wait.For(t, "first document", has(3))
	put(99, "another") // not for this device
	put(4, "dev")
	wait.For(t, "second document", has(3, 4))
}

func TestNoAddress(t *testing.T) {
	d := newDevice(t, "", func(o *Options) { o.NATS = func() ([]string, []nats.Option, error) { return nil, nil, nil } })
	wait.For(t, "an explanation", func() bool { return d.link.LastError() != "" })
	if d.link.Up() || d.link.Suspect() {
		t.Error("a link without an address is up")
	}
}
