package api

import (
	"context"
	"math"

	"skerry.dev/hub/replay"
)

type predictionIn struct {
	Device string `path:"device" maxLength:"63"`
	Task   string `path:"task" maxLength:"63"`
	Time   int64  `query:"time" required:"true" doc:"of the row, event time in microseconds: ts of the payload"`
}

type predictionsIn struct {
	Device string `path:"device" maxLength:"63"`
	Task   string `path:"task" maxLength:"63"`
	N      int    `query:"n" minimum:"1" maximum:"10000" default:"200" doc:"how many to draw"`
	Seed   uint64 `query:"seed" doc:"of the draw: the same seed draws the same"`
	From   int64  `query:"from" doc:"first time of a row, event time in microseconds; 0: no bound"`
	To     int64  `query:"to" doc:"last time of a row, event time in microseconds; 0: no bound"`
}

func (s *Server) predictionRoutes() {
	show := op("GET", "/v1/predictions/{device}/{task}", "show-prediction", "data", "Recompute a published prediction and explain it")
	show.Description = "Replays the device's readings and marks from the lake through the task's engine up to the row, some tens of microseconds for each row before it. " +
		"One replay runs at a time, others wait; GET /v1/replay says how far it has come."
	register(s, Viewer, show, func(ctx context.Context, in *predictionIn) (*body[*replay.Prediction], error) {
		if err := s.known(ctx, in.Device); err != nil {
			return nil, err
		}
		return reply(s.Replay.Show(ctx, in.Device, in.Task, in.Time, nil))
	})
	check := op("GET", "/v1/predictions/{device}/{task}/check", "check-predictions", "data", "Recompute published predictions drawn at random and compare the bits")
	check.Description = "Draws from the predictions that came to the hub and recomputes them in one replay, as for a single one."
	register(s, Viewer, check, func(ctx context.Context, in *predictionsIn) (*body[*replay.Checked], error) {
		if err := s.known(ctx, in.Device); err != nil {
			return nil, err
		}
		from, to := in.From, in.To
		if from == 0 {
			from = math.MinInt64
		}
		if to == 0 {
			to = math.MaxInt64
		}
		if from > to {
			return nil, bad("query.from: %d is after query.to, %d", in.From, in.To)
		}
		return reply(s.Replay.Check(ctx, in.Device, in.Task, from, to, in.N, in.Seed, nil))
	})
	register(s, Viewer, op("GET", "/v1/replay", "replay", "data", "How far the replay that runs has come"),
		func(context.Context, *none) (*body[replay.Running], error) {
			return reply(s.Replay.Running(), nil)
		})
}
