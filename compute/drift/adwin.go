package drift

import (
	"math"

	"skerry.dev/compute/state"
)

// ADWIN keeps a window of variable length and drops its older part when the means of two sub-windows differ by more than chance allows. After Bifet and
// Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007, with the exponential histogram of MOA. It needs
// O(log n) space; a check is O(log n) and happens every Clock values. Use NewADWIN.
type ADWIN struct {
	// Delta is the confidence, Clock the number of values between checks, MinWindow the smallest sub-window compared, Grace the window
	// below which nothing is checked.
	Delta     float64
	Clock     int64
	MinWindow int64
	Grace     int64

	rows     []bucketRow // rows[i] holds buckets of 2^i values, oldest first
	width    int64
	total    float64
	variance float64 // sum of squared deviations
	ticks    int64
}

const maxBuckets = 5

// bucketRow holds up to maxBuckets+1 buckets: the extra one exists only until compression.
type bucketRow struct {
	n        int
	total    [maxBuckets + 1]float64
	variance [maxBuckets + 1]float64
}

// NewADWIN returns a detector with delta 0.002, checked every 32 values.
func NewADWIN() *ADWIN { return &ADWIN{Delta: 0.002, Clock: 32, MinWindow: 5, Grace: 10} }

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
	if x != x {
		return false
	}
	a.insert(x)
	a.ticks++
	if a.ticks%a.Clock != 0 || a.width <= a.Grace {
		return false
	}
	drift := false
	for a.cut() {
		drift = true
	}
	return drift
}

func (a *ADWIN) insert(x float64) {
	if len(a.rows) == 0 {
		a.rows = append(a.rows, bucketRow{})
	}
	a.rows[0].push(x, 0)
	a.width++
	if a.width > 1 {
		n := float64(a.width)
		d := x - a.total/(n-1)
		a.variance += float64((n-1)*float64(d*d)) / n
	}
	a.total += x
	for i := 0; i < len(a.rows) && a.rows[i].n > maxBuckets; i++ {
		if i+1 == len(a.rows) {
			a.rows = append(a.rows, bucketRow{})
		}
		r := &a.rows[i]
		n := float64(int64(1) << i)
		d := r.total[0]/n - r.total[1]/n
		a.rows[i+1].push(r.total[0]+r.total[1], r.variance[0]+r.variance[1]+float64(float64(n*n)*float64(d*d))/(n+n))
		r.drop(2)
	}
}

func (r *bucketRow) push(total, variance float64) {
	r.total[r.n], r.variance[r.n] = total, variance
	r.n++
}

func (r *bucketRow) drop(k int) {
	copy(r.total[:], r.total[k:r.n])
	copy(r.variance[:], r.variance[k:r.n])
	r.n -= k
}

// cut looks for one split that shows a change, drops the oldest bucket if there is one and reports whether it did. Like the reference
// implementation it leaves the newest bucket of each row on the recent side, so that alarms fall on the same positions.
func (a *ADWIN) cut() bool {
	n0, n1 := 0.0, float64(a.width)
	u0, u1 := 0.0, a.total
	for i := len(a.rows) - 1; i >= 0; i-- {
		r := &a.rows[i]
		size := float64(int64(1) << i)
		for k := range r.n - 1 {
			n0, n1 = n0+size, n1-size
			u0, u1 = u0+r.total[k], u1-r.total[k]
			if n0 >= float64(a.MinWindow) && n1 >= float64(a.MinWindow) && a.differs(n0, n1, u0/n0-u1/n1) {
				a.dropOldest()
				return true
			}
		}
	}
	return false
}

func (a *ADWIN) differs(n0, n1, diff float64) bool {
	width := float64(a.width)
	deltaPrime := math.Log(2 * math.Log(width) / a.Delta)
	low := float64(a.MinWindow)
	m := 1/(n0-low+1) + 1/(n1-low+1)
	epsilon := math.Sqrt(float64(2*m*(a.variance/width)*deltaPrime)) + float64(2.0/3.0*deltaPrime*m)
	return math.Abs(diff) > epsilon
}

func (a *ADWIN) dropOldest() {
	i := len(a.rows) - 1
	r := &a.rows[i]
	n := float64(int64(1) << i)
	a.width -= int64(1) << i
	a.total -= r.total[0]
	if a.width > 0 {
		w := float64(a.width)
		d := r.total[0]/n - a.total/w
		a.variance -= r.variance[0] + float64(n*w*float64(d*d))/(n+w)
		a.variance = max(a.variance, 0)
	}
	r.drop(1)
	for len(a.rows) > 0 && a.rows[len(a.rows)-1].n == 0 {
		a.rows = a.rows[:len(a.rows)-1]
	}
}

// Save implements Detector.
func (a *ADWIN) Save(w *state.Writer) {
	w.Int(a.width)
	w.Float(a.total)
	w.Float(a.variance)
	w.Int(a.ticks)
	w.Int(int64(len(a.rows)))
	for i := range a.rows {
		w.Floats(a.rows[i].total[:a.rows[i].n])
		w.Floats(a.rows[i].variance[:a.rows[i].n])
	}
}

// Load implements Detector.
func (a *ADWIN) Load(r *state.Reader) {
	a.width, a.total, a.variance, a.ticks = r.Int(), r.Float(), r.Float(), r.Int()
	n := r.Len(16)
	if n > 62 {
		r.Fail()
		return
	}
	a.rows = make([]bucketRow, n)
	for i := range a.rows {
		t, v := r.Floats(), r.Floats()
		if len(t) != len(v) || len(t) > maxBuckets {
			r.Fail()
			return
		}
		a.rows[i].n = copy(a.rows[i].total[:], t)
		copy(a.rows[i].variance[:], v)
	}
}
