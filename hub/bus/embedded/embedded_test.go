package embedded_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/bus/embedded"
	"skerry.dev/hub/keys"
	"skerry.dev/test/wait"
)

func newRing(t *testing.T) *keys.Ring {
	t.Helper()
	ring, err := keys.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func open(t *testing.T, opts embedded.Options, ring *keys.Ring) *embedded.Server {
	t.Helper()
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:-1"
	}
	s, err := embedded.Open(opts, ring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// as is the option by which a user connects whose credential sign makes.
func as(t *testing.T, sign func(publicKey string) (string, error)) nats.Option {
	t.Helper()
	kp, key := bustest.Key(t)
	token, err := sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return nats.UserJWT(func() (string, error) { return token, nil }, kp.Sign)
}

// hub connects as the hub itself does.
func hub(t *testing.T, s *embedded.Server, ring *keys.Ring) *nats.Conn {
	t.Helper()
	token, kp, err := ring.HubUser("hub")
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("nats://in-process", s.InProcess(), nats.UserJWT(func() (string, error) { return token, nil }, kp.Sign))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// TestWhoMayConnect tries every kind of credential, and none.
func TestWhoMayConnect(t *testing.T) {
	ring, stranger := newRing(t), newRing(t)
	s := open(t, embedded.Options{Dir: t.TempDir()}, ring)
	device := func(r *keys.Ring) nats.Option {
		return as(t, func(key string) (string, error) { return r.SignDevice(key, "pump-1", "north", time.Hour) })
	}
	key := func(r *keys.Ring) nats.Option { // the right credential in the wrong hands
		token, err := r.SignDevice(mustKey(t), "pump-1", "north", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		other, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		return nats.UserJWT(func() (string, error) { return token, nil }, other.Sign)
	}
	for name, tt := range map[string]struct {
		opt nats.Option
		ok  bool
	}{
		"a device":                {device(ring), true},
		"a worker":                {as(t, func(key string) (string, error) { return ring.SignWorker(key, "w", time.Hour) }), true},
		"nobody":                  {nats.Name("nobody"), false},
		"a password":              {nats.UserInfo("admin", "admin"), false},
		"another hub's device":    {device(stranger), false},
		"a credential of another": {key(ring), false},
	} {
		nc, err := nats.Connect(s.URL(), tt.opt, nats.MaxReconnects(0))
		if err == nil {
			nc.Close()
		}
		if (err == nil) != tt.ok {
			t.Errorf("%s connects: %v, want allowed = %v", name, err, tt.ok)
		}
	}
}

func mustKey(t *testing.T) string {
	t.Helper()
	_, key := bustest.Key(t)
	return key
}

// TestRevocationOutlivesRestart revokes a device whose ring is then opened by a new server: the
// old credential stays void, and one that is issued after it works.
func TestRevocationOutlivesRestart(t *testing.T) {
	ring, dir := newRing(t), t.TempDir()
	kp, key := bustest.Key(t)
	token, err := ring.SignDevice(key, "pump-1", "north", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	opt := nats.UserJWT(func() (string, error) { return token, nil }, kp.Sign)
	s := open(t, embedded.Options{Dir: dir}, ring)
	closed := make(chan struct{})
	if _, err := nats.Connect(s.URL(), opt, nats.MaxReconnects(0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // else it prints
		nats.ClosedHandler(func(*nats.Conn) { close(closed) })); err != nil {
		t.Fatal(err)
	}
	if err := ring.Revoke(map[string]int64{key: keys.VoidBefore(time.Now())}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection of a revoked key stays open")
	}
	for _, where := range []string{"the same server", "the next one"} {
		if nc, err := nats.Connect(s.URL(), opt, nats.MaxReconnects(0)); err == nil {
			nc.Close()
			t.Errorf("a revoked credential connects to %s", where)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, embedded.Options{Dir: dir}, ring)
	}
	device := as(t, func(key string) (string, error) { return ring.SignDevice(key, "pump-1", "north", time.Hour) })
	nc, err := nats.Connect(s.URL(), device)
	if err != nil {
		t.Fatalf("the device with a new key: %v", err)
	}
	nc.Close()
}

// TestMessagesOutliveTheServer stores messages, stops the server and finds them at the next one.
func TestMessagesOutliveTheServer(t *testing.T) {
	ring, dir := newRing(t), t.TempDir()
	for round := range uint64(3) {
		s := open(t, embedded.Options{Dir: dir}, ring)
		js, err := jetstream.New(hub(t, s, ring))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}, MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if n := stream.CachedInfo().State.Msgs; n != round {
			t.Errorf("the server of round %d has %d messages", round, n)
		}
		if _, err := js.Publish(t.Context(), "kept", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := s.Err(); err != nil {
			t.Errorf("Err of a running server = %v", err)
		}
		for range 2 { // idempotent
			if err := s.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), "NATS server is stopped") {
			t.Errorf("Err of a closed server = %v, want that it is stopped", err)
		}
	}
}

// TestStoreIsBounded holds that streams together reserve no more than the server may store.
func TestStoreIsBounded(t *testing.T) {
	ring := newRing(t)
	s := open(t, embedded.Options{Dir: t.TempDir(), MaxStore: 1 << 20}, ring)
	js, err := jetstream.New(hub(t, s, ring))
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"SMALL": true, "LARGE": false} {
		size := map[bool]int64{true: 1 << 19, false: 1 << 21}[ok]
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}, MaxBytes: size}); (err == nil) != ok {
			t.Errorf("stream %s of %d bytes: %v, want allowed = %v", name, size, err, ok)
		}
	}
}

// TestOpenRefuses holds that what cannot be served is refused with the address, and leaves nothing
// running.
func TestOpenRefuses(t *testing.T) {
	ring := newRing(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]embedded.Options{
		"no port":        {Dir: t.TempDir(), Listen: "127.0.0.1"},
		"no number":      {Dir: t.TempDir(), Listen: "127.0.0.1:nats"},
		"no certificate": {Dir: t.TempDir(), Listen: "127.0.0.1:-1", TLSCert: file, TLSKey: file},
	} {
		s, err := embedded.Open(opts, ring)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "start NATS on "+opts.Listen) {
			t.Errorf("%s: Open = %v, want an error with the address", name, err)
		}
	}
}

