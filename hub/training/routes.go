package training

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"skerry.dev/hub/api"
)

type trainIn struct {
	Task string `path:"task"`
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"200"`
		Force  bool   `json:"force,omitempty" doc:"roll out even when the judgement is inconclusive"`
	}
}

type jobOut struct{ Body Job }

type jobsIn struct {
	Task  string `query:"task"`
	State string `query:"state" enum:"queued,running,done,failed"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

type jobsOut struct {
	Body struct {
		Items []Job `json:"items"`
	}
}

type jobIn struct {
	ID string `path:"id"`
}

// Routes adds training to the hub's interface.
func Routes(s *api.Server, t *Trainer) {
	op := func(method, path, id, summary string) huma.Operation {
		return huma.Operation{
			Method:      method,
			Path:        path,
			OperationID: id,
			Tags:        []string{"training"},
			Summary:     summary,
		}
	}
	api.Register(s, api.Viewer, op("GET", "/v1/jobs", "jobs", "List training jobs, newest first"), func(ctx context.Context, in *jobsIn) (*jobsOut, error) {
		o := &jobsOut{}
		var err error
		o.Body.Items, err = t.Jobs(ctx, in.Task, in.State, in.Limit)
		return o, err
	})
	api.Register(s, api.Viewer, op("GET", "/v1/jobs/{id}", "job", "A training job with its progress"), func(ctx context.Context, in *jobIn) (*jobOut, error) {
		j, err := t.Job(ctx, in.ID)
		return &jobOut{j}, err
	})
	api.Register(s, api.Engineer, op("POST", "/v1/tasks/{task}/train", "train", "Train a task now"), func(ctx context.Context, in *trainIn) (*jobOut, error) {
		reason := in.Body.Reason
		if reason == "" {
			reason = "command"
		}
		row, err := t.Queue(ctx, api.From(ctx).Name, JobSpec{
			Task:    in.Task,
			Trigger: reason,
			Force:   in.Body.Force,
		})
		if err != nil {
			return nil, err
		}
		return &jobOut{t.decode(row)}, nil
	})
}
