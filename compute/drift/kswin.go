package drift

import (
	"math/bits"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/state"
)

// KSWIN compares the newest Recent values of a window with as many drawn from the rest of it, by
// the exact test of Kolmogorov and Smirnov, so it sees changes of any kind. After Raab, Heusinger
// and Schleif, "Reactive Soft Prototype Computing for Concept Drift Streams", Neurocomputing 2020.
// It tests at every value, and so alarms about every few hundred values where nothing changes
// unless Alpha is far smaller than a rate of false alarms that one would like. An update costs
// two sorts of Recent values, memory is a few times Window. Use NewKSWIN and set fields before
// the first value.
//
// The draws come from a PCG with the Seed given, where river's come from a Mersenne twister: with
// the same draws both alarm at the same values, with their own they differ as two runs of river
// with different seeds do.
type KSWIN struct {
	// Alpha is the probability of a false alarm at one value.
	Alpha float64
	// Window is the number of values kept, Recent how many of them are new; at least twice as
	// many must be kept.
	Window, Recent int64
	// Seed of the draws. It starts anew after an alarm, as in the reference.
	Seed uint64

	kswinState
	ring     []float64
	draws    *rand.PCG
	order    []int64 // positions of the older values, in order between calls
	swaps    []int64
	old, new []float64
	limit    int64 // the smallest difference of counts that alarms
}

type kswinState struct {
	n, next int64 // values in the ring, and where the next goes
	alarmed bool
}

// NewKSWIN returns a detector with alpha 0.005, a window of 100 values of which 30 are recent,
// and seed 1.
func NewKSWIN() *KSWIN { return &KSWIN{Alpha: 0.005, Window: 100, Recent: 30, Seed: 1} }

// prepare makes the buffers.
func (d *KSWIN) prepare() {
	d.ring = make([]float64, d.Window)
	d.order = make([]int64, d.Window-d.Recent)
	for i := range d.order {
		d.order[i] = int64(i)
	}
	d.swaps = make([]int64, d.Recent)
	d.old, d.new = make([]float64, d.Recent), make([]float64, d.Recent)
	d.draws = rand.NewPCG(d.Seed, 0)
	d.limit = d.Recent/10 + 1 // the reference ignores a distance up to 0.1
	for d.limit <= d.Recent && outside(d.Recent, d.limit) > d.Alpha {
		d.limit++
	}
}

// outside is the probability that the empirical distributions of two samples of n values from one
// continuous distribution differ by h/n or more somewhere, after Gnedenko and Korolyuk: a walk
// with n steps up and n down leaves a band.
func outside(n, h int64) float64 {
	p := 0.0
	for k := n / h; k >= 0; k-- {
		ratio := 1.0
		for j := range h {
			ratio = float64(n-k*h-j) * ratio / float64(n+k*h+j+1)
		}
		p = float64(ratio * (1 - p))
	}
	return 2 * p
}

// Update implements Detector.
func (d *KSWIN) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if d.ring == nil {
		d.prepare()
	}
	if d.alarmed {
		d.kswinState = kswinState{}
		d.draws.Seed(d.Seed, 0)
	}
	d.ring[d.next] = x
	if d.next++; d.next == d.Window {
		d.next = 0
	}
	if d.n < d.Window {
		if d.n++; d.n < d.Window {
			return false
		}
	}
	d.sample()
	for i := range d.new {
		d.new[i] = d.at(d.Window - d.Recent + int64(i))
	}
	slices.Sort(d.old)
	slices.Sort(d.new)
	d.alarmed = d.distance() >= d.limit
	return d.alarmed
}

// at returns the i-th value of the window, the oldest first.
func (d *KSWIN) at(i int64) float64 {
	if i += d.next; i >= d.Window {
		i -= d.Window
	}
	return d.ring[i]
}

// sample draws from the older values without returning any, by the start of a shuffle that is
// undone afterwards.
func (d *KSWIN) sample() {
	for i := range d.Recent {
		below, _ := bits.Mul64(d.draws.Uint64(), uint64(int64(len(d.order))-i))
		j := i + int64(below)
		d.swaps[i] = j
		d.order[i], d.order[j] = d.order[j], d.order[i]
		d.old[i] = d.at(d.order[i])
	}
	for i := d.Recent - 1; i >= 0; i-- {
		j := d.swaps[i]
		d.order[i], d.order[j] = d.order[j], d.order[i]
	}
}

// distance is the largest difference of the counts up to any value.
func (d *KSWIN) distance() int64 {
	var i, j, most int64
	n := d.Recent
	for i < n && j < n {
		x := min(d.old[i], d.new[j])
		for i < n && d.old[i] <= x {
			i++
		}
		for j < n && d.new[j] <= x {
			j++
		}
		most = max(most, i-j, j-i)
	}
	return most
}

// Save implements Detector.
func (d *KSWIN) Save(w *state.Writer) {
	w.Int(d.n)
	w.Int(d.next)
	w.Bool(d.alarmed)
	w.Floats(d.ring)
	if d.ring != nil {
		w.PCG(d.draws)
	}
}

// Load implements Detector.
func (d *KSWIN) Load(r *state.Reader) {
	s := kswinState{n: r.Int(), next: r.Int(), alarmed: r.Bool()}
	ring := r.Floats()
	if len(ring) == 0 {
		need(r, s == kswinState{})
		if r.Err() == nil {
			d.kswinState, d.ring = s, nil
		}
		return
	}
	var draws rand.PCG
	r.PCG(&draws)
	need(r, int64(len(ring)) == d.Window && s.n >= 0 && s.n <= d.Window && s.next >= 0 && s.next < d.Window && (s.n == d.Window || s.next == s.n))
	for _, x := range ring {
		need(r, usable(x))
	}
	if r.Err() != nil {
		return
	}
	d.prepare()
	d.kswinState, d.ring, *d.draws = s, ring, draws
}
