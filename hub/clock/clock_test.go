package clock_test

import (
	"testing"
	"time"

	"skerry.dev/hub/clock"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// machine is a machine with a wall clock that is set and one that is not.
type machine struct {
	t    *testing.T
	db   *meta.Store
	wall time.Time
	up   time.Duration
	*clock.Clock
}

// start begins another process on the machine.
func (m *machine) start() {
	m.Clock = clock.New(m.db, clock.Options{
		Now: func() time.Time { return m.wall },
		Up:  func() time.Duration { return m.up },
	})
}

// pass lets the machine run, with a look every hour.
func (m *machine) pass(d time.Duration) {
	for ; d > 0; d -= time.Hour {
		m.wall, m.up = m.wall.Add(min(d, time.Hour)), m.up+min(d, time.Hour)
		m.Now(m.t.Context())
	}
}

func (m *machine) want(when string, want bool) {
	m.t.Helper()
	if now, ok := m.Now(m.t.Context()); ok != want || !now.Equal(m.wall) {
		m.t.Errorf("%s: Now = %v, %v, want %v, %v", when, now, ok, m.wall, want)
	}
}

// alarms counts the alarms about the clock.
func (m *machine) alarms() (n int) {
	m.t.Helper()
	events, err := m.db.Read().Events(m.t.Context(), meta.EventFilter{})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind == "hub_clock_doubted" {
			n++
		}
	}
	return n
}

const day = 24 * time.Hour

var began = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func each(t *testing.T, fn func(t *testing.T, m *machine)) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		m := &machine{t: t, db: d.Open(t), wall: began}
		m.start()
		fn(t, m)
	})
}

// TestNow holds when a clock may decide what is old: while it agrees with what was noted, and after
// a day of running where it does not.
func TestNow(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		m.want("new database", true)
		m.pass(10 * day)
		m.want("after ten days", true)

		m.wall = m.wall.Add(92 * day)
		m.want("set ahead while it runs", false)
		m.start()
		m.want("started with a clock that is ahead", false)
		m.wall = m.wall.Add(-92 * day)
		m.want("put right again", true)
		if n := m.alarms(); n != 1 {
			t.Errorf("%d alarms about the clock, want 1", n)
		}

		m.wall = m.wall.Add(6 * day)
		m.start()
		m.want("started after six days", true)
		m.wall = m.wall.Add(-30 * time.Minute)
		m.want("set back by half an hour", true)

		m.wall = m.wall.Add(20 * day)
		m.start()
		m.want("started after three weeks", false)
		m.pass(23 * time.Hour)
		m.want("after 23 hours", false)
		m.pass(time.Hour)
		m.want("after 24 hours", true)
		m.start()
		m.want("started again", true)

		m.wall = m.wall.Add(-20 * day)
		m.want("set back", false)
		m.pass(23 * time.Hour)
		m.wall = m.wall.Add(2 * day)
		m.pass(23 * time.Hour)
		m.want("set while it was doubted", false)
		m.pass(2 * time.Hour)
		m.want("a day later", true)
	})
}

// TestNowOften holds that a hub which never runs for a day comes to trust its clock too.
func TestNowOften(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		m.pass(day)
		m.wall = m.wall.Add(30 * day)
		for range 3 {
			m.start()
			m.pass(8 * time.Hour)
			m.want("before it ran for a day", false)
			m.wall = m.wall.Add(16 * time.Hour)
		}
		m.start()
		m.pass(8 * time.Hour)
		m.want("after it ran for a day", true)
	})
}

// TestNowUnset holds that a clock that is not set never decides, and leaves no note.
func TestNowUnset(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		m.wall = time.Unix(100, 0)
		m.want("in 1970", false)
		m.pass(3 * day)
		m.want("in 1970, after three days", false)
		if got := clock.Known(m.wall); got != 0 {
			t.Errorf("Known(%v) = %d, want 0", m.wall, got)
		}
		m.wall = began
		m.want("set", true)
		if got := clock.Known(m.wall); got != began.UnixMicro() {
			t.Errorf("Known(%v) = %d, want %d", m.wall, got, began.UnixMicro())
		}
	})
}

// TestNowBeside holds that a wrong clock beside a right one on the same database stays doubted.
func TestNowBeside(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		m.want("alone", true)
		wrong := &machine{t: t, db: m.db, wall: began.Add(92 * day)}
		wrong.start()
		for range 48 {
			m.pass(time.Hour)
			wrong.pass(time.Hour)
		}
		m.want("the right one", true)
		wrong.want("the wrong one", false)
	})
}
