package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	mrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"skerry.dev/configs"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/server"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/trust"
	"skerry.dev/sync/wire"
	"skerry.dev/test/wait"
)

// hub is a running hub that a test can stop and start again.
type hub struct {
	*server.Hub
	t     *testing.T
	opts  server.Options
	stop  func()
	token string
}

func start(t *testing.T, opts server.Options) *hub {
	t.Helper()
	if opts.Config.DataDir == "" {
		opts.Config.DataDir = t.TempDir()
	}
	opts.Config.Listen, opts.Config.NATSListen = "127.0.0.1:0", "127.0.0.1:-1"
	opts.AdminPassword = "correct horse battery"
	if testing.Verbose() {
		opts.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	h := &hub{t: t, opts: opts}
	h.up()
	t.Cleanup(func() { h.stop() })
	return h
}

func (h *hub) up() {
	h.t.Helper()
	var err error
	if h.Hub, err = server.Open(context.Background(), h.opts); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	h.stop = func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("Run = %v", err)
		}
		if err := h.Close(); err != nil {
			h.t.Errorf("Close = %v", err)
		}
		h.stop = func() {}
	}
	var out struct{ Token string }
	h.do("POST", "/v1/login", map[string]string{"user": "admin", "password": h.opts.AdminPassword}, &out, 200)
	h.token = out.Token
}

