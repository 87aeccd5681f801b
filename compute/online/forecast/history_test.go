package forecast

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestHistoryKeepsItsSpan compares values and span with those of a plain slice, through gaps,
// long gaps and many turns of the buffer.
func TestHistoryKeepsItsSpan(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	h := newHistory(20)
	var all, real []float64
	var gaps []bool
	for i := range 2000 {
		y, filled := float64(rng.IntN(50)), rng.IntN(4) == 0 || i%200 < 30
		h.push(y, filled)
		all, gaps = append(all, y), append(gaps, filled)
		from := max(len(all)-20, 0)
		if real = real[:0]; !slices.Equal(h.values(), all[from:]) {
			t.Fatalf("row %d: keeps %v, want %v", i, h.values(), all[from:])
		}
		for k := from; k < len(all); k++ {
			if !gaps[k] {
				real = append(real, all[k])
			}
		}
		if len(real) == 0 {
			real = append(real, all[from:]...)
		}
		if lo, hi := h.span(); lo != slices.Min(real) || hi != slices.Max(real) {
			t.Fatalf("row %d: span %v to %v, want %v to %v", i, lo, hi, slices.Min(real), slices.Max(real))
		}
		if i%7 == 0 {
			h.push(y, filled) // without asking for the span in between
			all, gaps = append(all, y), append(gaps, filled)
		}
	}
}
