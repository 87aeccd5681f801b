package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// treeLanes: one row, a tree per byte. An entry holds for every lane the number of a bin, a
// threshold and what to kill; the ranks of the row lie in registers.
func treeLanes(s isa, tables int) {
	function(s.with("treeLanes", tables), "func(counts *byte, groups int, entries *byte, ranks *byte, leaf *byte)", "writes the number of the exit leaf of every tree of so many groups. counts holds for each group its number of blocks and for each block its number of entries.")
	counts := Load(Param("counts"), GP64())
	groups := Load(Param("groups"), GP64())
	entry := Load(Param("entries"), GP64())
	ranks := Load(Param("ranks"), GP64())
	leaf := Load(Param("leaf"), GP64())
	lookup := lookupAVX2
	if s.width == 64 {
		lookup = lookupAVX512
	}
	find := lookup(ranks, tables)
	c := loadConstants(s)
	current, number, dead := s.vector(), s.vector(), s.vector()

	Label("group")
	blocks := GP32()
	MOVL(at(counts, 0), blocks)
	advance(counts, 4)
	Comment("As if a block before the first were all dead.")
	s.ones(current)
	s.ones(number)

	Label("block")
	n := GP32()
	MOVL(at(counts, 0), n)
	advance(counts, 4)
	s.zero(dead)
	Label("entry")
	value := find(at(entry, 0))
	s.kill(value, at(entry, s.width), at(entry, 2*s.width), dead)
	advance(entry, 3*s.width)
	DECL(n)
	JNZ(LabelRef("entry"))
	s.first(current, number, c.ones, c.one, dead)
	DECL(blocks)
	JNZ(LabelRef("block"))

	c.leaf(s, current, number)
	s.store(number, at(leaf, 0))
	advance(leaf, s.width)
	DECQ(groups)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// lookupAVX2 looks bytes up in so many tables of 16. VPSHUFB gives 0 for an index with the high
// bit set, so each table is looked up with an index that has it unless the byte is in this table.
func lookupAVX2(ranks reg.Register, tables int) func(Mem) reg.VecVirtual {
	t := vectors(avx2, tables)
	for i := range t {
		VBROADCASTI128(at(ranks, 16*i), t[i])
	}
	if tables == 1 {
		return func(index Mem) reg.VecVirtual {
			i, v := YMM(), YMM()
			VMOVDQU(index, i)
			VPSHUFB(i, t[0], v)
			return v
		}
	}
	limit := YMM()
	VMOVDQU(table("limit", func(int) byte { return 0x70 }), limit)
	var base []Mem
	for i := 1; i < tables; i++ {
		base = append(base, table([]string{"", "from16", "from32", "from48"}[i], func(int) byte { return byte(16 * i) }))
	}
	return func(index Mem) reg.VecVirtual {
		i, v := YMM(), YMM()
		VMOVDQU(index, i)
		Comment("Saturating: an index from 16 on gets the high bit; one below the table's first has wrapped and keeps it.")
		VPADDUSB(limit, i, v)
		VPSHUFB(v, t[0], v)
		for k, b := range base {
			j := YMM()
			VPSUBB(b, i, j)
			if k+1 < len(base) { // the last table holds all that is above it
				VPADDUSB(limit, j, j)
			}
			VPSHUFB(j, t[k+1], j)
			VPOR(j, v, v)
		}
		return v
	}
}

// lookupAVX512 looks bytes up in one or two tables of 64.
func lookupAVX512(ranks reg.Register, tables int) func(Mem) reg.VecVirtual {
	t := vectors(avx512, tables)
	for i := range t {
		VMOVDQU64(at(ranks, 64*i), t[i])
	}
	return func(index Mem) reg.VecVirtual {
		v := ZMM()
		if tables == 1 {
			i := ZMM()
			VMOVDQU64(index, i)
			VPERMB(t[0], i, v)
		} else {
			VMOVDQU64(index, v)
			VPERMI2B(t[1], t[0], v)
		}
		return v
	}
}

// sumLeaves adds up one score per tree.
func sumLeaves() {
	function("sumLeavesAVX2", "func(leaf *byte, n int, leaves *float64, stride int) float64", "returns the sum of the exit leaves of n trees, a multiple of 8. leaves holds stride bytes of scores per tree.")
	leaf := Load(Param("leaf"), GP64())
	n := Load(Param("n"), GP64())
	leaves := Load(Param("leaves"), GP64())
	stride := Load(Param("stride"), GP64())
	sums := []reg.VecVirtual{XMM(), XMM(), XMM(), XMM()}
	for _, s := range sums {
		VXORPD(s, s, s)
	}
	Label("trees")
	for i := range 8 {
		number := GP64()
		MOVBLZX(at(leaf, i), number.As32())
		VADDSD(Mem{Base: leaves, Index: number, Scale: 8}, sums[i%4], sums[i%4])
		ADDQ(stride, leaves)
	}
	advance(leaf, 8)
	SUBQ(Imm(8), n)
	JNZ(LabelRef("trees"))
	VADDSD(sums[1], sums[0], sums[0])
	VADDSD(sums[3], sums[2], sums[2])
	VADDSD(sums[2], sums[0], sums[0])
	Store(sums[0], ReturnIndex(0))
	VZEROUPPER()
	RET()
}
