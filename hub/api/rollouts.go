package api

import (
	"context"
	"strings"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/rollout"
)

type rolloutsIn struct {
	Task  string `query:"task"`
	State string `query:"state"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

type rolloutIn struct {
	ID string `path:"id"`
}

// RolloutDetail is a rollout with its devices.
type RolloutDetail struct {
	*rollout.Rollout
	Devices []rollout.Part `json:"devices"`
}

type rolloutSpecIn struct{ Body rollout.Spec }

type rolloutCommandIn struct {
	ID      string `path:"id"`
	Command string `path:"command" enum:"approve,pause,resume,abort,rollback,skip,retry"`
	Body    struct {
		Reason string `json:"reason,omitempty" maxLength:"500"`
	}
}

type freezeIn struct {
	Body struct {
		Task   string `json:"task,omitempty" maxLength:"200" doc:"empty: all tasks"`
		Reason string `json:"reason,omitempty" maxLength:"500"`
	}
}

// AddRollouts adds the rollouts of a controller. Call it once, before serving.
func (s *Server) AddRollouts(c *rollout.Controller) {
	register(s, Viewer, op("GET", "/v1/rollouts", "rollouts", "rollouts", "List rollouts, newest first"),
		func(ctx context.Context, in *rolloutsIn) (*list[*rollout.Rollout], error) {
			return items(c.List(ctx, in.Task, in.State, in.Limit))
		})
	register(s, Viewer, op("GET", "/v1/rollouts/{id}", "rollout", "rollouts", "A rollout with its devices"),
		func(ctx context.Context, in *rolloutIn) (*body[RolloutDetail], error) {
			r, devices, err := c.Get(ctx, in.ID)
			return reply(RolloutDetail{r, devices}, err)
		})
	register(s, Operator, op("POST", "/v1/rollouts", "rollout-create", "rollouts", "Roll a registered model out"),
		func(ctx context.Context, in *rolloutSpecIn) (*body[*rollout.Rollout], error) {
			if in.Body.Evidence != nil {
				return nil, rollout.Refused("evidence is what training has measured, nobody else: leave it out, or skip the shadow stage and answer for it")
			}
			return reply(c.Create(ctx, actor(ctx), in.Body))
		})
	register(s, Viewer, op("POST", "/v1/rollouts/plan", "rollout-plan", "rollouts", "Who would be in which stage, without creating anything"),
		func(ctx context.Context, in *rolloutSpecIn) (*body[*rollout.Plan], error) {
			return reply(c.Plan(ctx, in.Body))
		})
	register(s, Viewer, op("GET", "/v1/freezes", "freezes", "rollouts", "List what is frozen"),
		func(ctx context.Context, _ *struct{}) (*list[meta.Freeze], error) {
			return items(c.Freezes(ctx))
		})
	register(s, Operator, op("POST", "/v1/freezes", "freeze", "rollouts", "Hold every device of a task, or of all tasks, where it is"),
		func(ctx context.Context, in *freezeIn) (*body[meta.Freeze], error) {
			return reply(c.Freeze(ctx, actor(ctx), in.Body.Task, strings.TrimSpace(in.Body.Reason)))
		})
	register(s, Operator, op("POST", "/v1/freezes/end", "thaw", "rollouts", "Let the rollouts of a task, or of all tasks, go on"),
		func(ctx context.Context, in *freezeIn) (*none, error) {
			return nil, c.Thaw(ctx, actor(ctx), in.Body.Task, strings.TrimSpace(in.Body.Reason))
		})
	s.rehearsal(c)
	register(s, Operator, op("POST", "/v1/rollouts/{id}/{command}", "rollout-command", "rollouts",
		"Approve, pause, resume, abort, roll back, skip a stage, retry the failed"),
		func(ctx context.Context, in *rolloutCommandIn) (*body[*rollout.Rollout], error) {
			return reply(c.Do(ctx, actor(ctx), in.ID, rollout.Command(in.Command), strings.TrimSpace(in.Body.Reason)))
		})
}
