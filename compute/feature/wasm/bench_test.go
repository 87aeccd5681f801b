package wasm_test

import (
	"os"
	"testing"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm/wasmtest"
)

// BenchmarkCall computes one column: of numbers, of 24 and 256 rows, with memory that is put
// back, and of code that a compiler made.
//
//	go test ./compute/feature/wasm -run '^$' -bench . -count 6
func BenchmarkCall(b *testing.B) {
	compiled, err := os.ReadFile("testdata/compiled.wasm")
	if err != nil {
		b.Fatal(err)
	}
	rust := wasmtest.Module{Pages: 17, Globals: []int32{1 << 20}, Funcs: []wasmtest.Func{{Name: "f", Params: []byte{wasmtest.F64}, Results: []byte{wasmtest.F64}, Body: []byte{0x41, 0, 0x20, 0, 0x39, 3, 0, 0x20, 0}}}}
	for _, c := range []struct {
		name   string
		code   []byte
		column feature.Column
	}{
		{"case=numbers", wasmtest.Arithmetic(), feature.Column{Func: "wet", Args: []int{0, 1}}},
		{"case=mean/rows=24", wasmtest.Window(), feature.Column{Func: "mean", Args: []int{0}, Rows: 24}},
		{"case=mean/rows=256", wasmtest.Window(), feature.Column{Func: "mean", Args: []int{0}, Rows: 256}},
		{"case=writes/pages=0", wasmtest.Counter(), feature.Column{Func: "next", Args: []int{0}}},
		{"case=writes/pages=1", wasmtest.Remember(), feature.Column{Func: "last", Args: []int{0}}},
		{"case=writes/pages=17", rust.Bytes(), feature.Column{Func: "f", Args: []int{0}}},
		{"case=grows", wasmtest.Remember(), feature.Column{Func: "grown", Args: []int{0}}},
		{"case=forever", wasmtest.Hostile(), feature.Column{Func: "forever", Args: []int{0}}},
		{"case=compiled", compiled, feature.Column{Func: "pick", Args: []int{0, 1}}},
		{"case=compiled/rows=24", compiled, feature.Column{Func: "largest", Args: []int{0}, Rows: 24}},
	} {
		p := pipeline(one("m", c.code), c.column)
		p.Rows = feature.MaxLookback
		e := evaluator(b, p)
		h := feature.NewHistory(2, p.Rows)
		for k := range p.Rows {
			h.Push(int64(k), []float64{float64(k), 2})
		}
		dst := make([]float64, 1)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = e.Into(dst, h)
			}
		})
	}
	b.Run("case=open", func(b *testing.B) {
		p := pipeline(one("m", compiled), feature.Column{Func: "pick", Args: []int{0, 1}})
		b.ReportAllocs()
		for b.Loop() {
			evaluator(b, p)
		}
	})
}
