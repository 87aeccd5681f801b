// Package drifttest holds what every drift detector must do, as checks that a detector's own
// tests run: quiet on a stream that does not change, found soon after a change, the same after a
// restart at any value as without one, blind to values that are no measurements, unharmed by
// damaged snapshots and by values as large as can be, and without an allocation per value.
package drifttest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/drift"
	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/state"
)

// Case is a detector with what its contract promises.
type Case struct {
	New func() drift.Detector
	// Before and After make the values of two concepts.
	Before, After func(rng *rand.Rand) float64
	// FalseAlarms is the number that 20,000 values of Before may cause, in each of three streams.
	FalseAlarms int
	// Delay is the number of values of After, following 2000 of Before, within which 19 of 20
	// streams alarm.
	Delay int
}

// checks are all that Run runs, in order.
var checks = []struct {
	name string
	run  func(*Case) error
}{
	{"quiet", (*Case).quiet}, {"fires", (*Case).fires}, {"resumes", (*Case).resumes}, {"ignores", (*Case).ignores}, {"damage", (*Case).damage}, {"recovers", (*Case).recovers}, {"allocates", (*Case).allocates},
}

// Run runs every check.
func Run(t *testing.T, c Case) {
	t.Helper()
	for _, check := range checks {
		t.Run(check.name, func(t *testing.T) {
			if err := check.run(&c); err != nil {
				t.Error(err)
			}
		})
	}
}

// fewer is n, or a tenth of it under the race detector.
func fewer(n int) int {
	if race.Enabled {
		return n / 10
	}
	return n
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// stream is a change after 1000 values, back and forth to the end.
func (c *Case) stream(seed uint64, n int) []float64 {
	rng, out := source(seed), make([]float64, n)
	for i := range out {
		if out[i] = c.Before(rng); i/1000%2 == 1 {
			out[i] = c.After(rng)
		}
	}
	return out
}

func (c *Case) quiet() error {
	for seed := range uint64(3) {
		rng, d, alarms := source(seed+1), c.New(), 0
		for range 20000 {
			if d.Update(c.Before(rng)) {
				alarms++
			}
		}
		if alarms > c.FalseAlarms {
			return fmt.Errorf("%d alarms in 20000 values without a change, want at most %d", alarms, c.FalseAlarms)
		}
	}
	return nil
}

func (c *Case) fires() error {
	found := 0
	for seed := range uint64(20) {
		rng, d := source(seed+100), c.New()
		for range 2000 {
			d.Update(c.Before(rng))
		}
		for range c.Delay {
			if d.Update(c.After(rng)) {
				found++
				break
			}
		}
	}
	if found < 19 {
		return fmt.Errorf("a change found within %d values in %d of 20 streams, want 19", c.Delay, found)
	}
	return nil
}

func save(d drift.Detector) []byte {
	var w state.Writer
	d.Save(&w)
	return w.B
}

// load restores a detector and reports whether all bytes were good.
func load(d drift.Detector, b []byte) bool {
	r := state.Reader{B: b}
	d.Load(&r)
	return r.Err() == nil && len(r.B) == 0
}

// outcome is what a detector reports of a value: 1 for a drift, 2 for a warning.
func outcome(d drift.Detector, x float64) byte {
	o := byte(0)
	if d.Update(x) {
		o = 1
	}
	if w, ok := d.(drift.Warner); ok && w.Warning() {
		o |= 2
	}
	return o
}

func (c *Case) resumes() error {
	xs := c.stream(7, 1000+fewer(3000))
	d := c.New()
	var want, snapshots [][]byte
	for _, x := range xs {
		snapshots = append(snapshots, save(d))
		want = append(want, []byte{outcome(d, x)})
	}
	last := save(d)
	// At every value the next outcome and state agree; from some on, all to the end.
	for i, s := range snapshots {
		e := c.New()
		if !load(e, s) {
			return fmt.Errorf("a snapshot before value %d does not load", i)
		}
		if again := save(e); !bytes.Equal(again, s) {
			return fmt.Errorf("a snapshot before value %d changes when loaded and saved", i)
		}
		steps := 1
		if i%97 == 0 {
			steps = len(xs) - i
		}
		for k := range steps {
			if got := outcome(e, xs[i+k]); got != want[i+k][0] {
				return fmt.Errorf("resumed at value %d: outcome %d of value %d, want %d", i, got, i+k, want[i+k][0])
			}
		}
		next := last
		if i+steps < len(xs) {
			next = snapshots[i+steps]
		}
		if !bytes.Equal(save(e), next) {
			return fmt.Errorf("resumed at value %d: the state differs %d values later", i, steps)
		}
	}
	return nil
}

func (c *Case) ignores() error {
	plain, mixed := c.New(), c.New()
	for i, x := range c.stream(8, 4000) {
		for _, none := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e308, -1e308} {
			if mixed.Update(none) {
				return fmt.Errorf("%v before value %d is a drift", none, i)
			}
		}
		if a, b := outcome(plain, x), outcome(mixed, x); a != b {
			return fmt.Errorf("value %d: outcome %d, %d after values that are no measurements", i, a, b)
		}
	}
	if !bytes.Equal(save(plain), save(mixed)) {
		return errors.New("values that are no measurements leave a trace in the state")
	}
	return nil
}

