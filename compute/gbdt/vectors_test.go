package gbdt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/binned"
)

// portable runs f as if the processor had no vectors.
func portable(f func()) {
	was := hasVectors
	hasVectors = false
	defer func() { hasVectors = was }()
	f()
}

func needVectors(t *testing.T) {
	if !hasVectors {
		t.Skip("there are no vector kernels for this processor: run on amd64 with AVX2")
	}
}

func TestVectorsComputeTheSameBits(t *testing.T) {
	needVectors(t)
	rng := rand.New(rand.NewPCG(2, 3))
	x := []float64{0, math.Copysign(0, -1), 1, -1, 699.9, 700, 701, -699.9, -700, -701, 1e300, -1e300, math.Inf(1), math.Inf(-1), 5e-324, 0x1p-52, math.Ln2 / 64, -math.Ln2 / 64}
	for range 100_000 {
		x = append(x, rng.NormFloat64()*math.Ldexp(1, rng.IntN(12)-2))
	}
	for _, n := range []int{0, 1, 3, 4, 5, 7, 8, 255, len(x)} {
		got, want := slices.Clone(x[:n]), slices.Clone(x[:n])
		expAll(got)
		portable(func() { expAll(want) })
		for k := range want {
			if math.Float64bits(got[k]) != math.Float64bits(want[k]) || want[k] != exp(x[k]) {
				t.Fatalf("exp(%v) is %v by vectors and %v without", x[k], got[k], want[k])
			}
		}
	}
	y, w := make([]float64, len(x)), make([]float64, len(x))
	for k := range y {
		y[k], w[k] = float64(rng.IntN(2)), rng.Float64()
	}
	for _, rows := range []int{1, 1000, 1 << 24} {
		p := newPacker(newPacking(1, 0.25, rows, false))
		got, want := make([]int64, len(x)), make([]int64, len(x))
		packLogistic(got, x, y, w, &p)
		portable(func() { packLogistic(want, x, y, w, &p) })
		for k := range want {
			if got[k] != want[k] {
				t.Fatalf("packing %+v: the gradient at score %v, class %v, weight %v is %#x by vectors and %#x without", p, x[k], y[k], w[k], got[k], want[k])
			}
		}
	}
}

func TestVectorsDivideTheSameRows(t *testing.T) {
	needVectors(t)
	rng := rand.New(rand.NewPCG(4, 5))
	type state struct {
		n             int
		rows, spare   []int32
		packed, other []int64
		store         []uint8
	}
	for _, words := range []int{1, 2, 3, 4, 8, 9} {
		for _, n := range []int{1, 2, 7, 300} {
			for _, share := range []int{0, 128, 256} { // of the bins on side 1
				var side [histBins]uint8
				for b := range share {
					side[b] = 1
				}
				stride := 8 * words
				bins := make([]uint8, n*stride+binned.Slack)[:n*stride]
				for i := range bins {
					bins[i] = uint8(rng.IntN(256))
				}
				do := func(inPlace bool) state {
					s := state{rows: make([]int32, n), spare: make([]int32, n), packed: make([]int64, n), other: make([]int64, n), store: make([]uint8, 2*n*stride+binned.Slack)}
					for k := range s.rows {
						s.rows[k], s.packed[k] = int32(k), int64(k)<<33
					}
					src := bins
					if inPlace {
						copy(s.store, bins)
						src = s.store
					}
					s.n = halve(s.rows, s.spare, s.packed, s.other, src, s.store, 0, n*stride, words, stride-3, &side)
					return s
				}
				for _, inPlace := range []bool{false, true} {
					t.Run(fmt.Sprintf("words=%d/rows=%d/share=%d/inPlace=%v", words, n, share, inPlace), func(t *testing.T) {
						got := do(inPlace)
						var want state
						portable(func() { want = do(inPlace) })
						k := want.n
						if got.n != k || !slices.Equal(got.rows[:k], want.rows[:k]) || !slices.Equal(got.packed[:k], want.packed[:k]) || !slices.Equal(got.store[:k*stride], want.store[:k*stride]) {
							t.Fatalf("front: %d rows %v, want %d %v", got.n, got.rows, k, want.rows)
						}
						if !slices.Equal(got.spare[:n-k], want.spare[:n-k]) || !slices.Equal(got.other[:n-k], want.other[:n-k]) || !slices.Equal(got.store[n*stride:(2*n-k)*stride], want.store[n*stride:(2*n-k)*stride]) {
							t.Fatalf("behind: rows %v, want %v", got.spare, want.spare)
						}
						for at, i := range append(slices.Clone(want.rows[:k]), want.spare[:n-k]...) {
							to := at
							if at >= k {
								to = n + at - k
							}
							if row := bins[int(i)*stride:][:stride]; !slices.Equal(want.store[to*stride:][:stride], row) || (side[row[stride-3]] == 1) != (at < k) {
								t.Fatalf("row %d is not where it belongs", i)
							}
						}
					})
				}
			}
		}
	}
}

// go test ./compute/gbdt -run '^$' -bench Pack -count 6
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
