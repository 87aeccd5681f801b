package ensemble

import "unsafe"

// instructions is a set of vector instructions: the kernels of a scorer. The functions have the contracts that stand beside the assembly.
type instructions struct {
	name   string
	lanes  int // trees in a vector
	passes []pass
	looks  []look
	rank   func(s *scorer, out []byte, apart int, x []float64, rows, inputs int, flip byte)
	sum    func(leaf *byte, n int, scores *float64, stride int) float64
}

// pass is row lanes for so many rows at a time. Passes are listed by rows, fewest first.
type pass struct {
	rows int
	kill func(blocks *byte, n int, entries *byte, ranks *byte, dead *byte)
	fold func(dead *byte, trees, blocks int, scores *float64, stride int, leaf *byte, sums *float64)
}

// look is tree lanes for rows of so many bins, fewest first.
type look struct {
	bins  int
	trees treesFunc
}

type treesFunc func(counts *byte, groups int, entries *byte, ranks *byte, leaf *byte)

// pass returns the smallest that does n rows at once, or the largest.
func (k *instructions) pass(n int) *pass {
	for i := range k.passes {
		if k.passes[i].rows >= n {
			return &k.passes[i]
		}
	}
	return &k.passes[len(k.passes)-1]
}

// lookup returns the tree lanes for n bins, nil when there are too many.
func (k *instructions) lookup(n int) treesFunc {
	for _, l := range k.looks {
		if l.bins >= n {
			return l.trees
		}
	}
	return nil
}

// rankGo ranks without vector instructions: a binary search whose steps are additions, four rows at a time.
func rankGo(s *scorer, out []byte, apart int, x []float64, rows, inputs int, flip byte) {
	for j := range s.bins {
		b := &s.bins[j]
		to := out[j*apart:][:rows]
		for r := range to {
			v := x[r*inputs+int(b.feature/8)]
			if v != v {
				v = b.missing
			}
			if s.single {
				to[r] = rankOf((*[256]float32)(s.table32[j*tableSize+16:]), float32(v)) ^ flip
			} else {
				to[r] = rankOf((*[256]float64)(s.table64[j*tableSize+16:]), v) ^ flip
			}
		}
	}
}

// rankOf counts the thresholds below v.
func rankOf[F float32 | float64](table *[256]F, v F) uint8 {
	at := uint32(0)
	for step := uint32(128); step > 0; step /= 2 {
		at += step * above(v, table[(at+step-1)&255])
	}
	return uint8(at)
}

// first returns where a slice begins, for kernels, which take no lengths.
func first[T any](v []T) *byte {
	if len(v) == 0 {
		return nil
	}
	return (*byte)(unsafe.Pointer(&v[0]))
}

// sumGo adds up one score per tree without vector instructions.
func sumGo(leaf *byte, n int, scores *float64, stride int) float64 {
	var sum [4]float64
	l := unsafe.Slice(leaf, n)
	for i, at := range l {
		sum[i%4] += *(*float64)(unsafe.Add(unsafe.Pointer(scores), i*stride+8*int(at)))
	}
	return sum[0] + sum[1] + (sum[2] + sum[3])
}
