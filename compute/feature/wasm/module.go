package wasm

import (
	"fmt"
	"strings"
)

// Limits of a module beyond those of package feature.
const (
	MaxPages     = 64      // of memory, 64 KiB each: 4 MiB
	MaxSteps     = 1 << 20 // of a call, alloc included: about 10 ms on a server's core
	MaxTable     = 1 << 14 // entries of a table
	MaxFunctions = 4096
	MaxLoops     = 4096
	MaxLocals    = 1 << 16 // local variables of all functions
)

// Types of values.
const (
	i32 = 0x7f
	i64 = 0x7e
	f32 = 0x7d
	f64 = 0x7c
)

// Sections, by their numbers.
const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
)

// order is that of the sections in a module.
var order = []byte{sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal, sectionExport, sectionStart, sectionElement, sectionDataCount, sectionCode, sectionData}

// Kinds of exports.
const (
	exportFunction = 0
	exportMemory   = 2
	exportGlobal   = 3
)

// reserved begins the names of exports that the rewritten module has for this package.
const reserved = "skerry:"

// signature is the type of a function: the types of its parameters and results.
type signature struct{ params, results string }

func (s signature) String() string {
	names := map[rune]string{i32: "i32", i64: "i64", f32: "f32", f64: "f64"}
	list := func(types string) string {
		var out []string
		for _, t := range []byte(types) {
			out = append(out, names[rune(t)])
		}
		return "(" + strings.Join(out, ", ") + ")"
	}
	return list(s.params) + " → " + list(s.results)
}

// module is what this package needs of a module.
type module struct {
	sections  [sectionDataCount + 1][]byte // their contents; nil where there is none
	types     []signature
	functions []uint32 // the type of each
	mutable   []bool   // by global
	remembers bool     // it has memory
	exports   []export
	bodies    [][]byte
	segments  int       // of data
	effects   []effects // of each function, known once it is metered
}

type export struct {
	name  string
	kind  byte
	index uint32
}

// parse reads a module. Types and references are checked by who compiles the code; but every
// length is checked here, because it allocates what a length states.
func parse(code []byte) (*module, error) {
	r := &reader{b: code}
	if string(r.bytes(8)) != "\x00asm\x01\x00\x00\x00" {
		return nil, fmt.Errorf("is no WebAssembly module in the binary format, version 1")
	}
	m, at := new(module), 0
	for r.more() {
		id := r.byte()
		content := r.bytes(r.count(1))
		if r.err != nil || id == sectionCustom {
			continue // names and such are for debuggers
		}
		for at < len(order) && order[at] != id {
			at++
		}
		if at++; at > len(order) {
			return nil, fmt.Errorf("has section %d twice, in the wrong place or unknown", id)
		}
		m.sections[id] = content
	}
	if r.err != nil {
		return nil, r.err
	}
	for _, s := range []struct {
		id   int
		read func(*reader)
	}{{sectionType, m.readTypes}, {sectionImport, readImports}, {sectionFunction, m.readFunctions}, {sectionTable, readTables}, {sectionMemory, m.readMemory},
		{sectionGlobal, m.readGlobals}, {sectionExport, m.readExports}, {sectionStart, readStart},
		{sectionElement, readElements}, {sectionCode, m.readBodies}, {sectionData, m.readData}, {sectionDataCount, m.readDataCount}} {
		if m.sections[s.id] == nil {
			continue
		}
		r := &reader{b: m.sections[s.id]}
		if s.read(r); r.more() {
			r.fail("has more than it declares")
		}
		if r.err != nil {
			return nil, fmt.Errorf("section %d: %w", s.id, r.err)
		}
	}
	if len(m.bodies) != len(m.functions) {
		return nil, fmt.Errorf("has %d functions and code for %d", len(m.functions), len(m.bodies))
	}
	return m, nil
}

func (m *module) readTypes(r *reader) {
	for range r.count(3) {
		if b := r.byte(); b != 0x60 {
			r.fail("has a type 0x%02x that is no function's", b)
			return
		}
		params := r.bytes(r.count(1))
		results := r.bytes(r.count(1))
		for _, t := range append(params, results...) {
			if !number(t) {
				r.fail("has a function of type 0x%02x, must be numbers", t)
				return
			}
		}
		m.types = append(m.types, signature{string(params), string(results)})
	}
}

// number reports whether a type of values is one of numbers.
func number(t byte) bool { return t == i32 || t == i64 || t == f32 || t == f64 }

func readImports(r *reader) {
	if r.count(4) > 0 {
		from, name := r.name(), r.name()
		r.fail("imports %q of %q: a module may import nothing, WASI neither", name, from)
		return
	}
}

