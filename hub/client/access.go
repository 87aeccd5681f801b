package client

import (
	"context"
	"net/http"
	"net/url"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
)

// Login gets a token for a user and uses it from now on.
func (c *Client) Login(ctx context.Context, user, password string) (api.Login, error) {
	var out api.Login
	err := c.Call(ctx, http.MethodPost, "/v1/login", map[string]string{"user": user, "password": password}, &out)
	if err == nil {
		c.Token = out.Token
	}
	return out, err
}

// Me returns whom the token identifies.
func (c *Client) Me(ctx context.Context) (api.Me, error) { return one[api.Me](ctx, c, "/v1/me") }

// Users lists the users.
func (c *Client) Users(ctx context.Context) ([]meta.Account, error) {
	return list[meta.Account](ctx, c, "/v1/users")
}

// CreateUser creates a user of a role: viewer, operator, engineer or admin.
func (c *Client) CreateUser(ctx context.Context, name, role, password string) error {
	in := map[string]string{"name": name, "role": role, "password": password}
	return c.Call(ctx, http.MethodPost, "/v1/users", in, nil)
}

// SetPassword gives a user a new password, which ends the user's logins. current is needed for the
// caller's own.
func (c *Client) SetPassword(ctx context.Context, name, password, current string) error {
	in := map[string]string{"password": password}
	if current != "" {
		in["current"] = current
	}
	return c.Call(ctx, http.MethodPut, "/v1/users/"+url.PathEscape(name)+"/password", in, nil)
}

// RemoveUser removes a user.
func (c *Client) RemoveUser(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodDelete, "/v1/users/"+url.PathEscape(name), nil, nil)
}

// APITokens lists the tokens of programs, without their secrets.
func (c *Client) APITokens(ctx context.Context) ([]meta.APIToken, error) {
	return list[meta.APIToken](ctx, c, "/v1/tokens")
}

// CreateAPIToken creates a token of a role for a program. days is its life, 0 for a year.
func (c *Client) CreateAPIToken(ctx context.Context, name, role string, days int) (out api.APIToken, err error) {
	in := map[string]any{"name": name, "role": role, "days": days}
	err = c.Call(ctx, http.MethodPost, "/v1/tokens", in, &out)
	return out, err
}

// RevokeAPIToken voids a token by its id.
func (c *Client) RevokeAPIToken(ctx context.Context, id string) error {
	return c.Call(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(id), nil, nil)
}
