package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/hub/tasks"
	"skerry.dev/sync/spec"
)

// file is a task file of a name, horizon and topic.
func file(name, horizon, topic string) string {
	return fmt.Sprintf("task: %s\nkind: forecast\ntarget: {series: q, horizon: %s}\ninputs:\n  - {series: q, topic: %s, unit: l/s}\nrows: {on: q}\n", name, horizon, topic)
}

// store is a database to which devices report.
type store struct {
	*testing.T
	db  *meta.Store
	now int64
}

func (s *store) report(device string, files ...string) {
	s.Helper()
	reported := map[string]spec.ReportedTask{}
	for _, text := range files {
		task, err := spec.ParseTask("", strings.NewReader(text))
		if err != nil {
			s.Fatal(err)
		}
		reported[task.Name] = spec.ReportedTask{Kind: string(task.Kind), Spec: text, SpecHash: task.Hash}
	}
	s.raw(device, reported)
}

func (s *store) raw(device string, reported map[string]spec.ReportedTask) {
	s.Helper()
	s.now += 1e6
	if err := s.db.Tx(s.Context(), func(q *meta.Queries) error {
		_, err := tasks.Report(s.Context(), q, device, reported, s.now)
		return err
	}); err != nil {
		s.Fatal(err)
	}
}

// want checks the definition of a task: its horizon, who made it, and who runs it so.
func (s *store) want(name, horizon, source string, devices ...string) {
	s.Helper()
	t, err := s.db.Read().Task(s.Context(), name)
	if err != nil {
		s.Fatal(err)
	}
	run, err := s.db.Read().TaskDevices(s.Context(), name)
	if err != nil {
		s.Fatal(err)
	}
	if !strings.Contains(t.Spec, "horizon: "+horizon+"}") || t.Source != source || !slices.Equal(run, devices) {
		s.Errorf("task %s is defined by %s, run by %v: %s\nwant horizon %s by %s, run by %v", name, t.Source, run, t.Spec, horizon, source, devices)
	}
}

func (s *store) alarms(device, kind string) int {
	s.Helper()
	events, err := s.db.Read().Events(s.Context(), meta.EventFilter{Device: device, Kind: kind})
	if err != nil {
		s.Fatal(err)
	}
	return len(events)
}

// TestDefinition holds that a definition is the hub's: the first report makes it, other readings of
// the same leave it, another device does not replace it, all together do, and a person has the last
// word.
func TestDefinition(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		s, ctx := &store{T: t, db: d.Open(t), now: meta.Now()}, t.Context()
		s.report("a", file("flow", "1h", "a/q"))
		s.report("b", "# the same, read elsewhere\n"+file("flow", "1h", "b/q"))
		s.want("flow", "1h", "device/a", "a", "b")

		for range 3 {
			s.report("c", file("flow", "2h", "c/q"))
		}
		s.want("flow", "1h", "device/a", "a", "b")
		if n := s.alarms("c", "task_conflict"); n != 1 {
			t.Errorf("device c has %d alarms about its other task file, want one a day", n)
		}
		reports, err := s.db.Read().TaskReports(ctx, "flow")
		if err != nil || len(reports) != 3 || !reports[2].Differs || reports[2].Spec != file("flow", "2h", "c/q") || reports[0].Differs {
			t.Errorf("TaskReports = %+v, %v, want c's file kept beside the definition", reports, err)
		}

		s.report("a", file("flow", "2h", "a/q")) // b is still of the old opinion
		s.want("flow", "1h", "device/a", "b")
		s.report("b", file("flow", "2h", "b/q"))
		s.want("flow", "2h", "device/b", "a", "b", "c")

		if err := tasks.Set(ctx, s.db, "user/eva", "flow", file("flow", "3h", "x")); err != nil {
			t.Fatal(err)
		}
		s.want("flow", "3h", "user/eva")
		for _, device := range []string{"a", "b", "c"} {
			s.report(device, file("flow", "4h", "q"))
		}
		s.want("flow", "3h", "user/eva")
		if err := tasks.SetFrom(ctx, s.db, "user/eva", "flow", "b"); err != nil {
			t.Fatal(err)
		}
		s.want("flow", "4h", "user/eva", "a", "b", "c")
		if task, err := s.db.Read().Task(ctx, "flow"); err != nil || task.Version != 4 {
			t.Errorf("Task = version %d, %v, want every change counted", task.Version, err)
		}
	})
}

