package drift

import (
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// ADWIN keeps a window of variable length and drops its older part when the means of two
// sub-windows differ by more than chance allows. After Bifet and Gavaldà, "Learning from
// Time-Changing Data with Adaptive Windowing", SDM 2007, with the exponential histogram of MOA.
// It needs O(log n) space; a check is O(log n) and happens every Clock values. Use NewADWIN.
type ADWIN struct {
	// Delta is the confidence, Clock the number of values between checks, MinWindow the smallest
	// sub-window compared, Grace the window below which nothing is checked. They must be above 0.
	Delta     float64
	Clock     int64
	MinWindow int64
	Grace     int64
	// Semantics River looks at every split and empties the window after an alarm; River07 leaves
	// the newest bucket of each row on the recent side and, as in the paper, only drops the old
	// part.
	Semantics Semantics

	rows     []bucketRow // rows[i] holds buckets of 2^i values, oldest first
	width    int64
	total    float64
	variance float64 // sum of squared deviations
	ticks    int64   // values since the start, -1 when the window is to be emptied first
	strange  int64   // strange values in a row
}

const maxBuckets = 5

// bucketRow holds up to maxBuckets+1 buckets: the extra one exists only until compression.
type bucketRow struct {
	n        int
	total    [maxBuckets + 1]float64
	variance [maxBuckets + 1]float64
}

// NewADWIN returns a detector with delta 0.002, checked every 32 values, that keeps the recent
// part of its window after an alarm (River07), so that Mean follows the new level at once.
func NewADWIN() *ADWIN {
	return &ADWIN{Delta: 0.002, Clock: 32, MinWindow: 5, Grace: 10, Semantics: River07}
}

// Width returns the number of values in the window and Mean their mean.
func (a *ADWIN) Width() int64 { return a.width }

// Mean returns the window's mean, 0 when it is empty.
func (a *ADWIN) Mean() float64 {
	if a.width == 0 {
		return 0
	}
	return a.total / float64(a.width)
}

// Update implements Detector.
func (a *ADWIN) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if a.ticks < 0 {
		a.restart()
	}
	if strange(x, float64(a.width), a.total, a.variance) {
		if a.strange++; a.strange < maxStrange {
			return false
		}
		a.restart()
		return true
	}
	a.strange = 0
	a.insert(x)
	a.ticks++
	if a.ticks%a.Clock != 0 || a.width <= a.Grace {
		return false
	}
	drift := false
	for a.cut() {
		drift = true
	}
	if drift && a.Semantics == River {
		a.ticks = -1
	}
	return drift
}

func (a *ADWIN) restart() {
	a.rows, a.width, a.total, a.variance, a.ticks, a.strange = a.rows[:0], 0, 0, 0, 0, 0
}

func (a *ADWIN) insert(x float64) {
	if len(a.rows) == 0 {
		a.grow()
	}
	a.rows[0].push(x, 0)
	a.width++
	if a.width > 1 {
		n := float64(a.width)
		d := x - a.total/(n-1)
		a.variance += float64(float64((n-1)*d)*d) / n
	}
	a.total += x
	for i := 0; i < len(a.rows) && a.rows[i].n > maxBuckets; i++ {
		if i+1 == len(a.rows) {
			a.grow()
		}
		r := &a.rows[i]
		n := float64(int64(1) << i)
		d := r.total[0]/n - r.total[1]/n
		a.rows[i+1].push(r.total[0]+r.total[1], r.variance[0]+r.variance[1]+float64(float64(n*0.5*d)*d))
		r.drop(2)
	}
}

// grow adds an empty row.
func (a *ADWIN) grow() { a.rows = append(a.rows, bucketRow{}) }

func (r *bucketRow) push(total, variance float64) {
	r.total[r.n], r.variance[r.n] = total, variance
	r.n++
}

func (r *bucketRow) drop(k int) {
	copy(r.total[:], r.total[k:r.n])
	copy(r.variance[:], r.variance[k:r.n])
	r.n -= k
}

