package ensemble

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// words is the scorer's kernels in plain Go: a 64-bit word is a vector of eight rows. Comparing
// bytes by adding them needs the highest bit of each, so a bin has 127 thresholds at most, and
// ranks are not flipped: a threshold, which is stored as 127-rank, and a rank add up to more than
// 127 where the row goes right. There are no tree lanes; looking bytes up takes a load for each,
// as walking does.
var words = &instructions{
	name:       portable,
	thresholds: 127,
	passes:     []pass{{8, killRows8, foldRows8}, {32, killRows32, foldRows32}},
	rank:       rankGo,
}

const (
	each  = 0x0101010101010101
	seven = 0x7f * each
)

// word reads eight rows and put writes them, the first in the lowest byte.
func word(p unsafe.Pointer, i int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(p, 8*i))[:])
}

func put(p unsafe.Pointer, i int, v uint64) {
	binary.LittleEndian.PutUint64((*[8]byte)(unsafe.Add(p, 8*i))[:], v)
}

// right is 1 in every byte whose rank exceeds a threshold.
func right(ranks, threshold uint64) uint64 { return (ranks + threshold) >> 7 & each }

// killRows32 has the contract of the assembly's killRows, for 32 rows.
func killRows32(blocks *byte, n int, entries, ranks, dead *byte) {
	next := uintptr(0) // an offset: a pointer must not leave the entries
	for _, block := range unsafe.Slice((*rowBlock)(unsafe.Pointer(blocks)), n) {
		var a, b, c, d uint64
		for range block.entries {
			en := (*rowEntry)(unsafe.Add(unsafe.Pointer(entries), next))
			threshold, kill := uint64(en.threshold)<<32|uint64(en.threshold), uint64(en.kill&0xff)
			r := unsafe.Add(unsafe.Pointer(ranks), en.bin)
			a |= right(word(r, 0), threshold) * kill // a byte times 0 or 1
			b |= right(word(r, 1), threshold) * kill
			c |= right(word(r, 2), threshold) * kill
			d |= right(word(r, 3), threshold) * kill
			next += unsafe.Sizeof(*en)
		}
		to := unsafe.Add(unsafe.Pointer(dead), block.slot)
		put(to, 0, a)
		put(to, 1, b)
		put(to, 2, c)
		put(to, 3, d)
	}
}

// killRows8 has it for 8 rows.
func killRows8(blocks *byte, n int, entries, ranks, dead *byte) {
	next := uintptr(0)
	for _, b := range unsafe.Slice((*rowBlock)(unsafe.Pointer(blocks)), n) {
		var a uint64
		for range b.entries {
			en := (*rowEntry)(unsafe.Add(unsafe.Pointer(entries), next))
			r := unsafe.Add(unsafe.Pointer(ranks), en.bin)
			a |= right(word(r, 0), uint64(en.threshold)<<32|uint64(en.threshold)) * uint64(en.kill&0xff)
			next += unsafe.Sizeof(*en)
		}
		put(unsafe.Add(unsafe.Pointer(dead), b.slot), 0, a)
	}
}

// foldRows32 and foldRows8 have the contract of the assembly's foldRows.
func foldRows32(dead *byte, trees, blocks int, scores *float64, stride int, _ *byte, sums *float64) {
	for t := range trees {
		for w := range 4 {
			foldWord(unsafe.Add(unsafe.Pointer(dead), t*blocks*blockRows+8*w), blocks, unsafe.Add(unsafe.Pointer(scores), t*stride), unsafe.Add(unsafe.Pointer(sums), 64*w))
		}
	}
}

func foldRows8(dead *byte, trees, blocks int, scores *float64, stride int, _ *byte, sums *float64) {
	for t := range trees {
		foldWord(unsafe.Add(unsafe.Pointer(dead), t*blocks*blockRows), blocks, unsafe.Add(unsafe.Pointer(scores), t*stride), unsafe.Pointer(sums))
	}
}

// alive is the lowest clear bit of a byte.
var alive = func() (t [256]uint8) {
	for b := range t {
		t[b] = uint8(bits.TrailingZeros8(^uint8(b)))
	}
	return t
}()

// foldWord adds the exit leaves of one tree to the sums of eight rows.
func foldWord(dead unsafe.Pointer, blocks int, scores, sums unsafe.Pointer) {
	block, number := word(dead, 0), uint64(0)
	for b := 1; b < blocks; b++ {
		full := (block&seven + each) & block >> 7 & each // 1 in every byte that is 255
		block &= word(dead, b*blockRows/8) | ^(full * 255)
		number += full
	}
	number *= blockLeaf
	for r := 0; r < 64; r += 8 {
		leaf := number>>r&0xff + uint64(alive[uint8(block>>r)])
		*(*float64)(unsafe.Add(sums, r)) += *(*float64)(unsafe.Add(scores, leaf*8))
	}
}

// rankGo ranks without vector instructions: a binary search in which the outcome of a comparison
// is added, not branched on, for four rows at a time.
func rankGo(s *scorer, out []byte, apart int, x []float64, rows, inputs int, flip byte) {
	for i := range s.cuts {
		c := &s.cuts[i]
		for r := 0; r < rows; r += 4 {
			var v [4]float64
			for k := range min(4, rows-r) {
				if v[k] = x[(r+k)*inputs+c.feature]; v[k] != v[k] {
					v[k] = c.missing
				}
				if s.single {
					v[k] = float64(float32(v[k]))
				}
			}
			rank := c.below(&v)
			for part := 0; part*s.size < len(c.thresholds); part++ {
				to := out[(c.first+part)*apart+r:][:min(4, rows-r)]
				for k := range to {
					to[k] = uint8(min(max(int(rank[k])-part*s.size, 0), s.size)) ^ flip
				}
			}
		}
	}
}

// below counts the thresholds below each value.
func (c *cut) below(v *[4]float64) (at [4]uint64) {
	n := uint64(len(c.thresholds))
	if n == 0 {
		return at
	}
	ts := unsafe.Pointer(&c.thresholds[0])
	threshold := func(i uint64) float64 { return *(*float64)(unsafe.Add(ts, i*8)) }
	for n > 1 {
		half := n / 2
		at[0] += half * uint64(above(v[0], threshold(at[0]+half-1)))
		at[1] += half * uint64(above(v[1], threshold(at[1]+half-1)))
		at[2] += half * uint64(above(v[2], threshold(at[2]+half-1)))
		at[3] += half * uint64(above(v[3], threshold(at[3]+half-1)))
		n -= half
	}
	for k := range at {
		at[k] += uint64(above(v[k], threshold(at[k])))
	}
	return at
}

// sumGo adds up one score per tree.
func sumGo(leaf *byte, n int, scores *float64, stride int) float64 {
	var sum [4]float64
	for i, at := range unsafe.Slice(leaf, n) {
		sum[i%4] += *(*float64)(unsafe.Add(unsafe.Pointer(scores), i*stride+8*int(at)))
	}
	return sum[0] + sum[1] + (sum[2] + sum[3])
}
