package artifact

import (
	"math"
	"testing"
)

// TestWiden holds both kinds of calibration, and that the level lies between two scores.
func TestWiden(t *testing.T) {
	nan := math.NaN()
	c := Calibration{Level: 0.75, Scores: []float64{1, 2, 4}} // at 1.5: 3
	for _, x := range []struct {
		c                   Calibration
		value, lower, upper float64
		lo, hi              float64
	}{
		{c, 10, nan, nan, 7, 13},
		{c, 10, 9, 12, 7, 16},
		{c, 10, 11, 12, 10, 16}, // quantiles that cross do not turn an interval inside out
		{Calibration{Level: 0.9, Scores: []float64{2}}, 0, nan, nan, -2, 2},
		{Calibration{Level: 0.9}, 10, 9, 12, 9, 12},
	} {
		if lo, hi := x.c.Widen(x.value, x.lower, x.upper); lo != x.lo || hi != x.hi {
			t.Errorf("%+v.Widen(%v, %v, %v) = %v, %v, want %v, %v", x.c, x.value, x.lower, x.upper, lo, hi, x.lo, x.hi)
		}
	}
}
