// Command asmgen writes the amd64 kernels of package gbdt: kernels_amd64.s and the declarations
// in kernels_amd64.go. Run it with
//
//	go generate ./compute/gbdt
//
// It is a module of its own so that the product does not depend on the assembler library.
//
// The kernels do what the functions in exp.go do, operation by operation and without fused
// products, so that models are the same bytes on every architecture.
package main

import (
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	exps()
	logistic()
	for _, bytes := range []int{16, 32, 64} {
		halve(bytes)
	}
	Generate()
}

// function begins a kernel.
func function(name, signature, does string) {
	TEXT(name, NOSPLIT, signature)
	Doc(wrapped(name + " " + does)...)
	Pragma("noescape")
}

// wrapped breaks a comment into lines of 100 columns at most.
func wrapped(text string) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len("// ")+len(line)+len(" ")+len(word) > 100 {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

// constant is a number in each lane, in memory: AVX2 has too few registers for all.
func constant(name string, x float64) Mem { return lanes(name, math.Float64bits(x)) }

func lanes(name string, x uint64) Mem {
	if m, ok := known[name]; ok {
		return m
	}
	m := GLOBL(name, attr.RODATA|attr.NOPTR)
	for i := range 4 {
		DATA(8*i, U64(x))
	}
	known[name] = m
	return m
}

var known = map[string]Mem{}

func load(m Mem) reg.VecVirtual {
	v := YMM()
	VMOVUPD(m, v)
	return v
}

// exponential has what exp needs.
type exponential struct {
	table            reg.Register
	magic, one, mask reg.VecVirtual
}

func newExponential(table reg.Register) *exponential {
	return &exponential{
		table: table,
		magic: load(constant("magic", 3<<51)),
		one:   load(constant("one", 1)),
		mask:  load(lanes("mask", 31)),
	}
}

// of replaces x by e to the x.
func (e *exponential) of(x reg.VecVirtual) {
	n, m, p, k, t, all := YMM(), YMM(), YMM(), YMM(), YMM(), YMM()
	VMAXPD(constant("low", -700), x, x)
	VMINPD(constant("high", 700), x, x)
	VMULPD(constant("steps", 32/math.Ln2), x, n)
	VADDPD(e.magic, n, n)
	VSUBPD(e.magic, n, m)
	VMULPD(constant("step", math.Ln2/32), m, m)
	VSUBPD(m, x, x)
	VMULPD(constant("twentyfourth", 1.0/24), x, p)
	for _, c := range []Op{constant("sixth", 1.0/6), constant("half", 1.0/2), e.one} {
		VADDPD(c, p, p)
		VMULPD(x, p, p)
	}
	VADDPD(e.one, p, p)
	VPAND(e.mask, n, k)
	VPCMPEQD(all, all, all)
	VGATHERQPD(all, Mem{Base: e.table, Index: k, Scale: 8}, t)
	VMULPD(p, t, t)
	VPSUBQ(k, n, n)
	VPSLLQ(Imm(47), n, n)
	VPADDQ(n, t, x)
}

func exps() {
	function("expAVX2", "func(x *float64, n int, table *float64)", "replaces n values, a positive multiple of 4, by e to them. table is exp2Table.")
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	e := newExponential(Load(Param("table"), GP64()))
	Label("four")
	v := YMM()
	VMOVUPD(Mem{Base: x}, v)
	e.of(v)
	VMOVUPD(v, Mem{Base: x})
	ADDQ(Imm(32), x)
	SUBQ(Imm(4), n)
	JNZ(LabelRef("four"))
	VZEROUPPER()
	RET()
}

func logistic() {
	function("logisticAVX2", "func(dst *int64, n int, score, y, weight *float64, invG, invH float64, shift uint64, table *float64)",
		"writes the packed gradients of n rows, a positive multiple of 4. table is exp2Table.")
	dst := Load(Param("dst"), GP64())
	n := Load(Param("n"), GP64())
	score := Load(Param("score"), GP64())
	y := Load(Param("y"), GP64())
	weight := Load(Param("weight"), GP64())
	e := newExponential(Load(Param("table"), GP64()))
	shift := XMM()
	Load(Param("shift"), shift)
	v, q, w, g := YMM(), YMM(), YMM(), YMM()
	zero := func(x reg.VecVirtual) { VXORPD(x, x, x) }

	Label("four")
	zero(v)
	VSUBPD(Mem{Base: score}, v, v)
	e.of(v)
	VADDPD(e.one, v, v)
	VDIVPD(v, e.one, q)
	VMOVUPD(Mem{Base: weight}, w)
	VSUBPD(Mem{Base: y}, q, g)
	VMULPD(w, g, g)
	scale := YMM()
	invG, _ := Param("invG").Resolve()
	VBROADCASTSD(invG.Addr, scale)
	VMULPD(scale, g, g)
	VADDPD(e.magic, g, g)
	VPSUBQ(e.magic, g, g)
	VPSLLQ(shift, g, g)
	h := YMM()
	VSUBPD(q, e.one, h)
	VMULPD(q, h, h)
	VMULPD(w, h, h)
	invH, _ := Param("invH").Resolve()
	VBROADCASTSD(invH.Addr, scale)
	VMULPD(scale, h, h)
	VADDPD(e.magic, h, h)
	VPSUBQ(e.magic, h, h)
	VPADDQ(h, g, g)
	VMOVDQU(g, Mem{Base: dst})
	for _, p := range []reg.Register{dst, score, y, weight} {
		ADDQ(Imm(32), p)
	}
	SUBQ(Imm(4), n)
	JNZ(LabelRef("four"))
	VZEROUPPER()
	RET()
}

// halve copies a row's bins in as few vectors as they take.
func halve(bytes int) {
	function(fmt.Sprintf("halve%dAVX2", bytes), "func(rows, spare *int32, packed, spareG *int64, n int, src, front, back *byte, feature int, side *uint8) int",
		fmt.Sprintf("is halve for n > 0 rows of %d bytes, and with places as pointers. It returns the number of rows in front.", bytes))
	rows := Load(Param("rows"), GP64())
	spare := Load(Param("spare"), GP64())
	packed := Load(Param("packed"), GP64())
	spareG := Load(Param("spareG"), GP64())
	src := Load(Param("src"), GP64())
	front := Load(Param("front"), GP64())
	back := Load(Param("back"), GP64())
	at := Load(Param("feature"), GP64())
	side := Load(Param("side"), GP64())
	ADDQ(src, at)
	put, k := GP64(), GP64() // rows in front, rows read
	XORQ(put, put)
	XORQ(k, k)

	Label("row")
	c, to, v := GP64(), GP64(), GP64()
	MOVBQZX(Mem{Base: at}, c)
	MOVBQZX(Mem{Base: side, Index: c, Scale: 1}, c)
	MOVQ(back, to)
	TESTQ(c, c)
	CMOVQNE(front, to)
	var bins []reg.VecVirtual
	if bytes == 16 {
		bins = append(bins, XMM())
	}
	for range bytes / 32 {
		bins = append(bins, YMM())
	}
	for k, b := range bins {
		VMOVUPD(Mem{Base: src, Disp: 32 * k}, b)
	}
	for k, b := range bins {
		VMOVUPD(b, Mem{Base: to, Disp: 32 * k})
	}
	MOVQ(k, to)
	SUBQ(put, to)
	MOVL(Mem{Base: rows, Index: k, Scale: 4}, v.As32())
	MOVL(v.As32(), Mem{Base: rows, Index: put, Scale: 4})
	MOVL(v.As32(), Mem{Base: spare, Index: to, Scale: 4})
	MOVQ(Mem{Base: packed, Index: k, Scale: 8}, v)
	MOVQ(v, Mem{Base: packed, Index: put, Scale: 8})
	MOVQ(v, Mem{Base: spareG, Index: to, Scale: 8})
	ADDQ(c, put)
	SHLQ(U8(bits.TrailingZeros(uint(bytes))), c)
	ADDQ(c, front)
	ADDQ(U32(bytes), back)
	SUBQ(c, back)
	ADDQ(U32(bytes), src)
	ADDQ(U32(bytes), at)
	INCQ(k)
	count, _ := Param("n").Resolve()
	CMPQ(k, count.Addr)
	JLT(LabelRef("row"))
	Store(put, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
