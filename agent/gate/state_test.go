package gate

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/agent/source"
	"skerry.dev/sync/wire"
)

// wide are limits that no value of these tests leaves.
var wide = Limits{Min: math.Inf(-1), Max: math.Inf(1), MaxFuture: 1 << 40, Number: true}

func admit(g *Gate, series uint32, at int64, v float64) (wire.Flags, bool) {
	f, repeated, _ := g.Admit(series, &source.Message{Arrival: at, ClockOK: true}, source.Reading{Time: at, HasTime: true, Value: v}, wide)
	return f, repeated
}

// TestZeroesAndNaNs: readings are compared bit by bit, so that what is published again is a
// repeat, and nothing else is.
func TestZeroesAndNaNs(t *testing.T) {
	nan := math.NaN()
	other := math.Float64frombits(math.Float64bits(nan) ^ 1)
	for _, tt := range []struct {
		first, then float64
		repeated    bool
	}{
		{0, 0, true},
		{0, math.Copysign(0, -1), false},
		{nan, nan, true},
		{nan, other, false},
		{math.Inf(1), math.Inf(1), true},
		{math.Inf(1), math.Inf(-1), false},
		{1, math.Nextafter(1, 2), false},
	} {
		g := New(nil, 0)
		admit(g, 1, 5, tt.first)
		f, repeated := admit(g, 1, 5, tt.then)
		if repeated != tt.repeated || (f&wire.FlagConflict != 0) == tt.repeated {
			t.Errorf("%v, then %v at the same time: repeated %v, flags %b", tt.first, tt.then, repeated, f)
		}
	}
}

// FuzzLoad loads any bytes: an error or a gate that goes on, saves itself and is loaded again.
func FuzzLoad(f *testing.F) {
	g := New(nil, 0)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range int64(400) {
		admit(g, uint32(i%3), i, rng.NormFloat64())
	}
	f.Add(New(nil, 0).Save())
	f.Add(g.Save())
	f.Add(append(g.Save(), 0))
	f.Add(g.Save()[:40])
	for range 200 {
		bad := g.Save()
		for range 1 + rng.IntN(3) {
			bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		}
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g := New(nil, 0)
		if g.Load(bytes.Clone(b)) != nil {
			return
		}
		for i := range int64(2 * newestMax) {
			admit(g, uint32(i%4), 1<<40+i, float64(i%7))
		}
		saved := g.Save()
		again := New(nil, 0)
		if err := again.Load(saved); err != nil {
			t.Fatalf("what became of a state that was taken is not taken: %v", err)
		}
		if !bytes.Equal(again.Save(), saved) {
			t.Fatal("a state changes when it is loaded and saved")
		}
	})
}
