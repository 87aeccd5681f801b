package wasm_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm"
	"skerry.dev/compute/feature/wasm/wasmtest"
)

// pipeline is one of two series and a column for each call.
func pipeline(modules []feature.Module, columns ...feature.Column) *feature.Pipeline {
	p := &feature.Pipeline{Inputs: []feature.Input{{Name: "a"}, {Name: "b"}}, Rows: 48, Modules: modules}
	for _, c := range columns {
		c.Name, c.Op = c.Func, feature.OpModule
		p.Columns = append(p.Columns, c)
	}
	return p
}

func evaluator(t testing.TB, p *feature.Pipeline) *feature.Evaluator {
	t.Helper()
	e, err := feature.NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// at evaluates the newest of rows.
func at(t *testing.T, e *feature.Evaluator, rows ...[]float64) []float64 {
	t.Helper()
	h := feature.NewHistory(2, max(len(rows), 1))
	for i, r := range rows {
		h.Push(int64(i), r)
	}
	dst := make([]float64, e.Pipeline().Width())
	if err := e.Into(dst, h); err != nil {
		t.Fatal(err)
	}
	return dst
}

func one(name string, code []byte) []feature.Module {
	return []feature.Module{{Name: name, Code: code}}
}

var nan = math.NaN()

func TestNumbers(t *testing.T) {
	e := evaluator(t, pipeline(one("air", wasmtest.Arithmetic()), feature.Column{Func: "wet", Args: []int{0, 1}}, feature.Column{Func: "add", Args: []int{1, 1}, Center: 1, Scale: 2}))
	for _, c := range []struct{ a, b, wet, add float64 }{
		// what is not finite is missing
		{20, 50, 10, 49.5}, {-3, 7, -0.21, 6.5}, {nan, 1, nan, 0.5}, {1, nan, nan, nan}, {math.Inf(1), 2, nan, 1.5}, {1e308, 1e308, nan, nan},
	} {
		got := at(t, e, []float64{c.a, c.b})
		if !same(got[0], c.wet) || !same(got[1], c.add) {
			t.Errorf("of %v and %v: %v, want %v and %v", c.a, c.b, got, c.wet, c.add)
		}
	}
	if n, err := e.Faults(); n != 0 || err != nil {
		t.Errorf("Faults() = %d, %v: a result that is not finite is none", n, err)
	}
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// TestNothingIsCarried calls functions that try to remember, over rows and between columns.
func TestNothingIsCarried(t *testing.T) {
	p := pipeline([]feature.Module{{Name: "counter", Code: wasmtest.Counter()}, {Name: "remember", Code: wasmtest.Remember()}, {Name: "bump", Code: wasmtest.Bump()}},
		feature.Column{Func: "next", Args: []int{0}}, feature.Column{Func: "next", Args: []int{0}}, feature.Column{Func: "last", Args: []int{0}, Module: 1}, feature.Column{Func: "grown", Args: []int{0}, Module: 1},
		feature.Column{Func: "last", Args: []int{0}, Module: 1}, feature.Column{Func: "product", Args: []int{0, 1}, Module: 2, Rows: 40})
	e := evaluator(t, p)
	// 40 rows of 16 bytes each time would leave the only page of memory before the end
	for k := range 200 {
		x := float64(k)
		got := at(t, e, []float64{x, 2})
		for i, want := range []float64{x + 1, x + 1, 0, 1, 0, 2 * x} {
			if got[i] != want {
				t.Fatalf("row %d: %s is %v, want %v", k, p.Columns[i].Name, got[i], want)
			}
		}
	}
}

func TestRows(t *testing.T) {
	p := pipeline(one("w", wasmtest.Window()), feature.Column{Func: "mean", Args: []int{0}, Rows: 3}, feature.Column{Func: "mean", Args: []int{1}, Rows: 48}, feature.Column{Func: "behind", Args: []int{0}, Rows: 2},
		feature.Column{Func: "behind", Args: []int{0}, Rows: 1})
	e := evaluator(t, p)
	rows := [][]float64{{1, nan}, {2, 10}, {nan, nan}, {6, 30}, {math.Inf(1), nan}}
	want := [][]float64{{1, nan, 2, 2}, {1.5, 10, 2, 3}, {1.5, 10, 3, nan}, {4, 20, nan, 7}, {6, 20, 7, nan}}
	for i := range rows {
		got := at(t, e, rows[:i+1]...)
		for k := range got {
			if !same(got[k], want[i][k]) {
				t.Errorf("row %d, column %d: %v, want %v", i, k, got[k], want[i][k])
			}
		}
	}
}

// TestHostile calls what does harm: it is stopped, its column is missing, the others and the
// calls after it are as if nothing had been.
func TestHostile(t *testing.T) {
	names := []string{"forever", "deep", "trap", "fill", "copy", "beyond"}
	want := []string{"took more than 1048576 steps", "stack overflow", "unreachable", "took more than 1048576 steps", "took more than 1048576 steps", "out of bounds memory access"}
	for i, name := range names {
		e := evaluator(t, pipeline(one("bad", wasmtest.Hostile()), feature.Column{Func: name, Args: []int{0}}, feature.Column{Func: "trap", Args: []int{1}}))
		for k := range 2 {
			got := at(t, e, []float64{-1, 5})
			if !math.IsNaN(got[0]) || got[1] != 5 {
				t.Errorf("%s: columns %v, want NaN and 5", name, got)
			}
			n, err := e.Faults()
			if n != k+1 || err == nil || !strings.Contains(err.Error(), `column "`+name+`": module "bad": function "`+name+`": `+want[i]) {
				t.Errorf("%s: Faults() = %d, %v, want %d and %q", name, n, err, k+1, want[i])
			}
		}
	}
	e := evaluator(t, pipeline(one("bad", wasmtest.Hostile()), feature.Column{Func: "grow", Args: []int{0}}, feature.Column{Func: "trap", Args: []int{0}}))
	for range 2 {
		if got := at(t, e, []float64{3, 0}); got[0] != wasm.MaxPages || got[1] != 3 {
			t.Errorf("grow: %v, want memory of %d pages and then nothing", got, wasm.MaxPages)
		}
	}
}

// TestNaNBits looks at the bits of 0/0, whose sign is another on amd64 than on arm64.
func TestNaNBits(t *testing.T) {
	const high = 0x7ff80000
	for name, want := range map[string]float64{"reinterpret": high, "store": high, "copysign": 1, "negated": high, "narrow": 0x7fc00000, "narrowstore": 0x7fc00000, "narrowsign": 1} {
		e := evaluator(t, pipeline(one("nan", wasmtest.NaNs()), feature.Column{Func: name, Args: []int{0, 1}}))
		for _, row := range [][]float64{{0, 0}, {nan, 1}, {math.Copysign(0, -1), 0}} {
			if got := at(t, e, row)[0]; got != want {
				t.Errorf("%s of %v: %v, want %v", name, row, got, want)
			}
		}
	}
}

// TestInitialize runs what C++ and others run before anything else, and a start function.
func TestInitialize(t *testing.T) {
	init := wasmtest.Func{Name: "_initialize", Body: wasmtest.Join(wasmtest.I32Const(7), wasmtest.Op(0x24, 0))}
	get := wasmtest.Func{Name: "get", Params: []byte{wasmtest.F64}, Results: []byte{wasmtest.F64}, Body: wasmtest.Op(0x23, 0, 0xb7)}
	for _, m := range []wasmtest.Module{{Globals: []int32{0}, Funcs: []wasmtest.Func{init, get}}, {Globals: []int32{0}, Funcs: []wasmtest.Func{{Body: init.Body}, get}, Start: 1}} {
		e := evaluator(t, pipeline(one("m", m.Bytes()), feature.Column{Func: "get", Args: []int{0}}))
		if got := at(t, e, []float64{1, 1}); got[0] != 7 {
			t.Errorf("a global is %v, want what was set at the start", got)
		}
	}
}

// TestAgree computes rows as they come, with restarts, and afterwards in a table: the bits must
// be equal, whatever was called before.
func TestAgree(t *testing.T) {
	p := pipeline([]feature.Module{{Name: "w", Code: wasmtest.Window()}, {Name: "c", Code: wasmtest.Counter()}, {Name: "b", Code: wasmtest.Bump()}, {Name: "h", Code: wasmtest.Hostile()}, {Name: "a", Code: wasmtest.Arithmetic()}},
		feature.Column{Func: "mean", Args: []int{0}, Rows: 9}, feature.Column{Func: "behind", Args: []int{1}, Rows: 5}, feature.Column{Func: "next", Args: []int{0}, Module: 1},
		feature.Column{Func: "product", Args: []int{0, 1}, Module: 2, Rows: 4}, feature.Column{Func: "trap", Args: []int{0}, Module: 3}, feature.Column{Func: "wet", Args: []int{0, 1}, Module: 4})
	rng := rand.New(rand.NewPCG(1, 2))
	rows, chunk := 3000, 1000
	if testing.Short() {
		rows = 1000
	}
	short, stream, batch := feature.NewHistory(2, p.Rows), evaluator(t, p), evaluator(t, p)
	width := p.Width()
	for range rows / chunk {
		long := feature.NewHistory(2, chunk+p.Rows)
		for r := short.Len() - 1; r >= 0; r-- {
			long.Push(short.Time(r), short.Row(r))
		}
		streamed := make([]float64, chunk*width)
		for k := range chunk {
			row := []float64{rng.NormFloat64(), rng.NormFloat64() * 1e3}
			if rng.IntN(9) == 0 {
				row[rng.IntN(2)] = nan
			}
			short.Push(int64(k), row)
			long.Push(int64(k), row)
			if err := stream.Into(streamed[k*width:][:width], short); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(200) == 0 {
				saved := short.AppendBinary(nil)
				short, stream = feature.NewHistory(2, p.Rows), evaluator(t, p)
				if _, err := short.DecodeBinary(saved); err != nil {
					t.Fatal(err)
				}
			}
		}
		dst, present := make([]float64, width), make([]int, width)
		for _, k := range rng.Perm(chunk) { // in any order
			if err := batch.IntoAt(dst, long, chunk-1-k); err != nil {
				t.Fatal(err)
			}
			for i, v := range dst {
				if s := streamed[k*width+i]; math.Float64bits(s) != math.Float64bits(v) {
					t.Fatalf("row %d column %s: %v streaming, %v in batch", k, p.Columns[i].Name, s, v)
				}
				if !math.IsNaN(v) {
					present[i]++
				}
			}
		}
		for i, n := range present {
			if n < chunk/4 {
				t.Errorf("column %s has %d values of %d", p.Columns[i].Name, n, chunk)
			}
		}
	}
}

// TestJSON reads a pipeline with modules as it lies in an artifact.
func TestJSON(t *testing.T) {
	p := pipeline(one("air", wasmtest.Arithmetic()), feature.Column{Func: "wet", Args: []int{0, 1}})
	js, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var q feature.Pipeline
	if err := json.Unmarshal(js, &q); err != nil {
		t.Fatal(err)
	}
	if got := at(t, evaluator(t, &q), []float64{20, 50}); got[0] != 10 {
		t.Errorf("wet is %v, want 10", got)
	}
}

func TestRefused(t *testing.T) {
	f64s := func(n int) (b []byte) {
		for range n {
			b = append(b, wasmtest.F64)
		}
		return b
	}
	fn := func(body ...byte) wasmtest.Module {
		return wasmtest.Module{Pages: 1, Funcs: []wasmtest.Func{{Name: "f", Params: f64s(1), Results: f64s(1), Body: body}}}
	}
	imports := fn(0x20, 0)
	imports.Imports = [][2]string{{"env", "now"}}
	huge := fn(0x20, 0)
	huge.Pages = 65
	endless := fn(0x20, 0)
	endless.Funcs = append(endless.Funcs, wasmtest.Func{Body: []byte{0x03, 0x40, 0x0c, 0, 0x0b}})
	endless.Start = 2
	wide := fn(0x20, 0)
	wide.Funcs[0].Locals = make([]byte, wasm.MaxLocals+1)
	for i := range wide.Funcs[0].Locals {
		wide.Funcs[0].Locals[i] = wasmtest.I32
	}
	table := fn(0x20, 0)
	table.Table = make([]uint32, wasm.MaxTable+1)
	ok := fn(0x20, 0)
	for _, c := range []struct {
		name, want string
		code       []byte
		column     feature.Column
	}{
		{"import", `section 2: imports "now" of "env": a module may import nothing, WASI neither`, imports.Bytes(), feature.Column{}},
		{"huge memory", "begins with a memory of 65 pages of 64 KiB, must be at most 64", huge.Bytes(), feature.Column{}},
		{"endless start", "instantiate: ", endless.Bytes(), feature.Column{}},
		{"locals", "local variables, must be at most 65536", wide.Bytes(), feature.Column{}},
		{"table", "has a table of 16385 entries, must be at most 16384", table.Bytes(), feature.Column{}},
		{"no module", "is no WebAssembly module", []byte("hello, world"), feature.Column{}},
		{"torn", "ends early", ok.Bytes()[:40], feature.Column{}},
		{"vectors", "has instruction 0xfd, which is not supported", fn(0xfd, 12).Bytes(), feature.Column{}},
		{"tail call", "has instruction 0x12", fn(0x20, 0, 0x12, 0).Bytes(), feature.Column{}},
		{"table.grow", "has instruction 0xfc 15", fn(0xfc, 15, 0).Bytes(), feature.Column{}},
		{"data.drop", "has instruction 0xfc 9", fn(0xfc, 9, 0).Bytes(), feature.Column{}},
		{"step counter", "reads global 0 of 0", fn(0x23, 0, 0xb9).Bytes(), feature.Column{}},
		{"step counter set", "sets global 0 of 0", fn(0x42, 1, 0x24, 0, 0x20, 0).Bytes(), feature.Column{}},
		{"scratch local", "has local variable 1 of 1", fn(0x20, 1).Bytes(), feature.Column{}},
		{"reserved export", `exports "skerry:steps"`, wasmtest.Module{Funcs: []wasmtest.Func{{Name: "skerry:steps", Params: f64s(1), Results: f64s(1), Body: []byte{0x20, 0}}}}.Bytes(), feature.Column{}},
		{"bad types", "compile: ", fn(0x41, 0).Bytes(), feature.Column{}},
		{"no such function", `the module exports no function "g": it has f(1 series)`, ok.Bytes(), feature.Column{Func: "g"}},
		{"arguments", `function "f" is (f64) → (f64), must be (f64, f64) → (f64) for 2 series`, ok.Bytes(), feature.Column{Args: []int{0, 1}}},
		{"rows", `function "f" is (f64) → (f64), must be (i32, i32) → (f64) to take rows`, ok.Bytes(), feature.Column{Rows: 3}},
		{"no alloc", `a function "alloc", (i32) → (i32)`, wasmtest.Module{Pages: 1, Funcs: []wasmtest.Func{{Name: "f", Params: []byte{wasmtest.I32, wasmtest.I32}, Results: f64s(1), Body: wasmtest.F64Const(1)}}}.Bytes(), feature.Column{Rows: 3}},
	} {
		if c.column.Args == nil {
			c.column.Args = []int{0}
		}
		if c.column.Func == "" {
			c.column.Func = "f"
		}
		_, err := feature.NewEvaluator(pipeline(one("m", c.code), c.column))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestInspect(t *testing.T) {
	got, err := wasm.Inspect(wasmtest.Window())
	if err != nil || len(got) != 2 || got[0].String() != "mean(rows)" || got[1].String() != "behind(rows)" {
		t.Errorf("Inspect(window) = %v, %v", got, err)
	}
	got, err = wasm.Inspect(wasmtest.Arithmetic())
	if err != nil || len(got) != 2 || got[0].String() != "wet(2 series)" {
		t.Errorf("Inspect(arithmetic) = %v, %v", got, err)
	}
	for want, code := range map[string][]byte{"has 0 bytes": nil, "has 262145 bytes": make([]byte, feature.MaxModuleBytes+1), "is no WebAssembly module": []byte("\x7fELF....."),
		"exports no function that a feature can call": wasmtest.Module{Funcs: []wasmtest.Func{{Name: "f", Body: nil}}}.Bytes()} {
		if _, err := wasm.Inspect(code); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Inspect: %v, want %q", err, want)
		}
	}
}
