package api

import "net/http"

// AddInference mounts a handler of the Open Inference Protocol under /v2, for viewers. Call it
// before serving.
func (s *Server) AddInference(h http.Handler) {
	h = s.guard(Viewer, h)
	s.mux.Handle("/v2", h)
	s.mux.Handle("/v2/", h)
	for _, r := range []struct{ method, path, summary string }{
		{"GET", "/v2", "Name, version and extensions of the server"},
		{"GET", "/v2/health/live", "Whether the server lives"},
		{"GET", "/v2/health/ready", "Whether every model is ready"},
		{"GET", "/v2/models/{model}", "Inputs and outputs of a task's champion"},
		{"GET", "/v2/models/{model}/ready", "Whether it is ready"},
		{"GET", "/v2/models/{model}/versions/{version}", "Inputs and outputs of a version"},
		{"GET", "/v2/models/{model}/versions/{version}/ready", "Whether it is ready"},
		{"POST", "/v2/models/{model}/infer", "Predict with a task's champion"},
		{"POST", "/v2/models/{model}/versions/{version}/infer", "Predict with a version"},
	} {
		s.describe(Viewer, r.method, r.path, "inference", r.summary)
	}
}
