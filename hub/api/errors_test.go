package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"skerry.dev/hub/blob"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/rollout"
	"skerry.dev/sync/trust"
)

// TestErrorMap asks for the answer to every kind of error as the domain wraps it.
func TestErrorMap(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		err    error
		status int
		code   string
		logged bool
	}{
		{"unknown row", t.Context(), fmt.Errorf("device %q: %w", "a", meta.ErrNotFound), 404, "not_found", false},
		{"unknown blob", t.Context(), blob.ErrNotFound, 404, "not_found", false},
		{"unknown metadata", t.Context(), trust.ErrNotFound, 404, "not_found", false},
		{"enrolment token", t.Context(), fleet.ErrToken, 403, "token_refused", false},
		{"renewal", t.Context(), fleet.ErrRenew, 403, "renewal_refused", false},
		{"rate", t.Context(), fleet.ErrRate, 429, "too_many_requests", false},
		{"enrolled device", t.Context(), fleet.ErrExists, 409, "device_exists", false},
		{"tombstoned model", t.Context(), fmt.Errorf("model t@1: %w: worse", registry.ErrTombstoned), 410, "tombstoned", false},
		{"module", t.Context(), fmt.Errorf("%w: no magic", registry.ErrModule), 422, "invalid", false},
		{"second rollout", t.Context(), fmt.Errorf("%w (rollout r-1)", rollout.ErrBusy), 409, "rollout_busy", false},
		{"refused rollout", t.Context(), rollout.ErrRefused, 422, "rollout_refused", false},
		{"wrong password", t.Context(), errLogin, 401, "login_failed", false},
		{"an answer already", t.Context(), bad("no artifact"), 422, "invalid", false},
		{"several, one known", t.Context(), errors.Join(errors.New("audit"), meta.ErrNotFound), 404, "not_found", false},
		{"anything else", t.Context(), errors.New("disk I/O error of table secret"), 500, "internal", true},
		{"the caller left", gone, context.Canceled, 500, "internal", false},
	} {
		var log bytes.Buffer
		s := &Server{opts: Options{Log: slog.New(slog.NewTextHandler(&log, nil))}}
		e := s.fail(tt.ctx, tt.err)
		if e.GetStatus() != tt.status || e.Detail.Code != tt.code {
			t.Errorf("%s: fail(%v) = %d %q, want %d %q", tt.name, tt.err, e.GetStatus(), e.Detail.Code, tt.status, tt.code)
		}
		if logged := strings.Contains(log.String(), tt.err.Error()); logged != tt.logged {
			t.Errorf("%s: the log has %q, logged want %v", tt.name, log.String(), tt.logged)
		}
		if shown := strings.Contains(e.Error(), tt.err.Error()); shown == (tt.status == 500) {
			t.Errorf("%s: the caller is told %q; a fault of the hub is hidden, a caller's is explained", tt.name, e.Error())
		}
	}
}
