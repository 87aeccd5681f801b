package gbdt

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkPack(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 200_000
	d := &Data{Y: make([]float64, n)}
	score, rows, dst := make([]float64, n), make([]int32, n), make([]int64, n)
	for i := range score {
		score[i], rows[i], d.Y[i] = rng.NormFloat64(), int32(i), float64(i%2)
	}
	p := newPacker(newPacking(1, 0.25, n, false))
	for b.Loop() {
		logistic{}.pack(dst, d, rows, 0, score, p)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
}
