package feature

import (
	"math"
	"math/bits"
)

// spectrum computes periodograms. Its sines are its own, and products are rounded before they are
// added, so that the bits do not depend on the architecture; gonum's transform makes no such
// promise.
type spectrum struct {
	// of a turn in MaxLookback parts, and a quarter more for the cosine
	sine  []float64
	taper [MaxLookback + 1]struct { // by number of points
		w     []float64
		power float64 // sum of squares
	}
	re, im, power [MaxLookback]float64
	n             int // length of the transform
}

// padded returns the least power of two that is not below n.
func padded(n int64) int { return 1 << bits.Len64(uint64(n-1)) }

// frequency returns frequency k of a column's spectrum, in hertz.
func (p *Pipeline) frequency(c *Column, k int) float64 {
	return float64(k) / (float64(padded(p.points(c))) * (float64(p.Distance) / 1e6))
}

// bins returns the first frequency of a column's band and the one after its last.
func (p *Pipeline) bins(c *Column) (low, high int) {
	n := padded(p.points(c)) / 2
	low = 1
	for low <= n && p.frequency(c, low) < c.Low {
		low++
	}
	high = low
	for high <= n && p.frequency(c, high) < c.High {
		high++
	}
	return low, high
}

// prepare makes the tables for a grid of n points.
func (s *spectrum) prepare(n int) {
	if s.sine == nil {
		s.sine = make([]float64, MaxLookback+MaxLookback/4)
		for k := range s.sine {
			s.sine[k] = sinTurn(float64(k) / MaxLookback)
		}
	}
	t := &s.taper[n]
	if t.w != nil {
		return
	}
	t.w = make([]float64, n)
	for k := range t.w {
		t.w[k] = 0.5 - float64(0.5*sinTurn(float64(k)/float64(n)+0.25))
		t.power += float64(t.w[k] * t.w[k])
	}
}

// compute fills power for readings, oldest first, on a grid of n points at a distance in
// microseconds. It returns false when there are too few.
func (s *spectrum) compute(vals []float64, at []int, age []float64, n int, distance float64) bool {
	if 2*len(vals) < n {
		return false
	}
	s.n = padded(int64(n))
	s.resample(vals, at, age, n, distance)
	first := s.re[0]
	for k := range n {
		s.re[k] -= first // so that the mean of equal points is exactly theirs
	}
	level, t := mean(s.re[:n]), &s.taper[n]
	for k := range s.n {
		s.im[k] = 0
		if k < n {
			s.re[k] = float64((s.re[k] - level) * t.w[k])
		} else {
			s.re[k] = 0
		}
	}
	s.transform()
	for k := 1; k <= s.n/2; k++ {
		p := (float64(s.re[k]*s.re[k]) + float64(s.im[k]*s.im[k])) / (float64(s.n) * t.power)
		if k < s.n/2 {
			p *= 2 // the negative frequency has as much
		}
		s.power[k] = p
	}
	return true
}

// resample puts readings on the grid.
func (s *spectrum) resample(vals []float64, at []int, age []float64, n int, distance float64) {
	k, last := 0, len(vals)-1
	for j := range n {
		a := float64(float64(n-1-j) * distance)
		for k < last && age[at[k+1]] >= a {
			k++
		}
		v := vals[k]
		if older := age[at[k]]; k < last && older > a {
			part := (older - a) / (older - age[at[k+1]])
			v += float64(part * (vals[k+1] - v))
		}
		s.re[j] = v
	}
}

// transform is the fast Fourier transform of Cooley and Tukey, "An Algorithm for the Machine
// Calculation of Complex Fourier Series", 1965, in place.
func (s *spectrum) transform() {
	shift := 64 - bits.Len64(uint64(s.n-1))
	for k := range s.n {
		if r := int(bits.Reverse64(uint64(k)) >> shift); r > k {
			s.re[k], s.re[r] = s.re[r], s.re[k] // im is all zeros
		}
	}
	for half := 1; half < s.n; half *= 2 {
		stride := MaxLookback / (2 * half)
		for j := range half {
			sin, cos := s.sine[j*stride], s.sine[j*stride+MaxLookback/4]
			for a := j; a < s.n; a += 2 * half {
				b := a + half
				re := float64(s.re[b]*cos) + float64(s.im[b]*sin)
				im := float64(s.im[b]*cos) - float64(s.re[b]*sin)
				s.re[b], s.im[b] = s.re[a]-re, s.im[a]-im
				s.re[a], s.im[a] = s.re[a]+re, s.im[a]+im
			}
		}
	}
}

// band sums the power of a band's frequencies.
func (s *spectrum) band(known bool, p place) float64 {
	if !known {
		return math.NaN()
	}
	var sum float64
	for _, v := range s.power[p.low:p.high] {
		sum += v
	}
	return sum
}

// strongest returns the frequency of most power, 0 when there is none.
func (s *spectrum) strongest(known bool) int {
	best := 0
	if known {
		most := 0.0
		for k, v := range s.power[1 : s.n/2+1] {
			if v > most {
				best, most = k+1, v
			}
		}
	}
	return best
}
