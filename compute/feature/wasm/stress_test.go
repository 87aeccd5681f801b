package wasm_test

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm"
	"skerry.dev/compute/feature/wasm/wasmtest"
)

// TestLargest compiles the most expensive modules that the limits let pass: none may take seconds
// or hundreds of megabytes.
func TestLargest(t *testing.T) {
	const size = feature.MaxModuleBytes - 200
	repeat := func(n int, code ...byte) []byte { return bytes.Repeat(code, n/len(code)) }
	number := []byte{0x44, 0, 0, 0, 0, 0, 0, 0, 0}
	many := wasmtest.Module{}
	for len(many.Funcs) < wasm.MaxFunctions {
		many.Funcs = append(many.Funcs, wasmtest.Func{Locals: bytes.Repeat([]byte{wasmtest.F64}, wasm.MaxLocals/wasm.MaxFunctions-1)})
	}
	many.Funcs[0] = wasmtest.Func{Name: "f", Params: []byte{wasmtest.F64}, Results: []byte{wasmtest.F64}, Body: number}
	for name, body := range map[string][]byte{
		"nops": repeat(size, 0x01), "numbers": repeat(size, 0x41, 0, 0x1a), "blocks in blocks": append(bytes.Repeat([]byte{0x02, 0x40}, size/3-10), bytes.Repeat([]byte{0x0b}, size/3-10)...), "blocks": repeat(size, 0x02, 0x40, 0x0b),
		"loops": repeat(3*wasm.MaxLoops, 0x03, 0x40, 0x0b), "loops in loops": append(repeat(2*wasm.MaxLoops, 0x03, 0x40), repeat(wasm.MaxLoops, 0x0b)...),
		"targets": wasmtest.Join([]byte{0x02, 0x40, 0x41, 0, 0x0e}, wasmtest.U(size-30), make([]byte, size-30), []byte{0, 0x0b}), "ifs": repeat(size, 0x41, 0, 0x04, 0x40, 0x05, 0x0b), "fills": repeat(size/2, 0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 11, 0),
		"stores": repeat(size, 0x41, 0, 0x20, 0, 0x39, 0, 0), "functions": nil,
	} {
		m := wasmtest.Module{Pages: 1, Funcs: []wasmtest.Func{{Name: "f", Params: []byte{wasmtest.F64}, Results: []byte{wasmtest.F64}, Body: append(bytes.Clone(body), number...)}}}
		if name == "functions" {
			m = many
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := wasm.Inspect(m.Bytes())
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
		if err != nil || took > 10*time.Second || allocated > 400 {
			t.Errorf("%s: %v, %d MB, %v", name, took, allocated, err)
		}
		t.Logf("%s: %v, %d MB", name, took, allocated)
	}
}
