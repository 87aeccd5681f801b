package state

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func TestRoundTripAndTruncation(t *testing.T) {
	var w Writer
	w.Int(-5)
	w.Float(math.Pi)
	w.Bool(true)
	w.Floats([]float64{1, math.Inf(-1)})
	w.Ints([]int64{7, 8})
	w.String("hé")
	drawn := rand.NewPCG(1, 2)
	drawn.Uint64()
	w.PCG(drawn)
	next := drawn.Uint64()
	read := func(b []byte) (*Reader, bool) {
		r := &Reader{B: b}
		ok := r.Int() == -5 && r.Float() == math.Pi && r.Bool()
		f := r.Floats()
		i := r.Ints()
		ok = ok && len(f) == 2 && math.IsInf(f[1], -1) && len(i) == 2 && i[1] == 8 && r.String() == "hé"
		g := rand.NewPCG(9, 9)
		r.PCG(g)
		ok = ok && g.Uint64() == next
		return r, ok
	}
	if r, ok := read(w.B); !ok || r.Err() != nil || len(r.B) != 0 {
		t.Fatalf("round trip: %v, %v", ok, r.Err())
	}
	for n := range w.B {
		if r, _ := read(w.B[:n]); !errors.Is(r.Err(), ErrCorrupt) {
			t.Fatalf("%d of %d bytes: err = %v", n, len(w.B), r.Err())
		}
	}
	r := &Reader{B: w.B[:8]}
	if r.Len(8) != 0 || r.Err() == nil {
		t.Error("a negative length is accepted")
	}
	var dst [3]float64
	r = &Reader{B: func() []byte { var w Writer; w.Floats([]float64{1}); return w.B }()}
	if r.FloatsInto(dst[:]); r.Err() == nil {
		t.Error("a slice of another length is accepted")
	}
}