// TestTLS serves devices with a certificate, also a renewed one, and takes no connection without.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := bustest.Certificate(t, dir)
	ring := newRing(t)
	s := open(t, embedded.Options{Dir: dir, TLSCert: cert, TLSKey: key}, ring)
	if !strings.HasPrefix(s.URL(), "tls://127.0.0.1:") {
		t.Errorf("URL = %s, want tls", s.URL())
	}
	device := as(t, func(key string) (string, error) { return ring.SignDevice(key, "pump-1", "north", time.Hour) })
	nc, err := nats.Connect(s.URL(), device, nats.RootCAs(cert))
	if err != nil {
		t.Fatalf("a device that trusts the certificate: %v", err)
	}
	nc.Close()
	if nc, err := nats.Connect(s.URL(), device); err == nil {
		nc.Close()
		t.Error("a device connects that does not trust the certificate")
	} else if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("a device that does not trust the certificate: %v, want an unknown authority", err)
	}
	bustest.Certificate(t, dir) // renewed in place
	if nc, err = nats.Connect(s.URL(), device, nats.RootCAs(cert)); err != nil {
		t.Fatalf("a device that trusts the renewed certificate: %v", err)
	}
	nc.Close()
}

// TestRunEnds holds that the watch over JetStream ends with its context.
func TestRunEnds(t *testing.T) {
	s := open(t, embedded.Options{Dir: t.TempDir()}, newRing(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestMessagesAreBounded holds that a message of more than 1 MiB is refused.
func TestMessagesAreBounded(t *testing.T) {
	ring := newRing(t)
	nc := hub(t, open(t, embedded.Options{Dir: t.TempDir()}, ring), ring)
	if err := nc.Publish("x", make([]byte, 1<<20)); err != nil {
		t.Errorf("publish 1 MiB: %v", err)
	}
	if err := nc.Publish("x", make([]byte, 1<<20+1)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("publish more than 1 MiB: %v, want ErrMaxPayload", err)
	}
}

// watched connects device pump-1 and the hub to a server that runs until the test ends, and returns
// what the server reports of the device.
func watched(t *testing.T) (nc, h *nats.Conn, reported <-chan string) {
	t.Helper()
	nc, h, reported, _ = watchedBy(t)
	return nc, h, reported
}

// watchedBy is watched, and returns what connects the device once more.
func watchedBy(t *testing.T) (nc, h *nats.Conn, reported <-chan string, again func() *nats.Conn) {
	t.Helper()
	ring := newRing(t)
	seen := make(chan string, 16)
	s := open(t, embedded.Options{Dir: t.TempDir(), Violation: func(_ context.Context, device, what string) { seen <- device + " " + what }}, ring)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	who := as(t, func(key string) (string, error) { return ring.SignDevice(key, "pump-1", "north", time.Hour) })
	again = func() *nats.Conn {
		t.Helper()
		nc, err := nats.Connect(s.URL(), nats.NoReconnect(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), who) // else it prints
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	return again(), hub(t, s, ring), seen, again
}

// TestConnectionsAreBounded holds that a device keeps the newest few of many connections, that this
// is reported with its name, and that the hub's own go on.
func TestConnectionsAreBounded(t *testing.T) {
	first, h, seen, again := watchedBy(t)
	conns := []*nats.Conn{first}
	for range 30 {
		conns = append(conns, again())
	}
	if got, want := <-seen, "connections at once, a device has 8 at most"; !strings.HasPrefix(got, "pump-1 ") || !strings.Contains(got, want) {
		t.Errorf("reported %q, want %q of pump-1", got, want)
	}
	const most = 8
	old, young := conns[:len(conns)-most], conns[len(conns)-most:]
	wait.For(t, "the oldest are ended", func() bool { return !slices.ContainsFunc(old, func(nc *nats.Conn) bool { return !nc.IsClosed() }) })
	if slices.ContainsFunc(young, func(nc *nats.Conn) bool { return nc.IsClosed() }) {
		t.Error("one of the newest connections is ended")
	}
	if !h.IsConnected() {
		t.Error("the hub's connection is ended")
	}
}

// TestViolation holds that what a device may not do is reported with its name, although the server
// only writes a line about a connection.
func TestViolation(t *testing.T) {
	nc, _, seen := watched(t)
	for _, tt := range []struct {
		do   func() error
		want string
	}{
		{func() error { return nc.Publish("edge.north.pump-1.tel.junk", nil) }, "Publish Violation - Subject \"edge.north.pump-1.tel.junk\""},
		{func() error { _, err := nc.SubscribeSync("desired.pump-2"); return err }, "Subscription Violation - Subject \"desired.pump-2\""},
	} {
		if err := errors.Join(tt.do(), nc.Flush()); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; !strings.HasPrefix(got, "pump-1 "+tt.want) {
			t.Errorf("reported %q, want pump-1 and %s", got, tt.want)
		}
	}
}

// TestSubscriptionsAreBounded holds that a device has as many subscriptions as an agent needs and
// no thousands; that this is reported with its name, and that the connection and what it had
// subscribed to before go on.
func TestSubscriptionsAreBounded(t *testing.T) {
	nc, h, seen := watched(t)
	desired, err := nc.SubscribeSync("desired.pump-1")
	if err != nil {
		t.Fatal(err)
	}
	const most, tried = 64, 200
	for i := range tried {
		if _, err := nc.SubscribeSync(fmt.Sprintf("_INBOX_pump-1.%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := <-seen, "pump-1 maximum subscriptions exceeded"; got != want {
		t.Errorf("reported %q, want %q", got, want)
	}
	for i := range tried {
		if err := h.Publish(fmt.Sprintf("_INBOX_pump-1.%d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(h.Publish("desired.pump-1", nil), h.Flush()); err != nil {
		t.Fatal(err)
	}
	if _, err := desired.NextMsg(10 * time.Second); err != nil {
		t.Errorf("what it had subscribed to before: %v", err)
	}
	if got := nc.Stats().InMsgs; got != most {
		t.Errorf("%d messages arrive at a device with %d subscriptions, want %d", got, tried+1, most)
	}
}
