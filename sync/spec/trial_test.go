package spec

import (
	"math"
	"testing"
)

// TestWorse: losses settle that a candidate is worse when they span the task's cycle and what the
// hub measured does not speak against it, or when they are gross.
func TestWorse(t *testing.T) {
	const day = int64(24 * 3600e6)
	hub := &Evidence{Rows: 6300, Incumbent: 1, Diff: -0.5}
	for _, tt := range []struct {
		name           string
		rows, days     int64
		diff, half     float64
		evidence       *Evidence
		worse, settled bool
	}{
		{"better", 190, 2, -0.1, 0.05, nil, false, false},
		{"within the margin", 700, 8, 0.09, 0.05, nil, false, false},
		{"worse on a holiday", 190, 2, 0.3, 0.1, nil, true, false},
		{"worse over a week", 700, 8, 0.3, 0.1, nil, true, true},
		{"worse on many fast rows", 2000, 0, 0.3, 0.1, nil, true, true},
		{"gross on a holiday", 190, 2, 1.2, 0.1, nil, true, true},
		{"not a number", 190, 2, math.NaN(), 0.1, nil, true, true},
		{"worse over a week, better at the hub", 700, 8, 0.3, 0.1, hub, true, false},
		{"far worse over a week, better at the hub", 700, 8, 0.9, 0.1, hub, true, true},
		{"worse than a hub knows by few rows", 700, 8, 0.3, 0.1, &Evidence{Rows: 100, Incumbent: 1, Diff: -0.5}, true, true},
		{"gross, better at the hub", 190, 2, 1.2, 0.1, hub, true, true},
	} {
		n := float64(tt.rows)
		p := Paired{Labelled: tt.rows, From: 1000 * day, To: (1000 + tt.days) * day, SumIncumbent: n, SumDiff: tt.diff * n}
		trial := Trial{MaxRegression: 0.05, Cycle: 7 * day, Evidence: tt.evidence}
		if worse, settled := trial.Worse(p, tt.half); worse != tt.worse || settled != tt.settled {
			t.Errorf("%s: Worse = %v, settled %v, want %v, %v", tt.name, worse, settled, tt.worse, tt.settled)
		}
	}
	if worse, _ := (Trial{}).Worse(Paired{}, 0); worse {
		t.Error("no row shows that a candidate is worse")
	}
	if _, settled := (Trial{MaxRegression: 0.05}).Worse(Paired{Labelled: 50, SumIncumbent: 50, SumDiff: 25}, 0.1); !settled {
		t.Error("a hub that names no cycle asks for none")
	}
}
