package natslanes_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/ingest/ingesttest"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

const (
	dev   = "dev-1"
	other = "dev-2"
)

// patience bounds the wait for what must happen, and quiet the wait for what must not.
const (
	patience = 10 * time.Second
	quiet    = 100 * time.Millisecond
)

var run = wire.Run{7}

// rig is a hub's way of telemetry from the devices' connections to the ledger.
type rig struct {
	t     *testing.T
	dir   string
	db    *meta.Store
	bus   bustest.Bus
	conns map[string]*nats.Conn
	log   logged
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	var err error
	if r.db, err = meta.Open(t.Context(), meta.Options{Dir: r.dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	for _, name := range ingesttest.Devices {
		r.tx(func(q *meta.Queries) error {
			return q.InsertDevice(t.Context(), meta.Device{
				Name:      name,
				Site:      ingesttest.Site,
				PublicKey: "key of " + name,
			})
		})
	}
	in := ingest.New(r.db, ingest.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ingester: %v", err)
		}
	})
	r.bus, r.conns = open(t, in, slog.New(slog.NewTextHandler(&r.log, nil)))
	return r
}

func (r *rig) tx(fn func(*meta.Queries) error) {
	r.t.Helper()
	if err := r.db.Tx(r.t.Context(), fn); err != nil {
		r.t.Fatal(err)
	}
}

// ask sends a request as a device and returns the answer's bytes.
func (r *rig) ask(device string, m *nats.Msg) []byte {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	answer, err := request(ctx, r.conns[device], m)
	if err != nil {
		r.t.Fatalf("request %s as %s: %v", m.Subject, device, err)
	}
	return answer.Data
}

// hello greets as a device and returns the reply.
func (r *rig) hello(device string, h wire.Hello) (reply wire.HelloReply) {
	r.t.Helper()
	b := r.ask(device, &nats.Msg{Subject: wire.SubjectHello(device), Data: encode(r.t, h)})
	if err := json.Unmarshal(b, &reply); err != nil {
		r.t.Fatalf("reply to hello %s: %v", b, err)
	}
	return reply
}

