// Package state writes the numbers of a snapshot in a fixed order and reads them back.
//
// A snapshot is a flat sequence of little-endian numbers and length-prefixed byte strings.
// Reading never panics and never allocates more than the bytes that are there: after the first
// problem every method returns zero values and [Reader.Err] returns what it was.
package state

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
)

// Writer appends values to B.
type Writer struct{ B []byte }

// Int appends an integer.
func (w *Writer) Int(v int64) { w.B = binary.LittleEndian.AppendUint64(w.B, uint64(v)) }

// Float appends the exact bits of a float.
func (w *Writer) Float(v float64) {
	w.B = binary.LittleEndian.AppendUint64(w.B, math.Float64bits(v))
}

// Bool appends a truth value.
func (w *Writer) Bool(v bool) {
	if v {
		w.Int(1)
	} else {
		w.Int(0)
	}
}

// Floats appends a slice with its length.
func (w *Writer) Floats(v []float64) {
	w.Int(int64(len(v)))
	for _, x := range v {
		w.Float(x)
	}
}

// Ints appends a slice with its length.
func (w *Writer) Ints(v []int64) {
	w.Int(int64(len(v)))
	for _, x := range v {
		w.Int(x)
	}
}

// String appends a string with its length.
func (w *Writer) String(s string) {
	w.Int(int64(len(s)))
	w.B = append(w.B, s...)
}

// PCG appends a generator of random numbers.
func (w *Writer) PCG(g *rand.PCG) {
	b, _ := g.MarshalBinary() // a PCG's never fails
	w.String(string(b))
}

// ErrCorrupt means that a snapshot ends early or holds a length that cannot be.
var ErrCorrupt = errors.New("corrupt snapshot")

// Reader takes values from the front of B.
type Reader struct {
	B   []byte
	bad bool
}

// Err returns ErrCorrupt after a failed read, else nil.
func (r *Reader) Err() error {
	if r.bad {
		return ErrCorrupt
	}
	return nil
}

// Fail marks the snapshot as corrupt.
func (r *Reader) Fail() { r.bad = true }

// Int reads an integer.
func (r *Reader) Int() int64 {
	if r.bad || len(r.B) < 8 {
		r.bad = true
		return 0
	}
	v := binary.LittleEndian.Uint64(r.B)
	r.B = r.B[8:]
	return int64(v)
}

// Float reads a float.
func (r *Reader) Float() float64 { return math.Float64frombits(uint64(r.Int())) }

// Bool reads a truth value.
func (r *Reader) Bool() bool { return r.Int() != 0 }

// Len reads a length of elements of size bytes that must still be there.
func (r *Reader) Len(size int) int {
	n := r.Int()
	if n < 0 || n > int64(len(r.B)/size) {
		r.bad = true
		return 0
	}
	return int(n)
}

// Floats reads a slice.
func (r *Reader) Floats() []float64 {
	v := make([]float64, r.Len(8))
	for i := range v {
		v[i] = r.Float()
	}
	return v
}

// FloatsInto reads a slice that must have the length of dst.
func (r *Reader) FloatsInto(dst []float64) {
	if r.Len(8) != len(dst) {
		r.bad = true
		return
	}
	for i := range dst {
		dst[i] = r.Float()
	}
}

// Ints reads a slice.
func (r *Reader) Ints() []int64 {
	v := make([]int64, r.Len(8))
	for i := range v {
		v[i] = r.Int()
	}
	return v
}

// String reads a string.
func (r *Reader) String() string {
	n := r.Len(1)
	if r.bad {
		return ""
	}
	s := string(r.B[:n])
	r.B = r.B[n:]
	return s
}

// PCG reads a generator of random numbers into g, which stays as it was when there is none.
func (r *Reader) PCG(g *rand.PCG) {
	if s := r.String(); r.bad || g.UnmarshalBinary([]byte(s)) != nil {
		r.bad = true
	}
}
