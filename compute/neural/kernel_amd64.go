package neural

// vector reports whether the processor has the instructions of the kernels.
var vector = hasAVX()

// hasAVX reports whether the processor has AVX, and whether the system saves its registers.
func hasAVX() bool

// The kernels write start + Σ w·in over n inputs (at least one) for 16 units into out. w holds
// the weights of the 16 units for the first input, then for the second and so on.

//go:noescape
func sums64(out, in, w, start *float64, n int)

//go:noescape
func sums32(out, in *float64, w *float32, start *float64, n int)

//go:noescape
func sums8(out, in *float64, w *int8, start *float64, n int)
