package gbdt

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/binned"
)

// go test ./compute/gbdt -run '^$' -bench Build -count 6
func BenchmarkBuild(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n, cols = 200_000, 28
	x := &binned.Matrix{Mapper: &binned.Mapper{}, N: n, Stride: cols, Rows: make([]uint8, n*cols)}
	for i := range x.Rows {
		x.Rows[i] = uint8(1 + rng.IntN(255))
	}
	packed := make([]int64, n)
	for i := range packed {
		packed[i] = rng.Int64N(1 << 40)
	}
	h := make(histogram, cols*histBins)
	for _, every := range []int{1, 4, 16, 64} {
		rows := make([]int32, 0, n)
		for i := range int32(n) {
			if rng.IntN(every) == 0 {
				rows = append(rows, i)
			}
		}
		for _, block := range []int{28, 16, 12, 8, 4} {
			b.Run(fmt.Sprintf("every=%d/block=%d", every, block), func(b *testing.B) {
				for b.Loop() {
					for c := 0; c < cols; c += block {
						build(h, x, packed[:len(rows)], rows, c, min(c+block, cols), new(room))
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)*cols), "ns/update")
			})
		}
	}
}
