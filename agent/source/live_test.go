package source

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"skerry.dev/test/wait"
)

// deaf is a sink that acknowledges nothing until it is well again, and what is held then.
type deaf struct {
	trouble atomic.Pointer[string]
	mu      sync.Mutex
	got     []float64
	held    []func()
	copies  int // acknowledgements without readings
}

func (d *deaf) ill() {
	why := "the disk is full"
	d.trouble.Store(&why)
}

func (d *deaf) well() {
	d.trouble.Store(nil)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ack := range d.held {
		ack()
	}
	d.held = nil
}

func (d *deaf) why() string {
	if p := d.trouble.Load(); p != nil {
		return *p
	}
	return ""
}

func (d *deaf) Message(_ context.Context, m Message) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range m.Readings {
		d.got = append(d.got, r.Value)
	}
	if len(m.Readings) == 0 {
		d.copies++
	}
	switch {
	case m.Ack == nil:
	case d.why() == "":
		m.Ack()
	default:
		d.held = append(d.held, m.Ack)
	}
	return nil
}

func (d *deaf) values() []float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got)
}

// TestLive: while the sink can store nothing, every message still reaches it at once, far beyond the
// broker's window of unacknowledged ones; when it can again, the copies that the broker has kept are
// acknowledged without being taken for readings, also where payloads have no time and repeat, and
// what comes afterwards is taken once.
func TestLive(t *testing.T) {
	for name, broker := range map[string]func(*testing.T) string{"mosquitto": mosquitto, "nats": natsBroker} {
		t.Run(name, func(t *testing.T) {
			addr, d, inputs := broker(t), &deaf{}, NewInputs(nil)
			c, stop := start(t, addr, countPlan(t), d, Options{Trouble: d.why, Inputs: inputs})
			defer stop()
			wait.For(t, "connected", c.Connected)
			cli := peer(t, addr)
			want := 0
			send := func(qos byte, v float64) {
				t.Helper()
				if tok := cli.Publish("test/a", qos, false, fmt.Sprintf(`{"n":%g}`, v)); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
					t.Fatal("publish", tok.Error())
				}
				want++
			}
			for round := range 3 {
				send(1, 1)
				wait.For(t, "taken in good times", func() bool { return len(d.values()) == want })
				d.ill()
				wait.For(t, "the second connection hears", func() bool { return !c.Live().IsZero() })
				for i := range 100 {
					send(1, float64(i/3)) // values repeat, as those of a slow sensor
				}
				wait.For(t, "each is taken in bad times", func() bool { return len(d.values()) == want })
				send(0, 7)
				wait.For(t, "one that the broker does not keep is taken once", func() bool { return len(d.values()) == want })
				if st := inputs.Status()[0]; int(st.Readings) != want || time.Since(time.UnixMicro(st.LastSeen)) > time.Minute || c.Deaf() {
					t.Errorf("of %d readings the input has %d, the newest from %v; deaf: %v", want, st.Readings, time.UnixMicro(st.LastSeen), c.Deaf())
				}
				d.well()
				wait.For(t, "the copies are acknowledged", func() bool {
					d.mu.Lock()
					defer d.mu.Unlock()
					return d.copies >= 100*(round+1)
				})
				wait.For(t, "the second connection is given up", func() bool { return c.Live().IsZero() })
			}
			for _, v := range []float64{0, 0, 33, 33} {
				send(1, v)
			}
			wait.For(t, "taken afterwards", func() bool { return len(d.values()) == want })
			if got := d.values(); len(got) != want {
				t.Errorf("%d readings, want %d: %v", len(got), want, got)
			}
			if n := inputs.Status()[0].Readings; int(n) != want {
				t.Errorf("%d readings are counted, want each once: %d", n, want)
			}
		})
	}
}

// TestLiveRefused: where the broker refuses the second connection's subscription, the session goes
// on as far as its window reaches, and all is taken once in the end.
func TestLiveRefused(t *testing.T) {
	p := newProxy(t, mosquitto(t))
	d := &deaf{}
	c, stop := start(t, p.Addr().String(), countPlan(t), d, Options{Trouble: d.why})
	defer stop()
	wait.For(t, "connected", c.Connected)
	cli := peer(t, p.target)
	p.mu.Lock()
	p.down = true // no new connection
	p.mu.Unlock()
	d.ill()
	for i := range 50 {
		publish(t, cli, "test/a", fmt.Sprintf(`{"n":%d}`, i))
	}
	wait.For(t, "the window is taken", func() bool { return len(d.values()) == 20 })
	if !c.Live().IsZero() {
		t.Error("a connection that was refused hears")
	}
	if !c.Deaf() {
		t.Error("30 of 50 messages stay with the broker, and the inputs are said to be silent")
	}
	d.well()
	wait.For(t, "the rest", func() bool { return len(d.values()) == 50 })
	if c.Deaf() {
		t.Error("deaf although all has come")
	}
	for i, v := range d.values() {
		if v != float64(i) {
			t.Fatalf("reading %d = %g", i, v)
		}
	}
}

