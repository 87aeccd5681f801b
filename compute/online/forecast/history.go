package forecast

import (
	"math"
	"slices"

	"skerry.dev/compute/state"
)

// history holds the newest values, gaps filled, in one piece: what is older than keep values
// moves out when the buffer is full.
type history struct {
	keep int
	buf  []float64 // the newest last; its capacity is twice keep
	gaps []byte    // 1 where the value was missing

	lo, hi float64 // the span, while it is known
	known  bool
}

func newHistory(keep int) *history {
	return &history{keep: keep, buf: make([]float64, 0, 2*keep), gaps: make([]byte, 0, 2*keep)}
}

func (h *history) push(y float64, filled bool) {
	if v := h.values(); len(v) == h.keep && (v[0] == h.lo || v[0] == h.hi) {
		h.known = false // an end of the span may leave
	}
	if len(h.buf) == cap(h.buf) {
		from := len(h.buf) - h.keep + 1
		h.buf, h.gaps = h.buf[:copy(h.buf, h.buf[from:])], h.gaps[:copy(h.gaps, h.gaps[from:])]
	}
	gap := byte(0)
	if filled {
		gap = 1
	} else {
		h.lo, h.hi = min(h.lo, y), max(h.hi, y)
	}
	h.buf, h.gaps = append(h.buf, y), append(h.gaps, gap)
}

func (h *history) clear() { h.buf, h.gaps, h.known = h.buf[:0], h.gaps[:0], false }

// values returns what is kept, the newest last. The slice is good until the next push.
func (h *history) values() []float64 { return h.buf[max(len(h.buf)-h.keep, 0):] }

// span returns the smallest and largest of the values kept that were not missing: a bad forecast
// that filled a gap must not vouch for others. Where all were missing it is that of the fillings,
// and zeros when there is nothing.
func (h *history) span() (lo, hi float64) {
	if h.known {
		return h.lo, h.hi
	}
	v := h.values()
	if len(v) == 0 {
		return 0, 0
	}
	lo, hi = math.Inf(1), math.Inf(-1)
	gaps := h.gaps[len(h.gaps)-len(v):]
	for i, y := range v {
		if gaps[i] == 0 {
			lo, hi = min(lo, y), max(hi, y)
		}
	}
	if lo > hi {
		return slices.Min(v), slices.Max(v)
	}
	h.lo, h.hi, h.known = lo, hi, true
	return lo, hi
}

// around widens the span of the values by so many times its width; where all values are equal, by
// their size.
func (h *history) around(times float64) (lo, hi float64) {
	lo, hi = h.span()
	w := hi - lo
	if w == 0 {
		w = math.Abs(hi)
	}
	return lo - float64(times*w), hi + float64(times*w)
}

// repeat writes the last season again and again, the last value where there is less than a season.
func (h *history) repeat(dst []float64, season int) {
	v := h.values()
	if len(v) == 0 {
		clear(dst)
		return
	}
	if len(v) < season {
		season = 1
	}
	last := v[len(v)-season:]
	for k := range dst {
		dst[k] = last[k%season]
	}
}

func (h *history) save(w *state.Writer) {
	v := h.values()
	w.Floats(v)
	w.String(string(h.gaps[len(h.gaps)-len(v):]))
}

func (h *history) load(r *state.Reader) {
	n := r.Len(8)
	if n > h.keep {
		r.Fail()
		return
	}
	h.buf, h.known = h.buf[:n], false
	for i := range h.buf {
		h.buf[i] = loadWithin(r, -maxMagnitude, maxMagnitude)
	}
	gaps := r.String()
	if len(gaps) != n {
		r.Fail()
		gaps = ""
	}
	h.gaps = append(h.gaps[:0], gaps...)
	for i, g := range h.gaps {
		if g > 1 {
			r.Fail()
			h.gaps[i] = 1
		}
	}
	h.gaps = h.gaps[:len(h.buf)]
}

// loadWithin reads a number that must lie in [lo, hi]; 0 and a failed reader otherwise.
func loadWithin(r *state.Reader, lo, hi float64) float64 {
	v := r.Float()
	if !(v >= lo && v <= hi) {
		r.Fail()
		return 0
	}
	return v
}

// loadAll is loadWithin for each number of dst.
func loadAll(r *state.Reader, dst []float64, limit float64) {
	if r.Len(8) != len(dst) {
		r.Fail()
		return
	}
	for i := range dst {
		dst[i] = loadWithin(r, -limit, limit)
	}
}

// loadInt reads a whole number that must lie in [lo, hi].
func loadInt(r *state.Reader, lo, hi int) int {
	v := r.Int()
	if v < int64(lo) || v > int64(hi) {
		r.Fail()
		return lo
	}
	return int(v)
}