func (h *hub) do(method, path string, in, out any, want int) {
	h.t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			h.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, h.URL()+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if h.token != "" {
		req.Header.Set("Authorization", "Bearer "+h.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if res.StatusCode != want {
		h.t.Fatalf("%s %s = %d %s, want %d", method, path, res.StatusCode, b, want)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			h.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
}

// agent is the least a device does: enrol, connect, send chunks, listen to applied.
type agent struct {
	h       *hub
	kp      nkeys.KeyPair
	reply   identity.EnrollReply
	nc      *nats.Conn
	js      jetstream.JetStream
	applied chan wire.Applied
	run     wire.Run
}

func (h *hub) enrolToken(device string) string {
	h.t.Helper()
	var tok struct{ Token string }
	h.do("POST", "/v1/enroll-tokens", map[string]string{"device": device, "site": "north"}, &tok, 201)
	return tok.Token
}

func (h *hub) agent(device string) *agent {
	h.t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		h.t.Fatal(err)
	}
	a := &agent{h: h, kp: kp}
	rand.Read(a.run[:])
	pub, _ := kp.PublicKey()
	h.do("POST", identity.PathEnroll, identity.EnrollRequest{Token: h.enrolToken(device), PublicKey: pub, Fingerprint: "f", Class: "linux/amd64", Version: "1"}, &a.reply, 200)
	a.connect()
	return a
}

func (a *agent) connect() {
	t := a.h.t
	t.Helper()
	var err error
	a.nc, err = nats.Connect(a.h.Bus.URLs()[0], nats.CustomInboxPrefix(wire.InboxPrefix(a.reply.Device)), nats.MaxReconnects(0),
		nats.UserJWT(func() (string, error) { return a.reply.JWT, nil }, func(n []byte) ([]byte, error) { return a.kp.Sign(n) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.nc.Close)
	if a.js, err = jetstream.New(a.nc); err != nil {
		t.Fatal(err)
	}
	a.applied = make(chan wire.Applied, 1024)
	if _, err := a.nc.Subscribe(wire.SubjectApplied(a.reply.Device), func(m *nats.Msg) {
		var v wire.Applied
		if json.Unmarshal(m.Data, &v) == nil {
			a.applied <- v
		}
	}); err != nil {
		t.Fatal(err)
	}
	a.nc.Flush()
}

func (a *agent) hello(runs ...wire.RunInfo) wire.HelloReply {
	t := a.h.t
	t.Helper()
	if len(runs) == 0 {
		runs = []wire.RunInfo{{Run: a.run}}
	}
	b, _ := json.Marshal(wire.Hello{Device: a.reply.Device, JoinCounter: a.reply.Join, Fingerprint: "f", Version: "1", Runs: runs})
	m, err := a.nc.Request(wire.SubjectHello(a.reply.Device), b, 5*time.Second)
	// the hub is still starting; a device tries again as well
	for i := 0; errors.Is(err, nats.ErrNoResponders) && i < 100; i++ {
		time.Sleep(50 * time.Millisecond)
		m, err = a.nc.Request(wire.SubjectHello(a.reply.Device), b, 5*time.Second)
	}
	if err != nil {
		t.Fatalf("hello: %v", err)
	}
	var r wire.HelloReply
	if err := json.Unmarshal(m.Data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// chunk makes readings with event times 1000·seq, so that every (series, time) is distinct.
func (a *agent) chunk(first uint64, n int, value float64) []byte {
	r := &wire.Records{}
	for i := range n {
		r.Readings = append(r.Readings, wire.Reading{Series: "pm25", Time: int64(first+uint64(i)) * 1000, Value: value + float64(i), Mono: int64(i)})
	}
	return a.encode(wire.ClassReading, first, r)
}

func (a *agent) encode(c wire.Class, first uint64, r *wire.Records) []byte {
	b, err := wire.Encode(wire.Header{Device: a.reply.Device, Run: a.run, Class: c, First: first}, r)
	if err != nil {
		a.h.t.Fatal(err)
	}
	return b
}

// send sends a message and returns the hub's receipt.
func (a *agent) send(subject string, b []byte) (r wire.Receipt) {
	a.h.t.Helper()
	m, err := a.nc.Request(subject, b, 5*time.Second)
	if err != nil {
		a.h.t.Fatalf("send on %s: %v", subject, err)
	}
	if err := json.Unmarshal(m.Data, &r); err != nil || r.RetryMS > 0 || r.Applied == (len(r.Refused) > 0) {
		a.h.t.Fatalf("receipt on %s = %s, %v", subject, m.Data, err)
	}
	return r
}

// state publishes a reported state, which nobody answers.
func (a *agent) state(doc []byte) {
	a.h.t.Helper()
	if err := a.nc.Publish(wire.SubjectState("north", a.reply.Device), doc); err != nil {
		a.h.t.Fatal(err)
	}
}

func (a *agent) live(b []byte) wire.Receipt {
	a.h.t.Helper()
	return a.send(wire.SubjectLive("north", a.reply.Device), b)
}

func (a *agent) back(b []byte) wire.Receipt {
	a.h.t.Helper()
	return a.send(wire.SubjectBack("north", a.reply.Device), b)
}

// mark checks what the ledger holds of a class without a hole.
func (a *agent) mark(class wire.Class, want uint64) {
	a.h.t.Helper()
	for _, s := range a.hello().Applied.Sets {
		if s.Run == a.run && s.Class == class && s.Mark != want {
			a.h.t.Fatalf("the ledger has %s up to %d, want %d", class, s.Mark, want)
		}
	}
}

// await waits until the hub announced a mark to an older agent.
func (a *agent) await(class wire.Class, mark uint64) wire.AppliedSet {
	a.h.t.Helper()
	deadline := time.After(10 * time.Second)
	var last wire.AppliedSet
	for {
		select {
		case v := <-a.applied:
			for _, s := range v.Sets {
				if s.Run == a.run && s.Class == class {
					last = s
					if s.Mark == mark {
						return s
					}
				}
			}
		case <-deadline:
			a.h.t.Fatalf("applied %s = %+v, want mark %d", class, last, mark)
		}
	}
}

func (h *hub) check(device string) lake.Check {
	h.t.Helper()
	var c lake.Check
	h.do("GET", "/v1/lake/check?device="+device, nil, &c, 200)
	return c
}

func TestEndToEnd(t *testing.T) {
	h := start(t, server.Options{})
	a := h.agent("dev-1")
	if r := a.hello(); r.Error != "" || r.Suspect {
		t.Fatalf("hello = %+v", r)
	}
	one, two, three := a.chunk(1, 100, 1), a.chunk(101, 100, 2), a.chunk(201, 50, 3)
	a.live(two) // reordered
	s := a.hello().Applied.Sets
	i := slices.IndexFunc(s, func(x wire.AppliedSet) bool { return x.Class == wire.ClassReading })
	if s[i].Mark != 0 || !slices.Equal(s[i].Ranges, []wire.Range{{From: 101, To: 200}}) {
		t.Fatalf("after the second chunk the ledger has %+v, want 101..200 above the mark", s[i])
	}
	a.back(one)
	a.mark(wire.ClassReading, 200)
	// a duplicate on another lane, twice in one message
	if r := a.live(wire.Pack([][]byte{one, one})); !r.Applied {
		t.Errorf("receipt of repeats = %+v", r)
	}
	a.live(a.chunk(101, 100, 9)) // a conflict: same numbers, other bytes
	a.live(a.chunk(150, 20, 2))  // an overlap with other bounds
	if r := a.live(wire.Pack([][]byte{[]byte("garbage"), three})); len(r.Refused) != 1 || r.Refused[0].Index != 0 {
		t.Errorf("receipt of a damaged chunk and a good one = %+v", r)
	}
	a.mark(wire.ClassReading, 250)
	a.send(wire.SubjectEvents("north", "dev-1"), a.encode(wire.ClassEvent, 1, &wire.Records{Events: []wire.Event{
		{Time: 5, Kind: "drift", Task: "t", Detail: `{"level":"drift"}`},
		{Time: 6, Kind: wire.GapKind, Detail: fmt.Sprintf(`{"run":%q,"class":"reading","from":251,"to":300,"reason":"cap"}`, a.run)},
	}}))
	a.mark(wire.ClassReading, 300)
	a.live(a.encode(wire.ClassLabel, 1, &wire.Records{Labels: []wire.Label{{Task: "t", Row: 1000, At: 2000, Truth: 3, Predicted: 4, Candidate: math.NaN(), Persistence: 1, Upper: 5}}}))
	a.live(a.encode(wire.ClassHost, 1, &wire.Records{Hosts: []wire.Host{{Time: 1, Metric: "cpu_percent", Value: 12.5}}}))
	a.mark(wire.ClassHost, 1)

	// What was declared lost arrives after all: stored beats gap.
	a.back(a.chunk(251, 50, 4))
	if n := h.check("dev-1").Readings; n != 300 {
		t.Errorf("%d readings after late data, want 300", n)
	}

	if n, err := h.Lake.Compact(t.Context(), true); err != nil || n == 0 {
		t.Fatalf("Compact = %d, %v", n, err)
	}
	c := h.check("dev-1")
	if c.Readings != 300 || c.Distinct != 300 || c.Duplicates != 0 {
		t.Errorf("check = %+v, want 300 distinct", c)
	}
	var list struct{ Items []map[string]any }
	for path, want := range map[string]int{"/v1/conflicts": 2, "/v1/quarantine": 1, "/v1/gaps": 1, "/v1/events?kind=drift": 1, "/v1/events?class=alarm": 4, // with one about the clock: the times are small

		"/v1/tasks/t/labels": 1, "/v1/lake/readings?device=dev-1&limit=1000": 300, "/v1/devices": 1} {
		h.do("GET", path, nil, &list, 200)
		if len(list.Items) != want {
			t.Errorf("GET %s has %d items, want %d: %v", path, len(list.Items), want, list.Items)
		}
	}
	wait.For(t, "connected", func() bool {
		var d struct{ Connected bool }
		h.do("GET", "/v1/devices/dev-1", nil, &d, 200)
		return d.Connected
	})
}

// TestOlderAgentIsServed publishes as an agent from before receipts does: to a stream, whose
// acknowledgement it waits for, and releases what the hub then publishes as applied.
func TestOlderAgentIsServed(t *testing.T) {
	h := start(t, server.Options{})
	a := h.agent("dev-1")
	desired, err := a.nc.SubscribeSync(wire.SubjectDesired("dev-1"))
	if err != nil {
		t.Fatal(err)
	}
	a.nc.Flush()
	if _, err := h.Bus.Desired.Put(t.Context(), "dev-1", []byte(`{"device":"dev-1","generation":1}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := desired.NextMsg(5 * time.Second); err != nil {
		t.Fatalf("the change is not published: %v", err)
	}
	a.hello()
	if m, err := desired.NextMsg(5 * time.Second); err != nil || string(m.Data) != `{"device":"dev-1","generation":1}` {
		t.Errorf("desired state after the hello = %v, %v", m, err)
	}
	for i := range 5 {
		first := uint64(i*10 + 1)
		ack, err := a.js.PublishMsg(t.Context(), &nats.Msg{Subject: wire.SubjectLive("north", "dev-1"), Data: a.chunk(first, 10, 1),
			Header: nats.Header{nats.MsgIdHdr: {fmt.Sprint(a.run, ".4.", first)}}})
		if err != nil || ack.Stream == "" {
			t.Fatalf("acknowledgement = %+v, %v", ack, err)
		}
	}
	a.await(wire.ClassReading, 50)
}

// TestAnswersOnlyTheSender asks with another device's desired state as the address of the answer:
// the hub may publish there, the device may not.
func TestAnswersOnlyTheSender(t *testing.T) {
	h := start(t, server.Options{})
	a, b := h.agent("dev-1"), h.agent("dev-2")
	a.hello()
	stolen, err := b.nc.SubscribeSync(wire.SubjectDesired("dev-2"))
	if err != nil {
		t.Fatal(err)
	}
	b.nc.Flush()
	for _, subject := range []string{wire.SubjectHello("dev-1"), wire.SubjectLive("north", "dev-1")} {
		if err := a.nc.PublishRequest(subject, wire.SubjectDesired("dev-2"), a.chunk(1, 10, 1)); err != nil {
			t.Fatal(err)
		}
	}
	a.live(a.chunk(1, 10, 1)) // its answer comes after those
	b.hello()
	if m, err := stolen.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("dev-1 made the hub write %s to dev-2", m.Data)
	}
}

func TestHubRestartInTheMiddle(t *testing.T) {
	h := start(t, server.Options{})
	a := h.agent("dev-1")
	a.hello()
	var sent [][]byte
	for i := range 40 {
		sent = append(sent, a.chunk(uint64(1+i*10), 10, float64(i)))
	}
	for i, b := range sent[:20] {
		if a.live(b); i == 10 {
			if _, err := h.Lake.Compact(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.stop()
	h.up()
	a.connect()
	a.hello()
	order := mrand.New(mrand.NewPCG(1, 2)).Perm(len(sent)) // everything again, in any order
	for _, i := range order {
		a.back(sent[i])
	}
	wait.For(t, "everything applied", func() bool {
		for _, s := range a.hello().Applied.Sets {
			if s.Class == wire.ClassReading {
				return s.Mark == 400 && len(s.Ranges) == 0
			}
		}
		return false
	})
	if c := h.check("dev-1"); c.Readings != 400 || c.Duplicates != 0 {
		t.Errorf("check = %+v, want 400 distinct", c)
	}
	conflicts, err := h.DB.Read().Conflicts(t.Context(), "", 0)
	if err != nil || len(conflicts) != 0 {
		t.Errorf("conflicts = %v, %v", conflicts, err)
	}
}

func TestEnrolment(t *testing.T) {
	h := start(t, server.Options{})
	token := h.enrolToken("dev-1")
	kp, _ := nkeys.CreateUser()
	pub, _ := kp.PublicKey()
	other, _ := nkeys.CreateUser()
	otherPub, _ := other.PublicKey()
	req := identity.EnrollRequest{Token: token, PublicKey: pub, Class: "linux/amd64"}
	var r identity.EnrollReply
	h.do("POST", identity.PathEnroll, req, &r, 200)
	h.do("POST", identity.PathEnroll, req, &r, 200) // the reply was lost
	if r.Device != "dev-1" || r.Site != "north" || r.Join != 1 || len(r.TUFRoot) == 0 {
		t.Fatalf("enrol = %+v", r)
	}
	texts := map[string]bool{}
	for name, bad := range map[string]identity.EnrollRequest{
		"another key":  {Token: token, PublicKey: otherPub},
		"unknown":      {Token: "ske_x", PublicKey: otherPub},
		"one bit off":  {Token: token[:len(token)-1] + string(token[len(token)-1]^1), PublicKey: pub},
		"not a key":    {Token: token, PublicKey: "UAAA"},
		"second token": {Token: token + "A", PublicKey: pub},
	} {
		_, err := h.Fleet.Enroll(t.Context(), name, bad)
		if err == nil {
			t.Fatalf("%s: enrolled", name)
		}
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("bad tokens get different answers: %v", texts)
	}
	for range 12 {
		_, err := h.Fleet.Enroll(t.Context(), "10.0.0.9", identity.EnrollRequest{Token: "x", PublicKey: pub})
		if err == nil {
			t.Fatal("enrolled")
		}
		texts[err.Error()] = true
	}
	if len(texts) != 2 {
		t.Errorf("no rate limit: %v", texts)
	}

	renew := func(join uint64, key nkeys.KeyPair) (identity.RenewReply, error) {
		n, err := h.Fleet.Nonce(t.Context(), rnd())
		if err != nil {
			t.Fatal(err)
		}
		sig, _ := key.Sign(fmt.Appendf(nil, "skerry-renew\n%s\n%s\n%d", "dev-1", n.Nonce, join))
		return h.Fleet.Renew(t.Context(), rnd(), identity.RenewRequest{Device: "dev-1", Nonce: n.Nonce, Join: join, Signature: sig})
	}
	if _, err := renew(1, other); err == nil {
		t.Error("another key renews")
	}
	for _, tt := range []struct {
		join, want uint64
		suspect    bool
	}{{1, 2, false}, {1, 2, false}, {2, 3, false}, {3, 4, false}, {1, 4, true}} {
		got, err := renew(tt.join, kp)
		if err != nil || got.Join != tt.want || got.JWT == "" {
			t.Fatalf("renew(%d) = %d, %v, want %d", tt.join, got.Join, err, tt.want)
		}
		d, err := h.DB.Read().Device(t.Context(), "dev-1")
		if err != nil || (d.Suspect != "") != tt.suspect {
			t.Fatalf("after renew(%d) suspect = %q, %v", tt.join, d.Suspect, err)
		}
	}
	want, err := h.Fleet.Desired(t.Context(), "dev-1")
	if err != nil || !want.Suspect {
		t.Errorf("desired = %+v, %v, want suspect", want, err)
	}
	if err := h.Fleet.Revoke(t.Context(), "test", "dev-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := renew(4, kp); err == nil {
		t.Error("a revoked device renews")
	}
}

func rnd() string { return rand.Text() }

func TestCloneIsSuspect(t *testing.T) {
	h := start(t, server.Options{})
	a := h.agent("dev-1")
	first := wire.RunInfo{Run: a.run}
	child := wire.RunInfo{Run: wire.Run{1}, Prev: a.run}
	if r := a.hello(first); r.Suspect {
		t.Fatal("suspect at once")
	}
	if r := a.hello(first, child); r.Suspect {
		t.Fatal("a restart is suspect")
	}
	if r := a.hello(first, wire.RunInfo{Run: wire.Run{2}, Prev: a.run}); !r.Suspect || r.Error != "" {
		t.Fatalf("two children of one run: %+v, want suspect", r)
	}
	a.live(a.chunk(1, 10, 1)) // telemetry goes on
	a.mark(wire.ClassReading, 10)
	if err := h.Fleet.ClearSuspect(t.Context(), "test", "dev-1"); err != nil {
		t.Fatal(err)
	}
}

func TestReportedState(t *testing.T) {
	h := start(t, server.Options{})
	a := h.agent("dev-1")
	rep := spec.Reported{Device: "dev-1", Site: "north", Version: "2", Class: "linux/arm64", Health: "ok", Tasks: map[string]spec.ReportedTask{
		"pm25": {Kind: "forecast", Spec: "task: pm25\n", SpecHash: "h", Champion: ""}}, Outbox: spec.ReportedOutbox{PendingRecords: 7}}
	b, _ := json.Marshal(rep)
	a.state(b)
	var task struct{ Devices []string }
	wait.For(t, "task known", func() bool {
		tasks, err := h.DB.Read().Tasks(t.Context())
		return err == nil && len(tasks) == 1
	})
	h.do("GET", "/v1/tasks/pm25", nil, &task, 200)
	if !slices.Equal(task.Devices, []string{"dev-1"}) {
		t.Errorf("task devices = %v", task.Devices)
	}
	var d struct {
		Outbox spec.ReportedOutbox
		Why    map[string]struct{ Reason string }
	}
	h.do("GET", "/v1/devices/dev-1", nil, &d, 200)
	if d.Outbox.PendingRecords != 7 || !strings.Contains(d.Why["pm25"].Reason, "baselines") {
		t.Errorf("device = %+v", d)
	}
}

func TestModels(t *testing.T) {
	h := start(t, server.Options{})
	a := h.agent("dev-1")
	data := bytes.Repeat([]byte("model"), 1000)
	post := func(query string, data []byte, want int) (m struct{ Digest, Name, Target string }) {
		t.Helper()
		req, _ := http.NewRequest("POST", h.URL()+"/v1/models"+query, bytes.NewReader(data))
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set("Authorization", "Bearer "+h.token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		if res.StatusCode != want {
			t.Fatalf("upload = %d %s", res.StatusCode, b)
		}
		_ = json.Unmarshal(b, &m)
		return m
	}
	m := post("?task=pm25&kind=forecast", data, 201)
	if m.Name != "pm25@1" {
		t.Errorf("name = %q", m.Name)
	}
	if again := post("?task=pm25&kind=forecast", data, 201); again.Name != "pm25@1" {
		t.Errorf("the same bytes are %q, want pm25@1", again.Name)
	}
	if next := post("?task=pm25", append(data, 1), 201); next.Name != "pm25@2" {
		t.Errorf("name = %q, want pm25@2", next.Name)
	}

	// The device verifies it by TUF over HTTP and downloads a range.
	get := func(path, auth, rng string) (int, []byte) {
		req, _ := http.NewRequest("GET", h.URL()+path, nil)
		if auth != "" {
			req.Header.Set("Authorization", "Bearer "+auth)
		}
		if rng != "" {
			req.Header.Set("Range", rng)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, b
	}
	client, err := trust.Open(trust.Options{Dir: t.TempDir(), Root: a.reply.TUFRoot, Fetch: trust.FetchFunc(func(_ context.Context, name string) ([]byte, error) {
		code, b := get(identity.PathTUF+name, "", "")
		if code == 404 {
			return nil, trust.ErrNotFound
		}
		return b, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	target, err := client.Target(m.Target)
	if err != nil || target.SHA256 != m.Digest || target.Length != int64(len(data)) {
		t.Fatalf("Target = %+v, %v", target, err)
	}
	if code, _ := get(identity.PathArtifact+m.Digest, a.reply.JWT, ""); code != 403 {
		t.Errorf("artifact that is not assigned = %d, want 403", code)
	}
	if _, err := h.Fleet.UpdateDesired(t.Context(), a.reply.Device, func(_ *meta.Queries, d *spec.Desired) error {
		d.Assignments["t"] = spec.Assignment{Digest: m.Digest}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if code, b := get(identity.PathArtifact+m.Digest, a.reply.JWT, "bytes=10-19"); code != 206 || !bytes.Equal(b, data[10:20]) {
		t.Errorf("range = %d %q", code, b)
	}
	if code, b := get(identity.PathArtifact+"sha256:"+m.Digest, a.reply.JWT, ""); code != 200 || !bytes.Equal(b, data) {
		t.Errorf("artifact = %d, %d bytes", code, len(b))
	}
	if code, _ := get(identity.PathArtifact+m.Digest, "", ""); code != 401 {
		t.Errorf("artifact without a credential = %d, want 401", code)
	}
	if code, _ := get("/v1/devices", a.reply.JWT, ""); code != 403 {
		t.Errorf("devices with a device's credential = %d, want 403", code)
	}

	if err := h.Registry.Promote(t.Context(), "test", m.Digest, ""); err != nil {
		t.Fatal(err)
	}
	h.do("POST", "/v1/models/"+m.Digest+"/tombstone", map[string]string{"reason": "test"}, nil, 204)
	want, err := h.Fleet.Desired(t.Context(), "dev-1")
	if err != nil || !slices.Equal(want.Tombstones, []string{m.Digest}) {
		t.Errorf("desired = %+v, %v", want, err)
	}
	if err := client.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Target(m.Target); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("tombstoned target = %v, want ErrNotFound", err)
	}
	if err := h.Fleet.Revoke(t.Context(), "test", "dev-1"); err != nil {
		t.Fatal(err)
	}
	if code, _ := get(identity.PathArtifact+m.Digest, a.reply.JWT, ""); code != 401 {
		t.Errorf("artifact for a revoked device = %d, want 401", code)
	}
	wait.For(t, "revoked device disconnected", func() bool { return !a.nc.IsConnected() })
	if err := h.DB.Read().VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDesiredSurvivesRestart(t *testing.T) {
	h := start(t, server.Options{})
	a := h.agent("dev-1")
	for range 3 {
		if _, err := h.Fleet.UpdateDesired(t.Context(), "dev-1", func(_ *meta.Queries, d *spec.Desired) error {
			d.Assignments["pm25"] = spec.Assignment{Generation: d.Generation, Digest: "x"}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	// A crash between SQL and the bucket.
	if err := h.DB.Tx(t.Context(), func(q *meta.Queries) error {
		return q.PutDesired(t.Context(), meta.Document{Device: "dev-1", Generation: 9, Document: `{"device":"dev-1","generation":9}`})
	}); err != nil {
		t.Fatal(err)
	}
	h.stop()
	h.up()
	a.connect()
	wait.For(t, "bucket repaired", func() bool {
		m, err := a.nc.Request(wire.SubjectDesiredRead("dev-1"), nil, 2*time.Second)
		var d spec.Desired
		return err == nil && json.Unmarshal(m.Data, &d) == nil && d.Generation == 9
	})
	if err := h.DB.Tx(t.Context(), func(q *meta.Queries) error {
		return q.PutDesired(t.Context(), meta.Document{Device: "dev-1", Generation: 8, Document: `{}`})
	}); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("an older generation is stored: %v", err)
	}
}

// go test ./hub/server -run '^$' -bench Ingest -benchtime 20x
func BenchmarkIngest(b *testing.B) {
	for _, records := range []int{12, 500} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) { benchmarkIngest(b, records) })
	}
}

func benchmarkIngest(b *testing.B, records int) {
	opts := server.Options{Config: configs.HubConfig{DataDir: b.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:-1"}}
	h, err := server.Open(b.Context(), opts)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	defer func() { cancel(); <-done; h.Close() }()
	const devices, rounds = 500, 4
	first := uint64(1)
	for b.Loop() {
		b.StopTimer()
		var messages []ingest.Message
		var wg sync.WaitGroup
		for range rounds {
			for d := range devices {
				name := fmt.Sprintf("d%d", d)
				r := &wire.Records{}
				for i := range records {
					r.Readings = append(r.Readings, wire.Reading{Series: "pm25", Time: int64(first+uint64(i)) * 1e6, Value: float64(i) / 3})
				}
				c, err := wire.Encode(wire.Header{Device: name, Run: wire.Run{1}, Class: wire.ClassReading, First: first}, r)
				if err != nil {
					b.Fatal(err)
				}
				wg.Add(1)
				messages = append(messages, ingest.Message{Site: "n", Device: name, Lane: ingest.Live, Data: c, Reply: func(r wire.Receipt) {
					if !r.Applied {
						b.Errorf("receipt %+v", r)
					}
					wg.Done()
				}})
			}
			first += uint64(records)
		}
		b.StartTimer()
		for _, m := range messages {
			h.Ingest.Offer(m)
		}
		wg.Wait()
	}
	b.ReportMetric(float64(devices*rounds*records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
