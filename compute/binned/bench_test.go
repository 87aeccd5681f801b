package binned

import (
	"math/rand/v2"
	"testing"
)

// go test ./compute/binned -run '^$' -bench . -count 6
func BenchmarkApply(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	const rows, cols = 100_000, 28
	x := make([]float64, rows*cols)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	t := FromRows(x, cols)
	m, err := Fit(t, MaxBins, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("fit", func(b *testing.B) {
		for b.Loop() {
			if _, err := Fit(t, MaxBins, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("apply", func(b *testing.B) {
		for b.Loop() {
			if _, err := m.Apply(t, 1); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows*cols), "ns/value")
	})
}
