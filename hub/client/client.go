// Package client is a client of the hub's REST API: a method for each request of a program, over
// the types that the hub itself encodes, so that a route and its caller cannot differ.
//
// A [Client] is an address and a token. Login gets a token; API tokens ("skt_…") are taken as they
// are. Requests are not repeated: the caller decides what may be sent twice.
//
// What the hub refuses is an [*Error] with its status and stable code; a hub that does not answer
// is an [*Unreachable].
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client calls one hub. Its fields may be set until the first request; after that it is safe for
// concurrent use.
type Client struct {
	// URL is the address of the hub's API, such as http://127.0.0.1:8000.
	URL string
	// Token is a login's or an API token; empty for what needs none.
	Token string
	// HTTP sends the requests. nil: http.DefaultClient.
	HTTP *http.Client
}

// New returns a client of a hub. token may be empty; Login gets one.
func New(hub, token string) *Client {
	return &Client{URL: strings.TrimSuffix(hub, "/"), Token: token}
}

// Error is an answer of the hub that is no success.
type Error struct {
	Hub     string // address of its API
	Status  int    // of HTTP
	Code    string // stable name of the problem, empty when something before the hub answered
	Message string // for people
}

// Error returns the message with status and code.
func (e *Error) Error() string { return fmt.Sprintf("%s (%d %s)", e.Message, e.Status, e.Code) }

// Unreachable is a hub that did not answer.
type Unreachable struct {
	Hub string // address of its API
	Err error  // the error of net/http
}

// Error returns why.
func (e *Unreachable) Error() string { return e.Err.Error() }

// Unwrap returns the error of net/http.
func (e *Unreachable) Unwrap() error { return e.Err }

// IsNotFound reports whether the hub does not have what was requested.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == http.StatusNotFound
}

// Call sends in as JSON and decodes the answer into out; both may be nil. It is for paths that have
// no method here, and the way of those that have.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	if in == nil {
		return c.send(ctx, method, path, nil, "", out)
	}
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.send(ctx, method, path, bytes.NewReader(b), "application/json", out)
}

// send sends a body and decodes JSON; out may be nil.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader, contentType string, out any) error {
	rc, err := c.open(ctx, method, path, body, contentType)
	if err != nil {
		return err
	}
	defer rc.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(rc).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s: %w: is it a hub?", c.URL, err)
	}
	return nil
}

// open sends a request and returns the body of a success, which the caller closes.
func (c *Client) open(ctx context.Context, method, path string, body io.Reader, contentType string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	h := c.HTTP
	if h == nil {
		h = http.DefaultClient
	}
	res, err := h.Do(req)
	if err != nil {
		return nil, &Unreachable{Hub: c.URL, Err: err}
	}
	if res.StatusCode < 300 {
		return res.Body, nil
	}
	defer res.Body.Close()
	return nil, c.refusal(res)
}

// refusal reads what a hub answers that refuses; a proxy before it may answer otherwise.
func (c *Client) refusal(res *http.Response) *Error {
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // what was read until then is enough
	var body struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(b, &body) != nil || body.Error.Message == "" {
		body.Error.Message = res.Status
	}
	return &Error{
		Hub:     c.URL,
		Status:  res.StatusCode,
		Code:    body.Error.Code,
		Message: body.Error.Message,
	}
}

// list reads a listing. Another program at the address may answer anything.
func list[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	var out struct {
		Items *[]T `json:"items"`
	}
	if err := c.Call(ctx, http.MethodGet, path, nil, &out); err != nil {
		return nil, err
	}
	if out.Items == nil {
		return nil, fmt.Errorf("%s answers, but not as a hub does: check the address", c.URL)
	}
	return *out.Items, nil
}

// one reads one document.
func one[T any](ctx context.Context, c *Client, path string) (out T, err error) {
	err = c.Call(ctx, http.MethodGet, path, nil, &out)
	return out, err
}

// query builds a path with those parameters that are not empty.
func query(path string, pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

// WaitReady waits until the hub is ready, or returns the last failure when ctx ends.
func (c *Client) WaitReady(ctx context.Context) error {
	for {
		err := c.Call(ctx, http.MethodGet, "/ready", nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the hub at %s is not ready: %w", c.URL, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
