package api

import "net/http"

// AddInference mounts a handler of the Open Inference Protocol under /v2, for viewers. Call it
// before serving.
func (s *Server) AddInference(h http.Handler) {
	h = s.guard(Viewer, h)
	s.mux.Handle("/v2", h)
	s.mux.Handle("/v2/", h)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range []Row{
		{Method: "GET", Path: "/v2"},
		{Method: "GET", Path: "/v2/health/live"},
		{Method: "GET", Path: "/v2/health/ready"},
		{Method: "GET", Path: "/v2/models/{model}"},
		{Method: "GET", Path: "/v2/models/{model}/ready"},
		{Method: "GET", Path: "/v2/models/{model}/versions/{version}"},
		{Method: "GET", Path: "/v2/models/{model}/versions/{version}/ready"},
		{Method: "POST", Path: "/v2/models/{model}/infer"},
		{Method: "POST", Path: "/v2/models/{model}/versions/{version}/infer"},
	} {
		row.Role = Viewer
		s.table = append(s.table, row)
	}
}