func (c *Case) damage() error {
	xs := c.stream(9, 3000)
	d := c.New()
	for _, x := range xs[:1500] {
		d.Update(x)
	}
	good := save(d)
	rng := source(10)
	for i := range len(good) + fewer(3000) {
		bad := slices.Clone(good)
		if i < len(good) {
			bad = bad[:i]
		} else {
			for range 1 + rng.IntN(3) {
				bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
			}
		}
		e := c.New()
		e.Update(xs[0])
		before := save(e)
		ok := load(e, bad)
		if i < len(good) && ok {
			return fmt.Errorf("%d of %d bytes load", i, len(good))
		}
		if !ok && len(bad) < len(good) && !bytes.Equal(save(e), before) {
			return fmt.Errorf("%d of %d bytes do not load but change the detector", i, len(good))
		}
		if i%20 == 0 || ok {
			for _, x := range xs[1500:1700] { // must not panic, whatever was loaded
				e.Update(x)
			}
		}
	}
	return c.extremes(good, xs[1500:1700])
}

// extremes puts numbers that break sums and counters in the place of each number of a snapshot,
// or of those near its ends: what is loaded all the same must go on, and its state must be loaded
// again.
func (c *Case) extremes(good []byte, xs []float64) error {
	words := len(good) / 8
	for at := range words {
		if at > 24 && at < words-24 {
			continue
		}
		for _, v := range []uint64{1<<63 - 1, 1 << 63, 1<<53 + 1, math.Float64bits(math.MaxFloat64), math.Float64bits(-1e300)} {
			bad := slices.Clone(good)
			binary.LittleEndian.PutUint64(bad[8*at:], v)
			e := c.New()
			if !load(e, bad) {
				continue
			}
			for _, x := range xs {
				e.Update(x)
			}
			if !load(c.New(), save(e)) {
				return fmt.Errorf("number %d of a snapshot as %#x loads, but %d values later the state does not", at, v, len(xs))
			}
		}
	}
	return nil
}

func (c *Case) recovers() error {
	rng, d := source(11), c.New()
	for range 500 {
		d.Update(c.Before(rng))
	}
	for _, x := range []float64{1e100, -1e100, 1e99, -1e30, 1e100, 1e100, -1e100} {
		d.Update(x)
		d.Update(c.Before(rng))
	}
	for range 20000 {
		d.Update(c.Before(rng))
	}
	for range 2 * c.Delay {
		if d.Update(c.After(rng)) {
			return nil
		}
	}
	return fmt.Errorf("a change 20000 values after the largest values there are is not found within %d", 2*c.Delay)
}

func (c *Case) allocates() error {
	xs := c.stream(12, 4000)
	d := c.New()
	for range 3 {
		for _, x := range xs {
			d.Update(x)
		}
	}
	if n := testing.AllocsPerRun(3, func() {
		for _, x := range xs {
			d.Update(x)
		}
	}); n != 0 {
		return fmt.Errorf("%v allocations in 4000 values, want 0", n)
	}
	return nil
}

// Bernoulli makes values that are 1 with probability p, else 0.
func Bernoulli(p float64) func(*rand.Rand) float64 {
	return func(rng *rand.Rand) float64 {
		if rng.Float64() < p {
			return 1
		}
		return 0
	}
}

// Normal makes values of a normal distribution.
func Normal(mean, sd float64) func(*rand.Rand) float64 {
	return func(rng *rand.Rand) float64 { return mean + sd*rng.NormFloat64() }
}
