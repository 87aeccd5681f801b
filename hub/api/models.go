package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/sync/identity"
)

// Model is a model with its documents as JSON.
type Model struct {
	Digest       string          `json:"digest"`
	Name         string          `json:"name" doc:"task@version"`
	Task         string          `json:"task"`
	Version      int64           `json:"version"`
	Kind         string          `json:"kind"`
	State        string          `json:"state"`
	Size         int64           `json:"size"`
	Target       string          `json:"target"`
	Metrics      json.RawMessage `json:"metrics"`
	Lineage      json.RawMessage `json:"lineage"`
	CreatedBy    string          `json:"created_by"`
	CreatedAt    int64           `json:"created_at"`
	TombstonedAt int64           `json:"tombstoned_at"`
	Tombstone    string          `json:"tombstone"`
	RemovedAt    int64           `json:"removed_at" doc:"microseconds: since then its artifact is no longer kept, see keep.models; 0: it is there"`
}

func view(m meta.Model) Model {
	return Model{m.Digest, registry.Name(m), m.Task, m.Version, m.Kind, m.State, m.Size, m.Target, json.RawMessage(m.Metrics), json.RawMessage(m.Lineage),
		m.CreatedBy, m.CreatedAt, m.TombstonedAt, m.Tombstone, m.RemovedAt}
}