// cut looks for one split that shows a change, drops the oldest bucket if there is one and
// reports whether it did.
func (a *ADWIN) cut() bool {
	if a.width < 2 {
		return false
	}
	n0, n1 := 0.0, float64(a.width)
	u0, u1 := 0.0, a.total
	low, spread := float64(a.MinWindow), a.variance/n1
	confidence := exact.Log(2 * exact.Log(n1) / a.Delta)
	linear := 2.0 / 3.0 * confidence
	for i := len(a.rows) - 1; i >= 0; i-- {
		r := &a.rows[i]
		size := float64(int64(1) << i)
		last := r.n
		if a.Semantics == River07 || i == 0 {
			last-- // the newest value of all has nothing after it
		}
		for k := range last {
			n0, n1 = n0+size, n1-size
			u0, u1 = u0+r.total[k], u1-r.total[k]
			if n0 < low || n1 < low {
				continue
			}
			m := 1/(n0-low+1) + 1/(n1-low+1)
			d, epsilon := math.Abs(u0/n0-u1/n1), float64(linear*m)
			if d <= epsilon { // the root below only adds to it
				continue
			}
			if epsilon += math.Sqrt(float64(2*m*spread) * confidence); d > epsilon {
				a.dropOldest()
				return true
			}
		}
	}
	return false
}

func (a *ADWIN) dropOldest() {
	i := len(a.rows) - 1
	r := &a.rows[i]
	n := float64(int64(1) << i)
	a.width -= int64(1) << i
	was := a.variance
	a.total -= r.total[0]
	if a.width > 0 {
		w := float64(a.width)
		d := r.total[0]/n - a.total/w
		a.variance -= r.variance[0] + float64(float64(n*w*d)*d)/(n+w)
		a.variance = max(a.variance, 0)
	}
	r.drop(1)
	for len(a.rows) > 0 && a.rows[len(a.rows)-1].n == 0 {
		a.rows = a.rows[:len(a.rows)-1]
	}
	if a.variance < was*1e-12 {
		a.recount() // a value that dwarfed the others has left only rounding errors in the sums
	}
}

// recount makes the sums anew from the buckets.
func (a *ADWIN) recount() {
	a.total, a.variance = 0, 0
	n := 0.0
	for i := len(a.rows) - 1; i >= 0; i-- {
		size := float64(int64(1) << i)
		for k := range a.rows[i].n {
			total := a.rows[i].total[k]
			if n > 0 {
				d := a.total/n - total/size
				a.variance += float64(float64(n*size*d)*d) / (n + size)
			}
			a.variance += a.rows[i].variance[k]
			a.total += total
			n += size
		}
	}
}

// strangeShift puts the number of strange values above that of all values in a snapshot, whose
// layout is older than it. An emptied window has none.
const strangeShift = 56

// Save implements Detector.
func (a *ADWIN) Save(w *state.Writer) {
	w.Int(a.width)
	w.Float(a.total)
	w.Float(a.variance)
	w.Int(a.ticks + a.strange<<strangeShift)
	w.Int(int64(len(a.rows)))
	for i := range a.rows {
		w.Floats(a.rows[i].total[:a.rows[i].n])
		w.Floats(a.rows[i].variance[:a.rows[i].n])
	}
}

// Load implements Detector.
func (a *ADWIN) Load(r *state.Reader) {
	b := *a
	b.width, b.total, b.variance, b.ticks = r.Int(), r.Float(), r.Float(), r.Int()
	if b.strange = 0; b.ticks >= 0 {
		b.strange, b.ticks = b.ticks>>strangeShift, b.ticks&(1<<strangeShift-1)
	}
	need(r, b.strange < maxStrange)
	n := r.Len(16)
	if n > 48 { // 2^48 values are more than any stream has
		r.Fail()
	}
	if r.Err() != nil {
		return
	}
	b.rows = make([]bucketRow, n)
	width := int64(0)
	for i := range b.rows {
		t, v := r.Floats(), r.Floats()
		if len(t) != len(v) || len(t) > maxBuckets || !bounded(t...) || !bounded(v...) {
			r.Fail()
			return
		}
		b.rows[i].n = copy(b.rows[i].total[:], t)
		copy(b.rows[i].variance[:], v)
		width += int64(len(t)) << i
	}
	need(r, width == b.width && b.ticks >= -1 && bounded(b.total, b.variance))
	need(r, n == 0 || b.rows[n-1].n > 0) // an empty last row would have no oldest bucket to drop
	if r.Err() == nil {
		*a = b
	}
}
