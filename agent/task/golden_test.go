package task

import (
	"os"
	"path/filepath"
	"testing"

	"skerry.dev/agent/cache"
	"skerry.dev/sync/wire"
	"skerry.dev/test/realdata"
)

// golden are caches that builds have left behind: 300 rows of values, then model "a" as the
// champion, then seven rows. A build whose state is read another way adds one, and reads all.
var golden = []string{"state-2026-11.db.gz"}

// The task of the golden caches, as its file was, and the time of its first row.
const (
	goldenTask = `
task: level
kind: forecast
target: {series: y, horizon: 1h}
inputs:
  - {series: y, topic: s/a, path: $.y, range: [0, 1000]}
  - {series: x, topic: s/a, path: $.x}
time: {path: $.ts, format: unix}
rows: {on: y, max_age: 3h}
`
	goldenBase = 1767225600_000000
)

// TestStateOfEarlierBuilds: what a task had learned, which readings were accepted and what was not
// yet delivered survive an upgrade.
func TestStateOfEarlierBuilds(t *testing.T) {
	ys, xs := values(300)
	for _, name := range golden {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, cache.FileName), realdata.Gunzip(t, filepath.Join("testdata", name)), 0o600); err != nil {
				t.Fatal(err)
			}
			g := withFiles(t, dir, goldenTask)
			g.base = goldenBase
			before := g.store.Outbox().Stats()
			if r := g.rows(t); r["level"] != 307 || before.PendingRecords < 2*307 {
				t.Errorf("rows %v, outbox %+v, want 307 and everything undelivered", r, before)
			}
			if s, err := g.Slots(t.Context(), "level"); err != nil || s.Champion != "a" || s.Probation {
				t.Errorf("slots %+v, %v, want the champion in use", s, err)
			}
			for i := 60; i < 300; i++ { // builds before 2026-12 knew 256 readings of a series
				g.message(t, i, ys[i], xs[i])
			}
			g.message(t, 307, 12, 1)
			g.Flush()
			if r := g.rows(t); r["level"] != 308 {
				t.Errorf("rows %v, want one more", r)
			}
			fresh := g.store.Outbox().Stats().Stored[wire.ClassReading] - before.Stored[wire.ClassReading]
			if fresh != 2 {
				t.Errorf("%d readings are stored after repeats and one new message, want its 2", fresh)
			}
			for _, r := range records(t, g) {
				for _, e := range r.Events {
					if e.Kind == "state_lost" || e.Kind == "task_reset" || e.Kind == "model_gone" {
						t.Errorf("event %+v", e)
					}
				}
			}
		})
	}
}
