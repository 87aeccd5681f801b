package oip

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Model answers inference requests. Infer gets a request whose tensors have been checked for
// themselves; whether names, types and shapes are the model's is the model's to check. An error
// that wraps ErrInput is the caller's fault. It may be called concurrently.
type Model interface {
	Metadata() ModelMetadata
	Infer(ctx context.Context, r *InferRequest) (*InferResponse, error)
}

// Repository finds models. Get returns false when there is none; version "" means the current one.
type Repository interface {
	List() []string
	Get(name, version string) (Model, bool)
}

// ErrInput is wrapped by errors that the request caused.
var ErrInput = errors.New("input")

// ServerMetadata is the answer to GET /v2.
type ServerMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// ModelMetadata describes a model.
type ModelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions,omitempty"`
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// TensorMetadata describes a tensor; -1 in the shape is any size.
type TensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// InferRequest is a request for predictions.
type InferRequest struct {
	ID         string            `json:"id,omitempty"`
	Parameters map[string]any    `json:"parameters,omitempty"`
	Inputs     []Tensor          `json:"inputs"`
	Outputs    []RequestedOutput `json:"outputs,omitempty"`
}

// RequestedOutput names an output to return. Without any, all are.
type RequestedOutput struct {
	Name       string         `json:"name"`
	Parameters map[string]any `json:"parameters,omitempty"`
}

// InferResponse carries predictions.
type InferResponse struct {
	ModelName    string         `json:"model_name"`
	ModelVersion string         `json:"model_version,omitempty"`
	ID           string         `json:"id,omitempty"`
	Parameters   map[string]any `json:"parameters,omitempty"`
	Outputs      []Tensor       `json:"outputs"`
}

// Options of a Server. Zero values take the defaults.
type Options struct {
	Name       string // default "skerry"
	Version    string
	MaxBytes   int64       // of a request, default 4 MiB
	MaxTensors int         // of a request, default 256
	MaxValues  int64       // of one tensor, default 1 Mi
	Ready      func() bool // default: always
}

// Server serves a repository.
type Server struct {
	repo Repository
	opts Options
}

// New returns a server of a repository's models.
func New(repo Repository, opts Options) *Server {
	if opts.Name == "" {
		opts.Name = "skerry"
	}
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 4 << 20
	}
	if opts.MaxTensors == 0 {
		opts.MaxTensors = 256
	}
	if opts.MaxValues == 0 {
		opts.MaxValues = 1 << 20
	}
	if opts.Ready == nil {
		opts.Ready = func() bool { return true }
	}
	return &Server{repo, opts}
}

// Register adds the protocol's routes under /v2 to a mux.
func (s *Server) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /v2", s.server)
	mux.HandleFunc("GET /v2/{$}", s.server)
	mux.HandleFunc("GET /v2/health/live", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, map[string]bool{"live": true}) })
	mux.HandleFunc("GET /v2/health/ready", func(w http.ResponseWriter, _ *http.Request) { ready(w, s.opts.Ready()) })
	for _, base := range [...]string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		mux.HandleFunc("GET "+base, s.metadata)
		mux.HandleFunc("GET "+base+"/ready", func(w http.ResponseWriter, r *http.Request) {
			_, ok := s.repo.Get(r.PathValue("model"), r.PathValue("version"))
			if !ok {
				s.notFound(w, r)
				return
			}
			ready(w, s.opts.Ready())
		})
		mux.HandleFunc("POST "+base+"/infer", s.infer)
	}
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "no such path: "+r.URL.Path)
	})
}

func (s *Server) server(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, ServerMetadata{
		Name:       s.opts.Name,
		Version:    s.opts.Version,
		Extensions: []string{},
	})
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("model")
	if v := r.PathValue("version"); v != "" {
		name += " version " + v
	}
	fail(w, http.StatusNotFound, "no model "+name)
}

func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	m, ok := s.repo.Get(r.PathValue("model"), r.PathValue("version"))
	if !ok {
		s.notFound(w, r)
		return
	}
	reply(w, http.StatusOK, m.Metadata())
}

func (s *Server) infer(w http.ResponseWriter, r *http.Request) {
	m, ok := s.repo.Get(r.PathValue("model"), r.PathValue("version"))
	if !ok {
		s.notFound(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.opts.MaxBytes))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d bytes", s.opts.MaxBytes))
			return
		}
		fail(w, http.StatusBadRequest, "read request: "+err.Error())
		return
	}
	req, err := s.parse(body)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	res, err := m.Infer(r.Context(), req)
	if err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, ErrInput) {
			status = http.StatusBadRequest
		}
		fail(w, status, err.Error())
		return
	}
	res.ID = req.ID
	if len(req.Outputs) > 0 {
		if err := res.choose(req.Outputs); err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	reply(w, http.StatusOK, res)
}

func (s *Server) parse(body []byte) (*InferRequest, error) {
	var req InferRequest
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&req); err != nil {
		return nil, fmt.Errorf("the request is not valid: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the request is not valid: something follows the JSON object")
	}
	if len(req.Inputs) == 0 || len(req.Inputs) > s.opts.MaxTensors {
		return nil, fmt.Errorf("%d inputs: must be 1 to %d", len(req.Inputs), s.opts.MaxTensors)
	}
	seen := map[string]bool{}
	for i := range req.Inputs {
		t := &req.Inputs[i]
		if t.Name == "" || seen[t.Name] {
			return nil, fmt.Errorf("inputs[%d]: name %q: must be given and different from the others", i, t.Name)
		}
		seen[t.Name] = true
		if err := t.check(s.opts.MaxValues); err != nil {
			return nil, fmt.Errorf("input %q: %w", t.Name, err)
		}
	}
	return &req, nil
}

// choose keeps the outputs requested, in that order.
func (r *InferResponse) choose(want []RequestedOutput) error {
	var out []Tensor
	for _, w := range want {
		found := false
		for _, t := range r.Outputs {
			if t.Name == w.Name {
				out, found = append(out, t), true
			}
		}
		if !found {
			return fmt.Errorf("no output %q", w.Name)
		}
	}
	r.Outputs = out
	return nil
}

func ready(w http.ResponseWriter, ok bool) {
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	reply(w, status, map[string]bool{"ready": ok})
}

func fail(w http.ResponseWriter, status int, msg string) {
	reply(w, status, map[string]string{"error": msg})
}

func reply(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // a model returned what JSON cannot express
		status = http.StatusInternalServerError
		text, _ = json.Marshal(map[string]string{"error": "encode response: " + err.Error()})
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client is gone when this fails
}
