package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/rollout"
)

// Rollouts lists up to a thousand rollouts, newest first; empty task or state do not restrict.
func (c *Client) Rollouts(ctx context.Context, task, state string) ([]rollout.Rollout, error) {
	return list[rollout.Rollout](ctx, c, query("/v1/rollouts", "limit", "1000", "task", task, "state", state))
}

// Rollout returns a rollout with its devices.
func (c *Client) Rollout(ctx context.Context, id string) (api.RolloutDetail, error) {
	return one[api.RolloutDetail](ctx, c, "/v1/rollouts/"+url.PathEscape(id))
}

// PlanRollout returns who would be in which stage, without creating anything.
func (c *Client) PlanRollout(ctx context.Context, s rollout.Spec) (out rollout.Plan, err error) {
	err = c.Call(ctx, http.MethodPost, "/v1/rollouts/plan", s, &out)
	return out, err
}

// RehearseRollout replays a candidate over the targets' own recorded rows of a period. It takes as
// long as the replays, see Replay.
func (c *Client) RehearseRollout(ctx context.Context, s rollout.Spec, period time.Duration) (*api.Rehearsed, error) {
	out := new(api.Rehearsed)
	err := c.Call(ctx, http.MethodPost, "/v1/rollouts/rehearse", struct {
		rollout.Spec
		Rehearse int64 `json:"rehearse_s"`
	}{s, int64(period / time.Second)}, out)
	return out, err
}

// CreateRollout rolls a registered model out.
func (c *Client) CreateRollout(ctx context.Context, s rollout.Spec) (out rollout.Rollout, err error) {
	err = c.Call(ctx, http.MethodPost, "/v1/rollouts", s, &out)
	return out, err
}

// CommandRollout approves, pauses, resumes, aborts, rolls back, skips a stage or retries. reason is
// for the record.
func (c *Client) CommandRollout(ctx context.Context, id string, cmd rollout.Command, reason string) (out rollout.Rollout, err error) {
	path := "/v1/rollouts/" + url.PathEscape(id) + "/" + url.PathEscape(string(cmd))
	err = c.Call(ctx, http.MethodPost, path, map[string]string{"reason": reason}, &out)
	return out, err
}

// Freezes lists what is frozen.
func (c *Client) Freezes(ctx context.Context) ([]meta.Freeze, error) {
	return list[meta.Freeze](ctx, c, "/v1/freezes")
}

// Freeze holds every device of a task, "" of all tasks, where it is.
func (c *Client) Freeze(ctx context.Context, task, reason string) (out meta.Freeze, err error) {
	err = c.Call(ctx, http.MethodPost, "/v1/freezes", map[string]string{"task": task, "reason": reason}, &out)
	return out, err
}

// Thaw ends a freeze.
func (c *Client) Thaw(ctx context.Context, task, reason string) error {
	return c.Call(ctx, http.MethodPost, "/v1/freezes/end", map[string]string{"task": task, "reason": reason}, nil)
}
