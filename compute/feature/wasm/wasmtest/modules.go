package wasmtest

import "bytes"

// Instructions that the modules use.
const (
	unreachable = 0x00
	block       = 0x02
	loop        = 0x03
	end         = 0x0b
	br          = 0x0c
	brIf        = 0x0d
	call        = 0x10
	drop        = 0x1a
	empty       = 0x40
)

// numbers is a function of n numbers that returns one.
func numbers(name string, n int, body ...[]byte) Func {
	f := Func{Name: name, Results: []byte{F64}, Body: Join(body...)}
	for range n {
		f.Params = append(f.Params, F64)
	}
	return f
}

// Op is an instruction without operands of its own.
func Op(codes ...byte) []byte { return codes }

// Arithmetic has wet(temp, hum) = temp · hum / 100 and add(a, b): no memory and nothing that
// changes.
func Arithmetic() []byte {
	return Module{Funcs: []Func{
		numbers("wet", 2, Get(0), Get(1), Op(0xa2), F64Const(100), Op(0xa3)),
		numbers("add", 2, Get(0), Get(1), Op(0xa0)),
	}}.Bytes()
}

// Counter has next(x), which adds x to how often it has been called, if the global it counts in
// is kept.
func Counter() []byte {
	return Module{Globals: []int32{0}, Funcs: []Func{
		// global += 1; f64(global) + x
		numbers("next", 1, Op(0x23, 0), I32Const(1), Op(0x6a, 0x24, 0), Op(0x23, 0), Op(0xb7), Get(0), Op(0xa0)),
	}}.Bytes()
}

// Remember has last(x), which returns what the last call stored in memory, the data segment's 0
// at first, and grown(x), which grows the memory by a page and returns how many there were.
func Remember() []byte {
	return Module{Pages: 1, Funcs: []Func{
		numbers("last", 1, I32Const(0), Op(0x2b, 3, 8), I32Const(0), Get(0), Op(0x39, 3, 8)),
		numbers("grown", 1, I32Const(1), Op(0x40, 0), Op(0xb7)),
	}}.Bytes()
}

// Window has mean(ptr, rows) of one series, missing values left out, and behind(ptr, rows), which
// adds the number behind the rows to the first of them: it is 1 where nobody has written. alloc
// returns address 0 always.
func Window() []byte {
	// locals: 2 the number of readings, 3 their sum, 4 the reading
	mean := Func{
		Name:    "mean",
		Params:  []byte{I32, I32},
		Results: []byte{F64},
		Locals:  []byte{F64, F64, F64},
		Body: Join(
			Op(block, empty, loop, empty),
			Get(1), Op(0x45, brIf, 1), // no rows are left: out of the block
			Get(0), Op(0x2b, 3, 0), Set(4),
			Get(0), I32Const(8), Op(0x6a), Set(0),
			Get(1), I32Const(1), Op(0x6b), Set(1),
			Get(4), Get(4), Op(0x62, brIf, 0), // x ≠ x: missing, next
			Get(3), Get(4), Op(0xa0), Set(3),
			Get(2), F64Const(1), Op(0xa0), Set(2),
			Op(br, 0, end, end),
			Get(3), Get(2), Op(0xa3)),
	}
	behind := Func{
		Name:    "behind",
		Params:  []byte{I32, I32},
		Results: []byte{F64},
		Body:    Join(Get(0), Get(1), I32Const(3), Op(0x74, 0x6a, 0x2b, 3, 0), Get(0), Op(0x2b, 3, 0, 0xa0)),
	}
	ones := bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, 1024)
	return Module{
		Pages: 1,
		Data:  ones,
		Funcs: []Func{mean, behind, {
			Name:    "alloc",
			Params:  []byte{I32},
			Results: []byte{I32},
			Body:    I32Const(0),
		}},
	}.Bytes()
}

// Bump has product(ptr, rows), the sum of the products of two series, and an alloc that hands out
// memory from a global and gets none back, as allocators do.
func Bump() []byte {
	product := Func{
		Name:    "product",
		Params:  []byte{I32, I32},
		Results: []byte{F64},
		Locals:  []byte{F64},
		Body: Join(
			Op(block, empty, loop, empty),
			Get(1), Op(0x45, brIf, 1),
			// sum += a · b of the row
			Get(2), Get(0), Op(0x2b, 3, 0), Get(0), Op(0x2b, 3, 8), Op(0xa2, 0xa0), Set(2),
			Get(0), I32Const(16), Op(0x6a), Set(0),
			Get(1), I32Const(1), Op(0x6b), Set(1),
			Op(br, 0, end, end),
			Get(2)),
	}
	return Module{Pages: 1, Globals: []int32{1024}, Funcs: []Func{product,
		{
			Name:    "alloc",
			Params:  []byte{I32},
			Results: []byte{I32},
			Body:    Join(Op(0x23, 0), Op(0x23, 0), Get(0), Op(0x6a, 0x24, 0)),
		}}}.Bytes()
}

// Hostile has functions of one number that do harm: forever loops, deep calls itself, trap ends
// without a result for numbers below 0 and returns others, fill and copy move memory in a loop,
// grow requests more of it in a loop, and returns how often it got some.
func Hostile() []byte {
	m := Module{Pages: 1, Funcs: []Func{
		numbers("forever", 1, Op(loop, empty, br, 0, end), Get(0)),
		numbers("deep", 1, Get(0), Op(call, 1)),
		numbers("trap", 1, Get(0), F64Const(0), Op(0x63, 0x04, empty, unreachable, end), Get(0)),
		numbers("fill", 1, Op(loop, empty), I32Const(0), I32Const(1), I32Const(65536), Op(0xfc, 11, 0, br, 0, end), Get(0)),
		numbers("copy", 1, Op(loop, empty), I32Const(0), I32Const(0), I32Const(65536), Op(0xfc, 10, 0, 0, br, 0, end), Get(0)),
		// until it fails
		numbers("grow", 1, Op(loop, empty), I32Const(1), Op(0x40, 0), I32Const(-1), Op(0x47, brIf, 0, end), Op(0x3f, 0, 0xb7)),
		numbers("beyond", 1, I32Const(65530), Op(0x2b, 3, 0)),
	}}
	return m.Bytes()
}

// NaNs has functions of two numbers that look at the bits of 0/0 in every way there is, and
// return them as a number: reinterpret, store and copysign, each of f64, and narrow, of f32.
func NaNs() []byte {
	nan := Join(Get(0), Get(1), Op(0xa3)) // a / b
	return Module{Pages: 1, Funcs: []Func{
		numbers("reinterpret", 2, nan, Op(0xbd), I64Const(32), Op(0x88, 0xba)),
		numbers("store", 2, I32Const(16), nan, Op(0x39, 3, 0), I32Const(20), Op(0x28, 2, 0, 0xb8)),
		numbers("copysign", 2, F64Const(1), nan, Op(0xa6)),
		numbers("negated", 2, nan, Op(0x9a, 0xbd), I64Const(32), Op(0x88, 0xba)),
		numbers("narrow", 2, Get(0), Op(0xb6), Get(1), Op(0xb6, 0x95, 0xbc, 0xb8)),
		numbers("narrowstore", 2, I32Const(32), Get(0), Op(0xb6), Get(1), Op(0xb6, 0x95, 0x38, 2, 0), I32Const(32), Op(0x28, 2, 0, 0xb8)),
		numbers("narrowsign", 2, Op(0x43, 0, 0, 0x80, 0x3f), Get(0), Op(0xb6), Get(1), Op(0xb6, 0x95, 0x98, 0xbb)),
	}}.Bytes()
}
