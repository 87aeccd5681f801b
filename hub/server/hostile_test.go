package server_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"skerry.dev/configs"
	"skerry.dev/hub/alarm"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/server"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
	"skerry.dev/test/extreme"
	"skerry.dev/test/wait"
)

// hostile is a device that does one thing wrong, as fast as it can, and by what it must be named.
type hostile struct {
	name string
	kind string // of its alarm
	do   func(a *agent, n uint64)
}

func hostiles() []hostile {
	reading := func(a *agent, n uint64, at int64, value float64) {
		b := a.encode(wire.ClassReading, n, &wire.Records{Readings: []wire.Reading{{Series: "s", Time: at, Value: value}}})
		_, _ = a.nc.Request(wire.SubjectLive("north", a.reply.Device), b, time.Second) // whatever comes
	}
	junk := make([]byte, 600_000)
	rand.Read(junk)
	now := time.Now().UnixMicro()
	return []hostile{
		{"junk", "violation", func(a *agent, n uint64) {
			_ = a.nc.Publish(fmt.Sprintf("edge.north.%s.tel.junk%d", a.reply.Device, n), junk)
		}},
		{"replies", "foreign_reply", func(a *agent, n uint64) {
			b, _ := json.Marshal(wire.Hello{Device: a.reply.Device, Runs: []wire.RunInfo{{Run: a.run}}})
			_ = a.nc.PublishMsg(&nats.Msg{Subject: wire.SubjectHello(a.reply.Device), Reply: "$KV.desired.good-00", Data: b})
		}},
		{"tasks", "task_limit", func(a *agent, n uint64) {
			r := spec.Reported{Device: a.reply.Device, Tasks: map[string]spec.ReportedTask{"shared": {Kind: "forecast", Spec: "task: shared\nkind: anomaly", SpecHash: fmt.Sprint(n)}}}
			for k := range 1000 {
				r.Tasks[fmt.Sprintf("t%d-%d", n, k)] = spec.ReportedTask{Kind: "forecast", SpecHash: "h"}
			}
			b, _ := json.Marshal(r)
			_ = a.nc.Publish(wire.SubjectState("north", a.reply.Device), b)
		}},
		{"dates", "clock", func(a *agent, n uint64) {
			r := &wire.Records{}
			for k := range 500 {
				r.Readings = append(r.Readings, wire.Reading{Series: "s", Time: int64(k) * 86400e6, Value: 1})
			}
			_, _ = a.nc.Request(wire.SubjectLive("north", a.reply.Device), a.encode(wire.ClassReading, 500*n, r), time.Second)
		}},
		{"garbage", "quarantine", func(a *agent, n uint64) {
			b := append([]byte(fmt.Sprint(n)), junk[:100_000]...)
			_, _ = a.nc.Request(wire.SubjectLive("north", a.reply.Device), b, time.Second)
		}},
		{"volume", "quota", func(a *agent, n uint64) {
			r := &wire.Records{}
			for k := range 500 {
				r.Readings = append(r.Readings, wire.Reading{Series: "s", Time: now + int64(n)*500 + int64(k), Value: math.Sqrt(float64(n*500) + float64(k))})
			}
			_, _ = a.nc.Request(wire.SubjectBack("north", a.reply.Device), a.encode(wire.ClassReading, 500*n, r), time.Second)
		}},
		{"nan", "non_finite", func(a *agent, n uint64) { reading(a, n, now, math.NaN()) }},
		{"clock", "clock", func(a *agent, n uint64) { reading(a, n, now+10*365*86400e6, 1) }},
	}
}

