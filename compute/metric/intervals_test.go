package metric

import (
	"math"
	"testing"
)

// TestCompareIntervals works the figures out by hand: errors of 1 but for every tenth, which is 5.
func TestCompareIntervals(t *testing.T) {
	var rows []Interval
	for i := range 60 {
		e := 1.0
		if i%10 == 9 {
			e = 5
		}
		r := Interval{Truth: e, Lower: -2, Upper: 2}
		if i == 59 {
			r.Lower, r.Upper = math.NaN(), math.NaN()
		}
		rows = append(rows, r)
	}
	// Of 20 known errors the 19th in order is 5: constant intervals are of width 10 and cover all.
	own, constant := CompareIntervals(rows, 0.9, 20, 3, 0)
	if own.Rows != 36 || constant.Rows != 36 {
		t.Fatalf("%d and %d rows scored, want 36: those after 23 but the one without an interval", own.Rows, constant.Rows)
	}
	if want := 1 - 3./36; math.Abs(own.Coverage-want) > 1e-12 || math.Abs(own.Width-4) > 1e-12 || own.Widest != 4 {
		t.Errorf("own = %+v, want coverage %v and width 4", own, want)
	}
	if want := 4 + 20*3.0*3/36; math.Abs(own.Score-want) > 1e-9 {
		t.Errorf("own score %v, want %v", own.Score, want)
	}
	if constant.Coverage != 1 || math.Abs(constant.Width-10) > 1e-12 || math.Abs(constant.Score-10) > 1e-12 {
		t.Errorf("constant = %+v, want width and score 10, all covered", constant)
	}
	if own, _ := CompareIntervals(rows, 0.9, 20, 3, 50); own.Rows != 9 {
		t.Errorf("%d rows scored from 50 on, want 9", own.Rows)
	}
	// what comes too late is not known: the error of the row before does not widen the interval
	rows[30].Truth = 1000
	if _, constant = CompareIntervals(rows[:33], 0.9, 20, 3, 32); constant.Widest != 10 {
		t.Errorf("width %v with an error whose label has not come, want 10", constant.Widest)
	}
}
