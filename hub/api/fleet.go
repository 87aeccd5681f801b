package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/tasks"
	"skerry.dev/sync/spec"
)

// FleetDevice is a device as a line of a table.
type FleetDevice struct {
	Name       string               `json:"name"`
	Site       string               `json:"site"`
	Cohort     string               `json:"cohort"`
	Class      string               `json:"class"`
	Version    string               `json:"version"`
	Connected  bool                 `json:"connected"`
	SeenAt     int64                `json:"seen_at" doc:"of its link, microseconds"`
	ReportedAt int64                `json:"reported_at" doc:"of its newest report, microseconds; 0 never"`
	Suspect    string               `json:"suspect" doc:"why it may be a clone"`
	RevokedAt  int64                `json:"revoked_at"`
	Health     string               `json:"health" doc:"ok or degraded as it reported, unknown before it did, revoked"`
	Reasons    []string             `json:"reasons"`
	Outbox     *spec.ReportedOutbox `json:"outbox,omitempty"`
	Tasks      []DeviceTask         `json:"tasks"`
}

// DeviceTask is how a task does on a device.
type DeviceTask struct {
	Task     string  `json:"task"`
	Kind     string  `json:"kind"`
	Champion string  `json:"champion" doc:"digest of the active model, empty on baselines"`
	Version  string  `json:"version"`
	MAE      float64 `json:"mae"`
	Baseline float64 `json:"mae_persistence"`
	Coverage float64 `json:"coverage"`
	// of a classification with labels, whose mae is the share of wrong classes
	Classes *spec.ReportedClasses `json:"classes,omitempty"`
	Labels  int64                 `json:"labels"`
	Drifts  int64                 `json:"drifts"`
	Time    int64                 `json:"watermark"`
	Phase   spec.Phase            `json:"phase" doc:"of the newest assignment, empty without one"`
	Digest  string                `json:"digest" doc:"of the newest assignment"`
	Reason  string                `json:"reason"`
}

// FleetTask is a task with what its file describes.
type FleetTask struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"`
	Target   string   `json:"target"`
	Classes  []string `json:"classes,omitempty" doc:"their names, of a classification"`
	Unit     string   `json:"unit"`
	Horizon  float64  `json:"horizon_s" doc:"0 without one"`
	Interval float64  `json:"interval" doc:"nominal coverage"`
	Devices  int      `json:"devices"`
	// Differing devices get no models of the task.
	Differing []string `json:"differing" doc:"devices whose task file means something else than the definition"`
	Source    string   `json:"source" doc:"who defined the task: device/name, user/name, token/name"`
	Champion  string   `json:"champion" doc:"digest of the default champion"`
	Model     string   `json:"model" doc:"task@version of it"`
	Since     int64    `json:"since" doc:"when it became champion"`
	LastSeen  int64    `json:"last_seen"`
}

// Fleet is the whole fleet at a glance.
type Fleet struct {
	Time    int64         `json:"time" doc:"the hub's clock, microseconds"`
	Devices []FleetDevice `json:"devices"`
	Tasks   []FleetTask   `json:"tasks"`
	Alarms  int           `json:"alarms" doc:"received in the last 24 hours, at most 1000"`
}

func (s *Server) fleetRoutes() {
	register(s, Viewer, op("GET", "/v1/fleet", "fleet", "devices", "Every device and task at a glance"),
		func(ctx context.Context, _ *none) (*body[Fleet], error) {
			return reply(s.overview(ctx, s.DB.Read()))
		})
}

// overview reads each table once, whatever the number of devices.
func (s *Server) overview(ctx context.Context, q *meta.Queries) (f Fleet, err error) {
	f = Fleet{Time: meta.Now(), Devices: []FleetDevice{}, Tasks: []FleetTask{}}
	devices, err1 := q.Devices(ctx, "", "", 0)
	documents, err2 := q.AllReported(ctx)
	defined, err3 := q.Tasks(ctx)
	alarms, err4 := q.Events(ctx, meta.EventFilter{
		Class: 1,
		After: meta.EventCursor{ReceivedAt: f.Time - (24 * time.Hour).Microseconds()},
		Limit: 1000,
	})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return f, err
	}
	f.Alarms = len(alarms)
	reported := make(map[string]meta.Document, len(documents))
	for _, d := range documents {
		reported[d.Device] = d
	}
	for _, d := range devices {
		line, err := fleetDevice(d, reported[d.Name])
		if err != nil {
			return f, err
		}
		f.Devices = append(f.Devices, line)
	}
	for _, t := range defined {
		line, err := s.fleetTask(ctx, q, t)
		if err != nil {
			return f, err
		}
		f.Tasks = append(f.Tasks, line)
	}
	return f, nil
}

