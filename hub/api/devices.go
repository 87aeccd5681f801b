package api

import (
	"context"
	"errors"
	"fmt"

	"skerry.dev/hub/fleet"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

type devicesIn struct {
	After string `query:"after" maxLength:"63"`
	Site  string `query:"site" maxLength:"63"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

// DeviceState is a device as the hub sees it.
type DeviceState struct {
	meta.Device
	Health     string               `json:"health" doc:"ok or degraded as it reported, unknown before it did, revoked"`
	Reasons    []string             `json:"reasons,omitempty"`
	Outbox     *spec.ReportedOutbox `json:"outbox,omitempty"`
	Tasks      []string             `json:"tasks,omitempty"`
	ReportedAt int64                `json:"reported_at"`
}

// DeviceDetail is everything about one device. Tasks explains for each task what runs and why.
type DeviceDetail struct {
	DeviceState
	Runs     []meta.Run            `json:"runs" doc:"the newest, at most 100"`
	RunCount int                   `json:"run_count"`
	Host     []meta.HostValue      `json:"host"`
	Desired  spec.Desired          `json:"desired"`
	Reported *spec.Reported        `json:"reported,omitempty"`
	Why      map[string]Assignment `json:"why"`
	Applied  map[string]int64      `json:"applied" doc:"records the ledger holds, by class"`
	Usage    []meta.Usage          `json:"usage" doc:"what it sent, by day, the newest first"`
	Quota    int64                 `json:"quota" doc:"bytes that it may send a day"`
}

// Assignment describes what a device should run for a task, what it runs, and why that is so.
type Assignment struct {
	Desired string `json:"desired"`
	Running string `json:"running"`
	Reason  string `json:"reason"`
}

func (s *Server) deviceRoutes() {
	register(s, Viewer, op("GET", "/v1/devices", "list-devices", "devices", "List devices"), s.listDevices)
	register(s, Viewer, op("GET", "/v1/devices/{name}", "get-device", "devices", "Everything about one device"), s.getDevice)
	register(s, Operator, op("POST", "/v1/devices/{name}/revoke", "revoke-device", "devices", "Void a device's credential and close its connection"),
		func(ctx context.Context, in *named) (*none, error) {
			return nil, s.Fleet.Revoke(ctx, actor(ctx), in.Name)
		})
	register(s, Operator, op("POST", "/v1/devices/{name}/clear-suspect", "clear-suspect", "devices", "Decide that a suspect device is the only one of its name"),
		func(ctx context.Context, in *named) (*none, error) {
			return nil, s.Fleet.ClearSuspect(ctx, actor(ctx), in.Name)
		})
	register(s, Admin, op("DELETE", "/v1/devices/{name}", "delete-device", "devices", "Revoke and forget a device; its data stays"),
		func(ctx context.Context, in *named) (*none, error) {
			return nil, s.Fleet.Delete(ctx, actor(ctx), in.Name)
		})
}

func state(d meta.Device, r *spec.Reported, at int64) DeviceState {
	out := DeviceState{Device: d, Health: healthOf(d, r), ReportedAt: at}
	if r != nil {
		out.Reasons, out.Outbox = r.Reasons, &r.Outbox
		for name := range r.Tasks {
			out.Tasks = append(out.Tasks, name)
		}
	}
	return out
}

// healthOf is the health of a device in one word. What a revoked device reported before says nothing
// of it any more.
func healthOf(d meta.Device, r *spec.Reported) string {
	switch {
	case d.RevokedAt > 0:
		return "revoked"
	case r == nil:
		return "unknown"
	}
	return r.Health
}

// deviceState returns a device with what it reported, nil when it has reported nothing, or what
// cannot be read: its reasons have why then.
func (s *Server) deviceState(ctx context.Context, d meta.Device) (DeviceState, *spec.Reported, error) {
	r, at, err := s.Fleet.Reported(ctx, d.Name)
	switch {
	case err == nil:
		return state(d, &r, at), &r, nil
	case errors.Is(err, meta.ErrNotFound):
		return state(d, nil, 0), nil, nil
	case errors.Is(err, fleet.ErrDocument):
		out := state(d, nil, at)
		out.Reasons = []string{err.Error()}
		return out, nil, nil
	}
	return DeviceState{}, nil, err
}

func (s *Server) listDevices(ctx context.Context, in *devicesIn) (*list[DeviceState], error) {
	devs, err := s.DB.Read().Devices(ctx, in.After, in.Site, in.Limit)
	if err != nil {
		return nil, err
	}
	out := make([]DeviceState, len(devs))
	for i, d := range devs {
		if out[i], _, err = s.deviceState(ctx, d); err != nil {
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
	if out.DeviceState, out.Reported, err = s.deviceState(ctx, d); err != nil {
		return nil, err
	}
	runs := int64(0)
	if out.Runs, runs, err = q.NewestRuns(ctx, d.Name, 100); err != nil {
		return nil, err
	}
	out.RunCount = int(runs)
	if out.Host, err = q.HostValues(ctx, d.Name); err != nil {
		return nil, err
	}
	if out.Desired, err = s.Fleet.Desired(ctx, d.Name); err != nil {
		return nil, err
	}
	out.Why = why(d, out.Desired, out.Reported)
	out.Quota = s.opts.DeviceQuota
	if out.Usage, err = q.Usages(ctx, d.Name, 7); err != nil {
		return nil, err
	}
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
