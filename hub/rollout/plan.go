package rollout

import (
	"context"
	"errors"

	"skerry.dev/hub/meta"
)

// planDays is how far back a plan looks at the links of devices.
const planDays = 14

// Plan is what a rollout would do if it began now.
type Plan struct {
	Task    string    `json:"task"`
	Digest  string    `json:"digest"`
	Spec    Spec      `json:"spec" doc:"with the defaults filled in"`
	Devices []Planned `json:"devices" doc:"in the order in which they would start"`
	Offline int       `json:"offline" doc:"devices without a link now"`
	Blocked string    `json:"blocked,omitempty" doc:"why it could not be created now"`
}

// Planned is a device's place in a plan.
type Planned struct {
	Device         string  `json:"device"`
	Stage          string  `json:"stage" doc:"the first stage in which it may activate"`
	Connected      bool    `json:"connected"`
	SeenAt         int64   `json:"seen_at" doc:"newest report, microseconds; 0 never"`
	LinkShare      float64 `json:"link_share" doc:"share of the last 14 days with a link; -1 unknown"`
	LongestOffline int64   `json:"longest_offline_s" doc:"longest time without a link in these days, seconds"`
	Running        string  `json:"running,omitempty" doc:"digest of its present model"`
}

// Plan computes who would be in which stage, by the order that the rollout itself would take, from
// the devices' present links and their record.
func (c *Controller) Plan(ctx context.Context, s Spec) (*Plan, error) {
	if err := c.complete(ctx, &s); err != nil {
		return nil, err
	}
	p := &Plan{Task: s.Task, Digest: s.Digest, Spec: s, Devices: []Planned{}}
	if err := c.free(ctx, c.db.Read(), &s); err != nil {
		if !errors.Is(err, ErrBusy) {
			return nil, err
		}
		p.Blocked = err.Error()
	}
	w, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	parts, err := c.parts(ctx, w, &Rollout{Task: s.Task, Spec: s})
	if err != nil {
		return nil, err
	}
	views, at := make([]View, len(parts)), index(parts)
	for i, d := range parts {
		views[i] = View{Device: d.Device, Connected: d.Connected}
	}
	now := meta.Now()
	for i, v := range order(s.Digest, views) {
		d := Planned{
			Device:    v.Device,
			Connected: v.Connected,
			Running:   parts[at[v.Device]].Previous,
		}
		for k := range s.Stages {
			if i < startedAt(&s, k+1, views) {
				d.Stage = s.Stages[k].Name
				break
			}
		}
		if !v.Connected {
			p.Offline++
		}
		d.SeenAt = w.reported[v.Device].at
		from := now - planDays*24*3600*1_000_000
		events, err := c.db.Read().LinkEvents(ctx, v.Device, from)
		if err != nil {
			return nil, err
		}
		d.LinkShare, d.LongestOffline = linkRecord(events, v.Connected, now)
		p.Devices = append(p.Devices, d)
	}
	return p, nil
}

// linkRecord sums up a device's link from its first event to now. Without events nothing is known.
func linkRecord(events []meta.LinkEvent, connected bool, now int64) (share float64, longestS int64) {
	if len(events) == 0 {
		return -1, 0
	}
	var up, longest int64
	for i, e := range events {
		end := now
		if i+1 < len(events) {
			end = events[i+1].At
		}
		on := e.Connected
		if i+1 == len(events) {
			on = connected // a hub that was down has missed events
		}
		if on {
			up += end - e.At
		} else {
			longest = max(longest, end-e.At)
		}
	}
	return float64(up) / float64(max(now-events[0].At, 1)), longest / 1_000_000
}
