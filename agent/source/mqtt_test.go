package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"skerry.dev/configs"
	"skerry.dev/sync/spec"
	"skerry.dev/test/wait"
)

// natsBroker starts nats-server's MQTT listener in the process. It redelivers after AckWait, not
// at once after a reconnect.
func natsBroker(t *testing.T) string {
	t.Helper()
	opts := &server.Options{ServerName: "mqtt", Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		MQTT: server.MQTTOpts{Host: "127.0.0.1", Port: -1, AckWait: time.Second}}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server did not start")
	}
	return fmt.Sprintf("127.0.0.1:%d", opts.MQTT.Port)
}

// mosquitto starts the broker with its default limits.
func mosquitto(t *testing.T) string {
	t.Helper()
	bin, err := exec.LookPath("mosquitto")
	if err != nil {
		if bin = "/usr/sbin/mosquitto"; exec.Command(bin, "-h").Run() != nil {
			if _, err := os.Stat(bin); err != nil {
				t.Skip("mosquitto is not installed: apt-get install mosquitto")
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(conf, []byte("listener "+port+" 127.0.0.1\nallow_anonymous true\npersistence false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("mosquitto did not start")
	return ""
}

// proxy forwards to a broker and can cut every connection or refuse new ones.
type proxy struct {
	net.Listener
	target string
	mu     sync.Mutex
	conns  []net.Conn
	down   bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, target: target}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			b, err := net.Dial("tcp", target)
			if p.down || err != nil {
				c.Close()
				p.mu.Unlock()
				continue
			}
			p.conns = append(p.conns, c, b)
			p.mu.Unlock()
			go func() { io.Copy(b, c); b.Close() }()
			go func() { io.Copy(c, b); c.Close() }()
		}
	}()
	t.Cleanup(func() { l.Close(); p.cut(true); <-done })
	return p
}

func (p *proxy) cut(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// sink collects messages; the test decides when to acknowledge.
type sink struct {
	mu   sync.Mutex
	msgs []Message
	auto bool // acknowledge at once
	err  error
	more chan struct{} // closed by the next message; nil while nobody waits
}

func (s *sink) Message(_ context.Context, m Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Readings = append([]Reading(nil), m.Readings...)
	s.msgs = append(s.msgs, m)
	if s.auto {
		m.Ack()
	}
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
	return s.err
}

func (s *sink) wait(t *testing.T, n int) []Message {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		if len(s.msgs) >= n {
			defer s.mu.Unlock()
			return append([]Message(nil), s.msgs...)
		}
		if s.more == nil {
			s.more = make(chan struct{})
		}
		more, have := s.more, len(s.msgs)
		s.mu.Unlock()
		select {
		case <-more:
		case <-limit:
			t.Fatalf("received %d messages, want %d", have, n)
		}
	}
}

func countPlan(t *testing.T) *Plan {
	t.Helper()
	p, err := Compile([]*spec.Task{task(t, "count", `
task: count
target: {series: n, horizon: 1s}
inputs: [{series: n, topic: test/+, path: $.n}]
`)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// start runs a client until stop is called.
func start(t *testing.T, addr string, plan *Plan, s Sink, opts Options) (c *Client, stop func()) {
	t.Helper()
	opts.Broker, opts.Device, opts.QoS, opts.MaxBackoff = "tcp://"+addr, "dev1", 1, spec.Duration(200*time.Millisecond)
	c, err := New(plan, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, s) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(stop)
	wait.For(t, "connection", c.Connected)
	return c, stop
}

// peer is an ordinary MQTT client of the broker.
func peer(t *testing.T, addr string) mqtt.Client {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("peer-" + strings.ReplaceAll(t.Name(), "/", "-"))
	c := mqtt.NewClient(o)
	if tk := c.Connect(); !tk.WaitTimeout(10*time.Second) || tk.Error() != nil {
		t.Fatal("peer: ", tk.Error())
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

func publish(t *testing.T, c mqtt.Client, topic, payload string) {
	t.Helper()
	if tk := c.Publish(topic, 1, false, payload); !tk.WaitTimeout(10*time.Second) || tk.Error() != nil {
		t.Fatal("publish: ", tk.Error())
	}
}

// sent waits until the broker has read what a client wrote before: a message behind it arrives at
// a peer.
func sent(t *testing.T, c *Client, p mqtt.Client) {
	t.Helper()
	arrived := make(chan struct{}, 1)
	tk := p.Subscribe("sent", 1, func(mqtt.Client, mqtt.Message) {
		select {
		case arrived <- struct{}{}:
		default:
		}
	})
	if !tk.WaitTimeout(10*time.Second) || tk.Error() != nil {
		t.Fatal("subscribe: ", tk.Error())
	}
	c.Publish("sent", nil, false)
	select {
	case <-arrived:
	case <-time.After(10 * time.Second):
		t.Fatal("what the client wrote did not arrive within 10 s")
	}
}

func eachBroker(t *testing.T, f func(t *testing.T, addr string)) {
	t.Run("nats", func(t *testing.T) { f(t, natsBroker(t)) })
	t.Run("mosquitto", func(t *testing.T) { f(t, mosquitto(t)) })
}

func TestNoPubackBeforeAck(t *testing.T) {
	eachBroker(t, func(t *testing.T, addr string) {
		p := peer(t, addr)
		first := &sink{}
		c, stop := start(t, addr, countPlan(t), first, Options{})
		publish(t, p, "test/a", `{"n":1}`)
		publish(t, p, "test/a", `{"n":2}`)
		msgs := first.wait(t, 2)
		msgs[0].Ack()
		sent(t, c, p)
		stop()

		second := &sink{}
		c, stop = start(t, addr, countPlan(t), second, Options{})
		again := second.wait(t, 1)
		if again[0].Readings[0].Value != 2 || !again[0].Dup {
			t.Fatalf("redelivered %+v, want the second message with DUP", again[0])
		}
		again[0].Ack()
		sent(t, c, p)
		stop()

		third := &sink{}
		start(t, addr, countPlan(t), third, Options{})
		publish(t, p, "test/a", `{"n":3}`)
		if got := third.wait(t, 1); got[0].Readings[0].Value != 3 {
			t.Errorf("after both were acknowledged received %v, want only the third", got[0].Readings)
		}
	})
}

func TestReconnect(t *testing.T) {
	eachBroker(t, func(t *testing.T, addr string) {
		px := newProxy(t, addr)
		p := peer(t, addr)
		s := &sink{}
		c, _ := start(t, px.Addr().String(), countPlan(t), s, Options{})
		publish(t, p, "test/a", `{"n":1}`)
		s.wait(t, 1)

		heard := make(chan string, 100)
		p.Subscribe("out/#", 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() + "=" + string(m.Payload()) }).Wait()
		px.cut(true)
		wait.For(t, "loss", func() bool { return !c.Connected() })
		publish(t, p, "test/a", `{"n":2}`) // while away: the session keeps it
		for i := range 5 {
			c.Publish("out/x", []byte(strconv.Itoa(i)), false)
			c.Publish("out/y", []byte(strconv.Itoa(i)), false)
		}
		px.cut(false)
		wait.For(t, "reconnection", c.Connected)
		publish(t, p, "test/b", `{"n":3}`)

		msgs := s.wait(t, 4) // 1, 1 again (not acknowledged), 2, 3
		msgs[0].Ack()        // belongs to the connection that was lost
		values := map[float64]int{}
		for _, m := range msgs {
			values[m.Readings[0].Value]++
		}
		if values[1] != 2 || values[2] != 1 || values[3] != 1 {
			t.Errorf("received %v, want 1 twice, 2 and 3 once", values)
		}
		var got []string
		for range 10 {
			select {
			case m := <-heard:
				got = append(got, m)
			case <-time.After(5 * time.Second):
				t.Fatalf("published %q after the reconnect, want all", got)
			}
		}
		if want := []string{"out/x=3", "out/y=3", "out/x=4", "out/y=4"}; !slices.Equal(got[6:], want) {
			t.Errorf("published %q after the reconnect, want %q last", got, want)
		}
	})
}

func TestStatusAndWill(t *testing.T) {
	eachBroker(t, func(t *testing.T, addr string) {
		px := newProxy(t, addr)
		p := peer(t, addr)
		status := make(chan string, 10)
		p.Subscribe("skerry/dev1/status", 1, func(_ mqtt.Client, m mqtt.Message) { status <- string(m.Payload()) }).Wait()
		want := func(s string) {
			t.Helper()
			select {
			case got := <-status:
				if got != s {
					t.Fatalf("status %q, want %q", got, s)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("no status, want %q", s)
			}
		}
		_, stop := start(t, px.Addr().String(), countPlan(t), &sink{auto: true}, Options{})
		want("online")
		px.cut(false)
		want("offline") // the broker sends the will
		want("online")
		stop()
		want("offline")
	})
}

func TestBadMessagesDoNotBlock(t *testing.T) {
	addr := mosquitto(t)
	p := peer(t, addr)
	reg := prometheus.NewRegistry()
	s := &sink{auto: true}
	start(t, addr, countPlan(t), s, Options{Metrics: reg, AgentMQTT: configs.AgentMQTT{MaxPayload: 1000}})
	for range 30 { // more than the broker's window of 20
		publish(t, p, "test/a", `{"n":`)
	}
	publish(t, p, "test/a", `{"n":"`+strings.Repeat("x", 300<<10)+`"}`)
	publish(t, p, "test/a", `{"n":7}`)
	if got := s.wait(t, 1); got[0].Readings[0].Value != 7 {
		t.Errorf("received %v, want the good message", got[0].Readings)
	}
	want := `
# HELP skerry_source_errors_total Payloads and single readings refused, by kind.
# TYPE skerry_source_errors_total counter
skerry_source_errors_total{kind="size"} 1
skerry_source_errors_total{kind="syntax"} 30
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "skerry_source_errors_total"); err != nil {
		t.Error(err)
	}
}

func TestReplace(t *testing.T) {
	addr := mosquitto(t)
	p := peer(t, addr)
	s := &sink{auto: true}
	c, _ := start(t, addr, airPlan(t), s, Options{})
	c.Replace(countPlan(t))
	wait.For(t, "the new subscription", func() bool {
		publish(t, p, "test/a", `{"n":1}`)
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.msgs) > 0
	})
	if m := s.wait(t, 1)[0]; m.Plan.Series()[m.Readings[0].Series].Name != "n" {
		t.Error("the message carries the plan that decoded it")
	}
}

func TestSinkErrorEndsRun(t *testing.T) {
	addr := natsBroker(t)
	c, err := New(countPlan(t), Options{AgentMQTT: configs.AgentMQTT{Broker: "tcp://" + addr, QoS: 1}, Device: "dev1"})
	if err != nil {
		t.Fatal(err)
	}
	boom := errors.New("commit state unknown")
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context(), &sink{err: boom}) }()
	wait.For(t, "connection", c.Connected)
	publish(t, peer(t, addr), "test/a", `{"n":1}`)
	select {
	case err := <-done:
		if !errors.Is(err, boom) {
			t.Errorf("Run = %v, want the sink's error", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run goes on after the sink failed")
	}
}

// batchSink acknowledges as the agent does: every 16 messages or after a pause.
type batchSink struct {
	mu      sync.Mutex
	held    []func()
	values  []int
	arrived time.Time
}

func (s *batchSink) Message(_ context.Context, m Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range m.Readings {
		s.values = append(s.values, int(r.Value))
	}
	s.arrived = time.Now()
	if s.held = append(s.held, m.Ack); len(s.held) >= 16 {
		s.commit()
	}
	return nil
}

func (s *batchSink) commit() {
	for _, ack := range s.held {
		ack()
	}
	s.held = s.held[:0]
}

func (s *batchSink) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commit()
}

// TestBurst sends 20,000 QoS 1 messages as fast as the broker takes them. mosquitto's default
// max_queued_messages is 1000 per client: what the agent does not acknowledge in time the broker
// drops, silently for both ends. The test measures that and holds what the agent promises: order,
// no repeats, and no loss beyond the broker's.
func TestBurst(t *testing.T) {
	addr := mosquitto(t)
	const n = 20_000
	s := &batchSink{}
	c, stop := start(t, addr, countPlan(t), s, Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	p := peer(t, addr)
	began := time.Now()
	tokens := make([]mqtt.Token, n)
	for i := range n {
		tokens[i] = p.Publish("test/a", 1, false, fmt.Sprintf(`{"n":%d}`, i))
	}
	for _, tk := range tokens {
		tk.Wait()
	}
	sent := time.Since(began)
	wait.For(t, "the burst to end", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if time.Since(s.arrived) > 100*time.Millisecond {
			s.commit() // what the agent's one-second timer does
		}
		return time.Since(s.arrived) > 500*time.Millisecond
	})
	if !c.Connected() {
		t.Error("the connection did not survive the burst")
	}
	stop()
	for i := 1; i < len(s.values); i++ {
		if s.values[i] <= s.values[i-1] {
			t.Fatalf("message %d arrived after %d", s.values[i], s.values[i-1])
		}
	}
	t.Logf("mosquitto with default limits took %d messages in %v; %d arrived, it dropped %d (max_queued_messages 1000, max_inflight_messages 20)",
		n, sent.Round(time.Millisecond), len(s.values), n-len(s.values))
	if len(s.values) < 1000 {
		t.Errorf("received %d messages, fewer than the broker may hold for one client", len(s.values))
	}
}
