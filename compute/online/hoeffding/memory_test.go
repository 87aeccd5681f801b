package hoeffding_test

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/hoeffding"
)

// TestBytesAreTrue compares what learners say of their memory with what the heap grew by.
func TestBytesAreTrue(t *testing.T) {
	if testing.Short() || race.Enabled {
		t.Skip("grows four learners, and the race detector takes memory of its own: run without -short and -race")
	}
	s := online.Schema{Classes: 2, Inputs: make([]online.Input, 30)}
	eager := hoeffding.Options{Grace: 20, Delta: 0.1, Tau: 0.9}
	for _, l := range []struct {
		name string
		make func() (online.Classifier, error)
	}{
		{"tree", func() (online.Classifier, error) { return hoeffding.NewTree(s, eager) }},
		{"adaptive", func() (online.Classifier, error) {
			return hoeffding.NewAdaptive(s, hoeffding.AdaptiveOptions{Options: eager})
		}},
		{"forest", func() (online.Classifier, error) { return hoeffding.NewForest(s, hoeffding.EnsembleOptions{}) }},
		{"patches", func() (online.Classifier, error) { return hoeffding.NewPatches(s, hoeffding.EnsembleOptions{}) }},
	} {
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
