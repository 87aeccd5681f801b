package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"skerry.dev/hub/blob"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/jobs"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/replay"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/tasks"
	"skerry.dev/hub/training"
	"skerry.dev/sync/trust"
)

// Error is the body of every failed request.
type Error struct {
	Detail struct {
		Code    string `json:"code" doc:"stable name of the problem"`
		Message string `json:"message" doc:"what to do, for people"`
	} `json:"error"`
	status int
}

// newError makes an error with a status and a stable code.
func newError(status int, code, message string) *Error {
	e := &Error{status: status}
	e.Detail.Code, e.Detail.Message = code, message
	return e
}

// Error returns the message alone, without status and code.
func (e *Error) Error() string { return e.Detail.Message }

// GetStatus is the HTTP status.
func (e *Error) GetStatus() int { return e.status }

var statusCodes = map[int]string{http.StatusBadRequest: "bad_request", http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "forbidden",
	http.StatusNotFound: "not_found", http.StatusConflict: "conflict", http.StatusRequestEntityTooLarge: "too_large", http.StatusUnprocessableEntity: "invalid",
	http.StatusTooManyRequests: "too_many_requests", http.StatusUnsupportedMediaType: "unsupported_media_type", http.StatusGone: "gone"}

func init() {
	// The framework's errors (validation, content type, sizes) take the same form as ours; these
	// hooks are its only way.
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		for _, err := range errs {
			if d, ok := errors.AsType[*huma.ErrorDetail](err); ok {
				if text, ok := d.Value.(string); ok && status == http.StatusBadRequest && meta.CheckJSON([]byte(text)) != nil {
					status = http.StatusUnprocessableEntity // as in the path and the query
				}
				// not the value: it may be a password
				msg += "; " + strings.TrimSpace(d.Location+" "+d.Message)
			} else if err != nil {
				msg += "; " + err.Error()
			}
		}
		code := statusCodes[status]
		if code == "" {
			code = "internal"
		}
		return newError(status, code, msg)
	}
	huma.ValidateStrictCasing = true
}

// errorMap is what the caller got wrong, by the error that states it: the one place where an
// error of the hub becomes a status and a code. What matches none of them is the hub's own fault.
var errorMap = []struct {
	target error
	status int
	code   string
}{
	{meta.ErrNotFound, http.StatusNotFound, "not_found"},
	{blob.ErrNotFound, http.StatusNotFound, "not_found"},
	{trust.ErrNotFound, http.StatusNotFound, "not_found"},
	{replay.ErrNoTask, http.StatusNotFound, "not_found"},
	{replay.ErrNoRow, http.StatusNotFound, "not_found"},
	{fleet.ErrToken, http.StatusForbidden, "token_refused"},
	{fleet.ErrRenew, http.StatusForbidden, "renewal_refused"},
	{fleet.ErrRate, http.StatusTooManyRequests, "too_many_requests"},
	{fleet.ErrExists, http.StatusConflict, "device_exists"},
	{registry.ErrTombstoned, http.StatusGone, "tombstoned"},
	{registry.ErrNotTombstoned, http.StatusConflict, "not_tombstoned"},
	{registry.ErrRemoved, http.StatusGone, "removed"},
	{registry.ErrModule, http.StatusUnprocessableEntity, "invalid"},
	{rollout.ErrBusy, http.StatusConflict, "rollout_busy"},
	{rollout.ErrChanged, http.StatusConflict, "rollout_changed"},
	{tasks.ErrRefused, http.StatusUnprocessableEntity, "invalid"},
	{jobs.ErrEnded, http.StatusConflict, "job_ended"},
	{training.ErrRuns, http.StatusConflict, "training_runs"},
	{rollout.ErrRefused, http.StatusUnprocessableEntity, "rollout_refused"},
	{errLogin, http.StatusUnauthorized, "login_failed"},
}

// fail turns an error into an answer: a status of its own, a line of the error map, or 500. A fault
// of the hub is logged and not shown, except when it is only that the caller went away.
func (s *Server) fail(ctx context.Context, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	for _, m := range errorMap {
		if errors.Is(err, m.target) {
			return newError(m.status, m.code, err.Error())
		}
	}
	if ctx.Err() == nil {
		s.opts.Log.Error("request failed", "caller", callerOf(ctx).Name, "err", err)
	}
	return newError(http.StatusInternalServerError, "internal", "the hub could not do this; its log has the details")
}

func bad(format string, args ...any) error {
	return newError(http.StatusUnprocessableEntity, "invalid", fmt.Sprintf(format, args...))
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(newError(status, code, message)) // the client may be gone
}

func refuse(ctx huma.Context, status int, code, message string) {
	ctx.SetHeader("Content-Type", "application/json")
	ctx.SetStatus(status)
	// the client may be gone
	_ = json.NewEncoder(ctx.BodyWriter()).Encode(newError(status, code, message))
}
