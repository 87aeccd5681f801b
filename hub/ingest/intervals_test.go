package ingest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/sync/wire"
)

// TestIntervals compares the interval set with a plain set of numbers.
func TestIntervals(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		var s intervals
		have := map[uint64]bool{}
		for range 30 {
			from := 1 + rng.Uint64N(60)
			r := wire.Range{From: from, To: from + rng.Uint64N(8)}
			s = s.add(r)
			for n := r.From; n <= r.To; n++ {
				have[n] = true
			}
			var want intervals
			for n := uint64(1); n < 80; n++ {
				switch k := len(want); {
				case !have[n]:
				case k > 0 && want[k-1].To == n-1:
					want[k-1].To = n
				default:
					want = append(want, wire.Range{From: n, To: n})
				}
			}
			if !slices.Equal(s, want) {
				t.Fatalf("after adding %v the set is %v, want %v", r, s, want)
			}
			set := s.set(wire.Run{}, wire.ClassReading)
			mark := uint64(0)
			for have[mark+1] {
				mark++
			}
			if set.Mark != mark {
				t.Fatalf("mark of %v = %d, want %d", s, set.Mark, mark)
			}
		}
	}
}
