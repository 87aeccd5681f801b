// Package target keeps absurd targets and inputs from ruining a learner for good.
package target

import (
	"math"

	"skerry.dev/compute/state"
)

// Guard bounds each number to 20 standard deviations about the mean of those before it: far
// enough to let everything real through, a jump of level within some ten rows, and near enough
// that one 1e308 does not outweigh all that comes after it. The first 30 are taken as they are,
// up to ±1e100. The zero value is ready.
type Guard struct {
	n, mean, m2 float64
}

const (
	maxMagnitude  = 1e100
	minWeight     = 30
	maxDeviations = 20
)

// Bound returns y within its bounds, and learns from it. y is finite and weight positive.
func (g *Guard) Bound(y, weight float64) float64 {
	y = min(max(y, -maxMagnitude), maxMagnitude)
	if sd := g.Deviation(); g.n >= minWeight && sd > 0 {
		y = min(max(y, g.mean-float64(maxDeviations*sd)), g.mean+float64(maxDeviations*sd))
	}
	g.n += weight
	d := y - g.mean
	g.mean += float64(d*weight) / g.n
	g.m2 += max(float64(float64(d*weight)*(y-g.mean)), 0) // rounding of the mean can turn a sign
	return y
}

// Deviation is the standard deviation of the numbers so far, as they were bounded; 0 before the
// second.
func (g *Guard) Deviation() float64 {
	if g.n == 0 {
		return 0
	}
	return math.Sqrt(g.m2 / g.n)
}

// Mean is their mean, 0 before the first.
func (g *Guard) Mean() float64 { return g.mean }

// Save appends the state to a snapshot.
func (g *Guard) Save(w *state.Writer) {
	w.Float(g.n)
	w.Float(g.mean)
	w.Float(g.m2)
}

// Load restores it.
func (g *Guard) Load(r *state.Reader) {
	g.n, g.mean, g.m2 = r.Float(), r.Float(), r.Float()
	if !(g.n >= 0 && g.n <= 1e300 && math.Abs(g.mean) <= maxMagnitude && g.m2 >= 0 && g.m2 <= 1e300) {
		*g = Guard{}
		r.Fail()
	}
}
