package rollout

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
)

type listIn struct {
	Task  string `query:"task"`
	State string `query:"state"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

type listOut struct {
	Body struct {
		Items []*Rollout `json:"items"`
	}
}

type getOut struct {
	Body struct {
		*Rollout
		Devices []Part `json:"devices"`
	}
}

type createIn struct{ Body Spec }

type planOut struct{ Body *Plan }

type oneOut struct{ Body *Rollout }

type doIn struct {
	ID      string `path:"id"`
	Command string `path:"command" enum:"approve,pause,resume,abort,rollback,skip,retry"`
	Body    struct {
		Reason string `json:"reason,omitempty" maxLength:"500"`
	}
}

type idIn struct {
	ID string `path:"id"`
}

// Routes adds the rollouts to the hub's interface.
func Routes(s *api.Server, c *Controller) {
	op := func(method, path, id, summary string) huma.Operation {
		return huma.Operation{
			Method:      method,
			Path:        path,
			OperationID: id,
			Tags:        []string{"rollouts"},
			Summary:     summary,
		}
	}
	api.Register(s, api.Viewer, op("GET", "/v1/rollouts", "rollouts", "List rollouts, newest first"), func(ctx context.Context, in *listIn) (*listOut, error) {
		o := &listOut{}
		var err error
		o.Body.Items, err = c.List(ctx, in.Task, in.State, in.Limit)
		return o, err
	})
	api.Register(s, api.Viewer, op("GET", "/v1/rollouts/{id}", "rollout", "A rollout with its devices"), func(ctx context.Context, in *idIn) (*getOut, error) {
		o := &getOut{}
		var err error
		o.Body.Rollout, o.Body.Devices, err = c.Get(ctx, in.ID)
		return o, err
	})
	api.Register(s, api.Operator, op("POST", "/v1/rollouts", "rollout-create", "Roll a registered model out"), func(ctx context.Context, in *createIn) (*oneOut, error) {
		r, err := c.Create(ctx, api.From(ctx).Name, in.Body)
		return &oneOut{r}, refusal(err)
	})
	api.Register(s, api.Viewer, op("POST", "/v1/rollouts/plan", "rollout-plan", "Who would be in which stage, without creating anything"), func(ctx context.Context, in *createIn) (*planOut, error) {
		p, err := c.Plan(ctx, in.Body)
		return &planOut{p}, refusal(err)
	})
	api.Register(s, api.Operator, op("POST", "/v1/rollouts/{id}/{command}", "rollout-command", "Approve, pause, resume, abort, roll back, skip a stage, retry the failed"),
		func(ctx context.Context, in *doIn) (*oneOut, error) {
			r, err := c.Do(ctx, api.From(ctx).Name, in.ID, Command(in.Command), strings.TrimSpace(in.Body.Reason))
			return &oneOut{r}, refusal(err)
		})
}

// refusal turns what is the caller's mistake into a status; the rest is left to the interface.
func refusal(err error) error {
	switch {
	case err == nil, errors.Is(err, meta.ErrNotFound), errors.Is(err, registry.ErrTombstoned):
		return err
	case errors.Is(err, ErrBusy):
		return api.NewError(http.StatusConflict, "rollout_busy", err.Error())
	}
	return api.NewError(http.StatusUnprocessableEntity, "rollout_refused", err.Error())
}
