package api

import (
	"context"
	"encoding/json"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm"
	"skerry.dev/hub/meta"
)

// Module is a WebAssembly module with its functions as JSON.
type Module struct {
	Name      string          `json:"name"`
	Digest    string          `json:"digest"`
	Size      int64           `json:"size"`
	Functions []wasm.Function `json:"functions" doc:"what features can call"`
	CreatedBy string          `json:"created_by"`
	CreatedAt int64           `json:"created_at"`
}

func viewModule(m meta.Module) (Module, error) {
	out := Module{
		Name:      m.Name,
		Digest:    m.Digest,
		Size:      m.Size,
		CreatedBy: m.CreatedBy,
		CreatedAt: m.CreatedAt,
	}
	return out, json.Unmarshal([]byte(m.Functions), &out.Functions)
}

type moduleIn struct {
	Name string `path:"name" maxLength:"64"`
}

type putModuleIn struct {
	Name    string `path:"name" maxLength:"64"`
	RawBody []byte `contentType:"application/octet-stream"`
}

func (s *Server) moduleRoutes() {
	register(s, Viewer, op("GET", "/v1/modules", "list-modules", "modules", "List WebAssembly modules"),
		func(ctx context.Context, _ *struct{}) (*list[Module], error) {
			rows, err := s.DB.Read().Modules(ctx)
			out := make([]Module, len(rows))
			for i := 0; i < len(rows) && err == nil; i++ {
				out[i], err = viewModule(rows[i])
			}
			return items(out, err)
		})
	register(s, Viewer, op("GET", "/v1/modules/{name}", "get-module", "modules", "One WebAssembly module"),
		func(ctx context.Context, in *moduleIn) (*body[Module], error) {
			m, err := s.DB.Read().Module(ctx, in.Name)
			if err != nil {
				return nil, err
			}
			return reply(viewModule(m))
		})
	put := op("PUT", "/v1/modules/{name}", "put-module", "modules", "Add a WebAssembly module, or replace one")
	put.Description = "Features of task files call its functions by this name. It is compiled and tried before it is stored; what it must look like is in docs/formats/pipeline.md. Models that were trained with what had the name keep it."
	put.MaxBodyBytes = feature.MaxModuleBytes
	register(s, Engineer, put, func(ctx context.Context, in *putModuleIn) (*body[Module], error) {
		m, err := s.Registry.PutModule(ctx, actor(ctx), in.Name, in.RawBody)
		if err != nil {
			return nil, err
		}
		return reply(viewModule(m))
	})
	register(s, Engineer, op("DELETE", "/v1/modules/{name}", "remove-module", "modules", "Remove a WebAssembly module"),
		func(ctx context.Context, in *moduleIn) (*none, error) {
			return nil, s.Registry.RemoveModule(ctx, actor(ctx), in.Name)
		})
}
