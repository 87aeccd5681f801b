package ingest_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"skerry.dev/configs"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/spec"
)

// state encodes what a device reports.
func state(t *testing.T, sender string, r spec.Reported) ingest.State {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return ingest.State{Device: sender, Data: b}
}

// TestStored stores what devices report: the newest document, its tasks, and one event. What
// is not a state of its sender is ignored and holds nothing back.
func TestStored(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		r, ctx := newRig(t, d, configs.HubIngest{}), t.Context()
		pm := spec.ReportedTask{Kind: "forecast", Spec: "name: pm", SpecHash: "aa"}
		newest := state(t, "dev-1", spec.Reported{
			Device:     "dev-1",
			Version:    "v3",
			Class:      "linux/arm64",
			Generation: 8,
			Tasks:      map[string]spec.ReportedTask{"pm": pm, "no2": {Kind: "anomaly", SpecHash: "bb"}},
		})
		if err := errors.Join(r.in.States(ctx, []ingest.State{
			state(t, "dev-1", spec.Reported{Device: "dev-1", Generation: 7, Tasks: map[string]spec.ReportedTask{"pm": pm}}),
			{Device: "dev-1", Data: []byte("not JSON")},
			state(t, "dev-1", spec.Reported{Device: "dev-2", Generation: 99}), // of another
			state(t, "dev-9", spec.Reported{Device: "dev-9"}),                 // deleted meanwhile
			newest,
		})...); err != nil {
			t.Fatal(err)
		}
		got, err := r.db.Read().AllReported(ctx)
		if err != nil || len(got) != 1 || got[0].Device != "dev-1" || got[0].Generation != 8 || got[0].Document != string(newest.Data) || got[0].At == 0 {
			t.Errorf("AllReported = %+v, %v, want the newest state of dev-1 as it came", got, err)
		}
		dev, err := r.db.Read().Device(ctx, "dev-1")
		if err != nil || dev.Version != "v3" || dev.Class != "linux/arm64" || dev.SeenAt == 0 {
			t.Errorf("Device = %+v, %v, want its version and class", dev, err)
		}
		task, err := r.db.Read().Task(ctx, "pm")
		if err != nil || task.Kind != "forecast" || task.Spec != "name: pm" || task.Hash != "aa" {
			t.Errorf("Task = %+v, %v", task, err)
		}
		if devices, err := r.db.Read().TaskDevices(ctx, "no2"); err != nil || !slices.Equal(devices, []string{"dev-1"}) {
			t.Errorf("TaskDevices = %v, %v", devices, err)
		}
		events := r.feed(t, feed.KindState)
		if len(events) != 1 || events[0].Device != "dev-1" || string(events[0].Detail) != `{"tasks":{"no2":"bb","pm":"aa"}}` {
			t.Errorf("the feed has %+v, want one event, of the newest state", events)
		}
	})
}

// TestStatesFail: the error of the database is returned, for the source to send the batch again.
func TestStatesFail(t *testing.T) {
	r := newRig(t, metatest.SQLite(t), configs.HubIngest{})
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.in.States(t.Context(), []ingest.State{state(t, "dev-1", spec.Reported{Device: "dev-1"})})...); err == nil {
		t.Error("States on a closed database = nil, want its error")
	}
}
