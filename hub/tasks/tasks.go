package tasks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"skerry.dev/hub/alarm"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// Bounds of the number of tasks, removed ones that devices still report included.
const (
	MaxTasks     = 5000 // of the hub
	MaxPerDevice = 500  // of one report, and of the tasks that one device has defined
)

// forgetAfter is how long a removed task is remembered after the last device has reported it, and
// how long what a device reported of a task counts after the device was heard of last.
const forgetAfter = 30 * 24 * time.Hour

// noteEvery is how often it is noted that a device still reports the same of a task.
const noteEvery = time.Minute

// ErrRefused is wrapped by errors about a definition that somebody asked for.
var ErrRefused = errors.New("not a definition")

// Report takes what a device reports of its tasks, inside a transaction whose time is now. fresh are
// those that it has not reported before.
func Report(ctx context.Context, q *meta.Queries, device string, reported map[string]spec.ReportedTask, now int64) (fresh []string, err error) {
	names := slices.Sorted(maps.Keys(reported))
	if over := len(names) - MaxPerDevice; over > 0 {
		names = names[:MaxPerDevice]
		if err := limit(ctx, q, device, now, fmt.Sprintf("the device reports %d tasks, the hub takes %d of one device: %d are left out", len(reported), MaxPerDevice, over)); err != nil {
			return nil, err
		}
	}
	defs, err := q.TasksNamed(ctx, names)
	if err != nil {
		return nil, err
	}
	rows, err := q.DeviceTasks(ctx, device)
	if err != nil {
		return nil, err
	}
	var unknown []report
	for _, name := range names {
		r := report{device: device, name: name, task: reported[name], now: now}
		i, known := slices.BinarySearchFunc(defs, name, func(t meta.Task, name string) int { return strings.Compare(t.Name, name) })
		if !known {
			unknown, fresh = append(unknown, r), append(fresh, name)
			continue
		}
		var old *meta.TaskDevice
		if k, ok := slices.BinarySearchFunc(rows, name, func(t meta.TaskDevice, name string) int { return strings.Compare(t.Task, name) }); ok {
			old = &rows[k]
		} else {
			fresh = append(fresh, name)
		}
		if err := r.take(ctx, q, defs[i], old); err != nil {
			return nil, fmt.Errorf("task %q: %w", name, err)
		}
	}
	if len(unknown) == 0 {
		return fresh, nil
	}
	return fresh, propose(ctx, q, device, unknown)
}

func limit(ctx context.Context, q *meta.Queries, device string, now int64, reason string) error {
	return alarm.Raise(ctx, q, now, alarm.Alarm{
		Device: device,
		Kind:   "task_limit",
		Detail: map[string]any{"reason": reason},
	})
}

// report is one task of one device's report.
type report struct {
	device, name string
	task         spec.ReportedTask
	now          int64
}

// take compares a report with the definition and stores what is new in it. old is what the device
// reported before, nil for the first time. The same again within noteEvery costs nothing.
func (r *report) take(ctx context.Context, q *meta.Queries, def meta.Task, old *meta.TaskDevice) error {
	row := meta.TaskDevice{Task: r.name, Device: r.device, Hash: r.task.SpecHash, LastSeen: r.now, Version: def.Version}
	switch {
	case r.task.SpecHash == def.Hash:
	case old != nil && old.Hash == r.task.SpecHash && old.Version == def.Version:
		row.Spec, row.Differs = old.Spec, old.Differs // compared before
	default:
		row.Differs = meaning(r.task.Spec) != meaning(def.Spec)
	}
	if row.Differs && r.task.Spec != "" {
		row.Spec = r.task.Spec
	}
	if old != nil && r.now-old.LastSeen < noteEvery.Microseconds() && def.RemovedAt <= old.LastSeen {
		if same := *old; same.Hash == row.Hash && same.Version == row.Version && same.Differs == row.Differs && same.Spec == row.Spec {
			return nil
		}
	}
	if row.Differs && (old == nil || !old.Differs || old.Hash != row.Hash) {
		changed, err := r.follow(ctx, q, def)
		if changed || err != nil {
			return err
		}
	}
	if row.Differs || def.RemovedAt > 0 {
		if err := r.differ(ctx, q, def); err != nil {
			return err
		}
	}
	return errors.Join(q.PutTaskDevice(ctx, row), q.TouchTask(ctx, r.name, r.now))
}

