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

// list is the body of every listing.
type list[T any] struct {
	Body struct {
		Items []T `json:"items"`
	}
}

func items[T any](v []T, err error) (*list[T], error) {
	o := &list[T]{}
	o.Body.Items = v
	return o, err
}

// body wraps a reply.
type body[T any] struct{ Body T }

func reply[T any](v T, err error) (*body[T], error) { return &body[T]{v}, err }

type none struct{}

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

type accountIn struct {
	Body struct {
		Name     string `json:"name" maxLength:"63"`
		Role     string `json:"role" enum:"viewer,operator,engineer,admin"`
		Password string `json:"password" maxLength:"1024"`
	}
}

type named struct {
	Name string `path:"name" maxLength:"64"`
}

type passwordIn struct {
	Name string `path:"name" maxLength:"64"`
	Body struct {
		Password string `json:"password" maxLength:"1024"`
		Current  string `json:"current,omitempty" maxLength:"1024" doc:"needed to change one's own password"`
	}
}

type tokenIn struct {
	Body struct {
		Name string `json:"name" maxLength:"63"`
		Role string `json:"role" enum:"viewer,operator,engineer,admin"`
		Days int    `json:"days,omitempty" minimum:"0" maximum:"3650" doc:"life in days, 0 for a year"`
	}
}

type tokenOut struct {
	meta.APIToken
	Token string `json:"token" doc:"shown once"`
}