// TestLiveBounds: what is remembered of payloads is bounded, matched in order, and forgotten once
// the session has nothing left.
func TestLiveBounds(t *testing.T) {
	l := newLive()
	fulls := 0
	for i := range takenMax + 10 {
		if _, full := l.note(fmt.Sprint("t/", i%3), fmt.Append(nil, i)); full {
			fulls++
		}
	}
	if l.count != takenMax || l.unknown != 10 || fulls != 1 {
		t.Errorf("%d remembered, %d not, said %d times", l.count, l.unknown, fulls)
	}
	msg := func(i int) mqtt.Message { return qos1{topic: fmt.Sprint("t/", i%3), payload: fmt.Append(nil, i)} }
	if !l.was(msg(3)) || l.was(msg(0)) || l.was(msg(3)) {
		t.Error("payload 3 comes once, and 0 before it is gone")
	}
	if l.was(msg(3 * (takenLook + 10))) {
		t.Error("one message is compared with all")
	}
	l.released = time.Now().Add(-takenFor)
	l.tidy(true)
	if l.count != 0 || len(l.taken) != 0 {
		t.Errorf("%d remembered for good", l.count)
	}
}

// TestLiveOverlap: what comes by both connections while the second one begins is taken once,
// whichever gives it first.
func TestLiveOverlap(t *testing.T) {
	l := newLive()
	one, two := qos1{topic: "t", payload: []byte("1")}, qos1{topic: "t", payload: []byte("2")}
	l.begin()
	if l.was(one) {
		t.Error("known before it came")
	}
	l.hear()
	if again, _ := l.note("t", one.payload); !again {
		t.Error("the session gave it: taken a second time")
	}
	if again, _ := l.note("t", one.payload); again {
		t.Error("the next of that payload is another message")
	}
	if again, _ := l.note("t", two.payload); again || !l.was(one) || !l.was(two) || l.was(two) {
		t.Error("what the second connection gave is taken from the session too")
	}
}

// qos1 is a message of QoS 1.
type qos1 struct {
	mqtt.Message
	topic   string
	payload []byte
}

func (s qos1) Topic() string   { return s.topic }
func (s qos1) Payload() []byte { return s.payload }
func (s qos1) Qos() byte       { return 1 }

// gated is a deaf sink that takes nothing of the session before its gate opens.
type gated struct {
	deaf
	gate chan struct{}
}

func (g *gated) Message(ctx context.Context, m Message) error {
	if m.Ack != nil {
		<-g.gate
	}
	return g.deaf.Message(ctx, m)
}

// TestLiveInOrder: what the session gave before the second connection was heard reaches the sink
// before what that one brings.
func TestLiveInOrder(t *testing.T) {
	addr, d := mosquitto(t), &gated{gate: make(chan struct{})}
	c, stop := start(t, addr, countPlan(t), d, Options{Trouble: d.why})
	defer stop()
	wait.For(t, "connected", c.Connected)
	cli := peer(t, addr)
	send := func(from, to int) {
		t.Helper()
		for v := from; v < to; v++ {
			if tok := cli.Publish("test/a", 1, false, fmt.Sprintf(`{"n":%d}`, v)); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
				t.Fatal("publish", tok.Error())
			}
		}
	}
	received := func() int {
		c.inMu.Lock()
		defer c.inMu.Unlock()
		return len(c.queue)
	}
	send(0, 1)
	wait.For(t, "the sink has the first message", func() bool {
		c.inMu.Lock()
		defer c.inMu.Unlock()
		return !c.feeding.IsZero()
	})
	send(1, 10)
	wait.For(t, "the others wait", func() bool { return received() == 9 })
	d.ill()
	wait.For(t, "the second connection hears", func() bool { return !c.Live().IsZero() })
	send(10, 40)
	wait.For(t, "the window is full", func() bool { return received() == 19 })
	if got := d.values(); len(got) > 0 {
		t.Errorf("the sink has %v before the session's oldest message", got)
	}
	close(d.gate)
	wait.For(t, "all are taken", func() bool { return len(d.values()) >= 40 })
	if got := d.values(); len(got) != 40 || !slices.IsSorted(got) {
		t.Errorf("taken in the order %v", got)
	}
	d.well()
	wait.For(t, "the second connection is given up", func() bool { return c.Live().IsZero() })
}
