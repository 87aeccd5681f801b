package api_test

import (
	"net/http"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/replay"
)

// TestPredictions recomputes a row of an agent from before marks, whose state cannot be known, and
// is told what is missing; what there is not is named.
func TestPredictions(t *testing.T) {
	f := newFixture(t)
	viewer := f.login("viewer")
	f.device("pump-1")
	f.stage("pump-1", 20)
	f.tx(func(q *meta.Queries) error {
		return q.PutTask(t.Context(), meta.Task{
			Name:      "flow",
			Kind:      "forecast",
			Spec:      "task: flow\nkind: forecast\ntarget: {series: flow, horizon: 1h}\ninputs:\n  - {series: flow, topic: t, unit: l/s}\nrows: {on: flow}\n",
			Hash:      "h",
			FirstSeen: 1,
			LastSeen:  2,
		}, "pump-1")
	})
	var p replay.Prediction
	f.get("/v1/predictions/pump-1/flow?time=1006", viewer, &p)
	if p.Status != replay.Unknown || len(p.Missing) != 1 || p.Missing[0].What != "marks" || p.Row != 1006 || p.For != 1006+3600e6 ||
		p.Computed.Value != 6 || p.Published != nil || len(p.Explained.Inputs) != 1 || p.Explained.Inputs[0].Value != 6 {
		t.Errorf("the prediction of row 1006 = %+v", p)
	}
	var c replay.Checked
	f.get("/v1/predictions/pump-1/flow/check", viewer, &c)
	if c.Sent != 0 || c.Drawn != 0 {
		t.Errorf("a check of nothing that came = %+v", c)
	}
	var now replay.Running
	f.get("/v1/replay", viewer, &now)
	if now != (replay.Running{}) {
		t.Errorf("a replay runs after its request: %+v", now)
	}
	f.explained("GET", "/v1/predictions/pump-1/flow?time=1007", viewer, "", http.StatusNotFound, "1970-01-01T00:00:00.001006Z", "00.001008Z")
	f.explained("GET", "/v1/predictions/pump-1/flows?time=1006", viewer, "", http.StatusNotFound, "flows", "sent nothing")
	f.explained("GET", "/v1/predictions/pump-2/flow?time=1006", viewer, "", http.StatusNotFound, "pump-2")
	f.explained("GET", "/v1/predictions/pump-1/flow", viewer, "", http.StatusUnprocessableEntity, "time")
	f.explained("GET", "/v1/predictions/pump-1/flow/check?from=9&to=8", viewer, "", http.StatusUnprocessableEntity, "from", "9", "8")
}