type auditIn struct {
	After int64 `query:"after" minimum:"0"`
	Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// CreateAccount stores a user. It is used by the API and by the hub's first start.
func CreateAccount(ctx context.Context, db *meta.Store, actor, name, role, password string) error {
	if !spec.ValidName(name) {
		return bad("user name %q: must be 1 to 63 of a-z, 0-9, - and _", name)
	}
	if _, err := ParseRole(role); err != nil {
		return bad("%v", err)
	}
	hash, err := HashPassword(password)
	if err != nil {
		return bad("%v", err)
	}
	now := meta.Now()
	return db.Tx(ctx, func(q *meta.Queries) error {
		err := q.InsertAccount(ctx, meta.Account{
			Name:         name,
			Role:         role,
			PasswordHash: hash,
			CreatedAt:    now,
			PasswordAt:   now,
		})
		if errors.Is(err, meta.ErrNotFound) {
			return NewError(http.StatusConflict, "user_exists", "a user of this name exists")
		}
		if err != nil {
			return err
		}
		return q.Audit(ctx, actor, "user.create", name, "role="+role)
	})
}

// SetPassword replaces a user's password, which ends the user's logins.
func SetPassword(ctx context.Context, db *meta.Store, actor, name, password string) error {
	hash, err := HashPassword(password)
	if err != nil {
		return bad("%v", err)
	}
	return db.Tx(ctx, func(q *meta.Queries) error {
		a, err := q.Account(ctx, name)
		if err != nil {
			return err
		}
		a.PasswordHash, a.PasswordAt = hash, meta.Now()
		if err := q.UpdateAccount(ctx, a); err != nil {
			return err
		}
		return q.Audit(ctx, actor, "user.password", name, "")
	})
}

func (s *Server) accessRoutes() {
	Register(s, Anyone, op("POST", "/v1/login", "login", "access", "Log in"), func(ctx context.Context, in *loginIn) (*body[loginOut], error) {
		if !s.limit(From(ctx).Source) {
			return nil, NewError(http.StatusTooManyRequests, "too_many_requests", "too many logins: wait a minute")
		}
		token, acc, expires, err := s.auth.login(ctx, in.Body.User, in.Body.Password)
		if err != nil {
			return nil, err
		}
		return reply(loginOut{Token: token, ExpiresAt: expires.UnixMicro(), Role: acc.Role}, nil)
	})
	Register(s, Viewer, op("GET", "/v1/me", "me", "access", "Who am I"), func(ctx context.Context, _ *none) (*body[meOut], error) {
		c := From(ctx)
		return reply(meOut{c.Name, c.Role.String()}, nil)
	})
	Register(s, Admin, op("GET", "/v1/users", "list-users", "access", "List users"), func(ctx context.Context, _ *none) (*list[meta.Account], error) {
		return items(s.DB.Read().Accounts(ctx))
	})
	create := op("POST", "/v1/users", "create-user", "access", "Create a user")
	create.DefaultStatus = http.StatusCreated
	Register(s, Admin, create, func(ctx context.Context, in *accountIn) (*body[meOut], error) {
		return reply(meOut{"user/" + in.Body.Name, in.Body.Role}, CreateAccount(ctx, s.DB, From(ctx).Name, in.Body.Name, in.Body.Role, in.Body.Password))
	})
	Register(s, Viewer, op("PUT", "/v1/users/{name}/password", "set-password", "access", "Set a password"), s.setPassword)
	Register(s, Admin, op("DELETE", "/v1/users/{name}", "delete-user", "access", "Remove a user"), func(ctx context.Context, in *named) (*none, error) {
		if From(ctx).Name == "user/"+in.Name {
			return nil, bad("you cannot remove yourself")
		}
		return nil, s.DB.Tx(ctx, func(q *meta.Queries) error {
			return errors.Join(q.DeleteAccount(ctx, in.Name), q.Audit(ctx, From(ctx).Name, "user.delete", in.Name, ""))
		})
	})
	Register(s, Admin, op("GET", "/v1/tokens", "list-tokens", "access", "List API tokens"), func(ctx context.Context, _ *none) (*list[meta.APIToken], error) {
		return items(s.DB.Read().APITokens(ctx))
	})
	createToken := op("POST", "/v1/tokens", "create-token", "access", "Create an API token")
	createToken.DefaultStatus = http.StatusCreated
	Register(s, Admin, createToken, s.createToken)
	Register(s, Admin, op("DELETE", "/v1/tokens/{name}", "revoke-token", "access", "Revoke an API token by its id"), func(ctx context.Context, in *named) (*none, error) {
		return nil, s.DB.Tx(ctx, func(q *meta.Queries) error {
			return errors.Join(q.RevokeAPIToken(ctx, in.Name, meta.Now()), q.Audit(ctx, From(ctx).Name, "token.revoke", in.Name, ""))
		})
	})
	Register(s, Admin, op("GET", "/v1/audit", "list-audit", "access", "Read the audit chain"), func(ctx context.Context, in *auditIn) (*list[meta.AuditEntry], error) {
		return items(s.DB.Read().AuditEntries(ctx, in.After, in.Limit))
	})
	Register(s, Admin, op("GET", "/v1/audit/verify", "verify-audit", "access", "Check the audit chain"), func(ctx context.Context, _ *none) (*body[map[string]string], error) {
		if err := s.DB.Read().VerifyAudit(ctx); err != nil {
			return reply(map[string]string{"status": "broken", "error": err.Error()}, nil)
		}
		return reply(map[string]string{"status": "ok"}, nil)
	})
}

func (s *Server) setPassword(ctx context.Context, in *passwordIn) (*none, error) {
	c := From(ctx)
	if c.Name == "user/"+in.Name {
		if !s.limit(c.Source) {
			return nil, NewError(http.StatusTooManyRequests, "too_many_requests", "too many tries: wait a minute")
		}
		if _, _, _, err := s.auth.login(ctx, in.Name, in.Body.Current); err != nil {
			return nil, err
		}
	} else if c.Role != Admin {
		return nil, NewError(http.StatusForbidden, "forbidden", "only an admin sets the password of somebody else")
	}
	return nil, SetPassword(ctx, s.DB, c.Name, in.Name, in.Body.Password)
}

func (s *Server) createToken(ctx context.Context, in *tokenIn) (*body[tokenOut], error) {
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
		CreatedBy: From(ctx).Name,
		CreatedAt: now.UnixMicro(),
		ExpiresAt: now.AddDate(0, 0, days).UnixMicro(),
	}
	err := s.DB.Tx(ctx, func(q *meta.Queries) error {
		return errors.Join(q.InsertAPIToken(ctx, t), q.Audit(ctx, From(ctx).Name, "token.create", t.Name, "role="+t.Role))
	})
	return reply(tokenOut{t, secret}, err)
}
