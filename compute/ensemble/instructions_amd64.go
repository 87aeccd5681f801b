package ensemble

import "golang.org/x/sys/cpu"

//go:generate go -C asmgen run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg ensemble

var avx2 = &instructions{
	name:       "avx2",
	thresholds: 255,
	flip:       flipRows,
	lanes:      32,
	passes: []pass{
		{32, killRowsAVX2x1, foldRowsAVX2x1},
		{64, killRowsAVX2x2, foldRowsAVX2x2},
		{128, killRowsAVX2x4, foldRowsAVX2x4},
	},
	looks: []look{{16, treeLanesAVX2x1}, {32, treeLanesAVX2x2}, {64, treeLanesAVX2x4}},
	rank:  rankAVX2,
	sum:   sumLeavesAVX2,
}

// avx512 ranks and sums with the shorter vectors: there the thresholds' memory and the scores'
// latency decide.
var avx512 = &instructions{
	name:       "avx512",
	thresholds: 255,
	flip:       flipRows,
	lanes:      64,
	passes:     []pass{{64, killRowsAVX512x1, foldRowsAVX512x1}, {128, killRowsAVX512x2, foldRowsAVX512x2}},
	looks:      []look{{64, treeLanesAVX512x1}, {128, treeLanesAVX512x2}},
	rank:       rankAVX2,
	sum:        sumLeavesAVX2,
}

// vectorSets lists this architecture's sets, best first, and whether the processor has them.
func vectorSets() []vectorSet {
	x := &cpu.X86
	two := x.HasAVX2 && x.HasPOPCNT
	return []vectorSet{
		{avx512, two && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VBMI},
		{avx2, two},
	}
}

func rankAVX2(s *scorer, out []byte, apart int, x []float64, rows, inputs int, flip byte) {
	if s.single {
		rank32AVX2(first(s.bins), len(s.bins), first(s.table32), &x[0], rows, inputs*8, &out[0], apart, uint64(flip))
	} else {
		rank64AVX2(first(s.bins), len(s.bins), first(s.table64), &x[0], rows, inputs*8, &out[0], apart, uint64(flip))
	}
}
