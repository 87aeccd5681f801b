package gate

import (
	"math"
	"testing"

	"skerry.dev/agent/source"
	"skerry.dev/sync/wire"
)

// TestRetained: what the broker has kept and sends again is no new reading, unless it has a time of
// its own or a value that is not the newest known.
func TestRetained(t *testing.T) {
	g := New(nil, 0)
	lim := Limits{Min: math.Inf(-1), Max: math.Inf(1), MaxFuture: 1000, Number: true}
	for i, tt := range []struct {
		at              int64
		value           float64
		retained, timed bool
		repeated        bool
	}{
		{100, 5, true, false, false}, // the first that is known of the series
		{200, 5, true, false, true},
		{300, 5, false, false, false}, // sent now, and as it was
		{400, 5, true, false, true},
		{500, 6, true, false, false}, // sent while this device was away
		{600, 5, true, false, false},
		{600, 5, true, true, true}, // its own time is known
		{700, 5, true, true, false},
	} {
		m := &source.Message{Arrival: tt.at, ClockOK: true, Retained: tt.retained}
		_, repeated, _ := g.Admit(1, m, source.Reading{Time: tt.at, HasTime: tt.timed, Value: tt.value}, lim)
		if repeated != tt.repeated {
			t.Errorf("reading %d, %+v: repeated %v", i, tt, repeated)
		}
	}
}

// TestSlowClock: what lies ahead of a clock that is known to be slow is not from the future.
func TestSlowClock(t *testing.T) {
	lim := Limits{Min: math.Inf(-1), Max: math.Inf(1), MaxFuture: 1000}
	for behind, want := range map[int64]wire.Flags{0: wire.FlagFuture, 4000: 0, 3999: wire.FlagFuture} {
		f, _, _ := New(nil, 0).Admit(1, &source.Message{Arrival: 10_000, ClockOK: true, Behind: behind}, source.Reading{Time: 15_000, HasTime: true}, lim)
		if f&wire.FlagFuture != want {
			t.Errorf("5 ms ahead of a clock %d µs slow: flags %b, want %b", behind, f, want)
		}
	}
}
