package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

type enrollTokenIn struct {
	Body struct {
		Device  string `json:"device" maxLength:"63"`
		Site    string `json:"site" maxLength:"63"`
		Cohort  string `json:"cohort,omitempty" maxLength:"63"`
		Minutes int    `json:"minutes,omitempty" minimum:"0" maximum:"43200" doc:"life of the token, 0 for an hour"`
	}
}

type enrollTokenOut struct {
	meta.EnrollToken
	Token string `json:"token" doc:"shown once"`
}

type idIn struct {
	ID string `path:"id" maxLength:"64"`
}

type enrollIn struct{ Body identity.EnrollRequest }
type renewIn struct{ Body identity.RenewRequest }

type devicesIn struct {
	After string `query:"after" maxLength:"63"`
	Site  string `query:"site" maxLength:"63"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

// DeviceState is a device as the hub sees it.
type DeviceState struct {
	meta.Device
	Health     string               `json:"health"`
	Reasons    []string             `json:"reasons,omitempty"`
	Outbox     *spec.ReportedOutbox `json:"outbox,omitempty"`
	Tasks      []string             `json:"tasks,omitempty"`
	ReportedAt int64                `json:"reported_at"`
}

// DeviceDetail is everything about one device. Tasks explains for each task what runs and why.
type DeviceDetail struct {
	DeviceState
	Runs     []meta.Run            `json:"runs"`
	Host     []meta.HostValue      `json:"host"`
	Desired  spec.Desired          `json:"desired"`
	Reported *spec.Reported        `json:"reported,omitempty"`
	Why      map[string]Assignment `json:"why"`
	Applied  map[string]int64      `json:"applied" doc:"records the ledger holds, by class"`
}

// Assignment says what a device should run for a task, what it runs, and why that is so.
type Assignment struct {
	Desired string `json:"desired"`
	Running string `json:"running"`
	Reason  string `json:"reason"`
}

// actor names the caller in the audit chain.
func actor(ctx context.Context) string { return From(ctx).Name }

func (s *Server) deviceRoutes() {
	create := op("POST", "/v1/enroll-tokens", "create-enroll-token", "devices", "Create a one-time enrolment token")
	create.DefaultStatus = http.StatusCreated
	Register(s, Operator, create, func(ctx context.Context, in *enrollTokenIn) (*body[enrollTokenOut], error) {
		b := in.Body
		for what, name := range map[string]string{"device": b.Device, "site": b.Site} {
			if !spec.ValidName(name) {
				return nil, bad("%s name %q: must be 1 to 63 of a-z, 0-9, - and _, and start with a letter or digit", what, name)
			}
		}
		if b.Cohort != "" && !spec.ValidName(b.Cohort) {
			return nil, bad("cohort name %q: must be 1 to 63 of a-z, 0-9, - and _, and start with a letter or digit", b.Cohort)
		}
		secret, t, err := s.Fleet.CreateToken(ctx, actor(ctx), b.Device, b.Site, b.Cohort, time.Duration(b.Minutes)*time.Minute)
		return reply(enrollTokenOut{t, secret}, err)
	})
	Register(s, Operator, op("GET", "/v1/enroll-tokens", "list-enroll-tokens", "devices", "List enrolment tokens"), func(ctx context.Context, _ *none) (*list[meta.EnrollToken], error) {
		return items(s.DB.Read().EnrollTokens(ctx))
	})
	Register(s, Operator, op("DELETE", "/v1/enroll-tokens/{id}", "revoke-enroll-token", "devices", "Revoke an enrolment token"), func(ctx context.Context, in *idIn) (*none, error) {
		return nil, s.DB.Tx(ctx, func(q *meta.Queries) error {
			return errors.Join(q.RevokeEnrollToken(ctx, in.ID, meta.Now()), q.Audit(ctx, actor(ctx), "enroll_token.revoke", in.ID, ""))
		})
	})

	enroll := op("POST", identity.PathEnroll, "enroll", "agent", "Enrol a device with a one-time token")
	enroll.MaxBodyBytes = 16 << 10
	Register(s, Anyone, enroll, func(ctx context.Context, in *enrollIn) (*body[identity.EnrollReply], error) {
		return reply(s.Fleet.Enroll(ctx, From(ctx).Source, in.Body))
	})
	Register(s, Anyone, op("POST", identity.PathNonce, "enroll-nonce", "agent", "Get a challenge for a renewal"), func(ctx context.Context, _ *none) (*body[identity.NonceReply], error) {
		return reply(s.Fleet.Nonce(ctx, From(ctx).Source))
	})
	Register(s, Anyone, op("GET", identity.PathNonce, "enroll-nonce-get", "agent", "Get a challenge for a renewal"), func(ctx context.Context, _ *none) (*body[identity.NonceReply], error) {
		return reply(s.Fleet.Nonce(ctx, From(ctx).Source))
	})
	renew := op("POST", identity.PathRenew, "enroll-renew", "agent", "Renew a device's credential")
	renew.MaxBodyBytes = 16 << 10
	Register(s, Anyone, renew, func(ctx context.Context, in *renewIn) (*body[identity.RenewReply], error) {
		return reply(s.Fleet.Renew(ctx, From(ctx).Source, in.Body))
	})

	Register(s, Viewer, op("GET", "/v1/devices", "list-devices", "devices", "List devices"), s.listDevices)
	Register(s, Viewer, op("GET", "/v1/devices/{name}", "get-device", "devices", "Everything about one device"), s.getDevice)
	Register(s, Operator, op("POST", "/v1/devices/{name}/revoke", "revoke-device", "devices", "Void a device's credential and close its connection"), func(ctx context.Context, in *named) (*none, error) {
		return nil, s.Fleet.Revoke(ctx, actor(ctx), in.Name)
	})
	Register(s, Operator, op("POST", "/v1/devices/{name}/clear-suspect", "clear-suspect", "devices", "Decide that a suspect device is the only one of its name"), func(ctx context.Context, in *named) (*none, error) {
		return nil, s.Fleet.ClearSuspect(ctx, actor(ctx), in.Name)
	})
	Register(s, Admin, op("DELETE", "/v1/devices/{name}", "delete-device", "devices", "Revoke and forget a device; its data stays"), func(ctx context.Context, in *named) (*none, error) {
		return nil, s.Fleet.Delete(ctx, actor(ctx), in.Name)
	})
}

func state(d meta.Device, r *spec.Reported, at int64) DeviceState {
	out := DeviceState{Device: d, Health: "unknown", ReportedAt: at}
	if r != nil {
		out.Health, out.Reasons, out.Outbox = r.Health, r.Reasons, &r.Outbox
		for name := range r.Tasks {
			out.Tasks = append(out.Tasks, name)
		}
	}
	return out
}

func (s *Server) listDevices(ctx context.Context, in *devicesIn) (*list[DeviceState], error) {
	devs, err := s.DB.Read().Devices(ctx, in.After, in.Site, in.Limit)
	if err != nil {
		return nil, err
	}
	out := make([]DeviceState, len(devs))
	for i, d := range devs {
		r, at, err := s.Fleet.Reported(ctx, d.Name)
		switch {
		case err == nil:
			out[i] = state(d, &r, at)
		case errors.Is(err, meta.ErrNotFound):
			out[i] = state(d, nil, 0)
		default:
			return nil, err
		}
	}
	return items(out, nil)
}

func (s *Server) getDevice(ctx context.Context, in *named) (*body[DeviceDetail], error) {
	q := s.DB.Read()
	d, err := q.Device(ctx, in.Name)
	if err != nil {
		return nil, fmt.Errorf("device %q: %w", in.Name, err)
	}
	var out DeviceDetail
	r, at, err := s.Fleet.Reported(ctx, d.Name)
	if err == nil {
		out.Reported = &r
	} else if !errors.Is(err, meta.ErrNotFound) {
		return nil, err
	}
	out.DeviceState = state(d, out.Reported, at)
	if out.Runs, err = q.Runs(ctx, d.Name); err != nil {
		return nil, err
	}
	if out.Host, err = q.HostValues(ctx, d.Name); err != nil {
		return nil, err
	}
	if out.Desired, err = s.Fleet.Desired(ctx, d.Name); err != nil {
		return nil, err
	}
	out.Why = why(d, out.Desired, out.Reported)
	counts, err := q.AppliedCounts(ctx, d.Name)
	if err != nil {
		return nil, err
	}
	out.Applied = map[string]int64{}
	for c, n := range counts {
		out.Applied[wire.Class(c).String()] = n
	}
	return reply(out, nil)
}

// why explains each task of a device.
func why(d meta.Device, want spec.Desired, have *spec.Reported) map[string]Assignment {
	out := map[string]Assignment{}
	if have != nil {
		for name, t := range have.Tasks {
			a := Assignment{Running: t.Champion, Reason: "nothing is assigned; the device keeps what it has"}
			if t.Champion == "" {
				a.Reason = "no model was assigned yet; the task runs on its baselines"
			}
			out[name] = a
		}
	}
	for name, w := range want.Assignments {
		a := out[name]
		a.Desired = w.Digest
		switch rep := reportedAssignment(have, name); {
		case d.RevokedAt > 0:
			a.Reason = "the device is revoked"
		case want.Suspect:
			a.Reason = "pushes are stopped: " + d.Suspect
		case rep == nil || rep.Generation < w.Generation:
			a.Reason = "assigned by rollout " + w.Rollout + "; the device has not reported on it"
			if !d.Connected {
				a.Reason += " and has no link"
			}
		case rep.Reason != "":
			a.Reason = fmt.Sprintf("%s: %s", rep.Phase, rep.Reason)
		default:
			a.Reason = fmt.Sprintf("%s, by rollout %s", rep.Phase, w.Rollout)
		}
		out[name] = a
	}
	return out
}

func reportedAssignment(r *spec.Reported, task string) *spec.ReportedAssignment {
	if r == nil {
		return nil
	}
	return r.Tasks[task].Assignment
}
