package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/state"
)

// sparse is a task of two sensors whose rows wait: on a series with a lateness, or on a cadence.
func sparse(every bool) Config {
	c := Config{
		Task:      "sparse",
		Kind:      Forecast,
		Series:    []Series{{Name: "y", Min: math.NaN(), Max: math.NaN()}, {Name: "x", Min: math.NaN(), Max: math.NaN()}},
		Horizon:   300,
		Tolerance: 60,
		MaxAge:    1000,
		Lateness:  120,
		Idle:      50,
	}
	if every {
		c.On, c.Every, c.Lateness = -1, 100, 30
	}
	return c
}

// arriving is a message of a stream that stops and begins again.
type arriving struct {
	at       int64
	readings []Reading
}

// interrupted makes a stream with delayed readings and silences of all lengths.
func interrupted(n int) (out []arriving) {
	rng := rand.New(rand.NewPCG(4, 2))
	var now, event int64 = 1000, 0
	for range n {
		now += 20 + rng.Int64N(40)
		if rng.IntN(12) == 0 {
			now += rng.Int64N(600)
		}
		event = now
		if rng.IntN(4) == 0 {
			event -= rng.Int64N(200)
		}
		out = append(out, arriving{now, []Reading{{rng.IntN(2), event, rng.NormFloat64()}}})
	}
	return out
}

// TestTicksChangeNothing tells engines of the time at different moments, saves and loads one in
// between, and demands the same outputs in the same order.
func TestTicksChangeNothing(t *testing.T) {
	for _, every := range []bool{false, true} {
		stream := interrupted(800)
		run := func(step int64, reload bool) (out []string) {
			e, err := New(sparse(every))
			if err != nil {
				t.Fatal(err)
			}
			take := func(o *Output) {
				for _, r := range o.Rows {
					out = append(out, fmt.Sprint("row ", r.Time, r.Values))
				}
				for _, p := range o.Predictions {
					out = append(out, fmt.Sprintf("%+v", p))
				}
				for _, l := range o.Labels {
					out = append(out, fmt.Sprintf("%+v", l))
				}
			}
			last := stream[0].at
			for i, m := range stream {
				for at := last + step; step > 0 && at < m.at; at += step {
					take(e.Idle(at))
				}
				if reload && i%7 == 3 {
					saved := e.Save(nil)
					if e, err = New(sparse(every)); err != nil {
						t.Fatal(err)
					}
					if err := e.Load(saved, nil); err != nil {
						t.Fatal(err)
					}
				}
				take(e.Ingest(m.at, m.readings))
				last = m.at
			}
			take(e.End())
			return out
		}
		want := run(0, false)
		if len(want) < 300 {
			t.Fatalf("every %v: only %d outputs", every, len(want))
		}
		for _, step := range []int64{1, 13, 77, 500} {
			// rows and what follows them come in separate calls: their order within one is by kind
			got := run(step, step == 13)
			slices.Sort(got)
			sorted := slices.Sorted(slices.Values(want))
			if !slices.Equal(got, sorted) {
				t.Errorf("every %v, told the time each %d: %d outputs differ from the %d without", every, step, len(got), len(want))
			}
		}
	}
}

