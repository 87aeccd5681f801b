// Package infer serves the hub's models by the Open Inference Protocol, version 2, under /v2.
//
// A model's name is its task. Without a version the champion of all devices answers; a version is
// the name in use ("pm25-next-hour@3") or a digest, and may also be the champion of a cohort.
// Tombstoned models and those that are nobody's champion are not there. Inference by request is
// stateless: each row is predicted from itself and the rows before it in the request.
//
// Who may send requests is decided above, by the interface that mounts the handler.
package infer

import (
	"log/slog"
	"net/http"

	"skerry.dev/compute/artifact"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/sync/oip"
)

// Options configure the handler.
type Options struct {
	// Version is the server's in its metadata.
	Version string
	// Ready answers /v2/health/ready. nil: always ready.
	Ready func() bool
	// Log receives what keeps a champion from being served. nil: nowhere.
	Log *slog.Logger
}

// Handler serves the champions of a registry under /v2. Safe for concurrent use.
func Handler(db *meta.Store, r *registry.Registry, opts Options) http.Handler {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	repo := &champions{
		db:       db,
		registry: r,
		log:      opts.Log,
		loaded:   map[string]*artifact.Artifact{},
	}
	mux := http.NewServeMux()
	oip.New(repo, oip.Options{
		Name:    "skerry-hub",
		Version: opts.Version,
		Ready:   opts.Ready,
	}).Register(mux)
	return mux
}
