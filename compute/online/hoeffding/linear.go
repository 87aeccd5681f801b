package hoeffding

import (
	"math"
	"skerry.dev/compute/online/internal/target"
	"skerry.dev/compute/state"
)

// scale standardises rows by the running moments of the inputs, outliers bounded, for the linear
// models of the leaves: one column for each number, one for each code of a category, and a
// constant.
type scale struct {
	cols  *columns
	at    []int // where an input's columns start
	width int
	in    []target.Guard // of the numbers
	z     []float64      // the row that was standardised last
}

// maxScaled bounds a standardised number.
const maxScaled = 10

func newScale(cols *columns) *scale {
	s := &scale{cols: cols, at: make([]int, len(cols.all)), in: make([]target.Guard, len(cols.all))}
	for i, k := range cols.categories {
		s.at[i] = s.width
		s.width += max(int(k), 1)
	}
	s.width++
	s.z = make([]float64, s.width)
	s.z[s.width-1] = 1
	return s
}

func (s *scale) learn(row []float64) {
	for i, v := range row {
		if !math.IsNaN(v) && s.cols.categories[i] == 0 {
			s.in[i].Bound(v, 1)
		}
	}
}

// standardise returns the row's columns, good until the next call. What is missing is 0, the mean.
func (s *scale) standardise(row []float64) []float64 {
	clear(s.z[:s.width-1])
	for i, v := range row {
		switch sd := s.in[i].Deviation(); {
		case math.IsNaN(v):
		case s.cols.categories[i] > 0:
			s.z[s.at[i]+int(v)] = 1
		case sd > 0:
			s.z[s.at[i]] = min(max((v-s.in[i].Mean())/sd, -maxScaled), maxScaled)
		}
	}
	return s.z
}

func (s *scale) bytes() int { return 8*(len(s.at)+3*len(s.in)+s.width) + 96 }

func (s *scale) save(w *state.Writer) {
	for i := range s.in {
		s.in[i].Save(w)
	}
}

func (s *scale) load(r *state.Reader) {
	for i := range s.in {
		s.in[i].Load(r)
	}
}

func dot(w, z []float64) float64 {
	var s float64
	for i, v := range z {
		s += float64(w[i] * v)
	}
	return s
}

// descend takes a step of gradient descent for squared error as often as the weight requires, all
// in one: each step on the same row shrinks its error by the same factor. A step never goes beyond
// the target, however long the row is: that is what makes plain gradient descent diverge.
func descend(model, z []float64, y, rate, weight float64) {
	var length float64
	for _, v := range z {
		length += float64(v * v)
	}
	shrink := 1 - min(float64(2*rate*length), 1)
	left := 1.0
	for ; weight >= 1 && left > 1e-9; weight-- {
		left *= shrink
	}
	if weight < 1 {
		left *= 1 - float64(weight*(1-shrink))
	}
	step := float64((y-dot(model, z))*(1-left)) / length
	for i, v := range z {
		model[i] += float64(step * v)
	}
}
