package task

import (
	"context"
	"testing"
	"time"

	"skerry.dev/agent/source"
)

// TestClockSetBack: a clock that was ahead when readings came, and is right again, keeps no task
// waiting until event time has come to where it was, neither at once nor after a restart.
func TestClockSetBack(t *testing.T) {
	for _, rows := range []string{"rows: {on: v}", "rows: {every: 1s}"} {
		for _, restart := range []bool{false, true} {
			dir := t.TempDir()
			task := parse(t, "task: t\ntarget: {series: v, horizon: 10s}\ninputs: [{series: v, topic: s/v}, {series: w, topic: s/w}]\n"+rows+"\n")
			g := startTask(t, dir, task, nil)
			send := func(at time.Time, v float64) {
				t.Helper()
				k, _ := g.plan.Index("v")
				m := source.Message{Plan: g.plan, Topic: "s/v", Arrival: at.UnixMicro(), ClockOK: true, Readings: []source.Reading{{Series: k, Time: at.UnixMicro(), Value: v}}, Ack: func() {}}
				if err := g.Message(context.Background(), m); err != nil {
					t.Fatal(err)
				}
			}
			now := time.Now().Add(-time.Hour)
			for i := range 20 {
				send(now.Add(400*24*time.Hour+time.Duration(i)*time.Second), float64(i%7))
			}
			g.Flush()
			before := g.rows(t)["t"]
			if before == 0 {
				t.Fatal("no rows at all")
			}
			if restart {
				g.stop(t)
				if err := g.store.Close(); err != nil {
					t.Fatal(err)
				}
				g = startTask(t, dir, task, nil)
			}
			for i := range 20 {
				send(now.Add(time.Duration(i)*time.Second), float64(i%5))
			}
			g.Flush()
			if got := g.rows(t)["t"] - before; got < 18 {
				t.Errorf("%s, restart %v: %d rows of 20 readings after the clock was set back", rows, restart, got)
			}
			if !toldOf(t, g, "clock_back", `"seconds":34560019`) {
				t.Errorf("%s, restart %v: no event tells it", rows, restart)
			}
			want := g.rows(t)["t"]
			g.stop(t)
			if err := g.store.Close(); err != nil {
				t.Fatal(err)
			}
			if g = startTask(t, dir, task, nil); g.rows(t)["t"] != want {
				t.Errorf("%s, restart %v: %d rows after another start, %d before", rows, restart, g.rows(t)["t"], want)
			}
			g.stop(t)
			if err := g.store.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
