package wasm_test

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm/wasmtest"
)

// TestBits holds what modules compute to what they computed on amd64 when the test was written.
//
//	GOARCH=386 go test ./compute/feature/wasm -run Bits
func TestBits(t *testing.T) {
	compiled, err := os.ReadFile("testdata/compiled.wasm")
	if err != nil {
		t.Fatal(err)
	}
	p := pipeline([]feature.Module{{Name: "w", Code: wasmtest.Window()}, {Name: "n", Code: wasmtest.NaNs()}, {Name: "b", Code: wasmtest.Bump()}, {Name: "c", Code: compiled}},
		feature.Column{Func: "mean", Args: []int{0}, Rows: 9}, feature.Column{Func: "behind", Args: []int{1}, Rows: 5}, feature.Column{Func: "reinterpret", Args: []int{0, 1}, Module: 1},
		feature.Column{Func: "narrow", Args: []int{0, 1}, Module: 1}, feature.Column{Func: "product", Args: []int{0, 1}, Module: 2, Rows: 4}, feature.Column{Func: "pick", Args: []int{0, 1}, Module: 3},
		feature.Column{Func: "largest", Args: []int{1}, Module: 3, Rows: 30})
	e, h, rng := evaluator(t, p), feature.NewHistory(2, p.Rows), rand.New(rand.NewPCG(9, 9))
	dst, sum := make([]float64, p.Width()), fnv.New64a()
	for k := range 500 {
		row := []float64{float64(rng.Float64()*20) - 10, (rng.Float64() - 0.5) / (rng.Float64() + 1e-9)}
		for i := range row {
			switch rng.IntN(12) {
			case 0:
				row[i] = nan
			case 1:
				row[i] = 0
			case 2:
				row[i] = math.Copysign(1e-308, row[i])
			}
		}
		h.Push(int64(k), row)
		if err := e.Into(dst, h); err != nil {
			t.Fatal(err)
		}
		for _, v := range dst {
			if math.IsNaN(v) {
				v = -1
			}
			sum.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
		}
	}
	const want = uint64(0xd53b7a613ed02364)
	if got := sum.Sum64(); got != want {
		t.Errorf("500 rows have the sum %#x, want %#x", got, want)
	}
}
