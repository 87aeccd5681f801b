package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

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
			return newError(http.StatusConflict, "user_exists", "a user of this name exists")
		}
		if err != nil {
			return err
		}
		return q.Audit(ctx, actor, "user.create", name, "role="+role)
	})
}

// SetPassword replaces a user's password, which ends the user's logins.
func SetPassword(ctx context.Context, db *meta.Store, actor, name, password string) error {
	return ResetAccount(ctx, db, actor, name, "", password)
}

// ResetAccount replaces a user's password and, unless it is empty, its role.
func ResetAccount(ctx context.Context, db *meta.Store, actor, name, role, password string) error {
	hash, err := HashPassword(password)
	if err != nil {
		return bad("%v", err)
	}
	return db.Tx(ctx, func(q *meta.Queries) error {
		a, err := q.Account(ctx, name)
		if err != nil {
			return err
		}
		a.PasswordHash, a.PasswordAt, a.Role = hash, meta.Now(), cmp.Or(role, a.Role)
		if err := q.UpdateAccount(ctx, a); err != nil {
			return err
		}
		return q.Audit(ctx, actor, "user.password", name, "")
	})
}

func (s *Server) userRoutes() {
	register(s, Admin, op("GET", "/v1/users", "list-users", "access", "List users"),
		func(ctx context.Context, _ *none) (*list[meta.Account], error) {
			return items(s.DB.Read().Accounts(ctx))
		})
	create := op("POST", "/v1/users", "create-user", "access", "Create a user")
	create.DefaultStatus = http.StatusCreated
	register(s, Admin, create, func(ctx context.Context, in *accountIn) (*body[Me], error) {
		return reply(Me{"user/" + in.Body.Name, in.Body.Role}, CreateAccount(ctx, s.DB, callerOf(ctx).Name, in.Body.Name, in.Body.Role, in.Body.Password))
	})
	register(s, Viewer, op("PUT", "/v1/users/{name}/password", "set-password", "access", "Set a password"), s.setPassword)
	register(s, Admin, op("DELETE", "/v1/users/{name}", "delete-user", "access", "Remove a user"),
		func(ctx context.Context, in *named) (*none, error) {
			if callerOf(ctx).Name == "user/"+in.Name {
				return nil, bad("you cannot remove yourself")
			}
			return nil, s.DB.Tx(ctx, func(q *meta.Queries) error {
				return errors.Join(q.DeleteAccount(ctx, in.Name), q.Audit(ctx, callerOf(ctx).Name, "user.delete", in.Name, ""))
			})
		})
}

func (s *Server) setPassword(ctx context.Context, in *passwordIn) (*none, error) {
	c := callerOf(ctx)
	if c.Name == "user/"+in.Name {
		if ok, err := s.mayLogin(ctx, in.Name, c.Source); err != nil {
			return nil, err
		} else if !ok {
			return nil, newError(http.StatusTooManyRequests, "too_many_requests", "too many tries: wait a minute")
		}
		if _, _, _, err := s.auth.login(ctx, in.Name, in.Body.Current); err != nil {
			return nil, err
		}
	} else if c.Role != Admin {
		return nil, newError(http.StatusForbidden, "forbidden", "only an admin sets the password of somebody else")
	}
	return nil, SetPassword(ctx, s.DB, c.Name, in.Name, in.Body.Password)
}