// propose defines tasks of a device that nobody knows yet, as many as it may.
func propose(ctx context.Context, q *meta.Queries, device string, unknown []report) error {
	all, own, err := q.CountTasks(ctx, source(device))
	if err != nil {
		return err
	}
	for n, r := range unknown {
		switch left := len(unknown) - n; {
		case own >= MaxPerDevice:
			return limit(ctx, q, device, r.now, fmt.Sprintf("the device has defined %d tasks, as many as one may: %q is left out, with %d more", own, r.name, left-1))
		case all >= MaxTasks:
			return limit(ctx, q, device, r.now, fmt.Sprintf("the hub has %d tasks, as many as it takes: %q is left out, with %d more; remove some with: skerry-hub task remove", all, r.name, left-1))
		}
		if err := r.define(ctx, q, 1, r.now); err != nil {
			return fmt.Errorf("task %q: %w", r.name, err)
		}
		all, own = all+1, own+1
	}
	return nil
}

func source(device string) string { return "device/" + device }

func (r *report) define(ctx context.Context, q *meta.Queries, version, firstSeen int64) error {
	err := q.PutTask(ctx, meta.Task{
		Name:      r.name,
		Kind:      r.task.Kind,
		Spec:      r.task.Spec,
		Hash:      r.task.SpecHash,
		FirstSeen: firstSeen,
		LastSeen:  r.now,
		Source:    source(r.device),
		Version:   version,
	}, r.device)
	return errors.Join(err, q.Audit(ctx, source(r.device), "task.define", r.name, fmt.Sprintf("version=%d hash=%s", version, r.task.SpecHash)))
}

// follow replaces a definition that came from devices when all that report the task agree with this
// report, and reports whether it did.
func (r *report) follow(ctx context.Context, q *meta.Queries, def meta.Task) (bool, error) {
	if def.RemovedAt > 0 || r.task.Spec == "" || def.Source != "" && !strings.HasPrefix(def.Source, "device/") {
		return false, nil
	}
	others, err := q.TaskReports(ctx, r.name)
	if err != nil {
		return false, err
	}
	want := meaning(r.task.Spec)
	for _, o := range others {
		current := o.LastSeen >= r.now-forgetAfter.Microseconds()
		if o.Device != r.device && current && (!o.Differs || meaning(o.Spec) != want) {
			return false, nil
		}
	}
	if err := r.define(ctx, q, def.Version+1, def.FirstSeen); err != nil {
		return false, err
	}
	def.Spec, def.Version = r.task.Spec, def.Version+1
	return true, compare(ctx, q, def, "", r.device)
}

