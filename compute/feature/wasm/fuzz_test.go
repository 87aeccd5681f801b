package wasm_test

import (
	"os"
	"testing"
	"time"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm"
	"skerry.dev/compute/feature/wasm/wasmtest"
)

// FuzzModule reads hostile modules and calls what can be called of them: nothing panics, and
// every call comes to an end and forgets.
//
//	go test ./compute/feature/wasm -run '^$' -fuzz FuzzModule -fuzztime 60s -fuzzminimizetime 100x
func FuzzModule(f *testing.F) {
	compiled, err := os.ReadFile("testdata/compiled.wasm")
	if err != nil {
		f.Fatal(err)
	}
	for _, code := range [][]byte{wasmtest.Arithmetic(), wasmtest.Counter(), wasmtest.Remember(), wasmtest.Window(), wasmtest.Bump(), wasmtest.Hostile(), wasmtest.NaNs(), compiled,
		wasmtest.Module{Pages: 1, Data: []byte{1, 2, 3, 4}, Passive: true, Table: []uint32{0}, Funcs: []wasmtest.Func{{Name: "f", Params: []byte{wasmtest.F64}, Results: []byte{wasmtest.F64},
			Locals: []byte{wasmtest.I64, wasmtest.F32}, Body: wasmtest.Join(wasmtest.I32Const(0), wasmtest.I32Const(0), wasmtest.I32Const(4), []byte{0xfc, 8, 0, 0, 0x20, 0, 0x41, 0, 0x11, 0, 0})}}}.Bytes()} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		start := time.Now()
		functions, err := wasm.Inspect(code)
		if err != nil {
			return
		}
		p := &feature.Pipeline{Inputs: []feature.Input{{Name: "a"}, {Name: "b"}}, Rows: 8, Modules: one("m", code)}
		for _, fn := range functions[:min(len(functions), 4)] {
			c := feature.Column{Op: feature.OpModule, Func: fn.Name, Args: make([]int, max(fn.Args, 1))}
			if fn.Rows {
				c.Rows = 8
			}
			p.Columns = append(p.Columns, c)
		}
		e, fresh := evaluator(t, p), evaluator(t, p)
		at(t, e, []float64{-1, 2}, []float64{7, nan})
		again, first := at(t, e, []float64{3, 4}), at(t, fresh, []float64{3, 4})
		for i := range again {
			if !same(again[i], first[i]) {
				t.Errorf("function %q gives %v, and %v after another call", p.Columns[i].Func, first[i], again[i])
			}
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
