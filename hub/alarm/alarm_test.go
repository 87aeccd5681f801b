package alarm

import (
	"encoding/json"
	"testing"
	"time"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/wire"
)

// TestOnceADay: the same is stored once a day, with the detail of its first time; another kind, key,
// task, device or day is something else.
func TestOnceADay(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db, ctx := d.Open(t), t.Context()
		evening := time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC).UnixMicro()
		const second = int64(1e6)
		same := Alarm{Device: "a", Kind: "quarantine", Task: "flow", Key: "x", Detail: map[string]any{"reason": "digest", "n": 1}}
		with := func(change func(*Alarm)) Alarm {
			other := same
			change(&other)
			return other
		}
		steps := []struct {
			at    int64
			alarm Alarm
			fresh bool
		}{
			{evening, same, true},
			{evening, with(func(a *Alarm) { a.Detail = map[string]any{"n": 2} }), false},
			{evening, with(func(a *Alarm) { a.Device = "b" }), true},
			{evening, with(func(a *Alarm) { a.Kind = "conflict" }), true},
			{evening, with(func(a *Alarm) { a.Task = "" }), true},
			{evening, with(func(a *Alarm) { a.Key = "y" }), true},
			{evening + second/2, same, false},
			{evening + second, same, true},
			{evening + 2*second, same, false},
		}
		stored := 0
		for i, s := range steps {
			if err := db.Tx(ctx, func(q *meta.Queries) error { return Raise(ctx, q, s.at, s.alarm) }); err != nil {
				t.Fatal(err)
			}
			if s.fresh {
				stored++
			}
			events, err := db.Read().Events(ctx, meta.EventFilter{Limit: 100})
			if err != nil || len(events) != stored {
				t.Errorf("after step %d %d alarms are stored, %v; want %d", i, len(events), err, stored)
			}
		}
		events, err := db.Read().Events(ctx, meta.EventFilter{Device: "a", Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		first := events[len(events)-1]
		for _, e := range events {
			if e.Kind == same.Kind && e.Task == same.Task && e.ReceivedAt == evening {
				first = e
			}
			if e.Class != int64(wire.ClassAlarm) {
				t.Errorf("%s has class %d", e.ID, e.Class)
			}
		}
		var detail map[string]any
		if err := json.Unmarshal([]byte(first.Detail), &detail); err != nil || detail["reason"] != "digest" {
			t.Errorf("the detail of the first is %s, %v", first.Detail, err)
		}
	})
}
