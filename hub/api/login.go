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

type loginOut struct {
	Token     string `json:"token"`
	ExpiresAt int64  `json:"expires_at" doc:"microseconds"`
	Role      string `json:"role"`
}

type meOut struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

func (s *Server) loginRoutes() {
	register(s, Anyone, op("POST", "/v1/login", "login", "access", "Log in"),
		func(ctx context.Context, in *loginIn) (*body[loginOut], error) {
			if !s.limit(callerOf(ctx).Source) {
				return nil, newError(http.StatusTooManyRequests, "too_many_requests", "too many logins: wait a minute")
			}
			token, acc, expires, err := s.auth.login(ctx, in.Body.User, in.Body.Password)
			if err != nil {
				return nil, err
			}
			return reply(loginOut{Token: token, ExpiresAt: expires.UnixMicro(), Role: acc.Role}, nil)
		})
	register(s, Viewer, op("GET", "/v1/me", "me", "access", "Who am I"),
		func(ctx context.Context, _ *none) (*body[meOut], error) {
			c := callerOf(ctx)
			return reply(meOut{c.Name, c.Role.String()}, nil)
		})
}
