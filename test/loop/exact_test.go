package loop

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"skerry.dev/hub/rollout"
	"skerry.dev/sync/spec"
	"skerry.dev/test/rig"
)

// said collects what a device publishes on its prediction topic, by the row's time in the payload.
type said struct {
	mu   sync.Mutex // guards what follows
	rows map[string]string
	all  int
	bad  []string // published twice with different contents
}

func (w *world) listen(name string) *said {
	w.t.Helper()
	s := &said{rows: map[string]string{}}
	cli, err := rig.Connect(w.broker, "listener-"+name)
	w.must(err)
	w.t.Cleanup(func() { cli.Disconnect(50) })
	tok := cli.Subscribe("skerry/"+name+"/"+task+"/prediction", 1, func(_ mqtt.Client, m mqtt.Message) {
		s.mu.Lock()
		defer s.mu.Unlock()
		text := string(m.Payload())
		ts := text[:min(len(text), len(`{"ts":"2001-01-01T00:00:00Z"`))]
		s.all++
		if old, ok := s.rows[ts]; ok && old != text {
			s.bad = append(s.bad, old+" then "+text)
		}
		s.rows[ts] = text
	})
	if !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
		w.t.Fatalf("subscribe: %v", tok.Error())
	}
	return s
}

func (s *said) copy() (rows map[string]string, all int, bad []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.rows), s.all, slices.Clone(s.bad)
}

// TestCrashIsExact gives two devices the same readings and the same model at the same rows. One
// is killed again and again; what it publishes afterwards is, byte for byte, what the undisturbed
// one says.
func TestCrashIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, anyBroker(t), 3*time.Minute)
	calm := w.agent("calm", "shared", nil)
	killed := w.agent("killed", "shared", nil)
	heard := map[*rig.Agent]*said{calm: w.listen("calm"), killed: w.listen("killed")}
	s := newSeries(41)
	p := w.sensor("shared", s)
	read := func() {
		t.Helper()
		want := at(p.next - 1).UnixMicro()
		for _, a := range w.agents {
			w.until(30*time.Second, a.Device+" reads", func() (bool, string) {
				st, err := a.State(w.ctx)
				return err == nil && st.Tasks[task].Watermark >= want, fmt.Sprintf("%v, watermark %s", err, time.UnixMicro(st.Tasks[task].Watermark).UTC())
			})
		}
	}
	feed := func(n int) { t.Helper(); p.publish(n); read() }
	kills := 0
	// crash kills while readings are on their way. Event time waits until they have been read: a
	// broker may send them again behind newer ones.
	crash := func(n int) {
		t.Helper()
		p.publish(n)
		time.Sleep(time.Duration(3+7*kills) * time.Millisecond)
		killed.Kill()
		kills++
		w.must(killed.Start())
		w.must(killed.WaitUp(w.ctx, true))
		read()
	}
	both := func(digest string, phase spec.Phase) {
		t.Helper()
		for _, a := range w.agents {
			w.phase(20*time.Second, a, digest, phase)
		}
	}
	activate := func(digest string, between func()) {
		t.Helper()
		w.rollOut(rollout.Spec{Digest: digest, MinShadow: 30, Probation: 20, MaxLatencyUS: 20_000, Stages: []rollout.Stage{{Name: "all", Percent: 100}}})
		// warmed from what they have read: shadow and activation fall on the row at which the
		// sensors wait
		both(digest, spec.PhaseProbation)
		if between != nil {
			between()
		}
		feed(25)
		both(digest, spec.PhaseActive)
	}

	feed(100)
	for range 3 {
		crash(60)
	}
	digest := w.upload(goodModel(t))
	activate(digest, func() { crash(10) })
	feed(150)
	for range 2 { // three starts that do not last a minute are what a device forgives a model
		crash(120)
		feed(80)
	}
	after := p.next
	feed(200)
	w.until(20*time.Second, "both have said everything", func() (bool, string) {
		last := fmt.Sprintf(`{"ts":%q`, at(p.next-1).Format(time.RFC3339))
		a, _, _ := heard[calm].copy()
		b, _, _ := heard[killed].copy()
		return a[last] != "" && b[last] != "", "the newest row is missing"
	})
	a, _, badA := heard[calm].copy()
	b, _, badB := heard[killed].copy()
	for _, bad := range append(badA, badB...) {
		t.Errorf("published twice: %s", bad)
	}
	if len(a) != p.next {
		t.Errorf("the undisturbed device has said %d rows, want %d", len(a), p.next)
	}
	differ, missing, model := 0, 0, 0
	for i := range p.next {
		ts := fmt.Sprintf(`{"ts":%q`, at(i).Format(time.RFC3339))
		switch {
		case b[ts] == "":
			if missing++; i >= after {
				t.Errorf("row %s, long after the last kill, was not published", at(i))
			}
		case a[ts] != b[ts]:
			if differ++; differ < 5 {
				t.Errorf("row %d differs:\n%s\n%s", i, a[ts], b[ts])
			}
		case i >= after:
			model++
		}
	}
	if differ > 0 || model != 200 {
		t.Errorf("%d rows differ, %d of the 200 after the last kill are equal", differ, model)
	}
	for _, dev := range w.agents {
		st, err := dev.State(w.ctx)
		w.must(err)
		if st.Tasks[task].Champion != digest {
			t.Errorf("%s runs %.12s in the end, want %.12s", dev.Device, st.Tasks[task].Champion, digest)
		}
	}
	p.settle()
	for _, dev := range w.agents {
		w.drained(20*time.Second, dev, p.next-1, len(s.took))
		w.exactlyOnce(dev, s.took)
		c, err := w.api.CheckPredictions(w.ctx, dev.Device, task, 0, 0, 1000, 1)
		w.must(err)
		if c.Drawn < p.next/20 || c.Equal != c.Drawn || len(c.Missing) > 0 {
			t.Errorf("%s: the hub recomputes %d predictions: %d equal, %d unknown, %d differ, missing %v; want a tenth of %d rows, all equal", dev.Device, c.Drawn, c.Equal, c.Unknown, c.Differs, c.Missing, p.next)
		}
		t.Logf("%s: %d of %d published predictions recomputed, bit for bit", dev.Device, c.Equal, c.Drawn)
	}
	t.Logf("%d kills, %d rows: %d equal byte for byte, %d differ, %d not published because the kill came between", kills, p.next, len(b)-differ, differ, missing)
}
