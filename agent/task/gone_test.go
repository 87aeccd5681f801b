package task

import (
	"errors"
	"strings"
	"testing"
	"time"

	"skerry.dev/agent/cache"
	"skerry.dev/sync/outbox"
)

// TestFileComesBack: what a task has learned outlives a file that is moved away, while the agent
// runs and over a restart, and is told; after a week, or where others take the room, it is dropped.
func TestFileComesBack(t *testing.T) {
	eachChange(t, func(t *testing.T, g *changing) {
		for i := range 50 {
			g.message(t, i, float64(10+i%5), float64(i%3))
		}
		g.Flush()
		g.change(t, another)
		for i := 50; i < 60; i++ {
			g.message(t, i, float64(10+i%5), float64(i%3))
		}
		g.Flush()
		if g.how == "reload" && !toldOf(t, g.rig, "task_gone", `"rows":50`) {
			t.Error("no event tells that a task is gone")
		}
		g.change(t, taskYAML, another)
		if rows := g.rows(t); rows["level"] != 50 {
			t.Errorf("rows %v, want the 50 of level from before", rows)
		}
		g.message(t, 60, 10, 1)
		g.Flush()
		if rows := g.rows(t); rows["level"] != 51 {
			t.Errorf("rows %v, want one more of level", rows)
		}
	}, taskYAML, another)
}

func toldOf(t *testing.T, g *rig, kind, part string) bool {
	t.Helper()
	for _, r := range records(t, g) {
		for _, e := range r.Events {
			if e.Kind == kind && strings.Contains(e.Detail, part) {
				return true
			}
		}
	}
	return false
}

// TestGoneForLong: a state that nobody comes back for goes after a week, and the oldest go before
// those of all such tasks take more than their share of the cache.
func TestGoneForLong(t *testing.T) {
	dir := t.TempDir()
	st, err := cache.Open(cache.Options{Dir: dir, Outbox: outbox.Options{Device: "dev"}})
	if err != nil {
		t.Fatal(err)
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).UnixMicro() }
	large := make([]byte, 1<<20)
	var snaps []cache.Snapshot
	for name, since := range map[string]int64{
		"week": ago(keepGone + time.Minute), "day": ago(24 * time.Hour), "old": ago(3 * 24 * time.Hour), "new": 0,
	} {
		snaps = append(snaps, cache.Snapshot{Name: name, Gone: since, Position: cache.Detached, Data: large})
	}
	if err := errors.Join(st.Commit(&cache.Commit{Snapshots: snaps}), st.Close()); err != nil {
		t.Fatal(err)
	}
	g := start(t, dir, func(o *Options) { o.MaxBytes = goneShare * 5 << 19 }) // room for two and a half
	g.message(t, 0, 10, 1)
	g.Flush()
	left, err := g.store.Snapshots()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"week": false, "day": true, "old": false, "new": true} {
		if _, ok := left[name]; ok != want {
			t.Errorf("the state of %s is kept: %v, want %v", name, ok, want)
		}
	}
}
