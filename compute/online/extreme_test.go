package online_test

import (
	"encoding/binary"
	"math"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/state"
)

// TestExtremeSnapshots puts numbers that break sums and counters in the place of each number of
// the snapshots of Recent, Echo and Spread: what is taken all the same must go on, and its state
// must be taken again.
func TestExtremeSnapshots(t *testing.T) {
	in := make([]float64, online.SpreadInputs)
	type part interface {
		Save(*state.Writer)
		Load(*state.Reader)
	}
	for name, c := range map[string]struct {
		make func() part
		step func(p part, i int)
	}{
		"recent": {func() part { return online.NewRecent(online.Schema{}) }, func(p part, i int) {
			r := p.(*online.Recent)
			r.Into(in)
			r.Add(float64(i))
		}},
		"echo": {func() part { return online.NewEcho(online.Schema{}) }, func(p part, i int) {
			p.(*online.Echo).Into(in, []float64{float64(i)})
		}},
		"spread": {func() part {
			s, err := online.NewSpread(make([]online.Input, 1))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}, func(p part, i int) {
			s := p.(*online.Spread)
			s.Into(in, float64(i), 0.5)
			if e := s.Expect(in, in); math.IsInf(e, 0) {
				t.Fatalf("an error of %v is expected", e)
			}
			s.Learn(in, in, float64(i), float64(i%7))
		}},
	} {
		p := c.make()
		for i := range 100 {
			c.step(p, i)
		}
		var w state.Writer
		p.Save(&w)
		for at := range len(w.B) / 8 {
			for _, v := range []uint64{1<<63 - 1, 1 << 63, math.Float64bits(math.MaxFloat64), math.Float64bits(-1e300)} {
				bad := append([]byte{}, w.B...)
				binary.LittleEndian.PutUint64(bad[8*at:], v)
				q := c.make()
				r := &state.Reader{B: bad}
				if q.Load(r); r.Err() != nil {
					continue
				}
				for i := range 100 {
					c.step(q, i)
				}
				var again state.Writer
				q.Save(&again)
				r = &state.Reader{B: again.B}
				if c.make().Load(r); r.Err() != nil {
					t.Errorf("%s: number %d as %#x is taken, but what it becomes is not", name, at, v)
				}
			}
		}
	}
}
