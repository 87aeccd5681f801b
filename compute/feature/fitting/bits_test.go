package fitting

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/feature"
)

// goldenBits is the hash of everything that is fitted below, which every processor must reach.
//
//	GOARCH=386 go test ./compute/feature/fitting -run Bits
const goldenBits = 0xdfc8038fb7aa6a60

// TestBits holds what is fitted, bit for bit, to what it was when this was written, on any
// architecture.
func TestBits(t *testing.T) {
	const n, width = 1000, 3
	rng := rand.New(rand.NewPCG(12, 0))
	p := &feature.Pipeline{Columns: make([]feature.Column, width)}
	x, first, codes, y := make([]float64, n*width), make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		for j := range width {
			x[i*width+j] = (rng.Float64() + rng.Float64()) / 3
		}
		first[i], codes[i] = x[i*width], float64(rng.IntN(7))
		y[i] = float64(8*float64(x[i*width]*x[i*width+1])) + float64(codes[i]*0.1)
	}
	h := fnv.New64a()
	write := func(v ...float64) {
		for _, v := range v {
			_ = binary.Write(h, binary.LittleEndian, math.Float64bits(v))
		}
	}
	center, scale, err := Robust(first)
	if err != nil {
		t.Fatal(err)
	}
	q, err := Quantiles("", 0, first, 32)
	if err != nil {
		t.Fatal(err)
	}
	c, train, err := Target("", 0, 7, codes, y, TargetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := Frequency("", 0, 7, codes)
	if err != nil {
		t.Fatal(err)
	}
	products, err := Crosses(p, x, y, CrossOptions{})
	if err != nil || len(products) == 0 {
		t.Fatalf("%d products: %v", len(products), err)
	}
	write(center, scale)
	write(q.Table...)
	write(c.Table...)
	write(train...)
	write(f.Table...)
	for _, c := range products {
		write(float64(c.Of), float64(c.By), c.Center, c.Scale)
	}
	if got := h.Sum64(); got != goldenBits {
		t.Errorf("%#x, want %#x", got, uint64(goldenBits))
	}
}
