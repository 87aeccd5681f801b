package main

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

// hubClient speaks the hub's REST API as any program would.
type hubClient struct {
	base, token string
	http        http.Client
}

func (h *hubClient) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, h.base+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if h.token != "" {
		req.Header.Set("Authorization", "Bearer "+h.token)
	}
	resp, err := h.http.Do(req)
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

// waitReady waits until the hub answers.
func (h *hubClient) waitReady(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		if last = h.call(ctx, "GET", "/ready", nil, nil); last == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the hub is not ready after %s: %w", limit, last)
}

func (h *hubClient) login(ctx context.Context, user, password string) error {
	var out struct{ Token string }
	err := h.call(ctx, "POST", "/v1/login", map[string]string{"user": user, "password": password}, &out)
	h.token = out.Token
	return err
}

type job struct {
	ID, Task, State string
	Spec            struct{ Trigger string }
	Result          struct {
		Stage, Model, Learner, Outcome string
		Done, Trials, Rows             int
	}
	Error string
}

type rolloutView struct {
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

type modelView struct {
	Digest  string          `json:"digest"`
	Version int             `json:"version"`
	Kind    string          `json:"kind"`
	State   string          `json:"state"`
	Metrics json.RawMessage `json:"metrics"`
	Lineage json.RawMessage `json:"lineage"`
}

type items[T any] struct {
	Items []T `json:"items"`
}

func (h *hubClient) jobs(ctx context.Context) ([]job, error) {
	var o items[job]
	err := h.call(ctx, "GET", "/v1/jobs?limit=100", nil, &o)
	return o.Items, err
}

func (h *hubClient) rollouts(ctx context.Context) ([]rolloutView, error) {
	var o items[rolloutView]
	err := h.call(ctx, "GET", "/v1/rollouts?limit=100", nil, &o)
	return o.Items, err
}

func (h *hubClient) models(ctx context.Context) ([]modelView, error) {
	var o items[modelView]
	err := h.call(ctx, "GET", "/v1/models?limit=100", nil, &o)
	return o.Items, err
}

// readingKey identifies a reading as it was published.
type readingKey struct {
	series string
	at     int64 // microseconds
}

// lakePage is the most readings the hub exports at once.
const lakePage = 1_000_000

// lakeReadings counts every reading of a device in the lake.
func (h *hubClient) lakeReadings(ctx context.Context, device string) (map[readingKey]int, error) {
	q := url.Values{"device": {device}, "format": {"csv"}, "limit": {strconv.Itoa(lakePage)}}
	req, err := http.NewRequestWithContext(ctx, "GET", h.base+"/v1/lake/readings?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	resp, err := h.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := map[readingKey]int{}
	n, err := countPage(resp, out)
	if err == nil && n == lakePage {
		err = fmt.Errorf("more than %d readings", lakePage)
	}
	if err != nil {
		return nil, fmt.Errorf("lake of %s: %w", device, err)
	}
	return out, nil
}

func countPage(resp *http.Response, out map[readingKey]int) (int, error) {
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
		out[readingKey{rec[col["series"]], at}]++
		n++
	}
}