func (m *module) readFunctions(r *reader) {
	n := r.count(1)
	if n > MaxFunctions {
		r.fail("has %d functions, must be at most %d", n, MaxFunctions)
	}
	for range n {
		t := r.u32()
		if int64(t) >= int64(len(m.types)) {
			r.fail("has a function of type %d of %d", t, len(m.types))
			return
		}
		m.functions = append(m.functions, t)
	}
}

// limits reads the least and the largest size of a table or memory.
func limits(r *reader) (least uint32) {
	flags := r.byte()
	if flags > 1 {
		r.fail("has limits of kind %d", flags)
	}
	least = r.u32()
	if flags == 1 {
		r.u32()
	}
	return least
}

func readTables(r *reader) {
	n := r.count(3)
	if n > 1 {
		r.fail("has %d tables, must be at most 1", n)
	}
	for range n {
		if t := r.byte(); t != 0x70 {
			r.fail("has a table of type 0x%02x, must be of functions", t)
		}
		if n := limits(r); n > MaxTable {
			r.fail("has a table of %d entries, must be at most %d", n, MaxTable)
		}
	}
}

func (m *module) readMemory(r *reader) {
	n := r.count(2)
	if n > 1 {
		r.fail("has %d memories, must be at most 1", n)
	}
	m.remembers = n > 0
	for range n {
		if n := limits(r); n > MaxPages {
			r.fail("begins with a memory of %d pages of 64 KiB, must be at most %d", n, MaxPages)
		}
	}
}

func (m *module) readGlobals(r *reader) {
	for range r.count(4) {
		if t := r.byte(); !number(t) {
			r.fail("has a global of type 0x%02x, must be a number", t)
		}
		m.mutable = append(m.mutable, r.byte() != 0)
		skipConstant(r)
	}
}

// skipConstant reads what a global begins as, or where a segment lies.
func skipConstant(r *reader) {
	for op := r.byte(); op != opEnd && r.err == nil; op = r.byte() {
		switch op {
		case opI32Const, opI64Const, opF32Const, opF64Const:
			skipImmediates(r, op)
		default:
			r.fail("has instruction 0x%02x where only a constant may be", op)
		}
	}
}

func (m *module) readExports(r *reader) {
	for range r.count(3) {
		e := export{r.name(), r.byte(), r.u32()}
		switch {
		case strings.HasPrefix(e.name, reserved):
			r.fail("exports %q: names that begin with %q are not for modules", e.name, reserved)
			return
		case e.kind == exportFunction && int64(e.index) >= int64(len(m.functions)):
			r.fail("exports function %d of %d", e.index, len(m.functions))
			return
		}
		m.exports = append(m.exports, e)
	}
}

func (m *module) readBodies(r *reader) {
	for range r.count(2) {
		m.bodies = append(m.bodies, r.bytes(r.count(1)))
	}
}

// readElements reads the segments of the table. Nothing refers to segments that are not put there
// at the start.
func readElements(r *reader) {
	for range r.count(4) {
		kind := r.u32()
		if kind == 2 {
			r.u32() // the table
		} else if kind != 0 {
			r.fail("has a segment of kind %d, must be one that fills the table at the start", kind)
		}
		if skipConstant(r); kind == 2 {
			r.byte() // functions
		}
		for range r.count(1) {
			r.u32()
		}
	}
}

func (m *module) readData(r *reader) {
	m.segments = r.count(2)
	for range m.segments {
		switch kind := r.u32(); kind {
		case 0:
			skipConstant(r)
		case 1: // for memory.init
		default:
			r.fail("has a segment of kind %d, must be 0 or 1", kind)
		}
		r.bytes(r.count(1))
	}
}

func (m *module) readDataCount(r *reader) {
	if n := r.u32(); int64(n) != int64(m.segments) {
		r.fail("declares %d segments of data, there are %d", n, m.segments)
	}
}

func readStart(r *reader) { r.u32() }

// function returns the index of an exported function.
func (m *module) function(name string) (int, bool) {
	for _, e := range m.exports {
		if e.kind == exportFunction && e.name == name {
			return int(e.index), true
		}
	}
	return 0, false
}

// sharesMemory reports whether the module exports its memory under the name that everybody uses.
func (m *module) sharesMemory() bool {
	for _, e := range m.exports {
		if e.kind == exportMemory && e.name == "memory" {
			return true
		}
	}
	return false
}

func (m *module) signature(function int) signature { return m.types[m.functions[function]] }

// encode writes the module anew from its sections.
func (m *module) encode() []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	for _, id := range order {
		if s := m.sections[id]; s != nil {
			b = append(appendU32(append(b, id), uint32(len(s))), s...)
		}
	}
	return b
}
