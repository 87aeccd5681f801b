package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// killRows: one block after the other, every entry of the block for v vectors of rows.
func killRows(s isa, v int) {
	function(s.with("killRows", v), "func(blocks *byte, n int, entries *byte, bins *byte, dead *byte)", "writes the dead leaves of n blocks for the rows of one pass. Every block has at least one entry.")
	block := Load(Param("blocks"), GP64())
	n := Load(Param("n"), GP64())
	entry := Load(Param("entries"), GP64())
	bins := Load(Param("bins"), GP64())
	out := Load(Param("dead"), GP64())
	dead := vectors(s, v)

	Label("block")
	count, slot := GP64(), GP64()
	MOVL(at(block, 0), count.As32())
	MOVL(at(block, 4), slot.As32())
	ADDQ(out, slot)
	advance(block, 8)
	for _, d := range dead {
		s.zero(d)
	}

	Label("entry")
	threshold, kill, bin := s.vector(), s.vector(), GP64()
	s.spread(at(entry, 0), threshold)
	s.spread(at(entry, 4), kill)
	MOVL(at(entry, 8), bin.As32())
	ADDQ(bins, bin)
	Comment("A row goes right, and kills, where the threshold exceeds its complemented rank.")
	for i, d := range dead {
		s.kill(threshold, at(bin, i*s.width), kill, d)
	}
	advance(entry, 12)
	DECQ(count)
	JNZ(LabelRef("entry"))

	for i, d := range dead {
		s.store(d, at(slot, i*s.width))
	}
	DECQ(n)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// foldRows: for every tree the first block that is not all dead, its exit leaf, and the leaf's
// score added to the row's sum.
func foldRows(s isa, v int) {
	function(s.with("foldRows", v), "func(dead *byte, trees int, blocks int, leaves *float64, stride int, leaf *byte, sum *float64)", "adds the exit leaves of trees of so many blocks each to the sums of the rows of one pass. leaves holds stride bytes of scores per tree, leaf has room for a byte per row.")
	dead := Load(Param("dead"), GP64())
	trees := Load(Param("trees"), GP64())
	leaves := Load(Param("leaves"), GP64())
	leaf := Load(Param("leaf"), GP64())
	c := loadConstants(s)
	current, counts := vectors(s, v), vectors(s, v)

	Label("tree")
	blocks := Load(Param("blocks"), GP64())
	for i := range current {
		s.load(at(dead, i*s.width), current[i])
		s.zero(counts[i])
	}
	JMP(LabelRef("next"))
	Label("later")
	for i := range current {
		s.first(current[i], counts[i], c.ones, c.one, at(dead, i*s.width))
	}
	Label("next")
	advance(dead, blockRows)
	DECQ(blocks)
	JNZ(LabelRef("later"))
	for i := range current {
		c.leaf(s, current[i], counts[i])
		s.store(counts[i], at(leaf, i*s.width))
	}

	Comment("Eight rows at a time: their leaves' scores onto their sums.")
	sum := Load(Param("sum"), GP64())
	row := GP64()
	XORL(row.As32(), row.As32())
	Label("row")
	numbers := GP64()
	MOVQ(Mem{Base: leaf, Index: row, Scale: 1}, numbers)
	for group := range 2 {
		a, b := XMM(), XMM()
		for i, to := range []reg.VecVirtual{a, a, b, b} {
			number := GP64()
			if group == 1 && i == 3 {
				number = numbers // the last is all that is left
			} else {
				MOVBLZX(numbers.As8(), number.As32())
				SHRQ(Imm(8), numbers)
			}
			score := Mem{Base: leaves, Index: number, Scale: 8}
			if i%2 == 0 {
				VMOVSD(score, to)
			} else {
				VMOVHPD(score, to, to)
			}
		}
		four, to := YMM(), Mem{Base: sum, Index: row, Scale: 8, Disp: group * 32}
		VINSERTF128(U8(1), b, a.AsY(), four)
		VADDPD(to, four, four)
		VMOVUPD(four, to)
	}
	ADDQ(Imm(8), row)
	CMPQ(row, U32(v*s.width))
	JLT(LabelRef("row"))

	stride := Load(Param("stride"), GP64())
	ADDQ(stride, leaves)
	DECQ(trees)
	JNZ(LabelRef("tree"))
	VZEROUPPER()
	RET()
}
