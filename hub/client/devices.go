package client

import (
	"context"
	"net/http"
	"net/url"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
)

// Devices lists up to a thousand devices by name.
func (c *Client) Devices(ctx context.Context) ([]api.DeviceState, error) {
	return list[api.DeviceState](ctx, c, "/v1/devices?limit=1000")
}

// Device returns everything about a device.
func (c *Client) Device(ctx context.Context, name string) (api.DeviceDetail, error) {
	return one[api.DeviceDetail](ctx, c, "/v1/devices/"+url.PathEscape(name))
}

// RevokeDevice voids a device's credential and closes its connection.
func (c *Client) RevokeDevice(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodPost, "/v1/devices/"+url.PathEscape(name)+"/revoke", nil, nil)
}

// DeleteDevice voids a device's credential and forgets the device; its data stays.
func (c *Client) DeleteDevice(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodDelete, "/v1/devices/"+url.PathEscape(name), nil, nil)
}

// ClearSuspect decides that a suspect device is the only one of its name.
func (c *Client) ClearSuspect(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodPost, "/v1/devices/"+url.PathEscape(name)+"/clear-suspect", nil, nil)
}

// EnrollTokens lists the tokens that devices enrol with, without their secrets.
func (c *Client) EnrollTokens(ctx context.Context) ([]meta.EnrollToken, error) {
	return list[meta.EnrollToken](ctx, c, "/v1/enroll-tokens")
}

// CreateEnrollToken creates a one-time token for a device. cohort may be empty; minutes is the life
// of the token, 0 for an hour.
func (c *Client) CreateEnrollToken(ctx context.Context, device, site, cohort string, minutes int) (out api.EnrollToken, err error) {
	in := map[string]any{"device": device, "site": site, "cohort": cohort, "minutes": minutes}
	err = c.Call(ctx, http.MethodPost, "/v1/enroll-tokens", in, &out)
	return out, err
}
