package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

type tokenIn struct {
	Body struct {
		Name string `json:"name" maxLength:"63"`
		Role string `json:"role" enum:"viewer,operator,engineer,admin"`
		Days int    `json:"days,omitempty" minimum:"0" maximum:"3650" doc:"life in days, 0 for a year"`
	}
}

// APIToken is a new API token with its secret.
type APIToken struct {
	meta.APIToken
	Token string `json:"token" doc:"shown once"`
}

func (s *Server) tokenRoutes() {
	register(s, Admin, op("GET", "/v1/tokens", "list-tokens", "access", "List API tokens"),
		func(ctx context.Context, _ *none) (*list[meta.APIToken], error) {
			return items(s.DB.Read().APITokens(ctx))
		})
	createToken := op("POST", "/v1/tokens", "create-token", "access", "Create an API token")
	createToken.DefaultStatus = http.StatusCreated
	register(s, Admin, createToken, s.createToken)
	register(s, Admin, op("DELETE", "/v1/tokens/{name}", "revoke-token", "access", "Revoke an API token by its id"),
		func(ctx context.Context, in *named) (*none, error) {
			return nil, s.DB.Tx(ctx, func(q *meta.Queries) error {
				return errors.Join(q.RevokeAPIToken(ctx, in.Name, meta.Now()), q.Audit(ctx, callerOf(ctx).Name, "token.revoke", in.Name, ""))
			})
		})
}

func (s *Server) createToken(ctx context.Context, in *tokenIn) (*body[APIToken], error) {
	if !spec.ValidName(in.Body.Name) {
		return nil, bad("token name %q: must be 1 to 63 of a-z, 0-9, - and _", in.Body.Name)
	}
	days := in.Body.Days
	if days == 0 {
		days = 365
	}
	secret := tokenPrefix + rand.Text()
	now := time.Now()
	t := meta.APIToken{
		ID:        rand.Text(),
		Name:      in.Body.Name,
		Hash:      hashToken(secret),
		Role:      in.Body.Role,
		CreatedBy: callerOf(ctx).Name,
		CreatedAt: now.UnixMicro(),
		ExpiresAt: now.AddDate(0, 0, days).UnixMicro(),
	}
	err := s.DB.Tx(ctx, func(q *meta.Queries) error {
		return errors.Join(q.InsertAPIToken(ctx, t), q.Audit(ctx, callerOf(ctx).Name, "token.create", t.Name, "role="+t.Role))
	})
	return reply(APIToken{t, secret}, err)
}
