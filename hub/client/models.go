package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/hub/api"
	"skerry.dev/sync/identity"
)

const octets = "application/octet-stream"

// ErrNoModel is returned for a name that no model has.
var ErrNoModel = errors.New("no such model")

// Models lists up to a thousand models, newest first; an empty task does not restrict.
func (c *Client) Models(ctx context.Context, task string) ([]api.Model, error) {
	return list[api.Model](ctx, c, query("/v1/models", "limit", "1000", "task", task))
}

// FindModel finds a model by its digest (or the beginning of one, six digits or more) or by the
// name in use, "pm25-next-hour@3"; "task@champion" is the one in force.
func (c *Client) FindModel(ctx context.Context, ref string) (api.Model, error) {
	task, version, named := strings.Cut(ref, "@")
	if !named {
		task = ""
	}
	all, err := c.Models(ctx, task)
	if err != nil {
		return api.Model{}, err
	}
	var found []api.Model
	for _, m := range all {
		if m.Digest == ref || m.Name == ref ||
			named && version == "champion" && m.State == "champion" ||
			!named && len(ref) >= 6 && strings.HasPrefix(m.Digest, ref) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return api.Model{}, fmt.Errorf("model %q: %w", ref, ErrNoModel)
	}
	return api.Model{}, fmt.Errorf("model %q: %d models begin so: give more digits", ref, len(found))
}

// Lineage returns a model and what it came from.
func (c *Client) Lineage(ctx context.Context, digest string) (api.Lineage, error) {
	return one[api.Lineage](ctx, c, "/v1/models/"+url.PathEscape(digest)+"/lineage")
}

// Upload registers an artifact. task must be the artifact's when it is not empty; source is where
// it comes from, for its lineage.
func (c *Client) Upload(ctx context.Context, data []byte, task, source string) (out api.Model, err error) {
	err = c.send(ctx, http.MethodPost, query("/v1/models", "task", task, "source", source), bytes.NewReader(data), octets, &out)
	return out, err
}

// Download returns the bytes of a model, which have its digest.
func (c *Client) Download(ctx context.Context, m api.Model) ([]byte, error) {
	rc, err := c.open(ctx, http.MethodGet, identity.PathArtifact+url.PathEscape(m.Digest), nil, "")
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, artifact.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", m.Name, err)
	}
	if d := artifact.Digest(b); d != m.Digest {
		return nil, fmt.Errorf("download %s: got bytes of digest %s, want %s: try again", m.Name, d, m.Digest)
	}
	return b, nil
}

// Lift allows a forbidden model again.
func (c *Client) Lift(ctx context.Context, digest, reason string) error {
	in := map[string]string{"reason": reason}
	return c.Call(ctx, http.MethodPost, "/v1/models/"+url.PathEscape(digest)+"/lift", in, nil)
}

// Promote makes a model the champion of a cohort, "" for all, without a rollout.
func (c *Client) Promote(ctx context.Context, digest, cohort string) error {
	in := map[string]string{"cohort": cohort}
	return c.Call(ctx, http.MethodPost, "/v1/models/"+url.PathEscape(digest)+"/promote", in, nil)
}

// Tombstone forbids a model everywhere.
func (c *Client) Tombstone(ctx context.Context, digest, reason string) error {
	in := map[string]string{"reason": reason}
	return c.Call(ctx, http.MethodPost, "/v1/models/"+url.PathEscape(digest)+"/tombstone", in, nil)
}

// Modules lists the WebAssembly modules.
func (c *Client) Modules(ctx context.Context) ([]api.Module, error) {
	return list[api.Module](ctx, c, "/v1/modules")
}

// PutModule adds a WebAssembly module, or replaces the one of this name.
func (c *Client) PutModule(ctx context.Context, name string, code []byte) (out api.Module, err error) {
	err = c.send(ctx, http.MethodPut, "/v1/modules/"+url.PathEscape(name), bytes.NewReader(code), octets, &out)
	return out, err
}

// RemoveModule removes a WebAssembly module; models that carry it go on.
func (c *Client) RemoveModule(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodDelete, "/v1/modules/"+url.PathEscape(name), nil, nil)
}
