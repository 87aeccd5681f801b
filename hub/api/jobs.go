package api

import (
	"context"

	"skerry.dev/hub/training"
)

type trainIn struct {
	Task string `path:"task"`
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"200"`
		Force  bool   `json:"force,omitempty" doc:"roll out even when the judgement is inconclusive"`
	}
}

type jobsIn struct {
	Task  string `query:"task"`
	State string `query:"state" enum:"queued,running,done,failed,cancelled"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

type jobIn struct {
	ID string `path:"id"`
}

// AddTraining adds the training jobs of a trainer. Call it once, before serving.
func (s *Server) AddTraining(t *training.Trainer) {
	register(s, Viewer, op("GET", "/v1/jobs", "jobs", "training", "List training jobs, newest first"),
		func(ctx context.Context, in *jobsIn) (*list[training.Job], error) {
			return items(t.Jobs(ctx, in.Task, in.State, in.Limit))
		})
	register(s, Viewer, op("GET", "/v1/jobs/{id}", "job", "training", "A training job with its progress"),
		func(ctx context.Context, in *jobIn) (*body[training.Job], error) {
			return reply(t.Job(ctx, in.ID))
		})
	register(s, Engineer, op("POST", "/v1/jobs/{id}/cancel", "cancel-job", "training", "Cancel a training job"),
		func(ctx context.Context, in *jobIn) (*body[training.Job], error) {
			if err := t.Cancel(ctx, actor(ctx), in.ID); err != nil {
				return nil, err
			}
			return reply(t.Job(ctx, in.ID))
		})
	register(s, Engineer, op("POST", "/v1/tasks/{task}/train", "train", "training", "Train a task now; while a training of the task is queued or runs, that one is the answer, with existing set"),
		func(ctx context.Context, in *trainIn) (*body[training.Job], error) {
			reason := in.Body.Reason
			if reason == "" {
				reason = "command"
			}
			return reply(t.Queue(ctx, actor(ctx), training.JobSpec{
				Task:    in.Task,
				Trigger: reason,
				Force:   in.Body.Force,
			}))
		})
}