// TestRemove holds that no report brings a removed task back, that a person does, and that it is
// forgotten a month after the last report.
func TestRemove(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		s, ctx := &store{T: t, db: d.Open(t), now: meta.Now() - 60e6}, t.Context()
		s.report("a", file("flow", "1h", "q"))
		if err := tasks.Remove(ctx, s.db, "user/eva", "flow"); err != nil {
			t.Fatal(err)
		}
		s.report("a", file("flow", "1h", "q"))
		s.report("b", file("flow", "2h", "q"))
		if _, err := s.db.Read().Task(ctx, "flow"); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("Task = %v after its removal and two reports, want %v", err, meta.ErrNotFound)
		}
		if s.alarms("a", "task_removed") != 1 || s.alarms("b", "task_removed") != 1 {
			t.Error("devices that run a removed task have no alarm")
		}
		if err := tasks.SetFrom(ctx, s.db, "user/eva", "flow", "b"); err != nil {
			t.Fatal(err)
		}
		s.want("flow", "2h", "user/eva", "b")
		if err := tasks.Remove(ctx, s.db, "user/eva", "flow"); err != nil {
			t.Fatal(err)
		}
		for _, days := range []int64{29, 32} {
			if err := s.db.Tx(ctx, func(q *meta.Queries) error { return tasks.Forget(ctx, q, meta.Now()+days*86400e6) }); err != nil {
				t.Fatal(err)
			}
			_, err := s.db.Read().AnyTask(ctx, "flow")
			if gone := errors.Is(err, meta.ErrNotFound); gone != (days > 30) {
				t.Errorf("after %d days the removed task is forgotten: %v (%v)", days, gone, err)
			}
		}
	})
}

// TestBounds holds that no device makes more tasks than it may, in one report or in many.
func TestBounds(t *testing.T) {
	s := &store{T: t, db: metatest.SQLite(t).Open(t), now: meta.Now()}
	for round := range 3 {
		reported := map[string]spec.ReportedTask{}
		for n := range 3003 {
			reported[fmt.Sprintf("t%d-%d", round, n)] = spec.ReportedTask{Kind: "forecast", SpecHash: "h"}
		}
		s.raw("a", reported)
	}
	s.report("b", file("flow", "1h", "q"))
	s.want("flow", "1h", "device/b", "b")
	list, err := s.db.Read().Tasks(t.Context())
	if err != nil || len(list) != tasks.MaxPerDevice+1 {
		t.Errorf("the hub has %d tasks, %v, want %d of the one device and one of the other", len(list), err, tasks.MaxPerDevice)
	}
	if s.alarms("a", "task_limit") != 1 {
		t.Error("the device that reports too many tasks has no alarm")
	}
}

// TestTheSameAgain: what a device reports of a task is noted again after a minute, not with every
// report, and at once when something changed.
func TestTheSameAgain(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		s := &store{T: t, db: d.Open(t), now: meta.Now()}
		noted := func() int64 {
			rows, err := s.db.Read().DeviceTasks(t.Context(), "a")
			if err != nil || len(rows) != 1 {
				t.Fatalf("the device reports %+v, %v", rows, err)
			}
			return rows[0].LastSeen
		}
		s.report("a", file("flow", "1h", "q"))
		first := noted()
		for range 58 {
			s.report("a", file("flow", "1h", "q"))
		}
		if at := noted(); at != first {
			t.Errorf("noted again after %d s", (at-first)/1e6)
		}
		s.report("a", file("flow", "1h", "q"))
		s.report("a", file("flow", "1h", "q"))
		if at := noted(); at != first+60e6 {
			t.Errorf("noted after %d s, want after a minute", (at-first)/1e6)
		}
		s.report("b", file("flow", "1h", "q"))
		s.report("a", file("flow", "2h", "q"))
		if at := noted(); at != s.now {
			t.Errorf("another reading of the task is noted %d s late", (s.now-at)/1e6)
		}
	})
}

// TestSetRefuses names what is wrong with a definition.
func TestSetRefuses(t *testing.T) {
	db := metatest.SQLite(t).Open(t)
	for name, c := range map[string]struct{ text, word string }{
		"../../x": {file("flow", "1h", "q"), "a-z"},
		"other":   {file("flow", "1h", "q"), "flow"},
		"flow":    {"task: flow\nhorizont: 1h\n", "horizont"},
		"nul":     {"task: nul\x00", "NUL"},
	} {
		err := tasks.Set(context.Background(), db, "user/eva", name, c.text)
		if !errors.Is(err, tasks.ErrRefused) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("Set(%q) = %v, want a refusal that names %q", name, err, c.word)
		}
	}
	if err := tasks.SetFrom(t.Context(), db, "user/eva", "flow", "a"); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("SetFrom of a device that reports nothing = %v", err)
	}
}
