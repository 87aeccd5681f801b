package anomaly

import (
	"math"
	"slices"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// maxMagnitude bounds every number that is taken in: squares and sums of many of them stay finite,
// and so no reading can make a state useless.
const maxMagnitude = 1e150

// bounded returns x within ±maxMagnitude. ok is false for what counts as missing: NaN and the
// infinities.
func bounded(x float64) (v float64, ok bool) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, false
	}
	return min(max(x, -maxMagnitude), maxMagnitude), true
}

// counted reports whether integers from a snapshot can count rows, with room to go on.
func counted(n ...int64) bool {
	for _, k := range n {
		if k < 0 || k > 1<<53 {
			return false
		}
	}
	return true
}

// maxSurprise bounds what one value can contribute, in nats beyond the edge of the tail: a
// million times the usual excess is no more of an alarm than a thousand times.
const maxSurprise = 1000

// minHistory is how many values are needed before any of them is a surprise.
const minHistory = 30

// history is the newest values of a number, in order of arrival and sorted, and measures how
// surprising another value is.
//
// The surprise is -ln of the chance to see such a value or a more extreme one: from the ranks
// inside, and in the outer tail from an exponential one with the mean excess of the values there
// (the peaks over threshold of Siffer et al., "Anomaly Detection in Streams with Extreme Value
// Theory", KDD 2017, with the shape fixed at 0, since 80 excesses do not determine it).
type history struct {
	size   int
	tail   float64 // share of the values that are the tail
	ring   []float64
	next   int // where the oldest value is once the ring is full
	sorted []float64
}

func newHistory(size int, tail float64) history { return history{size: size, tail: tail} }

// add takes a value and forgets the oldest when there are more than size. It moves as many
// numbers as lie between the two: O(size) in the worst case.
func (h *history) add(v float64) {
	j, _ := slices.BinarySearch(h.sorted, v)
	if len(h.ring) < h.size {
		h.ring = append(h.ring, v)
		h.sorted = slices.Insert(h.sorted, j, v)
		return
	}
	i, _ := slices.BinarySearch(h.sorted, h.ring[h.next])
	if j > i {
		j--
		copy(h.sorted[i:j], h.sorted[i+1:j+1])
	} else {
		copy(h.sorted[j+1:i+1], h.sorted[j:i])
	}
	h.sorted[j] = v
	h.ring[h.next] = v
	if h.next++; h.next == h.size {
		h.next = 0
	}
}

// tailSize is how many values are the tail.
func (h *history) tailSize() int { return max(5, int(h.tail*float64(len(h.sorted)))) }

// above returns how surprising it is that a value is as large as v.
func (h *history) above(v float64) float64 {
	n := len(h.sorted)
	if n < minHistory {
		return 0
	}
	k := h.tailSize()
	edge := h.sorted[n-1-k]
	if v <= edge {
		i, _ := slices.BinarySearch(h.sorted, v)
		return chance(n-i, n)
	}
	excess := 0.0
	for _, x := range h.sorted[n-k:] {
		excess += x - edge
	}
	return chance(k, n) + beyond(v-edge, excess/float64(k), edge)
}

// below returns how surprising it is that a value is as small as v.
func (h *history) below(v float64) float64 {
	n := len(h.sorted)
	if n < minHistory {
		return 0
	}
	k := h.tailSize()
	edge := h.sorted[k]
	if v >= edge {
		i, _ := slices.BinarySearch(h.sorted, math.Nextafter(v, math.Inf(1)))
		return chance(i, n)
	}
	excess := 0.0
	for _, x := range h.sorted[:k] {
		excess += edge - x
	}
	return chance(k, n) + beyond(edge-v, excess/float64(k), edge)
}

// either is the larger of both.
func (h *history) either(v float64) float64 { return max(h.above(v), h.below(v)) }

// chance is -ln of the share of k of n values, with the new one among them.
func chance(k, n int) float64 { return -exact.Log(float64(k+1) / float64(n+1)) }

// beyond is the surprise of an excess over the edge. A tail without width, as that of a constant,
// is given a billionth of the edge, so that rounding is no alarm.
func beyond(excess, mean, edge float64) float64 {
	return min(excess/max(mean, float64(1e-9*math.Abs(edge))+1e-18), maxSurprise)
}

func (h *history) bytes() int { return 8 * (cap(h.ring) + cap(h.sorted)) }

func (h *history) save(w *state.Writer) {
	w.Int(int64(len(h.ring)))
	for i := range h.ring {
		w.Float(h.ring[(h.next+i)%len(h.ring)])
	}
}

func (h *history) load(r *state.Reader) {
	n := r.Len(8)
	if n > h.size {
		r.Fail()
		return
	}
	h.ring, h.next = make([]float64, n), 0
	for i := range h.ring {
		v := r.Float()
		if !(math.Abs(v) <= math.MaxFloat64) {
			r.Fail()
		}
		h.ring[i] = v
	}
	h.sorted = slices.Clone(h.ring)
	slices.Sort(h.sorted)
}
