package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
)

// TestFleet looks at a fleet of two devices, one of which never reported, and of two tasks, one of
// which is written in a form that this hub cannot read.
func TestFleet(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	err := f.db.Tx(ctx, func(q *meta.Queries) error {
		for _, name := range []string{"a", "b"} {
			if err := q.InsertDevice(ctx, meta.Device{Name: name, Site: "north", PublicKey: name}); err != nil {
				return err
			}
		}
		if err := q.PutTask(ctx, meta.Task{Name: "flow", Kind: "forecast", Spec: "task: flow\nkind: forecast\ntarget: {series: q, horizon: 1h}\ninputs:\n  - {series: q, topic: t, unit: l/s}\nrows: {on: q}\n"}, "a"); err != nil {
			return err
		}
		if err := q.PutTask(ctx, meta.Task{Name: "newer", Kind: "forecast", Spec: "task: newer\nunheard_of: 1\n"}, "a"); err != nil {
			return err
		}
		return q.PutReported(ctx, meta.Document{Device: "a", Document: `{"health":"degraded","reasons":["hot"],"tasks":{"flow":{"kind":"forecast","mae":2,"mae_persistence":4,"coverage":0.9,"labels":5,
			"assignment":{"phase":"shadow","digest":"d","reason":"r"}}},"outbox":{"offline_days":-1}}`, At: 7})
	})
	if err != nil {
		t.Fatal(err)
	}
	code, reply := f.do("GET", "/v1/fleet", f.login("viewer"), "")
	var fleet api.Fleet
	if err := json.Unmarshal([]byte(reply), &fleet); err != nil || code != http.StatusOK {
		t.Fatalf("GET /v1/fleet = %d %s: %v", code, reply, err)
	}
	if len(fleet.Devices) != 2 || len(fleet.Tasks) != 2 {
		t.Fatalf("GET /v1/fleet has %d devices and %d tasks, want 2 and 2", len(fleet.Devices), len(fleet.Tasks))
	}
	a, b := fleet.Devices[0], fleet.Devices[1]
	if a.Health != "degraded" || a.ReportedAt != 7 || len(a.Tasks) != 1 || a.Tasks[0].MAE != 2 || a.Tasks[0].Baseline != 4 || a.Tasks[0].Phase != "shadow" || a.Outbox == nil {
		t.Errorf("device a = %+v", a)
	}
	if b.Health != "unknown" || b.Outbox != nil || b.Tasks == nil || b.Reasons == nil {
		t.Errorf("a device that never reported = %+v, want unknown health and empty lists", b)
	}
	if x := fleet.Tasks[0]; x.Unit != "l/s" || x.Horizon != 3600 || x.Target != "q" || x.Devices != 1 || x.Champion != "" {
		t.Errorf("task flow = %+v", x)
	}
	if x := fleet.Tasks[1]; x.Name != "newer" || x.Unit != "" {
		t.Errorf("a task this hub cannot read = %+v, want its name alone", x)
	}
}
