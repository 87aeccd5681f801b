package api

import (
	"context"
	"errors"
	"fmt"
	"math"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/tasks"
	"skerry.dev/sync/spec"
)

type taskIn struct {
	Name string `path:"name" maxLength:"63"`
}

type labelsIn struct {
	Name   string `path:"name" maxLength:"63"`
	Device string `query:"device" maxLength:"63"`
	From   int64  `query:"from"`
	To     int64  `query:"to"`
	Limit  int    `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
}

// TaskDetail is a task, who runs it, and how it does.
type TaskDetail struct {
	meta.Task
	Devices []string `json:"devices" doc:"that run it as defined"`
	// Differing devices run another task file under this name.
	Differing []meta.TaskDevice `json:"differing" doc:"devices whose task file means something else: they get no models of the task"`
	Champion  string            `json:"champion" doc:"digest of the task's default champion"`
	Drifts    []Event           `json:"drifts"`
	Models    []Model           `json:"models"`
	Recent    RecentQuality     `json:"recent"`
}

// RecentQuality sums up the newest matured predictions.
type RecentQuality struct {
	Labels         int64      `json:"labels"`
	MAE            meta.Float `json:"mae"`
	MAEPersistence meta.Float `json:"mae_persistence"`
	Coverage       meta.Float `json:"coverage"`
	// of a classification with labels, whose mae is the share of wrong classes
	Classes *spec.ReportedClasses `json:"classes,omitempty"`
}

func (s *Server) taskRoutes() {
	register(s, Viewer, op("GET", "/v1/tasks", "list-tasks", "tasks", "List tasks"),
		func(ctx context.Context, _ *none) (*list[meta.Task], error) {
			return items(s.DB.Read().Tasks(ctx))
		})
	register(s, Viewer, op("GET", "/v1/tasks/{name}", "get-task", "tasks", "A task, who runs it, its drifts and models"), s.getTask)
	put := op("PUT", "/v1/tasks/{name}", "set-task", "tasks", "Define a task by a task file, or by that of a device")
	put.Description = "A definition that is set so is replaced by no report of a device."
	register(s, Engineer, put, s.setTask)
	register(s, Engineer, op("DELETE", "/v1/tasks/{name}", "remove-task", "tasks", "End a task at the hub; its models and data stay"),
		func(ctx context.Context, in *taskIn) (*none, error) {
			return nil, tasks.Remove(ctx, s.DB, actor(ctx), in.Name)
		})
	register(s, Viewer, op("GET", "/v1/tasks/{name}/labels", "task-labels", "tasks", "Matured predictions for charts, oldest first"),
		func(ctx context.Context, in *labelsIn) (*list[meta.LabelPoint], error) {
			if in.To == 0 {
				in.To = 1 << 62
			}
			return items(s.DB.Read().LabelPoints(ctx, in.Name, in.Device, in.From, in.To, in.Limit))
		})
}

type setTaskIn struct {
	Name string `path:"name" maxLength:"63"`
	Body struct {
		Spec   string `json:"spec,omitempty" doc:"the task file, YAML"`
		Device string `json:"device,omitempty" maxLength:"63" doc:"instead: take the file that this device reports"`
	}
}

func (s *Server) setTask(ctx context.Context, in *setTaskIn) (*body[TaskDetail], error) {
	if (in.Body.Spec == "") == (in.Body.Device == "") {
		return nil, bad("give either spec, a task file, or device, whose task file to take")
	}
	var err error
	if in.Body.Device != "" {
		err = tasks.SetFrom(ctx, s.DB, actor(ctx), in.Name, in.Body.Device)
	} else {
		err = tasks.Set(ctx, s.DB, actor(ctx), in.Name, in.Body.Spec)
	}
	if err != nil {
		return nil, err
	}
	return s.getTask(ctx, &taskIn{Name: in.Name})
}

func (s *Server) getTask(ctx context.Context, in *taskIn) (*body[TaskDetail], error) {
	q := s.DB.Read()
	var out TaskDetail
	var err error
	if out.Task, err = q.Task(ctx, in.Name); err != nil {
		return nil, fmt.Errorf("task %q: %w", in.Name, err)
	}
	if out.Devices, err = q.TaskDevices(ctx, in.Name); err != nil {
		return nil, err
	}
	reports, err := q.TaskReports(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	out.Differing = []meta.TaskDevice{}
	for _, r := range reports {
		if r.Differs {
			out.Differing = append(out.Differing, r)
		}
	}
	champion, err := q.Champion(ctx, in.Name, "")
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return nil, err
	}
	out.Champion = champion.Digest // none: empty
	if out.Drifts, err = events(q.Events(ctx, meta.EventFilter{
		Task:  in.Name,
		Kind:  "drift",
		Limit: 100,
	})); err != nil {
		return nil, err
	}
	models, err := q.Models(ctx, in.Name, 50)
	if err != nil {
		return nil, err
	}
	for _, m := range models {
		out.Models = append(out.Models, view(m))
	}
	points, err := q.LabelPoints(ctx, in.Name, "", 0, 1<<62, 1000)
	if out.Kind == string(spec.KindClassification) {
		out.Recent = classQuality(points)
	} else {
		out.Recent = quality(points)
	}
	return reply(out, err)
}

// classQuality sums up the newest matured predictions of a classification.
func classQuality(points []meta.LabelPoint) RecentQuality {
	var c spec.ReportedClasses
	var n, covered float64
	for _, p := range points {
		s, ok := p.Score()
		if !ok {
			continue
		}
		n++
		c.ErrorRate += s.Wrong
		c.ErrorRateBaseline += s.WrongBaseline
		c.LogLoss += s.LogLoss
		c.LogLossBaseline += s.LogLossBaseline
		c.SetSize += float64(s.SetSize)
		if s.Covered {
			covered++
		}
	}
	if n == 0 {
		return quality(nil)
	}
	for _, v := range []*float64{&c.ErrorRate, &c.ErrorRateBaseline, &c.LogLoss, &c.LogLossBaseline, &c.SetSize} {
		*v /= n
	}
	return RecentQuality{int64(n), meta.Float(c.ErrorRate), meta.Float(c.ErrorRateBaseline), meta.Float(covered / n), &c}
}

func quality(points []meta.LabelPoint) RecentQuality {
	var r RecentQuality
	var abs, base, covered float64
	for _, p := range points {
		if math.IsNaN(float64(p.Truth)) || math.IsNaN(float64(p.Predicted)) || math.IsNaN(float64(p.Persistence)) {
			continue
		}
		r.Labels++
		abs += max(float64(p.Truth-p.Predicted), float64(p.Predicted-p.Truth))
		base += max(float64(p.Truth-p.Persistence), float64(p.Persistence-p.Truth))
		if p.Truth >= p.Lower && p.Truth <= p.Upper {
			covered++
		}
	}
	n := float64(r.Labels) // no label: 0/0, NaN, null in JSON
	r.MAE, r.MAEPersistence, r.Coverage = meta.Float(abs/n), meta.Float(base/n), meta.Float(covered/n)
	return r
}
