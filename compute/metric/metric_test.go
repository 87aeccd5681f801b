package metric

import (
	"math"
	"testing"

	"skerry.dev/compute/state"
)

func TestTrail(t *testing.T) {
	tr := Trail{N: 10}
	for _, x := range []float64{1, 2, math.NaN(), 3} {
		tr.Add(x)
	}
	if tr.Mean() != 2 || tr.Count() != 3 {
		t.Errorf("mean %v of %d, want the plain mean 2 of 3", tr.Mean(), tr.Count())
	}
	for range 200 {
		tr.Add(7)
	}
	if math.Abs(tr.Mean()-7) > 1e-6 {
		t.Errorf("mean %v, want it to forget", tr.Mean())
	}
	var w state.Writer
	tr.Save(&w)
	got := Trail{N: 10}
	got.Load(&state.Reader{B: w.B})
	if got != tr {
		t.Errorf("loaded %+v, want %+v", got, tr)
	}
}

func TestIntervalScore(t *testing.T) {
	for _, tt := range []struct{ lo, hi, y, want float64 }{{0, 2, 1, 2}, {0, 2, 3, 22}, {0, 2, -1, 22}} {
		if got := IntervalScore(tt.lo, tt.hi, tt.y, 0.9); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("IntervalScore(%v, %v, %v) = %v, want %v", tt.lo, tt.hi, tt.y, got, tt.want)
		}
	}
}