// TestSilenceFiresWhatWaits: rows on a series fire up to the newest reading once nothing came for
// the lateness, and those of a cadence go on for as long; then nothing more.
func TestSilenceFiresWhatWaits(t *testing.T) {
	times := func(o *Output) (ts []int64) {
		for _, r := range o.Rows {
			ts = append(ts, r.Time)
		}
		return ts
	}
	e, err := New(sparse(false))
	if err != nil {
		t.Fatal(err)
	}
	e.Ingest(5000, []Reading{{0, 1000, 1}})
	if got := times(e.Ingest(5060, []Reading{{0, 1060, 2}})); got != nil {
		t.Errorf("rows within the lateness fire: %v", got)
	}
	if got := times(e.Idle(5060 + 120)); got != nil {
		t.Errorf("rows fire after a silence of the lateness, not longer: %v", got)
	}
	if got, want := times(e.Idle(5060+121)), []int64{1000, 1060}; !slices.Equal(got, want) {
		t.Errorf("after a silence rows at %v fire, want %v", got, want)
	}
	if got := e.Idle(9000); !got.Empty() {
		t.Errorf("a second silence fires %+v", got)
	}
	// behind the newest reading there is room for one that was held up, before it there is none
	if o := e.Ingest(9001, []Reading{{0, 1059, 3}}); o.Late != 1 {
		t.Error("a reading older than a row that fired is not late")
	}
	if o := e.Ingest(9002, []Reading{{0, 1070, 3}}); o.Late != 0 {
		t.Error("a reading behind the newest one is late after a silence")
	}
	if got, want := times(e.End()), []int64{1070}; !slices.Equal(got, want) {
		t.Errorf("at the end rows at %v fire, want %v", got, want)
	}

	if e, err = New(sparse(true)); err != nil {
		t.Fatal(err)
	}
	if got, want := times(e.Ingest(50, []Reading{{0, 1000, 1}})), []int64(nil); !slices.Equal(got, want) {
		t.Errorf("rows at %v fire at once, want %v", got, want)
	}
	if got, want := times(e.Ingest(140, []Reading{{1, 1090, 1}})), []int64{1000}; !slices.Equal(got, want) {
		t.Errorf("rows at %v fire, want %v", got, want)
	}
	// 50 of silence, less the lateness of 30: up to 1110
	if got, want := times(e.Idle(191)), []int64{1100}; !slices.Equal(got, want) {
		t.Errorf("a cadence goes on with %v, want %v", got, want)
	}
	if got := e.Idle(100_000); !got.Empty() {
		t.Errorf("a cadence goes on for ever: %+v", got)
	}
	// a clock that is set back, or forward, is no reason to stop
	e.Ingest(20, []Reading{{0, 1200, 1}})
	if got, want := times(e.Ingest(60, []Reading{{0, 1240, 1}})), []int64{1200}; !slices.Equal(got, want) {
		t.Errorf("after the clock was set back rows at %v fire, want %v", got, want)
	}
}

// TestLoadsTheVersionBefore reads a snapshot without arrival times, as version 4 wrote it. The task
// is of a kind whose snapshots have changed in nothing else since; those of forecasts of version 5
// are among the golden states of agent/task.
func TestLoadsTheVersionBefore(t *testing.T) {
	cfg := sparse(false)
	cfg.Kind, cfg.Target, cfg.Horizon, cfg.AlarmRate = Anomaly, -1, 0, 0.01
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range interrupted(200) {
		e.Ingest(m.at, m.readings)
	}
	now := e.Save(nil)
	now = now[:len(now)-8*len(e.lost.ints())] // since version 6
	// version 4 has neither arrived and settled before the joiner nor read in it
	w := state.Writer{}
	w.Int(withoutClock)
	head := len(w.B)
	var clock state.Writer
	clock.Int(e.arrived)
	clock.Bool(e.settled)
	var slots state.Writer
	slots.String("")
	slots.String("")
	slots.Bool(false)
	slots.Int(e.epoch)
	at := head + len(slots.B) + 8*len(e.trial.ints())
	// of a trial it has five sums and no blocks
	var trial state.Writer
	for range len(e.trial.floats()) + 2 {
		trial.Int(0)
	}
	e.trial.Blocks.Save(&trial)
	rest := now[at+len(trial.B)+len(clock.B):]
	old := slices.Concat(w.B, now[head:at], make([]byte, 5*8), rest[:8], rest[16:])
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Load(old, nil); err != nil {
		t.Fatal(err)
	}
	if f.arrived != NoArrival || f.join.read != e.join.newest || f.stats != e.stats {
		t.Errorf("loaded arrived %d, read %d, stats %+v; want none, %d, %+v", f.arrived, f.join.read, f.stats, e.join.newest, e.stats)
	}
	f.Ingest(1_000_000, []Reading{{0, 1_000_000, 1}})
	if err := f.Load(old[:len(old)-1], nil); err == nil {
		t.Error("a torn snapshot is loaded")
	}
}
