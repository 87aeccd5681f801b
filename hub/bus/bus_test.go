package bus_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/keys"
	"skerry.dev/sync/wire"
)

type device struct {
	nc   *nats.Conn
	errs chan error
	pub  string
}

func connect(t *testing.T, b bustest.Bus, kp nkeys.KeyPair, name string) (*device, error) {
	t.Helper()
	pub, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	token, err := b.Ring.SignDevice(pub, name, "north", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	d := &device{errs: make(chan error, 64), pub: pub}
	d.nc, err = nats.Connect(b.URLs()[0], nats.CustomInboxPrefix(wire.InboxPrefix(name)), nats.MaxReconnects(0),
		nats.UserJWT(func() (string, error) { return token, nil }, func(n []byte) ([]byte, error) { return kp.Sign(n) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { d.errs <- err }))
	if err == nil {
		t.Cleanup(d.nc.Close)
	}
	return d, err
}

func newKey(t *testing.T) nkeys.KeyPair {
	t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	return kp
}

// denied reports whether the server refused what was just sent.
func (d *device) denied(t *testing.T) bool {
	t.Helper()
	if err := d.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-d.errs:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Fatalf("unexpected error %v", err)
		}
		return true
	case <-time.After(50 * time.Millisecond):
		return false
	}
}

