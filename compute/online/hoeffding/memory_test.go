package hoeffding_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/hoeffding"
)

// maker makes a learner.
type maker struct {
	name string
	make func() (online.Classifier, error)
}

// growing returns the learners that are named, in one order, with their options.
func growing(s online.Schema, options map[string]hoeffding.Options) (list []maker) {
	for _, name := range slices.Sorted(maps.Keys(options)) {
		o := options[name]
		list = append(list, maker{name, func() (online.Classifier, error) {
			switch name {
			case "tree":
				return hoeffding.NewTree(s, o)
			case "adaptive":
				return hoeffding.NewAdaptive(s, hoeffding.AdaptiveOptions{Options: o})
			case "fast":
				return hoeffding.NewFast(s, hoeffding.FastOptions{Options: o})
			case "bagging":
				return hoeffding.NewBagging(s, hoeffding.EnsembleOptions{Options: o})
			case "forest":
				return hoeffding.NewForest(s, hoeffding.EnsembleOptions{Options: o})
			case "patches":
				return hoeffding.NewPatches(s, hoeffding.EnsembleOptions{Options: o})
			}
			return nil, fmt.Errorf("no learner %q", name)
		}})
	}
	return list
}

// TestBytesAreTrue compares what learners say of their memory with what the heap grew by.
func TestBytesAreTrue(t *testing.T) {
	if testing.Short() || race.Enabled {
		t.Skip("grows four learners, and the race detector takes memory of its own: run without -short and -race")
	}
	s := online.Schema{Classes: 2, Inputs: make([]online.Input, 30)}
	eager := hoeffding.Options{Grace: 20, Delta: 0.1, Tau: 0.9}
	for _, l := range growing(s, map[string]hoeffding.Options{"tree": eager, "adaptive": eager, "forest": {}, "patches": {}}) {
		rng := rand.New(rand.NewPCG(1, 2))
		x := make([]float64, len(s.Inputs))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		c, err := l.make()
		if err != nil {
			t.Fatal(err)
		}
		for range 20_000 {
			for j := range x {
				x[j] = rng.Float64()
			}
			class := 0
			if x[0]+x[1] > x[2]+x[3]+x[4]-0.5 {
				class = 1
			}
			c.Learn(x, class, 1)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		heap, said := float64(after.HeapAlloc)-float64(before.HeapAlloc), float64(c.Bytes())
		t.Logf("%-8s the heap grew by %.0f kB, Bytes says %.0f kB", l.name, heap/1000, said/1000)
		if said < heap*0.9 || said > heap*2 {
			t.Errorf("%s: the heap grew by %.0f bytes, Bytes says %.0f", l.name, heap, said)
		}
		runtime.KeepAlive(c)
	}
}

// TestSteadyState holds that learners at their budget hardly allocate: what one tree drops the
// next takes.
func TestSteadyState(t *testing.T) {
	if testing.Short() || race.Enabled {
		t.Skip("grows six learners, and the race detector allocates by itself: run without -short and -race")
	}
	s := online.Schema{Classes: 2, Inputs: make([]online.Input, 30)}
	o := hoeffding.Options{Seed: 1, MaxBytes: 256 << 10}
	for _, l := range growing(s, map[string]hoeffding.Options{"tree": o, "adaptive": o, "fast": o, "bagging": o, "forest": o, "patches": o}) {
		c, err := l.make()
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(42, 1))
		x, p := make([]float64, len(s.Inputs)), make([]float64, 2)
		play := func(rows int) {
			for range rows {
				for j := range x {
					x[j] = rng.Float64()
				}
				class := 0
				if x[3] > 0.4 != (x[7] > 0.6) || x[9] > 0.8 && x[1] > 0.3 {
					class = 1
				}
				c.Classify(p, x)
				c.Learn(x, class, 1)
			}
		}
		const rows = 20_000
		play(2 * rows)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		play(rows)
		runtime.ReadMemStats(&after)
		n := after.Mallocs - before.Mallocs
		t.Logf("%-8s %d allocations in %d rows", l.name, n, rows)
		if n > rows/50 {
			t.Errorf("%s: %d allocations in %d rows", l.name, n, rows)
		}
	}
}
