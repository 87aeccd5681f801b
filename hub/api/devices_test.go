package api

import (
	"strings"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

// TestWhy explains what a device runs, for every way in which it may differ from what it should.
func TestWhy(t *testing.T) {
	assigned := func(generation uint64) spec.Desired {
		return spec.Desired{Assignments: map[string]spec.Assignment{
			"flow": {Digest: "new", Generation: generation, Rollout: "r-1"},
		}}
	}
	reported := func(champion string, a *spec.ReportedAssignment) *spec.Reported {
		return &spec.Reported{Tasks: map[string]spec.ReportedTask{
			"flow": {Champion: champion, Assignment: a},
		}}
	}
	suspect := assigned(2)
	suspect.Suspect = true
	for _, tt := range []struct {
		name   string
		device meta.Device
		want   spec.Desired
		have   *spec.Reported
		reason string
	}{
		{"nothing assigned", meta.Device{}, spec.Desired{}, reported("old", nil), "nothing is assigned; the device keeps"},
		{"baselines", meta.Device{}, spec.Desired{}, reported("", nil), "the task runs on its baselines"},
		{"revoked", meta.Device{RevokedAt: 1}, assigned(2), reported("old", nil), "the device is revoked"},
		{"suspect", meta.Device{Suspect: "two of them"}, suspect, reported("old", nil), "pushes are stopped: two of them"},
		{"never reported", meta.Device{}, assigned(2), nil, "has not reported on it and has no link"},
		{"on its way", meta.Device{Connected: true}, assigned(2), reported("old", &spec.ReportedAssignment{Generation: 1}), "by rollout r-1; the device has not reported on it"},
		{"vetoed", meta.Device{}, assigned(2), reported("old", &spec.ReportedAssignment{Generation: 2, Phase: spec.PhaseVetoed, Reason: "too slow"}), "vetoed: too slow"},
		{"active", meta.Device{}, assigned(2), reported("new", &spec.ReportedAssignment{Generation: 2, Phase: spec.PhaseActive}), "active, by rollout r-1"},
	} {
		got := why(tt.device, tt.want, tt.have)["flow"]
		if !strings.Contains(got.Reason, tt.reason) || got.Desired != tt.want.Assignments["flow"].Digest {
			t.Errorf("%s: why = %+v, want %q", tt.name, got, tt.reason)
		}
		if tt.have != nil && got.Running != tt.have.Tasks["flow"].Champion {
			t.Errorf("%s: running %q, want %q", tt.name, got.Running, tt.have.Tasks["flow"].Champion)
		}
	}
}
