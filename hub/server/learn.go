package server

import (
	"context"

	"skerry.dev/hub/jobs"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/training"
)

// Learning are the parts that turn telemetry into models and bring them to devices.
type Learning struct {
	Rollouts *rollout.Controller
	Trainer  *training.Trainer
}

// Learn adds training and rollouts to the hub. Call it between Open and Run. template gives the
// gates of automatic rollouts.
func (h *Hub) Learn(policy training.Policy, template rollout.Spec) *Learning {
	l := &Learning{Rollouts: rollout.New(h.DB, h.Fleet, h.Registry, h.Log)}
	worker := jobs.NewWorker(h.DB, h.id, jobs.Options{Log: h.Log})
	l.Trainer = training.New(h.DB, h.Lake, h.Registry, l.Rollouts, worker, policy, template, h.Log)
	h.API.AddRollouts(l.Rollouts)
	h.API.AddTraining(l.Trainer)
	h.Go(func(ctx context.Context) error { return h.Duties.Run(ctx, "rollouts", l.Rollouts.Run) })
	h.Go(func(ctx context.Context) error { return h.Duties.Run(ctx, "training", l.Trainer.Run) })
	return l
}