func TestSubjectMatrix(t *testing.T) {
	b := bustest.Open(t, t.TempDir())
	d, err := connect(t, b, newKey(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	pub := map[string]bool{
		wire.SubjectLive("north", "a"): true, wire.SubjectBack("north", "a"): true, wire.SubjectEvents("north", "a"): true,
		wire.SubjectState("north", "a"): true, wire.SubjectHello("a"): true, wire.SubjectDesiredRead("a"): true, "svc.blob.a": false,
		"edge.north.a.tel.junk": false, "edge.north.a.tel": false, "edge.north.a.tel.live.x": false, "edge.north.a.junk": false,
		wire.SubjectLive("north", "b"): false, wire.SubjectLive("south", "a"): false, wire.SubjectHello("b"): false,
		wire.SubjectDesiredGet("a"): false, wire.SubjectDesiredGet("b"): false, wire.SubjectDesiredRead("b"): false, "$KV.desired.a": false, "desired.a": false, "applied.a": false, "applied.b": false,
		"$JS.API.STREAM.INFO.TEL": false, "$JS.API.STREAM.DELETE.TEL": false, "$JS.API.STREAM.PURGE.TEL": false, "$JS.API.CONSUMER.CREATE.TEL": false,
		"$JS.ACK.TEL.x": false, "$SYS.REQ.SERVER.PING": false, "train.jobs.fit": false, "edge.north.b.state": false, "_INBOX_b.x": false,
		"_INBOX.x": false, "svc.hello.a.b": false,
	}
	for subject, want := range pub {
		if err := d.nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if got := !d.denied(t); got != want {
			t.Errorf("publish %s allowed = %v, want %v", subject, got, want)
		}
	}
	sub := map[string]bool{
		wire.InboxPrefix("a") + ".x": true, wire.InboxPrefix("a") + ".>": true, "desired.a": true, "applied.a": true,
		">": false, "*": false, "*.a": false, "desired.b": false, "desired.*": false, "applied.>": false, "applied.b": false, "edge.>": false,
		"edge.north.a.>": false, "edge.north.b.tel.live": false, "$SYS.>": false, "$JS.API.>": false, "$JS.EVENT.>": false, "$KV.desired.a": false,
		"_INBOX.>": false, "_INBOX_b.>": false, "svc.hello.a": false, "svc.>": false,
	}
	for subject, want := range sub {
		for _, queue := range []string{"", "q"} {
			var err error
			if queue == "" {
				_, err = d.nc.SubscribeSync(subject)
			} else {
				_, err = d.nc.QueueSubscribeSync(subject, queue)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := !d.denied(t); got != want {
				t.Errorf("subscribe %s queue %q allowed = %v, want %v", subject, queue, got, want)
			}
		}
	}
}

func TestDesiredReachesDevice(t *testing.T) {
	b := bustest.Open(t, t.TempDir())
	d, err := connect(t, b, newKey(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.nc.SubscribeSync(wire.SubjectDesired("a"))
	if err != nil {
		t.Fatal(err)
	}
	d.nc.Flush()
	if _, err := b.Desired.Put(t.Context(), "a", []byte(`{"generation":1}`)); err != nil {
		t.Fatal(err)
	}
	m, err := s.NextMsg(2 * time.Second)
	if err != nil || string(m.Data) != `{"generation":1}` {
		t.Fatalf("republished desired = %v, %v", m, err)
	}
}

func TestRevokeClosesLiveConnection(t *testing.T) {
	b := bustest.Open(t, t.TempDir())
	links := make(chan bool, 8)
	if err := b.OnLink(func(device string, up bool) { links <- up && device == "a" }); err != nil {
		t.Fatal(err)
	}
	kp := newKey(t)
	d, err := connect(t, b, kp, "a")
	if err != nil {
		t.Fatal(err)
	}
	next := func(want bool) {
		t.Helper()
		select {
		case got := <-links:
			if got != want {
				t.Fatalf("link = %v, want %v", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("no link event, want %v", want)
		}
	}
	next(true)
	token, _ := b.Ring.SignDevice(d.pub, "a", "north", time.Hour)
	if dev, _, err := b.Ring.CheckDevice(token); err != nil || dev != "a" {
		t.Fatalf("CheckDevice = %q, %v", dev, err)
	}
	if err := b.Ring.Revoke(map[string]int64{d.pub: keys.VoidBefore(time.Now())}); err != nil {
		t.Fatal(err)
	}
	next(false)
	if _, _, err := b.Ring.CheckDevice(token); !errors.Is(err, keys.ErrRevoked) {
		t.Fatalf("CheckDevice after revocation = %v, want ErrRevoked", err)
	}
	if _, err := connect(t, b, kp, "a"); err == nil {
		t.Fatal("a revoked credential connects")
	}
}

func TestKeysArePrivate(t *testing.T) {
	dir := t.TempDir()
	bustest.Open(t, dir)
	files, err := filepath.Glob(filepath.Join(dir, "keys", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("keys = %v, %v", files, err)
	}
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v; want 0600", f, st.Mode(), err)
		}
	}
}

// TestStateSurvivesRestart holds that what a device reported waits for a hub that was away.
func TestStateSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	b := bustest.Open(t, dir)
	if err := b.Conn.Publish(wire.SubjectState("north", "a"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	s, err := b.JS.Stream(t.Context(), wire.StreamState)
	if err != nil {
		t.Fatal(err)
	}
	// The stream acknowledges nothing, so the end of a flush is not that of storing.
	for tick := time.NewTicker(5 * time.Millisecond); s.CachedInfo().State.Msgs != 1; <-tick.C {
		if _, err := s.Info(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	b = bustest.Open(t, dir)
	if s, err = b.JS.Stream(t.Context(), wire.StreamState); err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 1 {
		t.Fatalf("%d messages after a restart, want 1", n)
	}
}

// TestServerAnswersNoDevice publishes where streams listen, with the API of JetStream as the address
// of the answer: the server may delete a stream, the device may not make it do so.
func TestServerAnswersNoDevice(t *testing.T) {
	b := bustest.Open(t, t.TempDir())
	d, err := connect(t, b, newKey(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{wire.StreamState, "KV_" + wire.BucketDesired} {
		for _, subject := range []string{wire.SubjectState("north", "a"), wire.SubjectDesiredGet("a"), wire.SubjectDesiredRead("a"), wire.SubjectHello("a")} {
			for _, call := range []string{"DELETE", "PURGE"} {
				if err := d.nc.PublishRequest(subject, "$JS.API.STREAM."+call+"."+stream, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	d.nc.Flush()
	inbox, err := d.nc.SubscribeSync(wire.InboxPrefix("a") + ".x")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.nc.PublishRequest(wire.SubjectState("north", "a"), wire.InboxPrefix("a")+".x", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if m, err := inbox.NextMsg(100 * time.Millisecond); err == nil {
		t.Errorf("the server answers a device: %s", m.Data)
	}
	for _, stream := range []string{wire.StreamState, "KV_" + wire.BucketDesired} {
		if _, err := b.JS.Stream(t.Context(), stream); err != nil {
			t.Errorf("stream %s: %v", stream, err)
		}
	}
}

// TestStateOfAnEarlierRelease opens the data of a hub whose stream of reported state answered.
func TestStateOfAnEarlierRelease(t *testing.T) {
	dir := t.TempDir()
	b := bustest.Open(t, dir)
	if err := b.JS.DeleteStream(t.Context(), wire.StreamState); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: wire.StreamState, Subjects: []string{"edge.*.*.state"},
		MaxBytes: 256 << 20, MaxMsgsPerSubject: 1, AllowDirect: true, Duplicates: 10 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JS.Publish(t.Context(), wire.SubjectState("north", "a"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b = bustest.Open(t, dir)
	s, err := b.JS.Stream(t.Context(), wire.StreamState)
	if err != nil {
		t.Fatal(err)
	}
	if info := s.CachedInfo(); info.State.Msgs != 1 || !info.Config.NoAck {
		t.Errorf("%d messages, NoAck %v; want 1 and true", info.State.Msgs, info.Config.NoAck)
	}
}

// TestRetiredStreamsGo holds that the streams of telemetry of an older hub are removed: while they
// stand they answer devices that a chunk is taken.
func TestRetiredStreamsGo(t *testing.T) {
	dir := t.TempDir()
	b := bustest.Open(t, dir)
	for name, subject := range map[string]string{"TEL": "edge.*.*.tel.>", "EVT": "edge.*.*.evt"} {
		if _, err := b.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}, MaxBytes: 1 << 30}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.JS.Publish(t.Context(), wire.SubjectEvents("north", "a"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b = bustest.Open(t, dir)
	for _, name := range []string{"TEL", "EVT"} {
		if _, err := b.JS.Stream(t.Context(), name); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("stream %s after the restart: %v, want not found", name, err)
		}
	}
}
