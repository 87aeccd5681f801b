package api

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Role is what a caller may do. A role includes those before it; Device stands apart.
type Role int

// The roles.
const (
	Anyone   Role = iota // no credential needed
	Viewer               // look
	Operator             // devices, alerts, rollouts
	Engineer             // tasks, training, models
	Admin                // users and tokens
	Device               // a device's credential, or any person's
)

var roleNames = map[Role]string{
	Anyone:   "none",
	Viewer:   "viewer",
	Operator: "operator",
	Engineer: "engineer",
	Admin:    "admin",
	Device:   "device",
}

// String returns the name that ParseRole reads.
func (r Role) String() string { return roleNames[r] }

// ParseRole reads the name of a role that an account or token can have.
func ParseRole(s string) (Role, error) {
	for r := Viewer; r <= Admin; r++ {
		if roleNames[r] == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("role %q: must be viewer, operator, engineer or admin", s)
}

// Caller is who sent a request.
type Caller struct {
	Name   string // "user/ada", "token/ci", "device/pump-7"; "" without a credential
	Role   Role
	Source string // network address without the port
}

type callerKey struct{}

// callerOf returns the caller of a request.
func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

func allowed(have, need Role) bool {
	if need == Device {
		return have != Anyone
	}
	return have != Device && have >= need || need == Anyone
}

// require is the middleware that demands a role.
func require(need Role) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := callerOf(ctx.Context())
		switch {
		case allowed(c.Role, need):
			next(ctx)
		case c.Role == Anyone:
			refuse(ctx, http.StatusUnauthorized, "unauthorized", "log in, or send a valid token: Authorization: Bearer …")
		default:
			refuse(ctx, http.StatusForbidden, "forbidden", fmt.Sprintf("this needs the role %s, you have %s", need, c.Role))
		}
	}
}

// guard is require for plain handlers.
func (s *Server) guard(need Role, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := s.auth.caller(r.Context(), r.Header.Get("Authorization"))
		if err != nil {
			s.plainError(w, r, err)
			return
		}
		c.Source = host(r.RemoteAddr)
		if !s.inPace(c) {
			w.Header().Set("Retry-After", "1")
			writeError(w, http.StatusTooManyRequests, "too_many_requests", s.tooFast())
			return
		}
		switch {
		case allowed(c.Role, need):
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
		case c.Role == Anyone:
			writeError(w, http.StatusUnauthorized, "unauthorized", "log in, or send a valid token: Authorization: Bearer …")
		default:
			writeError(w, http.StatusForbidden, "forbidden", fmt.Sprintf("this needs the role %s, you have %s", need, c.Role))
		}
	})
}

// identify reads the credential of every operation.
func (s *Server) identify(ctx huma.Context, next func(huma.Context)) {
	c, err := s.auth.caller(ctx.Context(), ctx.Header("Authorization"))
	if err != nil {
		e := s.fail(ctx.Context(), err)
		refuse(ctx, e.status, e.Detail.Code, e.Detail.Message)
		return
	}
	c.Source = host(ctx.RemoteAddr())
	if !s.inPace(c) {
		ctx.SetHeader("Retry-After", "1")
		refuse(ctx, http.StatusTooManyRequests, "too_many_requests", s.tooFast())
		return
	}
	next(huma.WithValue(ctx, callerKey{}, c))
}

func host(addr string) string {
	h, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return h
}
