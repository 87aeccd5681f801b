package spec

import (
	"math"
	"strings"
	"testing"

	"skerry.dev/compute/sequential"
)

const day = int64(24 * 3600e6)

// losses has n pairs, evenly spread over days, of an incumbent with a mean loss of 1 and a candidate
// whose loss differs by diff and by noise that has no trend.
func losses(n, days int64, diff, noise float64) Paired {
	p := Paired{Labelled: n, From: 1000 * day, To: (1000 + days) * day}
	for i := range n {
		d := diff + noise*math.Sin(float64(13*i*i))
		p.Blocks.Add(p.From+i*(p.To-p.From)/n+i, 1, 1+d)
		p.SumIncumbent++
		p.SumCandidate += 1 + d
		p.SumDiff += d
	}
	return p
}

// TestJudge: losses settle that a candidate is worse, or that it is not, when they span the task's
// cycle and what the hub measured does not speak against it, or when they are gross.
func TestJudge(t *testing.T) {
	const pass, fail, inconclusive = sequential.Pass, sequential.Fail, sequential.Inconclusive
	hub := &Evidence{Rows: 6300, Incumbent: 1, Diff: -0.5}
	passed := &Evidence{Rows: 6300, Incumbent: 1, Diff: -0.5, Passed: true}
	for _, tt := range []struct {
		name     string
		p        Paired
		devices  int
		evidence *Evidence
		outcome  sequential.Verdict
		worse    bool
		reason   string
	}{
		{"nothing", Paired{}, 1, nil, inconclusive, false, "0 labelled rows are too few"},
		{"few rows", losses(11, 8, -0.5, 0.1), 1, nil, inconclusive, false, "too few"},
		{"few rows after the hub's evidence", losses(11, 8, -0.5, 0.1), 1, passed, pass, false, ""},
		{"few rows that are far worse after the hub's evidence", losses(11, 8, 2, 0.1), 1, passed, inconclusive, true, "far worse on the first 11 rows"},
		{"better over a week", losses(700, 8, -0.3, 0.1), 1, nil, pass, false, ""},
		{"equal over a week", losses(700, 8, 0, 0.1), 1, nil, pass, false, ""},
		{"better for two days", losses(190, 2, -0.3, 0.1), 1, nil, inconclusive, false, "span 168h0m0s"},
		{"better on many fast rows", losses(2100, 1, -0.3, 0.1), 1, nil, pass, false, ""},
		{"better on many fast rows of many devices", losses(2100, 1, -0.3, 0.1), 5, nil, inconclusive, false, "span 168h0m0s"},
		{"equal with much noise", losses(700, 8, 0, 2), 1, nil, inconclusive, false, "neither better nor worse; it would take some"},
		{"within the margin with much noise", losses(700, 8, 0.06, 0.5), 1, nil, inconclusive, false, "neither better nor worse"},
		{"worse on a holiday", losses(190, 2, 0.5, 0.1), 1, nil, inconclusive, true, "worse so far: it waits for rows that span 168h0m0s"},
		{"worse over a week", losses(700, 8, 0.3, 0.1), 1, nil, fail, true, "loss is 1.3 against the incumbent's 1 on 700 labelled rows"},
		{"worse on many fast rows", losses(2100, 1, 0.3, 0.1), 1, nil, fail, true, "loss is 1."},
		{"gross on a holiday", losses(190, 2, 1.5, 0.1), 1, nil, fail, true, "loss is 2."},
		{"worse over a week, better at the hub", losses(700, 8, 0.3, 0.1), 1, hub, inconclusive, true, "better at the hub"},
		{"far worse over a week, better at the hub", losses(700, 8, 0.9, 0.1), 1, passed, fail, true, "loss is 1.9"},
		{"worse than a hub knows by few rows", losses(700, 8, 0.3, 0.1), 1, &Evidence{Rows: 100, Incumbent: 1, Diff: -0.5}, fail, true, "loss is 1."},
		{"gross, better at the hub", losses(190, 2, 1.5, 0.1), 1, passed, fail, true, "loss is 2."},
	} {
		trial := Trial{MaxRegression: 0.05, Cycle: 7 * day, Evidence: tt.evidence}
		j := trial.Judge(tt.p, 0.01, tt.devices)
		if j.Outcome != tt.outcome || j.Worse != tt.worse || !strings.Contains(j.Reason, tt.reason) || (j.Reason == "") != (tt.outcome == pass) {
			t.Errorf("%s: %s, worse %v, reason %q, half %.3g; want %s, %v, %q", tt.name, j.Outcome, j.Worse, j.Reason, j.Half, tt.outcome, tt.worse, tt.reason)
		}
	}
	if j := (Trial{MaxRegression: 0.05}).Judge(losses(250, 1, 0.5, 0.1), 0.01, 1); j.Outcome != fail {
		t.Error("a hub that names no cycle asks for none")
	}
}

// TestNeeds: what it is said to take is what it takes.
func TestNeeds(t *testing.T) {
	trial := Trial{MaxRegression: 0.05}
	j := trial.Judge(losses(700, 8, 0, 0.8), 0.01, 1)
	n := j.Needs(0.05)
	if j.Outcome != sequential.Inconclusive || !(n > 700 && n < 1e5) {
		t.Fatalf("%s, needs %v", j.Outcome, n)
	}
	if j := trial.Judge(losses(int64(1.5*n), 20, 0, 0.8), 0.01, 1); j.Outcome != sequential.Pass {
		t.Errorf("with 1.5 times %v rows: %s, half %v", n, j.Outcome, j.Half)
	}
	for _, p := range []Paired{losses(700, 8, 0.1, 0.8), losses(5, 8, 0, 0.8)} {
		if j := trial.Judge(p, 0.01, 1); !math.IsInf(j.Needs(0.05), 1) {
			t.Errorf("needs %v where it is worse or unknown", j.Needs(0.05))
		}
	}
}

// TestDeviceAlpha: a device has a part of a trial's α, and of the usual where the hub names none.
func TestDeviceAlpha(t *testing.T) {
	if a, b := (Trial{Alpha: 0.1}).DeviceAlpha(), (Trial{}).DeviceAlpha(); a != 0.002 || b != 0.001 {
		t.Errorf("α of a device %v, %v", a, b)
	}
}
