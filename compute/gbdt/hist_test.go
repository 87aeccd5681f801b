package gbdt

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// go test ./compute/gbdt -run '^$' -bench Count -count 6
func BenchmarkCount(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n, cols, stride = 200_000, 28, 32
	all := make([]uint8, n*stride)
	for i := range all {
		all[i] = uint8(1 + rng.IntN(255))
	}
	packed := make([]int64, n)
	for i := range packed {
		packed[i] = rng.Int64N(1 << 40)
	}
	h, store := newHistogram(cols), make([]uint8, n*stride)
	for _, every := range []int{1, 4, 16, 64} {
		rows := make([]int32, 0, n)
		for i := range int32(n) {
			if rng.IntN(every) == 0 {
				rows = append(rows, i)
			}
		}
		for _, scattered := range []bool{false, true} {
			b.Run(fmt.Sprintf("rows=%d/scattered=%v", len(rows), scattered), func(b *testing.B) {
				for b.Loop() {
					src := all
					if scattered {
						gather(store, all, stride/8, rows)
						src = store
					}
					count(h, src, stride, packed[:len(rows)], 0, cols)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)*cols), "ns/update")
			})
		}
	}
}
