package conformal

import (
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/state"
)

// streamed plays n errors of size(i) with the expectation expect(i) and returns coverage, mean width
// and the widest interval of the second half.
func streamed(t *testing.T, n int, late int, size, expect func(i int, rng *rand.Rand) float64) (cover, width, widest float64, b *Blend) {
	t.Helper()
	b = NewBlend(0.9, 500)
	rng := rand.New(rand.NewPCG(5, 5))
	type waiting struct {
		i    Issue
		miss float64
		ok   bool
	}
	var queue []waiting
	typical, seen, issued := 0.0, 0.0, 0.0
	for i := range n {
		h := expect(i, rng)
		issue, ok := b.Make(Halves{h, h}, typical)
		miss := size(i, rng)
		if ok && i > n/2 {
			issued++
			w := issue.Issued.Below + issue.Issued.Above
			width, widest = width+w, max(widest, w)
			if -issue.Issued.Below <= miss && miss <= issue.Issued.Above {
				cover++
			}
		}
		if queue = append(queue, waiting{issue, miss, ok}); len(queue) <= late {
			continue
		}
		q := queue[0]
		queue = queue[1:]
		if q.ok {
			b.Update(&q.i, q.miss, float64(late))
		}
		seen++
		typical += (math.Abs(q.miss) - typical) / min(seen, 500)
	}
	return cover / issued, width / issued, widest, b
}

// TestBlendFollowsWhatHelps: where the expectation tells rows apart intervals follow it, where it is
// noise they are nearly constant; either way they cover what they promise.
func TestBlendFollowsWhatHelps(t *testing.T) {
	sizes := func(i int) float64 { return []float64{1, 10}[i/7%2] }
	told := func(i int, _ *rand.Rand) float64 { return sizes(i) }
	noise := func(_ int, rng *rand.Rand) float64 { return math.Exp(1.5 * rng.NormFloat64()) }
	wave := func(i int, rng *rand.Rand) float64 { return sizes(i) * rng.NormFloat64() }
	flat := func(_ int, rng *rand.Rand) float64 { return rng.NormFloat64() }
	for _, tt := range []struct {
		name         string
		late         int
		size, expect func(int, *rand.Rand) float64
		best, most   float64 // width of the best intervals, and how many times that is allowed
	}{
		{"it tells rows apart", 0, wave, told, 2 * 1.645 * 5.5, 1.1},
		{"it tells rows apart, late", 50, wave, told, 2 * 1.645 * 5.5, 1.2},
		{"it is noise", 0, flat, noise, 2 * 1.645, 1.06},
		{"it is noise, late", 50, flat, noise, 2 * 1.645, 1.06},
	} {
		cover, width, _, _ := streamed(t, 20_000, tt.late, tt.size, tt.expect)
		if cover < 0.885 || cover > 0.915 || width > tt.most*tt.best {
			t.Errorf("%s: coverage %.3f, width %.3g, want 0.9 and about %.3g", tt.name, cover, width, tt.best)
		}
	}
}

// TestNoIntervalWithoutAScale: while every error is 0 there is no interval; the first errors, with
// expectations of nearly 0 before them, make none that is out of all proportion.
func TestNoIntervalWithoutAScale(t *testing.T) {
	if _, ok := NewBlend(0.9, 500).Make(Halves{1, 1}, 0); ok {
		t.Error("an interval without a scale")
	}
	nan := math.NaN()
	if _, ok := NewBlend(0.9, 500).Make(Halves{nan, nan}, 1); ok {
		t.Error("an interval without an expectation")
	}
	still := func(i int, rng *rand.Rand) float64 {
		if i < 1000 {
			return 1e-9 * rng.NormFloat64()
		}
		return 10 * rng.NormFloat64()
	}
	tiny := func(i int, _ *rand.Rand) float64 { return []float64{1e-12, 5}[min(i/1100, 1)] }
	cover, width, widest, _ := streamed(t, 3000, 0, still, tiny)
	if cover < 0.87 || width > 60 || widest > 200 {
		t.Errorf("coverage %.3f, width %.3g, the widest %.3g after errors began, want some 33", cover, width, widest)
	}
}

// TestBlendState: a restart changes nothing, and no state is taken that could not be.
func TestBlendState(t *testing.T) {
	size := func(_ int, rng *rand.Rand) float64 { return rng.NormFloat64() }
	one := func(int, *rand.Rand) float64 { return 1 }
	_, _, _, b := streamed(t, 500, 0, size, one)
	var w state.Writer
	b.Save(&w)
	again := NewBlend(0.9, 500)
	r := &state.Reader{B: w.B}
	if again.Load(r); r.Err() != nil || len(r.B) != 0 {
		t.Fatalf("%v, %d bytes are left", r.Err(), len(r.B))
	}
	for i := range 100 {
		h := Halves{float64(i%7 + 1), float64(i%3 + 1)}
		x, _ := b.Make(h, 1)
		y, _ := again.Make(h, 1)
		if x != y {
			t.Fatalf("row %d: %+v and %+v", i, x, y)
		}
		b.Update(&x, float64(i%5-2), 0)
		again.Update(&y, float64(i%5-2), 0)
	}
	for n := 0; n < len(w.B); n += 101 {
		r := &state.Reader{B: w.B[:n]}
		if NewBlend(0.9, 500).Load(r); r.Err() == nil {
			t.Fatalf("%d of %d bytes are loaded", n, len(w.B))
		}
	}
}
