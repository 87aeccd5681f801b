package online

import (
	"math"

	"skerry.dev/compute/state"
)

// Recent turns the newest known labels into inputs: on most streams the next label depends on
// them (Žliobaitė et al., "Evaluation methods and decision theory for classification of streaming
// data with temporal dependence", Machine Learning 98, 2015). Which labels are known when a row
// is predicted is the caller's business: with delayed labels they are old.
//
// Classes give the last two labels, as categories, and each class's share of the last 16; numbers
// give the last two, their difference, and the means of the last 8 and 32.
type Recent struct {
	classes int
	ring    [recentRows]float64
	n       int64
}

const recentRows = 32

// NewRecent returns a memory for the labels of a schema.
func NewRecent(s Schema) *Recent { return &Recent{classes: s.Classes} }

// Inputs describes the inputs that Into writes.
func (r *Recent) Inputs() []Input {
	if r.classes == 0 {
		return []Input{{Name: "label -1"}, {Name: "label -2"}, {Name: "label change"}, {Name: "labels, mean of 8"}, {Name: "labels, mean of 32"}}
	}
	in := []Input{{Name: "label -1", Categories: r.classes}, {Name: "label -2", Categories: r.classes}}
	if r.classes == 2 {
		return append(in, Input{Name: "labels, share of 16"})
	}
	for range r.classes {
		in = append(in, Input{Name: "labels, share of 16"})
	}
	return in
}

// Last returns the newest label, NaN before the first.
func (r *Recent) Last() float64 { return r.at(1) }

func (r *Recent) at(back int64) float64 {
	if back > r.n {
		return math.NaN()
	}
	return r.ring[(r.n-back)%recentRows]
}

// Into writes the inputs to dst, NaN where too few labels are known.
func (r *Recent) Into(dst []float64) {
	dst[0], dst[1] = r.at(1), r.at(2)
	if r.classes == 0 {
		dst[2], dst[3], dst[4] = r.at(1)-r.at(2), r.mean(8), r.mean(32)
		return
	}
	share := dst[2:]
	clear(share)
	rows := min(r.n, 16)
	if rows == 0 {
		for i := range share {
			share[i] = math.NaN()
		}
	}
	for b := range rows {
		if c := int(r.at(b + 1)); r.classes > 2 {
			share[c] += 1 / float64(rows)
		} else if c == 1 {
			share[0] += 1 / float64(rows)
		}
	}
}

func (r *Recent) mean(of int64) float64 {
	of = min(of, r.n)
	if of == 0 {
		return math.NaN()
	}
	m := 0.0
	// from the oldest on, as a running mean: sums of large numbers would overflow
	for b := of; b > 0; b-- {
		m += (r.at(b) - m) / float64(of-b+1)
	}
	return m
}

// Add takes the next label, a class or a number; what is neither is left out.
func (r *Recent) Add(y float64) {
	if r.classes > 0 {
		if _, ok := code(y, r.classes); !ok {
			return
		}
	} else if !usable(y) {
		return
	}
	r.ring[r.n%recentRows] = min(max(y, -maxMagnitude), maxMagnitude)
	r.n++
}

// Save appends the state to a snapshot.
func (r *Recent) Save(w *state.Writer) {
	w.Int(r.n)
	w.Floats(r.ring[:])
}

// Load restores it.
func (r *Recent) Load(s *state.Reader) {
	r.n = s.Int()
	s.FloatsInto(r.ring[:])
	for _, v := range r.ring {
		if _, ok := code(v, r.classes); r.n < 0 || r.n > 1<<53 || !(math.Abs(v) <= maxMagnitude) || r.classes > 0 && !ok {
			s.Fail()
			r.n = 0
		}
	}
}