// subscribe listens as a device; what was published before is not seen.
func (r *rig) subscribe(device, subject string) *nats.Subscription {
	r.t.Helper()
	s, err := r.conns[device].SubscribeSync(subject)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.conns[device].Flush(); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// await looks again until ok, and fails with what is missing.
func (r *rig) await(what string, ok func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			r.t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mark returns up to which number a set of ledgers has the readings of the run.
func mark(a wire.Applied) uint64 {
	for _, s := range a.Sets {
		if s.Run == run && s.Class == wire.ClassReading {
			return s.Mark
		}
	}
	return 0
}

// TestHello greets before and after telemetry: the reply has what the ledger holds of the runs that
// the device names, the run chain is kept, and the device's version is that of the hello.
func TestHello(t *testing.T) {
	r := newRig(t)
	h := wire.Hello{
		Device:   dev,
		Version:  "1.2.3",
		Receipts: true,
		Runs:     []wire.RunInfo{{Run: run, BootID: "boot", StartedAt: 5, ClockOK: true}},
	}
	reply := r.hello(dev, h)
	if reply.Error != "" || reply.Suspect || reply.MaxChunks != wire.MaxChunks || len(reply.Applied.Sets) != len(wire.Classes) {
		t.Fatalf("first hello = %+v, want one set for every class and no error", reply)
	}
	if off := time.Since(time.UnixMicro(reply.HubTime)); off < 0 || off > time.Minute {
		t.Errorf("HubTime is %v away from the hub's clock", off)
	}
	var receipt wire.Receipt
	b := r.ask(dev, &nats.Msg{Subject: subject(dev, ingest.Live), Data: ingesttest.Chunk(t, dev, 1, 10, 1)})
	if err := json.Unmarshal(b, &receipt); err != nil || !receipt.Applied {
		t.Fatalf("receipt = %s, %v", b, err)
	}
	if off := time.Since(time.UnixMicro(receipt.HubTime)); off < 0 || off > time.Minute {
		t.Errorf("HubTime of the receipt is %v away from the hub's clock", off)
	}
	if got := mark(r.hello(dev, h).Applied); got != 10 {
		t.Errorf("second hello: the ledger ends at %d, want 10", got)
	}
	runs, err := r.db.Read().Runs(t.Context(), dev)
	if err != nil || len(runs) != 1 || runs[0].Run != run.String() || runs[0].BootID != "boot" || !runs[0].ClockOK {
		t.Errorf("Runs(%s) = %+v, %v, want the one of the hello", dev, runs, err)
	}
	if d, err := r.db.Read().Device(t.Context(), dev); err != nil || d.Version != "1.2.3" || d.SeenAt == 0 {
		t.Errorf("Device(%s) = %+v, %v, want the version and the time of the hello", dev, d, err)
	}
}

// TestHelloRefused holds that a hello that cannot be is answered with the reason, and in full
// form: agents read the sets without looking at the error.
func TestHelloRefused(t *testing.T) {
	r := newRig(t)
	r.tx(func(q *meta.Queries) error {
		d, err := q.Device(t.Context(), other)
		if err != nil {
			return err
		}
		d.RevokedAt = 1
		return q.UpdateDevice(t.Context(), d)
	})
	for name, tt := range map[string]struct {
		device string
		data   []byte
		want   string
	}{
		"another's name": {dev, encode(t, wire.Hello{Device: other}), `hello of device "dev-2" sent by "dev-1"`},
		"no JSON":        {dev, []byte("hello"), "read hello"},
		"no run":         {dev, []byte(`{"device":"dev-1","runs":[{"run":"xyz"}]}`), "hexadecimal"},
		"a NUL":          {dev, []byte(`{"device":"dev-1","runs":[{"run":"` + run.String() + `","boot_id":"\u0000"}]}`), "boot_id"},
		"revoked":        {other, encode(t, wire.Hello{Device: other}), `device "dev-2" is not enrolled`},
	} {
		b := r.ask(tt.device, &nats.Msg{Subject: wire.SubjectHello(tt.device), Data: tt.data})
		var reply wire.HelloReply
		if err := json.Unmarshal(b, &reply); err != nil || !strings.Contains(reply.Error, tt.want) || reply.Applied.Sets == nil || reply.HubTime == 0 {
			t.Errorf("%s: hello = %s, %v, want the error %q, a time and sets", name, b, err, tt.want)
		}
	}
}

// TestClones holds what makes a device suspect: two runs that continue the same one, and a join
// counter that has gone back. It is reported once, as an alarm, and stays until somebody decides.
func TestClones(t *testing.T) {
	chain := func(r, prev byte) wire.RunInfo { return wire.RunInfo{Run: wire.Run{r}, Prev: wire.Run{prev}} }
	for name, tt := range map[string]struct {
		counter int64 // what the device has confirmed before
		hellos  []wire.Hello
		want    []bool // suspect after each
	}{
		"a restart": {hellos: []wire.Hello{
			{Runs: []wire.RunInfo{chain(1, 0)}},
			{Runs: []wire.RunInfo{chain(1, 0), chain(2, 1)}},
			{Runs: []wire.RunInfo{chain(2, 1)}},
		}, want: []bool{false, false, false}},
		"a copied disk": {hellos: []wire.Hello{
			{Runs: []wire.RunInfo{chain(1, 0), chain(2, 1)}},
			{Runs: []wire.RunInfo{chain(1, 0), chain(3, 1)}},
			{Runs: []wire.RunInfo{chain(3, 1)}},
		}, want: []bool{false, true, true}},
		"a lost store": {hellos: []wire.Hello{
			{Runs: []wire.RunInfo{chain(1, 0), chain(2, 1)}},
			{Runs: []wire.RunInfo{chain(4, 0)}},
		}, want: []bool{false, false}},
		"a counter one behind": {counter: 5, hellos: []wire.Hello{{JoinCounter: 4}}, want: []bool{false}},
		"a counter two behind": {counter: 5, hellos: []wire.Hello{{JoinCounter: 3}}, want: []bool{true}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.tx(func(q *meta.Queries) error {
				d, err := q.Device(t.Context(), dev)
				if err != nil {
					return err
				}
				d.JoinCounter = tt.counter
				return q.UpdateDevice(t.Context(), d)
			})
			for i, h := range tt.hellos {
				h.Device, h.Receipts = dev, true
				if got := r.hello(dev, h); got.Error != "" || got.Suspect != tt.want[i] {
					t.Errorf("hello %d: suspect = %v, error %q, want %v", i, got.Suspect, got.Error, tt.want[i])
				}
			}
			want := 0
			if tt.want[len(tt.want)-1] {
				want = 1
			}
			alarms, err := r.db.Read().Events(t.Context(), meta.EventFilter{Device: dev, Kind: "suspect", Limit: 10})
			if err != nil || len(alarms) != want {
				t.Errorf("%d alarms, %v, want %d", len(alarms), err, want)
			}
		})
	}
}

// TestDesiredRead reads desired state by request: the document, or nothing where there is none.
func TestDesiredRead(t *testing.T) {
	r := newRig(t)
	if _, err := r.bus.Desired.Put(t.Context(), dev, []byte(`{"generation":4}`)); err != nil {
		t.Fatal(err)
	}
	for device, want := range map[string]string{dev: `{"generation":4}`, other: ""} {
		if got := string(r.ask(device, &nats.Msg{Subject: wire.SubjectDesiredRead(device)})); got != want {
			t.Errorf("desired state of %s = %q, want %q", device, got, want)
		}
	}
}

// TestAnswersStayInTheInbox holds that the hub, which may publish everywhere, answers a device
// nowhere but in the device's own inbox.
func TestAnswersStayInTheInbox(t *testing.T) {
	r := newRig(t)
	r.hello(dev, wire.Hello{Device: dev, Receipts: true}) // the lanes are subscribed
	for _, reply := range []string{
		wire.InboxPrefix(other) + ".x",
		wire.InboxPrefix(dev) + "2.x",
		wire.SubjectDesired(other),
		"$KV." + wire.BucketDesired + "." + other,
		"edge.north." + other + ".state",
	} {
		watch, err := r.bus.Conn.SubscribeSync(reply)
		if err != nil {
			t.Fatal(err)
		}
		for _, subject := range []string{wire.SubjectHello(dev), wire.SubjectDesiredRead(dev), wire.SubjectLive("north", dev)} {
			if err := r.conns[dev].PublishRequest(subject, reply, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.conns[dev].Flush(); err != nil {
			t.Fatal(err)
		}
		// its answer comes after those, were there any
		r.hello(dev, wire.Hello{Device: dev, Receipts: true})
		if m, err := watch.NextMsg(quiet); err == nil {
			t.Errorf("a device had the hub write %q to %s", m.Data, reply)
		}
		if err := watch.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOlderAgents serves an agent from before receipts: its chunk is answered as a stream would,
// what is applied is published to it, and its desired state is pushed after the hello.
func TestOlderAgents(t *testing.T) {
	r := newRig(t)
	if _, err := r.bus.Desired.Put(t.Context(), dev, []byte(`{"generation":9}`)); err != nil {
		t.Fatal(err)
	}
	desired := r.subscribe(dev, wire.SubjectDesired(dev))
	applied := r.subscribe(dev, wire.SubjectApplied(dev))

	if reply := r.hello(dev, wire.Hello{Device: dev, Runs: []wire.RunInfo{{Run: run}}}); reply.Error != "" {
		t.Fatalf("hello = %+v", reply)
	}
	if m, err := desired.NextMsg(patience); err != nil || string(m.Data) != `{"generation":9}` {
		t.Errorf("desired state after the hello = %v, %v", m, err)
	}
	// what a client of JetStream reads
	var ack struct {
		Stream string `json:"stream"`
		Seq    uint64 `json:"seq"`
		Error  *struct{ Code int }
	}
	send := func(first uint64) {
		t.Helper()
		b := r.ask(dev, &nats.Msg{
			Subject: subject(dev, ingest.Live),
			Data:    ingesttest.Chunk(t, dev, first, 10, 1),
			Header:  nats.Header{jetstream.MsgIDHeader: {fmt.Sprint(first)}},
		})
		if err := json.Unmarshal(b, &ack); err != nil || ack.Stream != "TEL" || ack.Seq == 0 || ack.Error != nil {
			t.Fatalf("answer to a chunk of an older agent = %s, %v, want the acknowledgement of a stream", b, err)
		}
	}
	for i, first := range []uint64{1, 11} {
		send(first)
		want := uint64(10 * (i + 1))
		for {
			m, err := applied.NextMsg(patience)
			if err != nil {
				t.Fatalf("the ledger up to %d is not published: %v", want, err)
			}
			var a wire.Applied
			if err := json.Unmarshal(m.Data, &a); err != nil {
				t.Fatal(err)
			}
			if mark(a) == want {
				break
			}
		}
	}
	// no hello of a newer agent pushes anything: it asks
	r.hello(dev, wire.Hello{Device: dev, Receipts: true})
	if m, err := desired.NextMsg(quiet); err == nil {
		t.Errorf("desired state pushed to an agent that asks for it: %s", m.Data)
	}
}

// TestOlderAgentsWithoutDesired holds that nothing is pushed where there is nothing to push.
func TestOlderAgentsWithoutDesired(t *testing.T) {
	r := newRig(t)
	desired := r.subscribe(dev, wire.SubjectDesired(dev))
	r.hello(dev, wire.Hello{Device: dev})
	r.hello(dev, wire.Hello{Device: dev, Receipts: true})
	if m, err := desired.NextMsg(quiet); err == nil {
		t.Errorf("desired state of a device without one: %q", m.Data)
	}
}

// TestReportedState stores what devices report, the newest of each, whatever else is in the stream.
func TestReportedState(t *testing.T) {
	r := newRig(t)
	report := func(device string, generation uint64) []byte {
		return encode(t, spec.Reported{
			Device:     device,
			Generation: generation,
			Class:      "linux/arm64",
			Version:    "2",
			Tasks: map[string]spec.ReportedTask{
				"flow": {Kind: "forecast", Spec: "task: flow", SpecHash: "h"},
			},
		})
	}
	publish := func(device string, data []byte) {
		t.Helper()
		if err := r.conns[device].Publish(wire.SubjectState("north", device), data); err != nil {
			t.Fatal(err)
		}
		if err := r.conns[device].Flush(); err != nil {
			t.Fatal(err)
		}
	}
	stored := func(device string) int64 {
		d, err := r.db.Read().Reported(t.Context(), device)
		if err != nil {
			return -1
		}
		return d.Generation
	}
	publish(dev, report(dev, 3))
	r.await("the state of "+dev, func() bool { return stored(dev) == 3 })
	d, err := r.db.Read().Device(t.Context(), dev)
	if err != nil || d.Class != "linux/arm64" || d.Version != "2" {
		t.Errorf("Device(%s) = %+v, %v, want class and version as reported", dev, d, err)
	}
	if devices, err := r.db.Read().TaskDevices(t.Context(), "flow"); err != nil || len(devices) != 1 || devices[0] != dev {
		t.Errorf("TaskDevices(flow) = %v, %v", devices, err)
	}

	// what is no state, and what names another device, is passed over and holds nobody up; one
	// after the other, because the stream keeps the newest of each device only
	publish(other, report(other, 1))
	poison := []byte(`{"device":"dev-1","version":"1\u0000"}`)
	for i, data := range [][]byte{[]byte("{"), report(other, 99), poison, report(dev, 4)} {
		publish(dev, data)
		r.await("the acknowledgement of every state", func() bool {
			c, err := r.bus.JS.Consumer(t.Context(), wire.StreamState, "state")
			return err == nil && c.CachedInfo().AckFloor.Stream == uint64(3+i)
		})
	}
	if stored(dev) != 4 || stored(other) != 1 {
		t.Errorf("states of generation %d and %d, want 4 and 1", stored(dev), stored(other))
	}
	if kept, err := r.db.Read().QuarantinedMessages(t.Context(), 0); err != nil || len(kept) != 3 {
		t.Errorf("in quarantine: %+v, %v, want the three states that are none", kept, err)
	}
}

// logged is a log that is read while it is written.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// TestStateWaitsForTheDatabase holds that a state that could not be stored comes again, each second,
// and is in the log once, not each second.
func TestStateWaitsForTheDatabase(t *testing.T) {
	r := newRig(t)
	db, err := sql.Open("sqlite", filepath.Join(r.dir, "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rename := func(from, to string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
			t.Fatal(err)
		}
	}
	rename("reported", "broken")
	state := encode(t, spec.Reported{Device: dev, Generation: 3})
	if err := r.conns[dev].Publish(wire.SubjectState("north", dev), state); err != nil {
		t.Fatal(err)
	}
	r.await("three more deliveries after one that failed", func() bool {
		c, err := r.bus.JS.Consumer(t.Context(), wire.StreamState, "state")
		if err != nil {
			return false // the lanes have not made it yet
		}
		info, err := c.Info(t.Context())
		return err == nil && info.Delivered.Consumer > 3
	})
	if n := r.log.count("storing reported state failed"); n != 1 {
		t.Errorf("four failures of one kind are logged %d times, want once a minute", n)
	}
	rename("broken", "reported")
	r.await("the state", func() bool {
		d, err := r.db.Read().Reported(t.Context(), dev)
		return err == nil && d.Generation == 3
	})
}
