//go:build !amd64

package neural

// vector is false: the portable code does everything.
var vector = false

func sums64(out, in, w, start *float64, n int)                   { panic("neural: no kernel") }
func sums32(out, in *float64, w *float32, start *float64, n int) { panic("neural: no kernel") }
func sums8(out, in *float64, w *int8, start *float64, n int)     { panic("neural: no kernel") }
