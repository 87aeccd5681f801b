package metric

import (
	"math"
	"slices"
)

// Interval is a prediction with its interval and what came true.
type Interval struct {
	Truth, Predicted float64
	Lower, Upper     float64 // NaN for none
}

// IntervalSummary is how intervals did, as means over the rows that were scored.
type IntervalSummary struct {
	Rows            int
	Coverage, Width float64
	Widest          float64
	Score           float64 // see [IntervalScore]
}

func (s *IntervalSummary) add(lo, hi, y, level float64) {
	s.Rows++
	n := float64(s.Rows)
	covered := 0.0
	if lo <= y && y <= hi {
		covered = 1
	}
	s.Coverage += (covered - s.Coverage) / n
	s.Width += (hi - lo - s.Width) / n
	s.Widest = max(s.Widest, hi-lo)
	s.Score += (IntervalScore(lo, hi, y, level) - s.Score) / n
}

// CompareIntervals scores rows[from:], and beside them the plainest of all intervals around the
// same predictions: a constant half-width, the level-quantile of the sizes of the newest window
// errors that were known when the row was predicted. late is how many rows later a label comes.
// Rows with too few errors before them, and those without an interval, are left out of both.
func CompareIntervals(rows []Interval, level float64, window, late, from int) (own, constant IntervalSummary) {
	errs := make([]float64, len(rows))
	for i, r := range rows {
		errs[i] = math.Abs(r.Truth - r.Predicted)
	}
	for i := max(from, window+late); i < len(rows); i++ {
		r := &rows[i]
		if math.IsNaN(r.Lower) || math.IsNaN(r.Upper) {
			continue
		}
		known := slices.Clone(errs[i-late-window+1 : i-late+1])
		slices.Sort(known)
		half := known[min(int(level*float64(window)), window-1)]
		own.add(r.Lower, r.Upper, r.Truth, level)
		constant.add(r.Predicted-half, r.Predicted+half, r.Truth, level)
	}
	return own, constant
}
