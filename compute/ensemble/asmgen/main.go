// Command asmgen writes the amd64 kernels of package ensemble: kernels_amd64.s and the
// declarations in kernels_amd64.go. Run it with
//
//	go generate ./compute/ensemble
//
// It is a module of its own so that the product does not depend on the assembler library.
//
// All kernels score trees by QuickScorer's rule (Lucchese et al., SIGIR 2015): number a tree's
// leaves from left to right; a node whose comparison goes right kills the leaves of its left
// subtree; the exit leaf is the first that is still alive. As in RapidScorer (Ye et al., KDD 2018)
// the leaves are cut into blocks of eight, so that a byte per row holds a block and one
// instruction compares or kills for as many rows (row lanes) or trees (tree lanes) as the vector
// has bytes. An entry is what one node does to one block.
package main

import (
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// blockRows is the distance in bytes between the vectors of two bins, and of two blocks; the
// package's constant of that name.
const blockRows = 128

func main() {
	ConstraintExpr("amd64")
	for _, v := range []int{1, 2, 4} {
		killRows(avx2, v)
		foldRows(avx2, v)
	}
	for _, v := range []int{1, 2} {
		killRows(avx512, v)
		foldRows(avx512, v)
	}
	for _, tables := range []int{1, 2, 4} {
		treeLanes(avx2, tables)
	}
	for _, tables := range []int{1, 2} {
		treeLanes(avx512, tables)
	}
	sumLeaves()
	rank(false)
	rank(true)
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

// advance moves a pointer.
func advance(p reg.Register, bytes int) { ADDQ(U32(bytes), p) }

// at is the memory at p + disp.
func at(p reg.Register, disp int) Mem { return Mem{Base: p, Disp: disp} }

func vectors(s isa, n int) []reg.VecVirtual {
	vs := make([]reg.VecVirtual, n)
	for i := range vs {
		vs[i] = s.vector()
	}
	return vs
}
