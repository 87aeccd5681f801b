package api

import (
	"context"
	"net/http"
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

// route adds a plain handler with a row in the authorisation table and in the document.
func (s *Server) route(role Role, method, path, summary string, h http.HandlerFunc) {
	s.mux.Handle(method+" "+path, s.guard(role, h))
	s.describe(role, method, path, "agent", summary)
}

// describe adds an operation that the framework does not serve to the authorisation table and to
// the document.
func (s *Server) describe(role Role, method, path, tag, summary string) {
	s.mu.Lock()
	s.table = append(s.table, Row{method, path, role})
	s.mu.Unlock()
	o := op(method, path, strings.Trim(strings.NewReplacer("/", "-", "{", "", "}", "").Replace(path), "-"), tag, summary)
	if method != http.MethodGet {
		o.OperationID += "-" + strings.ToLower(method)
	}
	o.Description = "Needs the role " + role.String() + "."
	if role != Anyone {
		o.Security = []map[string][]string{{"bearer": {}}}
	}
	o.Responses = map[string]*huma.Response{
		"200":     {Description: "the bytes"},
		"default": {Description: "a problem, as everywhere"},
	}
	for _, part := range strings.Split(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			o.Parameters = append(o.Parameters, &huma.Param{
				Name:     strings.TrimSuffix(name, "}"),
				In:       "path",
				Required: true,
				Schema:   &huma.Schema{Type: huma.TypeString},
			})
		}
	}
	s.huma.OpenAPI().AddOperation(&o)
}

// op is short for an operation of the core.
func op(method, path, id, tag, summary string) huma.Operation {
	return huma.Operation{Method: method, Path: path, OperationID: id, Tags: []string{tag}, Summary: summary}
}
