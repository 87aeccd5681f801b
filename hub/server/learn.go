package server

import (
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/training"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
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
	h.Ingest.OnRecords(func(device string, head wire.Header, r *wire.Records) { l.Trainer.Records(device, head, r) })
	known := map[string]string{} // task files by hash; the hook runs in one goroutine
	h.Ingest.OnState(func(r spec.Reported) {
		for name, t := range r.Tasks {
			if known[name] != t.SpecHash {
				known[name] = t.SpecHash
				l.Trainer.Task(t.Spec)
			}
		}
		l.Rollouts.Notify()
	})
	h.API.AddRollouts(l.Rollouts)
	h.API.AddTraining(l.Trainer)
	h.Go(l.Rollouts.Run)
	h.Go(l.Trainer.Run)
	return l
}