func fleetDevice(d meta.Device, doc meta.Document) (FleetDevice, error) {
	out := FleetDevice{
		Name:      d.Name,
		Site:      d.Site,
		Cohort:    d.Cohort,
		Class:     d.Class,
		Version:   d.Version,
		Connected: d.Connected,
		SeenAt:    d.SeenAt,
		Suspect:   d.Suspect,
		RevokedAt: d.RevokedAt,
		Health:    healthOf(d, nil),
		Reasons:   []string{},
		Tasks:     []DeviceTask{},
	}
	if doc.Document == "" {
		return out, nil
	}
	var r spec.Reported
	if err := json.Unmarshal([]byte(doc.Document), &r); err != nil {
		return out, fmt.Errorf("reported state of device %q: %w", d.Name, err)
	}
	out.ReportedAt, out.Health, out.Outbox = doc.At, healthOf(d, &r), &r.Outbox
	out.Reasons = append(out.Reasons, r.Reasons...)
	for _, name := range slices.Sorted(maps.Keys(r.Tasks)) {
		t := r.Tasks[name]
		line := DeviceTask{
			Task:     name,
			Kind:     t.Kind,
			Champion: t.Champion,
			Version:  t.Version,
			MAE:      t.MAE,
			Baseline: t.MAEBaseline,
			Coverage: t.Coverage,
			Classes:  t.Classes,
			Labels:   t.Labels,
			Drifts:   t.Drifts,
			Time:     t.Watermark,
		}
		if a := t.Assignment; a != nil {
			line.Phase, line.Digest, line.Reason = a.Phase, a.Digest, a.Reason
		}
		out.Tasks = append(out.Tasks, line)
	}
	return out, nil
}

func (s *Server) fleetTask(ctx context.Context, q *meta.Queries, t meta.Task) (FleetTask, error) {
	out := FleetTask{Name: t.Name, Kind: t.Kind, LastSeen: t.LastSeen, Source: t.Source, Differing: []string{}}
	reports, err := q.TaskReports(ctx, t.Name)
	if err != nil {
		return out, err
	}
	for _, r := range reports {
		if r.Differs {
			out.Differing = append(out.Differing, r.Device)
		}
	}
	out.Devices = len(reports) - len(out.Differing)
	f := s.facts.of(t)
	out.Target, out.Horizon, out.Interval, out.Unit = f.target, f.horizon, f.interval, f.unit
	out.Classes = f.classes
	c, err := q.Champion(ctx, t.Name, "")
	if errors.Is(err, meta.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Champion, out.Since = c.Digest, c.Since
	m, err := q.Model(ctx, c.Digest)
	if err != nil {
		return out, err
	}
	out.Model = registry.Name(m)
	return out, nil
}

// taskFacts are what the overview shows of a task file, zero where this hub cannot read it: a newer
// agent's file may hold what it does not support.
type taskFacts struct {
	target, unit      string
	classes           []string
	horizon, interval float64
}

// factCache remembers what task files say, so that an overview does not parse all of them. Safe for
// concurrent use; the zero value is empty.
type factCache struct {
	mu     sync.Mutex
	byTask map[string]factEntry
}

type factEntry struct {
	spec  string
	facts taskFacts
}

// of returns what a task's file says, parsing it only when it is another one than before.
func (c *factCache) of(t meta.Task) taskFacts {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byTask[t.Name]; ok && e.spec == t.Spec {
		return e.facts
	}
	var f taskFacts
	if file, err := spec.ParseTask(t.Name, strings.NewReader(t.Spec)); err == nil {
		f = taskFacts{target: file.Target.Series, horizon: file.Target.Horizon.Std().Seconds(), interval: file.Interval}
		if file.Kind == spec.KindClassification {
			f.classes = file.Target.Categories
		}
		for _, in := range file.Inputs {
			if in.Series == file.Target.Series {
				f.unit = in.Unit
			}
		}
	}
	if c.byTask == nil || len(c.byTask) >= tasks.MaxTasks { // removed tasks among them
		c.byTask = map[string]factEntry{}
	}
	c.byTask[t.Name] = factEntry{t.Spec, f}
	return f
}
