package gbdt

import "golang.org/x/sys/cpu"

//go:generate go -C asmgen run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg gbdt

// hasVectors reports whether the kernels can run here. Tests switch them off.
var hasVectors = cpu.X86.HasAVX2

func expVector(x []float64) { expAVX2(&x[0], len(x), &exp2Table[0]) }

func packLogisticVector(dst []int64, score, y, weight []float64, p *packer) {
	logisticAVX2(&dst[0], len(dst), &score[0], &y[0], &weight[0], p.invG, p.invH, uint64(p.shift), &exp2Table[0])
}

// halveVector is halve for the rows whose bins fill vectors.
func halveVector(rows, spare []int32, packed, spareG []int64, src, store []uint8, front, back, words, feature int, side *[histBins]uint8) int {
	kernel := halve32AVX2
	switch words {
	case 2:
		kernel = halve16AVX2
	case 8:
		kernel = halve64AVX2
	}
	return kernel(&rows[0], &spare[0], &packed[0], &spareG[0], len(rows), &src[0], &store[front], &store[back], feature, &side[0])
}
