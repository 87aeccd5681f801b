package loop

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestAgentKill kills the agent with SIGKILL at random points while it reads, commits and syncs.
// Half of the kills come at any time after the start, the others when it has broker and hub.
// Every message that the broker has acknowledged to the sensor must be in the lake exactly once.
func TestAgentKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t, anyBroker(t), 3*time.Minute)
	a := w.agent("killed", "a", nil)
	s := newSeries(1)
	p := w.sensor("a", s)
	stop, done := make(chan struct{}), make(chan struct{})
	began := time.Now()
	go func() { defer close(done); p.steadily(300, stop) }()
	rng := rand.New(rand.NewPCG(11, 11))
	kills := count(30, 5)
	for k := range kills {
		if k%2 == 0 {
			w.must(a.WaitUp(w.ctx, true))
			time.Sleep(time.Duration(rng.IntN(600)) * time.Millisecond)
		} else {
			time.Sleep(time.Duration(rng.IntN(900)) * time.Millisecond)
		}
		if err, gone := a.Exited(); gone {
			t.Fatalf("kill %d: the agent has ended by itself: %v\n%s", k, err, a.Tail())
		}
		a.Kill()
		w.must(a.Start())
	}
	w.must(a.WaitUp(w.ctx, true))
	time.Sleep(500 * time.Millisecond)
	close(stop)
	<-done
	p.settle()
	w.drained(60*time.Second, a, p.next-1, len(s.took))
	w.exactlyOnce(a, s.took)
	t.Logf("%d kills in %s: the broker took %d messages (%d readings), %d runs at the hub", kills, time.Since(began).Round(100*time.Millisecond), p.next, len(s.took), len(w.device(a.Device).Runs))
}

// TestHubKill is the same for the hub.
func TestHubKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t, anyBroker(t), 3*time.Minute)
	a := w.agent("patient", "a", nil)
	s := newSeries(2)
	p := w.sensor("a", s)
	stop, done := make(chan struct{}), make(chan struct{})
	began := time.Now()
	go func() { defer close(done); p.steadily(300, stop) }()
	rng := rand.New(rand.NewPCG(12, 12))
	kills, during := count(20, 4), 0
	for k := range kills {
		if k%4 != 3 { // while it applies; else while it starts
			before := time.Now()
			for time.Since(before) < 10*time.Second {
				if d, err := a.Detail(w.ctx); err == nil && d.Links["hub"] {
					during++
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			time.Sleep(time.Duration(rng.IntN(2500)) * time.Millisecond)
		} else {
			time.Sleep(time.Duration(rng.IntN(600)) * time.Millisecond)
		}
		if err, gone := w.hub.Exited(); gone {
			t.Fatalf("kill %d: the hub has ended by itself: %v\n%s", k, err, w.hub.Tail())
		}
		w.hub.Kill()
		w.must(w.hub.Start())
	}
	w.must(w.api.WaitReady(w.ctx, 30*time.Second))
	time.Sleep(500 * time.Millisecond)
	close(stop)
	<-done
	p.settle()
	w.drained(90*time.Second, a, p.next-1, len(s.took))
	w.exactlyOnce(a, s.took)
	if during < kills/4 { // a busy machine may need longer to start than the kills leave it
		t.Errorf("only %d of %d kills found the agent connected", during, kills)
	}
	t.Logf("%d kills in %s, %d of them with the agent connected: the broker took %d messages (%d readings)", kills, time.Since(began).Round(100*time.Millisecond), during, p.next, len(s.took))
}
