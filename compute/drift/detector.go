package drift

import (
	"math"

	"skerry.dev/compute/state"
)

// Detector is a change detector for one stream.
type Detector interface {
	// Update takes the next value and reports whether a drift was found at it. A value that is
	// NaN, infinite or beyond ±1e100 is ignored.
	Update(x float64) bool
	// Save and Load carry the state over a restart, bit for bit, into a detector with the same
	// settings. Load of damaged bytes marks the reader as failed and leaves the detector as it
	// was.
	Save(w *state.Writer)
	Load(r *state.Reader)
}

// Warner is a detector with a warning zone: a time in which a drift is likely but not certain,
// from which on a learner may gather rows for a successor.
type Warner interface {
	Detector
	// Warning reports whether the last value left the detector in its warning zone. It is false
	// where that value was a drift, unless the reference differs.
	Warning() bool
}

// Semantics defines whose rules a detector follows where versions of its reference differ.
type Semantics int

const (
	River   Semantics = iota // river 0.26
	River07                  // river 0.7.0
)

// Mode defines which changes of the mean count.
type Mode int

const (
	Up   Mode = iota // rises, for errors
	Down             // falls
	Both             // rises and falls
)

// maxMagnitude is the largest magnitude that is taken for a measurement. Its square times a long
// count stays finite, so no sum here can overflow.
const maxMagnitude = 1e100

// usable reports whether x is a measurement.
func usable(x float64) bool { return math.Abs(x) <= maxMagnitude }

// A value that is larger than those of a window by a factor of 2^40, or smaller, where the larger
// of the two exceeds 2^40 itself, is strange to it: beside it their sums would keep no more than
// 13 bits, and no bound would ever find the place again. A single one is left out; after
// maxStrange in a row the window starts anew.
const (
	strangeFactor = 1 << 40
	maxStrange    = 5
)

// strange reports whether x is strange to n values with this sum and sum of squared deviations.
func strange(x, n, total, squares float64) bool {
	if math.Abs(x) < strangeFactor && math.Abs(total) < strangeFactor && squares < strangeFactor || n == 0 {
		return false
	}
	mean := total / n
	x2, level := float64(x*x), float64(mean*mean)+squares/n
	return x2 > strangeFactor*strangeFactor && x2/(strangeFactor*strangeFactor) > level || level > strangeFactor*strangeFactor && level/(strangeFactor*strangeFactor) > x2
}

// wrong reads a value as an error: above one half is a wrong prediction.
func wrong(x float64) float64 {
	if x > 0.5 {
		return 1
	}
	return 0
}

// mean is a running mean. The form of its update, not only its value, is that of river: equal
// means must compare as equal where they do there.
type mean struct {
	n float64
	m float64
}

func (m *mean) add(x float64) {
	m.n++
	m.m += float64((1 / m.n) * (x - m.m))
}

func (m *mean) save(w *state.Writer) {
	w.Float(m.n)
	w.Float(m.m)
}

// load reads a mean of values within ±limit.
func (m *mean) load(r *state.Reader, limit float64) {
	m.n, m.m = r.Float(), r.Float()
	need(r, count(m.n) && math.Abs(m.m) <= limit)
}

// need marks the snapshot as corrupt unless a condition on what was read holds.
func need(r *state.Reader, ok bool) {
	if !ok {
		r.Fail()
	}
}

// count reports whether a float is a number of values.
func count(n float64) bool { return n >= 0 && n <= 1<<53 && n == math.Floor(n) }

// counted reports whether integers are numbers of values, with room to count on.
func counted(n ...int64) bool {
	for _, k := range n {
		if k < 0 || k > 1<<53 {
			return false
		}
	}
	return true
}

// bounded reports whether numbers can be sums of measurements or of their squares, with room to go
// on summing.
func bounded(v ...float64) bool {
	for _, x := range v {
		if !(math.Abs(x) <= 1e300) {
			return false
		}
	}
	return true
}

// unit reports whether all values lie in [0, 1].
func unit(v ...float64) bool {
	for _, x := range v {
		if !(x >= 0 && x <= 1) {
			return false
		}
	}
	return true
}

// finite reports whether no value is NaN or infinite.
func finite(v ...float64) bool {
	for _, x := range v {
		if x-x != 0 {
			return false
		}
	}
	return true
}
