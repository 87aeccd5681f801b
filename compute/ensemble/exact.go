package ensemble

import (
	"math"
	"math/bits"
)

// A grid holds what an output's scores need to be exact: every score is a multiple of unit, and
// total bounds the sum of any of them.
type grid struct {
	// exponent of the power of two that divides every score; math.MaxInt when all are zero
	unit  int
	total float64 // |base| + the largest leaf of each tree
}

// exact reports whether every partial sum, in any order, is a float64: all are multiples of
// 2^unit below 2^(53+unit). A total that was itself rounded is not below.
func (g grid) exact() bool {
	return g.unit == math.MaxInt || g.total < math.Ldexp(1, 53+g.unit)
}

func (g *grid) add(v float64) {
	if v != 0 {
		g.unit = min(g.unit, lowestBit(v))
	}
}

// lowestBit returns the exponent of the lowest set bit of a finite v other than 0.
func lowestBit(v float64) int {
	b := math.Float64bits(v)
	mantissa, exp := b&(1<<52-1), int(b>>52&0x7ff)
	if exp == 0 {
		exp = 1
	} else {
		mantissa |= 1 << 52
	}
	return exp - 1075 + bits.TrailingZeros64(mantissa)
}

// grids returns the grid of every output. ok is false when the leaves overlap so much that
// looking at all of them would cost far more than the ensemble is large, which no trainer's does.
func (e *Ensemble) grids() (gs []grid, ok bool) {
	gs = make([]grid, e.outputs)
	for k, b := range e.base {
		gs[k] = grid{unit: math.MaxInt, total: math.Abs(b)}
		gs[k].add(b)
	}
	if e.vector && (len(e.nodes)/2+len(e.roots))*e.outputs > 4*len(e.values)+1<<20 {
		return nil, false
	}
	largest := make([]float64, e.outputs)
	for t, first := range e.roots {
		end := e.end(t)
		clear(largest)
		for i := int(first); i < end; i++ {
			n := &e.nodes[i]
			switch {
			case n.left != 0:
			case e.vector:
				for k, v := range e.values[n.bits:][:e.outputs] {
					gs[k].add(v)
					largest[k] = max(largest[k], math.Abs(v))
				}
			default:
				k, v := t%e.outputs, math.Float64frombits(n.bits)
				gs[k].add(v)
				largest[k] = max(largest[k], math.Abs(v))
			}
		}
		for k, v := range largest {
			gs[k].total += v
		}
	}
	return gs, true
}

// exact reports whether sums do not depend on their order. A base of -0 is the one score for
// which signs of zero would.
func (e *Ensemble) exact() bool {
	gs, ok := e.grids()
	for k := range gs {
		ok = ok && gs[k].exact() && !(e.base[k] == 0 && math.Signbit(e.base[k]))
	}
	return ok
}

// roundScores makes e exact: the scores of an output that is not are rounded to multiples of the
// smallest power of two 2^-q for which the output's total stays below 2^(53-q). With T trees and
// a total of S that moves a sum by less than (T+1)·S·2⁻⁵², as summing in floating point may;
// scores that are exact already stay as they are, so rounding twice is rounding once. Scores
// whose total overflows are left alone.
func (e *Ensemble) roundScores() {
	for k := range e.base {
		e.base[k] += 0 // -0 becomes 0
	}
	gs, ok := e.grids()
	if !ok {
		return
	}
	for k, g := range gs {
		if g.exact() || g.total > math.MaxFloat64/4 {
			continue
		}
		_, exp := math.Frexp(g.total) // total < 2^exp
		for unit := exp - 53; ; unit++ {
			// Rounding adds at most half a unit per score; the total of what is rounded decides.
			if total, done := e.round(k, unit, false), math.Ldexp(1, 53+unit); total < done {
				e.round(k, unit, true)
				break
			}
		}
	}
}

// round returns the total of output k with its scores rounded to multiples of 2^unit, and with
// write set keeps them so.
func (e *Ensemble) round(k, unit int, write bool) float64 {
	to := func(v float64) float64 { return math.Ldexp(math.RoundToEven(math.Ldexp(v, -unit)), unit) + 0 }
	total := math.Abs(to(e.base[k]))
	if write {
		e.base[k] = to(e.base[k])
	}
	for t, first := range e.roots {
		if !e.vector && t%e.outputs != k {
			continue
		}
		largest, end := 0.0, e.end(t)
		for i := int(first); i < end; i++ {
			n := &e.nodes[i]
			if n.left != 0 {
				continue
			}
			v := math.Float64frombits(n.bits)
			if e.vector {
				v = e.values[int(n.bits)+k]
			}
			v = to(v)
			largest = max(largest, math.Abs(v))
			switch {
			case write && e.vector:
				e.values[int(n.bits)+k] = v
			case write:
				n.bits = math.Float64bits(v)
			}
		}
		total += largest
	}
	return total
}

// end returns the index after the last node of tree t.
func (e *Ensemble) end(t int) int {
	if t+1 < len(e.roots) {
		return int(e.roots[t+1])
	}
	return len(e.nodes)
}
