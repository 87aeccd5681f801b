// Package wasmtest writes small WebAssembly modules for tests, which therefore need no compiler:
// an encoder of the binary format's sections, and modules that behave well or badly.
package wasmtest

import (
	"encoding/binary"
	"math"
)

// Types of values.
const (
	I32 = 0x7f
	I64 = 0x7e
	F32 = 0x7d
	F64 = 0x7c
)

// Module is what a test declares of one.
type Module struct {
	Imports [][2]string // modules and names of functions without parameters
	Pages   int         // of memory, exported as "memory"; 0 is none
	Globals []int32     // mutable, of type i32
	Table   []uint32    // functions in a table of just their number
	Funcs   []Func
	Start   int // 1 + the function to run first
	Data    []byte
	Passive bool // Data is not put at address 0 but left for memory.init
}

// Func is a function, exported unless it has no name.
type Func struct {
	Name            string
	Params, Results []byte
	Locals          []byte // types
	Body            []byte // without its end
}

// Bytes returns the module in the binary format.
func (m Module) Bytes() []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	var types, imports, funcs, exports, code [][]byte
	for _, im := range m.Imports {
		imports = append(imports, Join(text(im[0]), text(im[1]), []byte{0, 0}))
	}
	for i, f := range m.Funcs {
		types = append(types, Join([]byte{0x60}, U(len(f.Params)), f.Params, U(len(f.Results)), f.Results))
		funcs = append(funcs, U(i))
		if f.Name != "" {
			exports = append(exports, Join(text(f.Name), []byte{0}, U(i+len(m.Imports))))
		}
		locals := make([][]byte, len(f.Locals))
		for k, t := range f.Locals {
			locals[k] = []byte{1, t}
		}
		body := Join(list(locals), f.Body, []byte{0x0b})
		code = append(code, Join(U(len(body)), body))
	}
	if m.Pages > 0 {
		exports = append(exports, Join(text("memory"), []byte{2, 0}))
	}
	b = section(b, 1, types)
	b = section(b, 2, imports)
	b = section(b, 3, funcs)
	if len(m.Table) > 0 {
		b = section(b, 4, [][]byte{Join([]byte{0x70, 0}, U(len(m.Table)))})
	}
	if m.Pages > 0 {
		b = section(b, 5, [][]byte{Join([]byte{0}, U(m.Pages))})
	}
	globals := make([][]byte, len(m.Globals))
	for i, v := range m.Globals {
		globals[i] = Join([]byte{I32, 1}, I32Const(v), []byte{0x0b})
	}
	b = section(b, 6, globals)
	b = section(b, 7, exports)
	if m.Start > 0 {
		b = append(Join(b, []byte{8, 1}), U(m.Start-1)...)
	}
	if len(m.Table) > 0 {
		at := make([][]byte, len(m.Table))
		for i, f := range m.Table {
			at[i] = U(int(f))
		}
		b = section(b, 9, [][]byte{Join([]byte{0}, I32Const(0), []byte{0x0b}, list(at))})
	}
	if m.Passive {
		b = append(b, 12, 1, 1)
	}
	b = section(b, 10, code)
	switch {
	case m.Passive:
		b = section(b, 11, [][]byte{Join([]byte{1}, U(len(m.Data)), m.Data)})
	case len(m.Data) > 0:
		b = section(b, 11, [][]byte{Join([]byte{0}, I32Const(0), []byte{0x0b}, U(len(m.Data)), m.Data)})
	}
	return b
}

// section appends a section, unless it is empty.
func section(b []byte, id byte, elements [][]byte) []byte {
	if len(elements) == 0 {
		return b
	}
	content := list(elements)
	return Join(b, []byte{id}, U(len(content)), content)
}

func list(elements [][]byte) []byte { return Join(append([][]byte{U(len(elements))}, elements...)...) }

func text(s string) []byte { return Join(U(len(s)), []byte(s)) }

// Join puts pieces of code one behind the other.
func Join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// U is an unsigned number in LEB128.
func U(v int) []byte { return binary.AppendUvarint(nil, uint64(v)) }

// I32Const pushes a number.
func I32Const(v int32) []byte { return Join([]byte{0x41}, signed(int64(v))) }

// I64Const pushes a number.
func I64Const(v int64) []byte { return Join([]byte{0x42}, signed(v)) }

// F64Const pushes a number.
func F64Const(v float64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{0x44}, math.Float64bits(v))
}

// Get pushes a local variable.
func Get(local int) []byte { return Join([]byte{0x20}, U(local)) }

// Set pops one.
func Set(local int) []byte { return Join([]byte{0x21}, U(local)) }

// signed is a signed number in LEB128.
func signed(v int64) []byte {
	var b []byte
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low < 0x40 || v == -1 && low >= 0x40 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}