type modelsIn struct {
	Task  string `query:"task" maxLength:"63"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type digestIn struct {
	Digest string `path:"digest" pattern:"^[0-9a-f]{64}$"`
}

type uploadIn struct {
	Task    string `query:"task" maxLength:"63" doc:"task the artifact is for; must agree with the artifact"`
	Kind    string `query:"kind" maxLength:"32"`
	Source  string `query:"source" maxLength:"200" doc:"where it comes from, for its lineage"`
	RawBody []byte `contentType:"application/octet-stream"`
}

type tombstoneIn struct {
	Digest string `path:"digest" pattern:"^[0-9a-f]{64}$"`
	Body   struct {
		Reason string `json:"reason" minLength:"1" maxLength:"500"`
	}
}

type promoteIn struct {
	Digest string `path:"digest" pattern:"^[0-9a-f]{64}$"`
	Body   struct {
		Cohort string `json:"cohort,omitempty" maxLength:"200" doc:"champion of this cohort alone"`
	}
}

// Lineage is a model and what it came from.
type Lineage struct {
	Model   Model     `json:"model"`
	Job     *meta.Job `json:"job,omitempty"`
	Parents []Model   `json:"parents" doc:"the champion it was to beat, the one that was to beat, and so on"`
}

func (s *Server) modelRoutes() {
	register(s, Viewer, op("GET", "/v1/models", "list-models", "models", "List models"),
		func(ctx context.Context, in *modelsIn) (*list[Model], error) {
			rows, err := s.DB.Read().Models(ctx, in.Task, in.Limit)
			out := make([]Model, len(rows))
			for i, m := range rows {
				out[i] = view(m)
			}
			return items(out, err)
		})
	register(s, Viewer, op("GET", "/v1/models/{digest}", "get-model", "models", "One model"),
		func(ctx context.Context, in *digestIn) (*body[Model], error) {
			m, err := s.DB.Read().Model(ctx, in.Digest)
			return reply(view(m), err)
		})
	register(s, Viewer, op("GET", "/v1/models/{digest}/lineage", "model-lineage", "models", "What a model came from"), s.lineage)
	upload := op("POST", "/v1/models", "upload-model", "models", "Import an artifact")
	upload.MaxBodyBytes, upload.DefaultStatus = registry.MaxBytes, http.StatusCreated
	register(s, Engineer, upload, s.upload)
	register(s, Operator, op("POST", "/v1/models/{digest}/tombstone", "tombstone-model", "models", "Forbid a model everywhere"),
		func(ctx context.Context, in *tombstoneIn) (*none, error) {
			if err := s.Registry.Tombstone(ctx, actor(ctx), in.Digest, in.Body.Reason); err != nil {
				return nil, err
			}
			return nil, s.Fleet.Tombstone(ctx, in.Digest)
		})
	register(s, Admin, op("POST", "/v1/models/{digest}/lift", "lift-tombstone", "models", "Allow a forbidden model again"),
		func(ctx context.Context, in *tombstoneIn) (*none, error) {
			if err := s.Registry.Lift(ctx, actor(ctx), in.Digest, in.Body.Reason); err != nil {
				return nil, err
			}
			return nil, s.Fleet.Lift(ctx, in.Digest)
		})
	register(s, Operator, op("POST", "/v1/models/{digest}/promote", "promote-model", "models", "Make a model the champion without a rollout: inference at the hub uses it, devices keep what they run"),
		func(ctx context.Context, in *promoteIn) (*none, error) {
			return nil, s.Registry.Promote(ctx, actor(ctx), in.Digest, in.Body.Cohort)
		})
	s.route(Device, "GET", identity.PathArtifact+"{digest}", "An artifact, also by range", s.artifact)
	s.route(Anyone, "GET", identity.PathTUF+"{file}", "A file of the trust metadata", s.tuf)
}

func (s *Server) lineage(ctx context.Context, in *digestIn) (*body[Lineage], error) {
	q := s.DB.Read()
	m, err := q.Model(ctx, in.Digest)
	if err != nil {
		return nil, err
	}
	out := Lineage{Model: view(m), Parents: []Model{}}
	l := linksOf(m)
	j, err := q.Job(ctx, l.Job)
	if err == nil {
		out.Job = &j
	} else if !errors.Is(err, meta.ErrNotFound) {
		return nil, err
	}
	for n := 0; l.Champion != "" && n < maxParents; n++ {
		p, err := q.Model(ctx, l.Champion)
		if errors.Is(err, meta.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		out.Parents = append(out.Parents, view(p))
		l = linksOf(p)
	}
	return reply(out, nil)
}

// maxParents bounds a lineage, which a bundle or a restored database may have closed to a circle.
const maxParents = 100

// links are what the lineage of a model names of the hub's own.
type links struct {
	Champion string `json:"champion"`
	Job      string `json:"job"`
}

func linksOf(m meta.Model) (l links) {
	_ = json.Unmarshal([]byte(m.Lineage), &l) // a lineage of another form has no links to follow
	return l
}

func (s *Server) upload(ctx context.Context, in *uploadIn) (*body[Model], error) {
	info := registry.Info{
		Task:      in.Task,
		Kind:      in.Kind,
		CreatedBy: actor(ctx),
		Lineage:   map[string]string{"source": in.Source, "trigger": "import"},
	}
	if s.opts.Inspect != nil {
		task, kind, metrics, err := s.opts.Inspect(in.RawBody)
		if err != nil {
			return nil, bad("the artifact cannot be read: %v", err)
		}
		if in.Task != "" && in.Task != task {
			return nil, bad("the artifact is for task %q, not %q", task, in.Task)
		}
		info.Task, info.Kind, info.Metrics = task, kind, metrics
	}
	m, err := s.Registry.Register(ctx, in.RawBody, info)
	return reply(view(m), err)
}

// artifact serves an artifact by range, under the digest alone or as "sha256:<digest>".
func (s *Server) artifact(w http.ResponseWriter, r *http.Request) {
	digest := strings.TrimPrefix(r.PathValue("digest"), "sha256:")
	if err := s.mayFetch(r.Context(), digest); err != nil {
		s.plainError(w, r, err)
		return
	}
	o, err := s.Registry.Open(r.Context(), digest)
	if err != nil {
		s.plainError(w, r, err)
		return
	}
	defer o.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+digest+`"`)
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	http.ServeContent(w, r, "", o.Modified, o)
}

// mayFetch reports why a device may not have an artifact: it may have what is assigned to it.
// People may have all.
func (s *Server) mayFetch(ctx context.Context, digest string) error {
	device, ok := strings.CutPrefix(callerOf(ctx).Name, "device/")
	if !ok {
		return nil
	}
	want, err := s.Fleet.Desired(ctx, device)
	if err != nil {
		return err
	}
	for _, a := range want.Assignments {
		if a.Digest == digest {
			return nil
		}
	}
	return newError(http.StatusForbidden, "forbidden", fmt.Sprintf("the artifact %.12s… is not assigned to device %q", digest, device))
}

func (s *Server) tuf(w http.ResponseWriter, r *http.Request) {
	b, err := s.Trust.Fetch(r.Context(), r.PathValue("file"))
	if err != nil {
		s.plainError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(b) // the client may be gone
}

func (s *Server) plainError(w http.ResponseWriter, r *http.Request, err error) {
	e := s.fail(r.Context(), err)
	writeError(w, e.status, e.Detail.Code, e.Detail.Message)
}