// TestOneHostileDevice runs twenty devices of which one is hostile, in each of eight ways: the
// others are served, their desired state and the tasks stay as they were, and the hostile one is
// named by an alarm. Real connections, one hub.
func TestOneHostileDevice(t *testing.T) {
	const good = 19
	chunks := uint64(20)
	if extreme.Slower > 1 {
		chunks = 5 // enough for the race detector to see what there is to see
	}
	h := start(t, server.Options{Config: configs.HubConfig{Ingest: configs.HubIngest{DeviceQuota: 2 << 20}}})
	agents := make([]*agent, good)
	for n := range agents {
		agents[n] = h.agent(fmt.Sprintf("good-%02d", n))
		agents[n].hello()
	}
	var sent atomic.Uint64
	round := func() (worst time.Duration) {
		t.Helper()
		first := sent.Add(chunks*10) - chunks*10 + 1
		var wg sync.WaitGroup
		var mu sync.Mutex
		for _, a := range agents {
			wg.Go(func() {
				for c := range chunks {
					b := a.encode(wire.ClassReading, first+10*c, records(first+10*c, 10))
					began, taken := time.Now(), false
					for !taken && time.Since(began) < extreme.Slower*20*time.Second {
						var r wire.Receipt
						m, err := a.nc.Request(wire.SubjectLive("north", a.reply.Device), b, 5*time.Second)
						taken = err == nil && json.Unmarshal(m.Data, &r) == nil && r.Applied
					}
					mu.Lock()
					if worst = max(worst, time.Since(began)); !taken {
						t.Errorf("%s: chunk %d is not taken", a.reply.Device, c)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return worst
	}
	state, err := json.Marshal(spec.Reported{Device: "good-00", Generation: 1, Tasks: map[string]spec.ReportedTask{"shared": {Kind: "forecast", Spec: "task: shared", SpecHash: "right"}}})
	if err != nil {
		t.Fatal(err)
	}
	agents[0].state(state)
	wait.For(t, "the task is defined", func() bool { _, err := h.DB.Read().Task(t.Context(), "shared"); return err == nil })

	quiet := round()
	t.Logf("without a hostile device: at most %v for a chunk", quiet.Round(time.Millisecond))
	for _, bad := range hostiles() {
		a := h.agent("bad-" + bad.name)
		a.nc.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}) // it is refused a thousand times
		a.hello()
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for n := uint64(1); ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(extreme.Slower * time.Millisecond): // so that it leaves the machine to the others
					bad.do(a, n)
				}
			}
		}()
		worst := round()
		wait.Within(t, 2*time.Minute, bad.name+" is named by an alarm "+bad.kind, func() bool {
			events, err := h.DB.Read().Events(t.Context(), meta.EventFilter{Device: a.reply.Device, Kind: bad.kind, Class: int64(wire.ClassAlarm)})
			return err == nil && len(events) > 0
		})
		close(stop)
		<-done
		a.nc.Close()
		t.Logf("%s: at most %v for a chunk of the others", bad.name, worst.Round(time.Millisecond))
		if worst > extreme.Slower*max(10*time.Second, 20*quiet) {
			t.Errorf("%s: a chunk of another device took %v", bad.name, worst)
		}
	}
	if d, err := h.Fleet.Desired(t.Context(), "good-00"); err != nil || d.Generation != 0 {
		t.Errorf("desired state of another device = %+v, %v", d, err)
	}
	if e, err := h.Bus.Desired.Get(t.Context(), "good-00"); err == nil {
		t.Errorf("the bucket holds a desired state that nobody ordered: %s", e.Value())
	}
	if task, err := h.DB.Read().Task(t.Context(), "shared"); err != nil || task.Hash != "right" {
		t.Errorf("the shared task = %+v, %v, want it as the first device defined it", task, err)
	}
	if _, err := h.Lake.Compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for _, a := range agents {
		c, err := h.Lake.ExactlyOnce(t.Context(), a.reply.Device)
		if err != nil || c.Readings != int64(sent.Load()) || c.Duplicates != 0 {
			t.Errorf("%s: %d readings and %d duplicates in the lake (%v), %d were sent", a.reply.Device, c.Readings, c.Duplicates, err, sent.Load())
		}
		events, err := h.DB.Read().Events(t.Context(), meta.EventFilter{Device: a.reply.Device, Class: int64(wire.ClassAlarm)})
		if err != nil || len(events) != 0 {
			t.Errorf("%s is named: %v, %v", a.reply.Device, events, err)
		}
	}
	if u, err := h.DB.Read().Usage(t.Context(), "bad-garbage", alarm.Day(meta.Now())); err != nil || u.Refused == 0 || u.Kept > 32 {
		t.Errorf("of the garbage %+v is counted, %v", u, err)
	}
}

// records makes n readings of distinct, plausible times behind a first one.
func records(first uint64, n int) *wire.Records {
	r := &wire.Records{}
	for k := range n {
		r.Readings = append(r.Readings, wire.Reading{Series: "s", Time: 1_790_000_000_000_000 + int64(first)*1000 + int64(k)*1000, Value: 1})
	}
	return r
}
