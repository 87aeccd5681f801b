package rig

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Client speaks the hub's REST API as any program would.
type Client struct {
	Base, Token string
	HTTP        http.Client
}

// Call sends in as JSON and decodes the answer into out; both may be nil.
func (h *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, h.Base+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if h.Token != "" {
		req.Header.Set("Authorization", "Bearer "+h.Token)
	}
	resp, err := h.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(b))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// WaitReady waits until the hub answers.
func (h *Client) WaitReady(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		if last = h.Call(ctx, "GET", "/ready", nil, nil); last == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the hub is not ready after %s: %w", limit, last)
}

// Login gets a token for the calls that follow.
func (h *Client) Login(ctx context.Context, user, password string) error {
	var out struct{ Token string }
	err := h.Call(ctx, "POST", "/v1/login", map[string]string{"user": user, "password": password}, &out)
	h.Token = out.Token
	return err
}

// Job is a training as the hub tells of it.
type Job struct {
	ID, Task, State string
	Spec            struct{ Trigger string }
	Result          struct {
		Stage, Model, Learner, Outcome string
		Done, Trials, Rows             int
	}
	Error string
}

// Rollout is a rollout as the hub tells of it.
type Rollout struct {
	ID     string `json:"id"`
	Model  string `json:"model"`
	State  string `json:"state"`
	Status struct {
		Stage     int    `json:"stage"`
		StageName string `json:"stage_name"`
		Step      string `json:"step"`
		Reason    string `json:"reason"`
		Counts    struct{ Targets, Waiting, Shadow, Probation, Active, Failed, Unknown int }
		History   []struct {
			Stage string `json:"stage"`
			State string `json:"state"`
		} `json:"history"`
	} `json:"status"`
}

// Model is a registered model.
type Model struct {
	Digest  string          `json:"digest"`
	Version int             `json:"version"`
	Kind    string          `json:"kind"`
	State   string          `json:"state"`
	Metrics json.RawMessage `json:"metrics"`
	Lineage json.RawMessage `json:"lineage"`
}

// Items is a listing.
type Items[T any] struct {
	Items []T `json:"items"`
}

// Jobs lists the newest trainings.
func (h *Client) Jobs(ctx context.Context) ([]Job, error) {
	var o Items[Job]
	err := h.Call(ctx, "GET", "/v1/jobs?limit=100", nil, &o)
	return o.Items, err
}

// Rollouts lists the newest rollouts.
func (h *Client) Rollouts(ctx context.Context) ([]Rollout, error) {
	var o Items[Rollout]
	err := h.Call(ctx, "GET", "/v1/rollouts?limit=100", nil, &o)
	return o.Items, err
}

// Models lists the newest models.
func (h *Client) Models(ctx context.Context) ([]Model, error) {
	var o Items[Model]
	err := h.Call(ctx, "GET", "/v1/models?limit=100", nil, &o)
	return o.Items, err
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
	q := url.Values{"device": {device}, "format": {"csv"}, "limit": {strconv.Itoa(lakePage)}}
	req, err := http.NewRequestWithContext(ctx, "GET", h.Base+"/v1/lake/readings?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+h.Token)
	resp, err := h.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := map[Key]int{}
	n, err := countPage(resp, out)
	if err == nil && n == lakePage {
		err = fmt.Errorf("more than %d readings", lakePage)
	}
	if err != nil {
		return nil, fmt.Errorf("lake of %s: %w", device, err)
	}
	return out, nil
}

func countPage(resp *http.Response, out map[Key]int) (int, error) {
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return 0, fmt.Errorf("%s: %s", resp.Status, b)
	}
	r := csv.NewReader(resp.Body)
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
