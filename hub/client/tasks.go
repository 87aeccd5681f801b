package client

import (
	"context"
	"net/http"
	"net/url"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/training"
)

// Tasks lists the tasks that devices run.
func (c *Client) Tasks(ctx context.Context) ([]meta.Task, error) {
	return list[meta.Task](ctx, c, "/v1/tasks")
}

// Task returns a task, who runs it, its drifts and models.
func (c *Client) Task(ctx context.Context, name string) (api.TaskDetail, error) {
	return one[api.TaskDetail](ctx, c, "/v1/tasks/"+url.PathEscape(name))
}

// SetTask defines a task by a task file or, when device is not empty, by the file that the device
// reports.
func (c *Client) SetTask(ctx context.Context, name, file, device string) (out api.TaskDetail, err error) {
	in := map[string]any{"spec": file}
	if device != "" {
		in = map[string]any{"device": device}
	}
	err = c.Call(ctx, http.MethodPut, "/v1/tasks/"+url.PathEscape(name), in, &out)
	return out, err
}

// RemoveTask ends a task at the hub.
func (c *Client) RemoveTask(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodDelete, "/v1/tasks/"+url.PathEscape(name), nil, nil)
}

// Train queues a training of a task, or returns the one that is queued or runs, as Existing. With
// force the model is rolled out even when the judgement is inconclusive.
func (c *Client) Train(ctx context.Context, task, reason string, force bool) (out training.Job, err error) {
	in := map[string]any{"reason": reason, "force": force}
	err = c.Call(ctx, http.MethodPost, "/v1/tasks/"+url.PathEscape(task)+"/train", in, &out)
	return out, err
}

// Jobs lists up to a thousand trainings, newest first; empty task or state do not restrict.
func (c *Client) Jobs(ctx context.Context, task, state string) ([]training.Job, error) {
	return list[training.Job](ctx, c, query("/v1/jobs", "limit", "1000", "task", task, "state", state))
}

// Job returns a training with its progress.
func (c *Client) Job(ctx context.Context, id string) (training.Job, error) {
	return one[training.Job](ctx, c, "/v1/jobs/"+url.PathEscape(id))
}

// CancelJob cancels a training that is queued or runs, and returns it. One that has ended fails.
func (c *Client) CancelJob(ctx context.Context, id string) (out training.Job, err error) {
	err = c.Call(ctx, http.MethodPost, "/v1/jobs/"+url.PathEscape(id)+"/cancel", nil, &out)
	return out, err
}
