package online

import (
	"math"

	"skerry.dev/compute/state"
)

// Constants of running moments.
const (
	memoryRows        = 10_000 // rows that moments remember: a burst of nonsense is forgotten
	warmRows          = 20     // before so many rows nothing is called an outlier
	outlierDeviations = 20.0   // standard deviations: values farther out count as that far
	maxMagnitude      = 1e100  // larger numbers are cut to it: squares stay finite
	maxScaled         = 5.0    // standardised values are cut to ±maxScaled

	maxRowWeight = 1e6   // what one row can count: more would drown all others for good
	maxSquares   = 1e250 // what a sum of squared deviations from a snapshot can be
)

// moments are running means and variances of columns, with exponential forgetting beyond memoryRows
// rows and outliers cut (Welford 1962; West, CACM 22, 1979).
type moments struct{ n, mean, m2 []float64 }

func newMoments(d int) moments {
	return moments{make([]float64, d), make([]float64, d), make([]float64, d)}
}

// usable reports whether v is a number; others are missing.
func usable(v float64) bool { return v-v == 0 }

func (m *moments) add(i int, v float64) {
	if !usable(v) {
		return
	}
	v = min(max(v, -maxMagnitude), maxMagnitude)
	if m.n[i] >= warmRows {
		if sd := m.sd(i); sd > 0 {
			v = min(max(v, m.mean[i]-float64(outlierDeviations*sd)), m.mean[i]+float64(outlierDeviations*sd))
		}
	}
	if m.n[i] < memoryRows {
		m.n[i]++
	} else {
		m.m2[i] = float64(m.m2[i] * ((memoryRows - 1.0) / memoryRows))
	}
	d := v - m.mean[i]
	m.mean[i] += d / m.n[i]
	m.m2[i] += float64(d * (v - m.mean[i]))
}

func (m *moments) sd(i int) float64 {
	if m.n[i] < 2 {
		return 0
	}
	return math.Sqrt(max(m.m2[i], 0) / m.n[i])
}

// scaled returns v in standard deviations from the mean, cut to ±maxScaled; 0 where it is missing
// or nothing is known.
func (m *moments) scaled(i int, v float64) float64 {
	sd := m.sd(i)
	if !usable(v) || !(sd > 0) {
		return 0
	}
	return min(max((v-m.mean[i])/sd, -maxScaled), maxScaled)
}

func (m *moments) save(w *state.Writer) {
	w.Floats(m.n)
	w.Floats(m.mean)
	w.Floats(m.m2)
}

func (m *moments) load(r *state.Reader) {
	for k, v := range [][]float64{m.n, m.mean, m.m2} {
		r.FloatsInto(v)
		for _, x := range v {
			if most := [...]float64{memoryRows, 2 * maxMagnitude, maxSquares}[k]; !(math.Abs(x) <= most) || k == 0 && x < 0 {
				r.Fail()
			}
		}
	}
}

// encoder turns a row into standardised numbers, one 0/1 column per category and a last 1 for the
// bias.
type encoder struct {
	s     Schema
	width int
	at    []int // where an input's columns begin
	m     moments
	z     []float64
}

func newEncoder(s Schema) *encoder {
	e := &encoder{s: s, m: newMoments(len(s.Inputs))}
	for _, in := range s.Inputs {
		e.at = append(e.at, e.width)
		e.width += max(1, in.Categories)
	}
	e.width++
	e.z = make([]float64, e.width)
	return e
}

// see updates the moments.
func (e *encoder) see(x []float64) {
	for i, in := range e.s.Inputs {
		if in.Categories == 0 {
			e.m.add(i, x[i])
		}
	}
}

// encode fills z.
func (e *encoder) encode(x []float64) []float64 {
	clear(e.z)
	for i, in := range e.s.Inputs {
		if in.Categories == 0 {
			e.z[e.at[i]] = e.m.scaled(i, x[i])
		} else if c, ok := code(x[i], in.Categories); ok {
			e.z[e.at[i]+c] = 1
		}
	}
	e.z[e.width-1] = 1
	return e.z
}

// code returns a category's code; ok is false for anything else.
func code(v float64, categories int) (c int, ok bool) {
	if !(v >= 0 && v < float64(categories)) || v != math.Floor(v) {
		return 0, false
	}
	return int(v), true
}

// goodWeight reports whether a row with this weight counts.
func goodWeight(w float64) bool { return w > 0 && usable(w) }

// target follows the level and the spread of a regressor's targets, so that learners work in
// units of the spread and no target, however wild, moves them by more than a few units.
type target struct{ m moments }

func newTarget() target { return target{newMoments(1)} }

// see takes a target and returns it in units, cut to ±limit.
func (t *target) see(y float64) float64 {
	t.m.add(0, y)
	return t.m.scaled(0, y)
}

// back turns units into a target.
func (t *target) back(u float64) float64 { return t.m.mean[0] + float64(u*t.m.sd(0)) }
