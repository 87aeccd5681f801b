package inputs

import (
	"hash/fnv"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/state"
)

// goldenBits is the hash of references, reports and states, which every processor must reach.
const goldenBits uint64 = 0xba9d7f479b9c22c5

// TestBits holds references, reports and states, bit for bit, to what they were when this was
// written, on any architecture.
//
//	GOARCH=386 go test ./compute/drift/inputs -run Bits
func TestBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 0))
	rows := make([][]float64, 6000)
	for i := range rows {
		row := []float64{rng.Float64() + rng.Float64(), rng.Float64(), float64(rng.IntN(4)), rng.Float64()}
		row[3] += row[1]
		if i > 3000 {
			row[i/1000%4] += 0.4
		}
		rows[i] = row
	}
	h := fnv.New64a()
	for _, test := range []Test{KolmogorovSmirnov, PSI, Wasserstein} {
		ref := reference(t, rows[:1500], Options{Test: test})
		var s state.Writer
		ref.Save(&s)
		w := NewWatcher(ref)
		for _, row := range rows[1500:] {
			r := w.Push(row)
			if r == nil {
				continue
			}
			s.Int(r.Row)
			s.Float(r.Joint.PValue)
			for _, f := range r.Features {
				s.Int(int64(f.Index))
				s.Floats([]float64{f.Statistic, f.PValue, f.Shift, f.PSI, f.Wasserstein})
			}
		}
		w.Save(&s)
		h.Write(s.B)
	}
	if got := h.Sum64(); got != goldenBits {
		t.Errorf("bits = %#x, want %#x", got, goldenBits)
	}
}
