package rig

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"skerry.dev/hub/client"
)

// Client calls the hub's REST API as any program would, and counts what lies in the lake.
type Client struct{ client.Client }

// NewClient returns a client of a hub at host:port. timeout bounds each request.
func NewClient(address string, timeout time.Duration) *Client {
	return &Client{client.Client{
		URL:  "http://" + address,
		HTTP: &http.Client{Timeout: timeout},
	}}
}

// WaitReady waits until the hub answers.
func (h *Client) WaitReady(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return h.Client.WaitReady(ctx)
}

// Items is a listing.
type Items[T any] struct {
	Items []T `json:"items"`
}

// Key identifies a reading as it was published.
type Key struct {
	Series string
	At     int64 // microseconds
}

// lakePage is the most readings the hub exports at once.
const lakePage = 1_000_000

// LakeReadings counts every reading of a device in the lake.
func (h *Client) LakeReadings(ctx context.Context, device string) (map[Key]int, error) {
	rc, err := h.Export(ctx, client.Readings{Device: device, Format: "csv", Limit: lakePage})
	if err != nil {
		return nil, fmt.Errorf("lake of %s: %w", device, err)
	}
	defer rc.Close()
	out := map[Key]int{}
	n, err := countPage(rc, out)
	if err == nil && n == lakePage {
		err = fmt.Errorf("more than %d readings", lakePage)
	}
	if err != nil {
		return nil, fmt.Errorf("lake of %s: %w", device, err)
	}
	return out, nil
}

func countPage(body io.Reader, out map[Key]int) (int, error) {
	r := csv.NewReader(body)
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	col := map[string]int{}
	for i, c := range head {
		col[c] = i
	}
	n := 0
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		at, err := strconv.ParseInt(rec[col["time"]], 10, 64)
		if err != nil {
			t, err2 := time.Parse(time.RFC3339Nano, rec[col["time"]])
			if err2 != nil {
				return n, err
			}
			at = t.UnixMicro()
		}
		out[Key{rec[col["series"]], at}]++
		n++
	}
}
