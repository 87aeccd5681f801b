package server

import (
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
	l.Trainer = training.New(h.DB, h.Lake, h.Registry, l.Rollouts, policy, template, h.Log)
	h.API.AddRollouts(l.Rollouts)
	h.API.AddTraining(l.Trainer)
	h.Go(l.Rollouts.Run)
	h.Go(l.Trainer.Run)
	return l
}