// compare judges what devices reported of a task against its new definition. before is the text of
// the definition it replaces, which devices without a text of their own run; except has been judged.
func compare(ctx context.Context, q *meta.Queries, def meta.Task, before, except string) error {
	rows, err := q.TaskReports(ctx, def.Name)
	if err != nil {
		return err
	}
	want := meaning(def.Spec)
	for _, row := range rows {
		if row.Device == except {
			continue
		}
		if row.Spec == "" && !row.Differs {
			row.Spec = before
		}
		row.Version = def.Version
		if row.Differs = meaning(row.Spec) != want; !row.Differs {
			row.Spec = ""
		}
		if err := q.PutTaskDevice(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// differ raises that a device runs something else than the definition.
func (r *report) differ(ctx context.Context, q *meta.Queries, def meta.Task) error {
	a := alarm.Alarm{
		Device: r.device,
		Kind:   "task_conflict",
		Task:   r.name,
		Detail: map[string]any{
			"reason":      "the device's task file means something else than the hub's definition: it gets no models of this task",
			"defined_by":  def.Source,
			"version":     def.Version,
			"device_hash": r.task.SpecHash,
			"what_to_do":  fmt.Sprintf("compare with: skerry-hub task show %s; take the device's file with: skerry-hub task set %s --from %s", r.name, r.name, r.device),
		},
	}
	if def.RemovedAt > 0 {
		a.Kind = "task_removed"
		a.Detail = map[string]any{
			"reason":     "the device runs a task that was removed at the hub: it gets no models of it",
			"what_to_do": fmt.Sprintf("remove the task file from the device, or bring the task back with: skerry-hub task set %s --from %s", r.name, r.device),
		}
	}
	return alarm.Raise(ctx, q, r.now, a)
}

// Set stores a definition in the name of a person. It gives way to no report.
func Set(ctx context.Context, db *meta.Store, actor, name, text string) error {
	t, err := check(name, text)
	if err != nil {
		return err
	}
	return db.Tx(ctx, func(q *meta.Queries) error { return set(ctx, q, actor, t) })
}

// SetFrom is Set with the task file of a device that reports the task.
func SetFrom(ctx context.Context, db *meta.Store, actor, name, device string) error {
	return db.Tx(ctx, func(q *meta.Queries) error {
		row, err := q.TaskDevice(ctx, name, device)
		if errors.Is(err, meta.ErrNotFound) {
			return fmt.Errorf("device %q reports no task %q: %w", device, name, err)
		}
		if err != nil {
			return err
		}
		if !row.Differs {
			def, err := q.AnyTask(ctx, name)
			if err != nil {
				return err
			}
			row.Spec = def.Spec
		}
		if row.Spec == "" {
			return fmt.Errorf("%w: device %q has not reported the text of the task %q, set it from a file", ErrRefused, device, name)
		}
		t, err := check(name, row.Spec)
		if err != nil {
			return err
		}
		return set(ctx, q, actor, t)
	})
}

func check(name, text string) (*spec.Task, error) {
	if !spec.ValidName(name) {
		return nil, fmt.Errorf("%w: task name %.64q must be 1 to 63 of a-z, 0-9, - and _, and start with a letter or digit", ErrRefused, name)
	}
	if err := meta.CheckText(text); err != nil {
		return nil, fmt.Errorf("%w: the task file %w", ErrRefused, err)
	}
	t, err := spec.ParseTask(name, strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if t.Name != name {
		return nil, fmt.Errorf("%w: the task file is of task %q, not %q", ErrRefused, t.Name, name)
	}
	return t, nil
}

func set(ctx context.Context, q *meta.Queries, actor string, t *spec.Task) error {
	now, err := q.Clock(ctx)
	if err != nil {
		return err
	}
	old, err := q.AnyTask(ctx, t.Name)
	if errors.Is(err, meta.ErrNotFound) {
		var all int64
		if all, _, err = q.CountTasks(ctx, ""); err == nil && all >= MaxTasks {
			return fmt.Errorf("%w: the hub has %d tasks, as many as it takes", ErrRefused, all)
		}
		old.FirstSeen = now
	}
	if err != nil {
		return err
	}
	def := meta.Task{
		Name:      t.Name,
		Kind:      string(t.Kind),
		Spec:      t.Source,
		Hash:      t.Hash,
		FirstSeen: old.FirstSeen,
		LastSeen:  old.LastSeen,
		Source:    actor,
		Version:   old.Version + 1,
	}
	if err := q.DefineTask(ctx, def); err != nil {
		return err
	}
	if err := compare(ctx, q, def, old.Spec, ""); err != nil {
		return err
	}
	return errors.Join(
		feed.Add(ctx, q, feed.KindState, "", "", feed.State{Tasks: map[string]string{t.Name: t.Hash}}),
		q.Audit(ctx, actor, "task.set", t.Name, fmt.Sprintf("version=%d hash=%s", def.Version, def.Hash)))
}

// Remove ends a task at the hub: it is trained and rolled out no more, and no report brings it back.
// Its models and its data stay.
func Remove(ctx context.Context, db *meta.Store, actor, name string) error {
	return db.Tx(ctx, func(q *meta.Queries) error {
		t, err := q.Task(ctx, name)
		if err != nil {
			return fmt.Errorf("task %q: %w", name, err)
		}
		rows, err := q.TaskReports(ctx, name)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			err = q.DeleteTask(ctx, name)
		} else {
			if t.RemovedAt, err = q.Clock(ctx); err != nil {
				return err
			}
			err = q.DefineTask(ctx, t)
		}
		return errors.Join(err, q.Audit(ctx, actor, "task.remove", name, fmt.Sprintf("version=%d", t.Version)))
	})
}

// Forget drops the removed tasks that no device has reported for a month. One that was removed while
// the clock was not set stays.
func Forget(ctx context.Context, q *meta.Queries, now int64) error {
	removed, err := q.RemovedTasks(ctx)
	if err != nil {
		return err
	}
	for _, t := range removed {
		if last := max(t.LastSeen, t.RemovedAt); last < now-forgetAfter.Microseconds() && last >= wire.ClockFloor.UnixMicro() {
			if err := q.DeleteTask(ctx, t.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
