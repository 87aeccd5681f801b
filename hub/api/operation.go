package api

import (
	"context"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// list is the body of every listing.
type list[T any] struct {
	Body struct {
		Items []T `json:"items"`
	}
}

func items[T any](v []T, err error) (*list[T], error) {
	o := &list[T]{}
	if o.Body.Items = v; v == nil {
		o.Body.Items = []T{} // [] in JSON: a listing without entries is one
	}
	return o, err
}

// body wraps a reply.
type body[T any] struct{ Body T }

func reply[T any](v T, err error) (*body[T], error) { return &body[T]{v}, err }

type none struct{}

// actor names the caller in the audit chain.
func actor(ctx context.Context) string { return callerOf(ctx).Name }

// Row is one line of the authorisation table.
type Row struct {
	Method, Path string
	Role         Role
}

// Table is the authorisation table in order of path and method.
func (s *Server) Table() []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := slices.Clone(s.table)
	slices.SortFunc(t, func(a, b Row) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	return t
}

// register adds an operation that needs a role. The body limit is 1 MiB unless the operation sets
// one.
func register[I, O any](s *Server, role Role, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	op.Middlewares = append(huma.Middlewares{require(role)}, op.Middlewares...)
	if role != Anyone {
		op.Security = []map[string][]string{{"bearer": {}}}
	}
	if op.Metadata == nil {
		op.Metadata = map[string]any{}
	}
	op.Metadata["role"] = role
	op.Description = strings.TrimSpace(op.Description + "\n\nNeeds the role " + role.String() + ".")
	s.mu.Lock()
	s.table = append(s.table, Row{op.Method, op.Path, role})
	s.mu.Unlock()
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		if out == nil {
			out = new(O)
		}
		return out, nil
	})
}

// op is short for an operation of the core.
func op(method, path, id, tag, summary string) huma.Operation {
	return huma.Operation{Method: method, Path: path, OperationID: id, Tags: []string{tag}, Summary: summary}
}
