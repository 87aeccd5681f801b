// Package alarm stores what the hub itself has to report about a device, as events of the class
// alarm: they stand among the events of the device, on its page and in every listing.
//
// What a device does wrong it may do a million times a day. An alarm is therefore stored once a day
// for each device, kind and key; how often it happened is counted elsewhere (meta.Usage).
package alarm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// Alarm is something to report about a device.
type Alarm struct {
	Device string
	Kind   string // what happened, for example "quarantine"
	Task   string // which task it concerns, "" for none
	// Key distinguishes alarms of one device and kind on one day; "" is one in all.
	Key    string
	Detail map[string]any
}

// Raise stores an alarm inside a transaction unless the same was raised on the same day. now is the
// transaction's time in microseconds.
func Raise(ctx context.Context, q *meta.Queries, now int64, a Alarm) error {
	b, err := json.Marshal(a.Detail)
	if err != nil {
		return err
	}
	return q.InsertEvent(ctx, meta.Event{
		ID:         fmt.Sprintf("hub/%s/%s/%s/%s/%s", a.Kind, a.Device, a.Task, a.Key, Day(now)),
		Device:     a.Device,
		Class:      int64(wire.ClassAlarm),
		Time:       now,
		Kind:       a.Kind,
		Task:       a.Task,
		Detail:     string(b),
		ReceivedAt: now,
	})
}

// Day is the day of a time in microseconds, in UTC: "2026-01-31".
func Day(us int64) string { return time.UnixMicro(us).UTC().Format(time.DateOnly) }
