package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is what the kernels need of an instruction set. "dead" bytes have a bit set for every leaf
// that was killed.
type isa struct {
	name   string
	width  int // bytes of a vector
	vector func() reg.VecVirtual
	load   func(from Mem, to reg.VecVirtual)
	store  func(from reg.VecVirtual, to Mem)
	zero   func(v reg.VecVirtual)
	ones   func(v reg.VecVirtual)
	spread func(from Mem, to reg.VecVirtual) // four bytes to all lanes
	// kill adds kill to dead where a > b, bytes being signed. One of b and kill may be memory.
	kill func(a reg.VecVirtual, b, kill Op, dead reg.VecVirtual)
	// first replaces current by next and adds one to count where all leaves of current are dead.
	first func(current, count, ones, one reg.VecVirtual, next Op)
	and   func(a Op, b, to reg.VecVirtual)
}

var avx2 = isa{
	name: "AVX2", width: 32, vector: YMM,
	load:   func(from Mem, to reg.VecVirtual) { VMOVDQU(from, to) },
	store:  func(from reg.VecVirtual, to Mem) { VMOVDQU(from, to) },
	zero:   func(v reg.VecVirtual) { VPXOR(v, v, v) },
	ones:   func(v reg.VecVirtual) { VPCMPEQB(v, v, v) },
	spread: func(from Mem, to reg.VecVirtual) { VPBROADCASTD(from, to) },
	kill: func(a reg.VecVirtual, b, kill Op, dead reg.VecVirtual) {
		right := YMM()
		VPCMPGTB(b, a, right)
		VPAND(kill, right, right)
		VPOR(right, dead, dead)
	},
	first: func(current, count, ones, _ reg.VecVirtual, next Op) {
		all := YMM()
		VPCMPEQB(ones, current, all)
		VPBLENDVB(all, next, current, current)
		VPSUBB(all, count, count)
	},
	and: func(a Op, b, to reg.VecVirtual) { VPAND(a, b, to) },
}

var avx512 = isa{
	name: "AVX512", width: 64, vector: ZMM,
	load:   func(from Mem, to reg.VecVirtual) { VMOVDQU64(from, to) },
	store:  func(from reg.VecVirtual, to Mem) { VMOVDQU64(from, to) },
	zero:   func(v reg.VecVirtual) { VPXORQ(v, v, v) },
	ones:   func(v reg.VecVirtual) { VPTERNLOGD(U8(0xff), v, v, v) },
	spread: func(from Mem, to reg.VecVirtual) { VPBROADCASTD(from, to) },
	kill: func(a reg.VecVirtual, b, kill Op, dead reg.VecVirtual) {
		greater, right := K(), ZMM()
		VPCMPGTB(b, a, greater)
		VPMOVM2B(greater, right)
		VPTERNLOGD(U8(0xf8), kill, right, dead) // dead | right & kill
	},
	first: func(current, count, ones, one reg.VecVirtual, next Op) {
		all := K()
		VPCMPEQB(ones, current, all)
		VMOVDQU8(next, all, current)
		VPADDB(one, count, all, count)
	},
	and: func(a Op, b, to reg.VecVirtual) { VPANDQ(a, b, to) },
}

// constants are the tables by which the lowest alive leaf of a block is found.
type constants struct{ low, high, nibble, ones, one reg.VecVirtual }

var tables = map[string]Mem{}

// table declares a constant of 64 bytes once.
func table(name string, b func(i int) byte) Mem {
	m, ok := tables[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i := range 64 {
			DATA(i, U8(b(i)))
		}
		tables[name] = m
	}
	return m
}

func loadConstants(s isa) constants {
	alive := func(first, none int) func(int) byte { // the lowest clear bit of a nibble
		return func(i int) byte {
			for bit := range 4 {
				if i%16>>bit&1 == 0 {
					return byte(first + bit)
				}
			}
			return byte(none)
		}
	}
	c := constants{s.vector(), s.vector(), s.vector(), s.vector(), s.vector()}
	s.load(table("aliveLow", alive(0, 8)), c.low)
	s.load(table("aliveHigh", alive(4, 8)), c.high)
	s.load(table("nibble", func(int) byte { return 15 }), c.nibble)
	s.ones(c.ones)
	if s.width == 64 {
		s.load(table("one", func(int) byte { return 1 }), c.one)
	}
	return c
}

// leaf turns the first block that is not all dead, and how many blocks lie before it, into the
// number of the exit leaf, in count.
func (c constants) leaf(s isa, block, count reg.VecVirtual) {
	Comment("Exit leaf: eight times the block, plus its lowest alive leaf.")
	low, high := s.vector(), s.vector()
	s.and(c.nibble, block, low)
	VPSRLW(U8(4), block, high)
	s.and(c.nibble, high, high)
	VPSHUFB(low, c.low, low)
	VPSHUFB(high, c.high, high)
	VPMINUB(low, high, low)
	VPSLLW(U8(3), count, count) // at most 7: nothing crosses into the next byte
	VPADDB(low, count, count)
}

func (s isa) with(name string, n int) string { return fmt.Sprintf("%s%sx%d", name, s.name, n) }
