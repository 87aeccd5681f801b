package main

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/replay"
)

// TestShowPrediction holds what people read of a prediction, known and unknown.
func TestShowPrediction(t *testing.T) {
	nan := meta.Float(math.NaN())
	p := &replay.Prediction{
		Device:    "pump-1",
		Task:      "flow",
		Row:       1_790_000_000_000_000,
		For:       1_790_003_600_000_000,
		Status:    replay.Equal,
		Computed:  replay.Values{Value: 12.5, Lower: 11, Upper: 14, Model: strings.Repeat("ab", 32)},
		Published: &replay.Values{Value: 12.5, Lower: 11, Upper: 14, Model: strings.Repeat("ab", 32)},
		Explained: replay.Explanation{
			Inputs:   []replay.InputValue{{Series: "q", Unit: "l/s", Value: 12}, {Series: "wind", Value: 1, Category: "NW"}, {Series: "gone", Value: nan}},
			Experts:  []replay.Expert{{Name: "model", Weight: 0.75, Value: 12.75}, {Name: "last", Weight: 0.25, Value: 12}},
			Adapts:   true,
			Level:    0.9,
			Coverage: 0.91,
			Error:    0.4,
			Labels:   321,
			Shares: &replay.Shares{Method: "tree-shap", Expected: 0.1, Score: 0.75, Features: []replay.Share{
				{Feature: "q_lag_1h", Value: 11, Share: 0.6}, {Feature: "hour", Value: 3, Share: 0.05}}},
		},
	}
	text := showPrediction(p, 1)
	for _, want := range []string{
		"pump-1 flow: row 2026-09-21T14:13:20Z, about 2026-09-21T15:13:20Z", "computed    12.5 (11 to 14) with model abababababab", "equal, bit for bit",
		"NW", "gone                         none", "75.0%", "321 labels learned", "0.91 of the truths", "expected 0.1, here 0.75", "q_lag_1h", "+0.6",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "hour") {
		t.Errorf("more than one feature in\n%s", text)
	}
	p.Status, p.Reason = replay.Unknown, "something is gone"
	p.Missing = []replay.Missing{{What: "readings", Run: "r7", From: 5, To: 9, Why: "lost"}}
	p.Explained.Shares, p.Explained.NoShares = nil, "it is linear"
	text = showPrediction(p, 1)
	for _, want := range []string{"unknown: something is gone", "missing     readings 5 to 9 of run r7: lost", "no shares of features: it is linear"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestWriteRehearsal holds the table of a rehearsal: changes as shares of the incumbent's loss, with
// what is not known.
func TestWriteRehearsal(t *testing.T) {
	nan := meta.Float(math.NaN())
	good := &replay.Rehearsal{
		Device:    "pump-1",
		Model:     replay.Change{Rows: 500, Incumbent: 0.5, Candidate: 0.45, Diff: -0.05, Half: 0.02, NextHalf: 0.04},
		Published: replay.Change{Rows: 500, Incumbent: 0.4, Candidate: 0.38, Diff: -0.02, Half: 0.01, NextHalf: 0.02},
		Interval:  replay.IntervalChange{Rows: 500, Incumbent: 2, Candidate: 1.9, Coverage: 0.9, CandidateCoverage: 0.905},
		ShadowS:   7200,
	}
	bad := &replay.Rehearsal{
		Device:    "pump-2",
		Model:     replay.Change{Rows: 40, Incumbent: 0.5, Candidate: 1, Diff: 0.5, Half: nan, NextHalf: nan},
		Published: replay.Change{Incumbent: nan, Candidate: nan, Diff: nan, Half: nan, NextHalf: nan},
		Veto:      "its mean loss is above",
		VetoAt:    1_790_000_000_000_000,
		Note:      "trained until yesterday",
		Missing:   []replay.Missing{{What: "marks", Why: "none came"}},
	}
	var b bytes.Buffer
	if err := writeRehearsal(&b, "flow@3", &api.Rehearsed{Devices: []*replay.Rehearsal{good, bad}, All: good, Vetoes: 1, Expect: "inconclusive", Takes: 9000}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"flow@3 over the recorded rows of 2 devices: by the models alone inconclusive; 1 would veto; the rollout takes about 2h30m0s.",
		"-10.0 % ± 4.0", "-10.0 % ± 8.0", "-5.0 % ± 2.5", "90.0 % → 90.5 %", "+100.0 % ± ?", "yes, 2026-09-21T14:13:20Z",
		"pump-2 would veto: its mean loss is above", "pump-2: trained until yesterday", "approximate: marks: none came", "not known",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
