package api

import (
	"context"
	"net/http"
)

type loginIn struct {
	Body struct {
		User     string `json:"user" maxLength:"64"`
		Password string `json:"password" maxLength:"1024"`
	}
}

// Login is what a login gives.
type Login struct {
	Token     string `json:"token"`
	ExpiresAt int64  `json:"expires_at" doc:"microseconds"`
	Role      string `json:"role"`
}

// Me is whom a credential identifies.
type Me struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

func (s *Server) loginRoutes() {
	register(s, Anyone, op("POST", "/v1/login", "login", "access", "Log in"),
		func(ctx context.Context, in *loginIn) (*body[Login], error) {
			if ok, err := s.mayLogin(ctx, in.Body.User, callerOf(ctx).Source); err != nil {
				return nil, err
			} else if !ok {
				return nil, newError(http.StatusTooManyRequests, "too_many_requests", "too many logins: wait a minute")
			}
			token, acc, expires, err := s.auth.login(ctx, in.Body.User, in.Body.Password)
			if err == nil {
				err = s.loggedIn(ctx, in.Body.User, callerOf(ctx).Source)
			}
			if err != nil {
				return nil, err
			}
			return reply(Login{Token: token, ExpiresAt: expires.UnixMicro(), Role: acc.Role}, nil)
		})
	register(s, Viewer, op("GET", "/v1/me", "me", "access", "Who am I"),
		func(ctx context.Context, _ *none) (*body[Me], error) {
			c := callerOf(ctx)
			return reply(Me{c.Name, c.Role.String()}, nil)
		})
}
