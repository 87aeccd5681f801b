package meta_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// each runs a test over an open store on SQLite and on PostgreSQL.
func each(t *testing.T, fn func(t *testing.T, s *meta.Store)) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) { fn(t, d.Open(t)) })
}

// TestQueries runs every kind of statement on both databases.
func TestQueries(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx := t.Context()
		tx := func(fn func(q *meta.Queries) error) {
			t.Helper()
			if err := s.Tx(ctx, fn); err != nil {
				t.Fatal(err)
			}
		}
		q := s.Read()
		tx(func(q *meta.Queries) error {
			return errors.Join(q.InsertDevice(ctx, meta.Device{Name: "a", Site: "n", PublicKey: "UA"}), q.InsertDevice(ctx, meta.Device{Name: "b", Site: "s", PublicKey: "UB", Connected: true}))
		})
		if err := s.Tx(ctx, func(q *meta.Queries) error { return q.InsertDevice(ctx, meta.Device{Name: "c", PublicKey: "UA"}) }); err == nil {
			t.Error("one key is two devices")
		}
		if d, err := q.Devices(ctx, "", "s", 10); err != nil || len(d) != 1 || !d[0].Connected {
			t.Errorf("Devices = %+v, %v", d, err)
		}
		links := func(what string, up bool, fn func(q *meta.Queries) error) {
			t.Helper()
			tx(fn)
			if d, err := q.DeviceByKey(ctx, "UB"); err != nil || d.Connected != up {
				t.Errorf("after %s: DeviceByKey = %+v, %v, want connected %v", what, d, err, up)
			}
		}
		links("a link to h1", true, func(q *meta.Queries) error { return q.SetConnected(ctx, "b", "h1", true, 1) })
		links("the start of h2", true, func(q *meta.Queries) error { return q.DisconnectAll(ctx, "h2") })
		links("the start of h1", false, func(q *meta.Queries) error { return q.DisconnectAll(ctx, "h1") })
		links("a link to h2", true, func(q *meta.Queries) error { return q.SetConnected(ctx, "b", "h2", true, 2) })
		links("late news of h1", true, func(q *meta.Queries) error { return q.SetConnected(ctx, "b", "h1", false, 3) })
		links("the end of the link", false, func(q *meta.Queries) error { return q.SetConnected(ctx, "b", "h2", false, 4) })
		if _, err := q.Device(ctx, "zz"); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("Device(unknown) = %v", err)
		}

		tx(func(q *meta.Queries) error {
			for i, want := range []int64{1, 2, 1} {
				r, err := q.PutRun(ctx, meta.Run{Device: "a", Run: []string{"x", "y", "x"}[i]})
				if err != nil || r.Ordinal != want {
					return fmt.Errorf("run %d has ordinal %d, want %d: %w", i, r.Ordinal, want, err)
				}
			}
			for i := range int64(10) {
				if err := q.InsertInterval(ctx, meta.Interval{Device: "a", Run: "x", Class: 4, From: i*10 + 1, To: i*10 + 10, SHA256: "h", AppliedAt: i}); err != nil {
					return err
				}
			}
			return q.InsertInterval(ctx, meta.Interval{Device: "a", Run: "x", Class: 4, Kind: meta.Declared, From: 1, To: 5})
		})
		tx(func(q *meta.Queries) error {
			return q.InsertInterval(ctx, meta.Interval{Device: "a", Run: "x", Class: 4, Kind: meta.Declared, From: 1, To: 500})
		})
		if i, err := q.Overlap(ctx, "a", "x", 4, 15, 22); err != nil || i.From != 21 {
			t.Errorf("Overlap = %+v, %v", i, err)
		}
		if _, err := q.Overlap(ctx, "a", "x", 4, 101, 110); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("Overlap behind the end = %v", err)
		}
		tx(func(q *meta.Queries) error {
			n, err := q.MergeIntervals(ctx, 5) // the first five chunks
			if n != 4 {
				return fmt.Errorf("merged %d rows, want 4: %w", n, err)
			}
			return err
		})
		rows, err := q.Intervals(ctx, "a", "x")
		if err != nil || len(rows) != 7 {
			t.Errorf("%d intervals, %v, want 7", len(rows), err)
		}
		tx(func(q *meta.Queries) error { // declared ones overlap, and have a hole before 8 and before 31
			for i, g := range [][2]int64{{1, 6}, {3, 4}, {8, 20}, {10, 12}, {21, 29}, {31, 31}, {30, 30}} {
				if err := q.InsertInterval(ctx, meta.Interval{Device: "b", Run: "x", Class: 4, Kind: meta.Declared, From: g[0], To: g[1], AppliedAt: int64(i)}); err != nil {
					return err
				}
			}
			n, err := q.MergeIntervals(ctx, 6) // not the last one, but one more chunk of a
			if n != 4 {
				return fmt.Errorf("merged %d rows, want 4: %w", n, err)
			}
			return err
		})
		rows, err = q.Intervals(ctx, "b", "x")
		got := ""
		for _, r := range rows {
			got += fmt.Sprintf("%d-%d ", r.From, r.To)
		}
		if err != nil || got != "1-6 8-29 30-30 31-31 " {
			t.Errorf("declared intervals are %s, %v", got, err)
		}

		tx(func(q *meta.Queries) error {
			return errors.Join(
				q.InsertStaged(ctx, meta.Staged{Device: "a", Run: "x", Class: 4, From: 1, Count: 10, RunOrdinal: 1, Site: "n", Bytes: []byte{0, 1, 255}, StagedAt: 7}),
				q.InsertLakeFile(ctx, meta.LakeFile{Path: "p", Class: 4, Rows: 1}, []meta.LakePart{{Path: "p", Device: "b", Class: 4, MinTime: 5, MaxTime: 9}}),
				q.InsertLakeFile(ctx, meta.LakeFile{Path: "p", Class: 4, Rows: 1}, nil),
				q.InsertLabelPoint(ctx, meta.LabelPoint{Task: "t", Device: "a", RowTime: 1, Truth: 2.5, Candidate: meta.Float(math.NaN())}),
				q.InsertLabelPoint(ctx, meta.LabelPoint{Task: "t", Device: "a", RowTime: 1, Truth: 9}),
				q.PutHostValue(ctx, meta.HostValue{Device: "a", Metric: "cpu", Time: 5, Value: 1}),
				q.PutHostValue(ctx, meta.HostValue{Device: "a", Metric: "cpu", Time: 4, Value: 2}),
				q.InsertEvent(ctx, meta.Event{ID: "e", Device: "a", Class: 1, Kind: "drift", Task: "t", Detail: "{}", ReceivedAt: 3}),
				q.PutTask(ctx, meta.Task{Name: "t", Kind: "forecast", FirstSeen: 1, LastSeen: 1}, "a"),
				q.PutTask(ctx, meta.Task{Name: "t", Kind: "forecast", FirstSeen: 2, LastSeen: 2}, "b"),
				q.InsertGap(ctx, meta.Gap{Device: "a", Run: "x", Class: 4, From: 1, To: 5, Series: "{}"}),
				q.PutJob(ctx, meta.Job{ID: "j", State: "queued"}), q.PutJob(ctx, meta.Job{ID: "j", State: "done"}),
				q.PutRollout(ctx, meta.Rollout{ID: "r", State: "draft"}), q.PutRolloutDevice(ctx, meta.RolloutDevice{Rollout: "r", Device: "a"}),
				q.SetChampion(ctx, meta.Champion{Task: "t", Digest: "d"}))
		})
		if g, err := q.StagedGroups(ctx); err != nil || len(g) != 1 || g[0].Bytes != 3 || g[0].Oldest != 7 {
			t.Errorf("StagedGroups = %+v, %v", g, err)
		}
		if c, err := q.StagedChunks(ctx, 4, "n", 5); err != nil || len(c) != 1 || string(c[0].Bytes) != "\x00\x01\xff" {
			t.Errorf("StagedChunks = %+v, %v", c, err)
		}
		if d, err := q.DataDevices(ctx, 4); err != nil || strings.Join(d, "") != "ab" {
			t.Errorf("DataDevices = %v, %v", d, err)
		}
		if p, err := q.LakeParts(ctx, "b", 4, 9, 20); err != nil || len(p) != 1 {
			t.Errorf("LakeParts = %+v, %v", p, err)
		}
		if l, err := q.LabelPoints(ctx, "t", "", 0, 10, 5); err != nil || len(l) != 1 || l[0].Truth != 2.5 || !math.IsNaN(float64(l[0].Candidate)) {
			t.Errorf("LabelPoints = %+v, %v", l, err)
		}
		if h, err := q.HostValues(ctx, "a"); err != nil || len(h) != 1 || h[0].Value != 1 {
			t.Errorf("HostValues = %+v, %v", h, err)
		}
		for _, f := range []meta.EventFilter{{}, {Device: "a", Task: "t", Kind: "drift", Class: 1, After: meta.EventCursor{ReceivedAt: 3}, Before: meta.EventCursor{ReceivedAt: 4}, Limit: 1}} {
			if e, err := q.Events(ctx, f); err != nil || len(e) != 1 {
				t.Errorf("Events(%+v) = %+v, %v", f, e, err)
			}
		}
		if d, err := q.TaskDevices(ctx, "t"); err != nil || strings.Join(d, "") != "ab" {
			t.Errorf("TaskDevices = %v, %v", d, err)
		}
		if j, err := q.Jobs(ctx, "", "done", 5); err != nil || len(j) != 1 {
			t.Errorf("Jobs = %+v, %v", j, err)
		}
		if c, err := q.Champion(ctx, "t", "cohort"); err != nil || c.Digest != "d" {
			t.Errorf("Champion = %+v, %v", c, err)
		}

		for want := range int64(3) {
			tx(func(q *meta.Queries) error {
				m, err := q.InsertModel(ctx, meta.Model{Digest: fmt.Sprint(want), Task: "t"})
				if m.Version != want+1 {
					return fmt.Errorf("version %d, want %d: %w", m.Version, want+1, err)
				}
				return err
			})
		}
		tx(func(q *meta.Queries) error { return q.TombstoneModel(ctx, "1", "bad", 5) })
		if d, err := q.Tombstones(ctx, ""); err != nil || strings.Join(d, "") != "1" {
			t.Errorf("Tombstones = %v, %v", d, err)
		}

		tx(func(q *meta.Queries) error { return q.PutDesired(ctx, meta.Document{Device: "a", Generation: 2}) })
		if err := s.Tx(ctx, func(q *meta.Queries) error { return q.PutDesired(ctx, meta.Document{Device: "a", Generation: 2}) }); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("the same generation again = %v", err)
		}
		for range 3 {
			tx(func(q *meta.Queries) error { return q.Audit(ctx, "me", "do", "it", "") })
		}
		if err := q.VerifyAudit(ctx); err != nil {
			t.Error(err)
		}
		tx(func(q *meta.Queries) error { return q.DeleteDevice(ctx, "a") })
		if err := s.View(ctx, func(q *meta.Queries) error { _, err := q.Desired(ctx, "a"); return err }); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("desired state of a deleted device = %v", err)
		}
		if err := s.Tx(ctx, func(q *meta.Queries) error {
			return errors.Join(q.InsertAccount(ctx, meta.Account{Name: "x"}), context.Canceled)
		}); err == nil {
			t.Error("a failed transaction returns nil")
		}
		if a, err := q.Accounts(ctx); err != nil || len(a) != 0 {
			t.Errorf("after a rollback Accounts = %v, %v", a, err)
		}
	})
}

func TestSQLiteIsDurable(t *testing.T) {
	dir := t.TempDir()
	s := metatest.DB{Options: meta.Options{Dir: dir}}.Open(t)
	if err := s.Tx(t.Context(), func(q *meta.Queries) error { return q.Audit(t.Context(), "a", "b", "c", "") }); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "copy.db")); err != nil {
		t.Fatal(err)
	}
	c := metatest.DB{Options: meta.Options{URL: filepath.Join(dir, "copy.db")}}.Open(t)
	if err := c.Read().VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDamagedFile opens files of SQLite that were overwritten: the error names the file and what to
// do.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "hub.db")
	s, err := meta.Open(t.Context(), meta.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]int{"the beginning": 0, "behind the header": 100} {
		bad := slices.Clone(good)
		for i := from; i < len(bad); i++ {
			bad[i] = 0xa5
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := meta.Open(t.Context(), meta.Options{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), path+" is damaged") || !strings.Contains(err.Error(), "backup") {
			t.Errorf("Open of a file that is overwritten from %s = %v, want an error that names it and what to do", name, err)
		}
	}
}
