package api_test

import (
	"encoding/json"
	"math"
	"testing"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
)

// TestRehearse asks for a rehearsal: of devices that have sent nothing it says so, and what a caller
// gets wrong is named. What it computes is held by test/reproduce.
func TestRehearse(t *testing.T) {
	f := newFixture(t)
	operator, viewer := f.login("operator"), f.login("viewer")
	for _, name := range []string{"pump-1", "pump-2"} {
		f.device(name)
		f.task("flow", name)
	}
	f.tx(func(q *meta.Queries) error {
		for _, name := range []string{"pump-1", "pump-2"} {
			if err := q.PutTaskDevice(t.Context(), meta.TaskDevice{Task: "flow", Device: name, Hash: "h", LastSeen: meta.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	m := f.model("flow", "one")
	spec := func(more string) string { return `{"task":"flow","digest":"` + m.Digest + `"` + more + `}` }
	var r api.Rehearsed
	reply := f.send("POST", "/v1/rollouts/rehearse", operator, spec(`,"rehearse_s":86400`), 200)
	if err := json.Unmarshal([]byte(reply), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Devices) != 2 || len(r.Cohorts) != 1 || r.Expect != "inconclusive" || r.Vetoes != 0 || r.Takes != 0 || r.Spec.MinShadow != 48 ||
		r.All.Model.Rows != 0 || !math.IsNaN(float64(r.All.Model.Diff)) || r.Devices[0].Note == "" {
		t.Errorf("rehearsed = %s", reply)
	}
	f.explained("POST", "/v1/rollouts/rehearse", operator, spec(""), 422, "rehearse_s")
	f.explained("POST", "/v1/rollouts/rehearse", operator, spec(`,"rehearse_s":5`), 422, "rehearse_s", "60")
	f.explained("POST", "/v1/rollouts/rehearse", operator, spec(`,"rehearse_s":86400,"alpha":2`), 422, "alpha")
	f.explained("POST", "/v1/rollouts/rehearse", viewer, spec(`,"rehearse_s":86400`), 403, "operator")
}
