package api

import (
	"net/http"

	"skerry.dev/sync/oip"
)

// Infer serves models by the Open Inference Protocol under /v2, for viewers. Call it before
// serving.
func (s *Server) Infer(repo oip.Repository, ready func() bool) {
	mux := http.NewServeMux()
	oip.New(repo, oip.Options{Name: "skerry-hub", Version: s.opts.Version, Ready: ready}).Register(mux)
	h := s.Guard(Viewer, mux)
	s.mux.Handle("/v2", h)
	s.mux.Handle("/v2/", h)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, path := range []string{"/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/{model}", "/v2/models/{model}/ready", "/v2/models/{model}/versions/{version}", "/v2/models/{model}/versions/{version}/ready"} {
		s.table = append(s.table, Row{"GET", path, Viewer})
	}
	s.table = append(s.table, Row{"POST", "/v2/models/{model}/infer", Viewer}, Row{"POST", "/v2/models/{model}/versions/{version}/infer", Viewer})
}
