package client

import (
	"context"
	"net/url"
	"strconv"

	"skerry.dev/hub/replay"
)

func predictionPath(device, task string) string {
	return "/v1/predictions/" + url.PathEscape(device) + "/" + url.PathEscape(task)
}

// Prediction recomputes the prediction of a row at a time, microseconds. It takes as long as the
// replay of the device's rows before it, see Replay.
func (c *Client) Prediction(ctx context.Context, device, task string, row int64) (*replay.Prediction, error) {
	return one[*replay.Prediction](ctx, c, query(predictionPath(device, task), "time", strconv.FormatInt(row, 10)))
}

// CheckPredictions recomputes up to n predictions drawn at random by seed, with rows in [from, to],
// microseconds, 0 for no bound.
func (c *Client) CheckPredictions(ctx context.Context, device, task string, from, to int64, n int, seed uint64) (*replay.Checked, error) {
	return one[*replay.Checked](ctx, c, query(predictionPath(device, task)+"/check",
		"n", strconv.Itoa(n),
		"seed", strconv.FormatUint(seed, 10),
		"from", strconv.FormatInt(from, 10),
		"to", strconv.FormatInt(to, 10)))
}

// Replay returns how far the replay that runs at the hub has come.
func (c *Client) Replay(ctx context.Context) (replay.Running, error) {
	return one[replay.Running](ctx, c, "/v1/replay")
}
