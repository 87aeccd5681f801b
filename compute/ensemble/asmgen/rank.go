package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rank counts the thresholds below each value. A bin's 256 thresholds lie in 16 blocks of 16,
// filled up with +Inf, after the 16 last ones of the blocks: counting those that are below a
// value finds the block, counting in the block the rest. single means that values are rounded to
// float32 first, and thresholds are float32.
func rank(single bool) {
	name, size := "rank64AVX2", 8
	if single {
		name, size = "rank32AVX2", 4
	}
	function(name, "func(bins *byte, n int, tables *byte, x *float64, rows int, stride int, out *byte, apart int, flip uint64)", "writes for n bins the ranks of their feature in so many rows that are stride bytes apart. The ranks of a bin, each xor flip, are neighbours; those of the next bin begin apart bytes later.")
	bins := Load(Param("bins"), GP64())
	n := Load(Param("n"), GP64())
	stride := Load(Param("stride"), GP64())
	out := Load(Param("out"), GP64())
	flip := Load(Param("flip"), GP64())

	Label("bin")
	missing := XMM()
	VMOVSD(at(bins, 0), missing)
	table, offset := GP64(), GP64()
	Load(Param("tables"), table)
	MOVL(at(bins, 8), offset.As32())
	ADDQ(offset, table)
	x, feature := GP64(), GP64()
	Load(Param("x"), x)
	MOVL(at(bins, 12), feature.As32())
	ADDQ(feature, x)
	advance(bins, 16)
	last := make([]reg.VecVirtual, size/2)
	for i := range last {
		last[i] = YMM()
		VMOVUPD(at(table, 32*i), last[i])
	}
	rows := Load(Param("rows"), GP64())
	to := GP64()
	MOVQ(out, to)

	Label("row")
	value, nan, v := XMM(), XMM(), YMM()
	VMOVSD(at(x, 0), value)
	Comment("NaN becomes the end of the line on which it belongs.")
	VCMPPD(U8(3), value, value, nan)
	VBLENDVPD(nan, missing, value, value)
	if single {
		VCVTSD2SS(value, value, value)
		VBROADCASTSS(value, v)
	} else {
		VBROADCASTSD(value, v)
	}
	block := below(v, single, func(i int) Op { return last[i] })
	if single {
		SHLQ(Imm(5), block) // twice the count; a block has 64 bytes
	} else {
		SHLQ(Imm(6), block)
	}
	in := GP64()
	LEAQ(Mem{Base: table, Index: block, Scale: 1, Disp: 16 * size}, in)
	rest := below(v, single, func(i int) Op { return at(in, 32*i) })
	if single {
		SHRQ(Imm(1), block) // 16 per block
	} else {
		SHRQ(Imm(2), block)
	}
	ADDQ(rest, block)
	SHRQ(Imm(1), block)
	XORQ(flip, block)
	MOVB(block.As8(), at(to, 0))
	ADDQ(Imm(1), to)
	ADDQ(stride, x)
	DECQ(rows)
	JNZ(LabelRef("row"))

	apart := Load(Param("apart"), GP64())
	ADDQ(apart, out)
	DECQ(n)
	JNZ(LabelRef("bin"))
	VZEROUPPER()
	RET()
}

// below returns twice the number of 16 thresholds that are below v in all lanes.
func below(v reg.VecVirtual, single bool, threshold func(i int) Op) reg.GPVirtual {
	count := GP64()
	if single {
		a, b := YMM(), YMM()
		greater(v, threshold(0), a, true)
		greater(v, threshold(1), b, true)
		VPACKSSDW(b, a, a)
		VPMOVMSKB(a, count.As32())
	} else {
		a, b, c, d := YMM(), YMM(), YMM(), YMM()
		for i, y := range []reg.VecVirtual{a, b, c, d} {
			greater(v, threshold(i), y, false)
		}
		VPACKSSDW(b, a, a)
		VPACKSSDW(d, c, c)
		VPACKSSWB(c, a, a)
		VPMOVMSKB(a, count.As32())
	}
	POPCNTL(count.As32(), count.As32())
	return count
}

// greater compares v > threshold: 0x1e is GT_OQ, false for NaN.
func greater(v reg.VecVirtual, threshold Op, to reg.VecVirtual, single bool) {
	if single {
		VCMPPS(U8(0x1e), threshold, v, to)
	} else {
		VCMPPD(U8(0x1e), threshold, v, to)
	}
}
