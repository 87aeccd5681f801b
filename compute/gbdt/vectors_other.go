//go:build !amd64

package gbdt

// hasVectors is false: the functions in exp.go and grow.go do it all.
var hasVectors = false

func expVector([]float64) {}

func packLogisticVector([]int64, []float64, []float64, []float64, *packer) {}

func halveVector([]int32, []int32, []int64, []int64, []uint8, []uint8, int, int, int, int, *[histBins]uint8) int {
	return 0
}
