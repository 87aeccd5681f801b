package wasm

import "fmt"

// Instructions that metering treats by name.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opEnd          = 0x0b
	opBrTable      = 0x0e
	opCall         = 0x10
	opCallIndirect = 0x11
	opSelect       = 0x1b
	opLocalGet     = 0x20
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opLoads        = 0x28 // the first of them
	opStores       = 0x36
	opF32Store     = 0x38
	opF64Store     = 0x39
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI64LtS       = 0x53
	opF32Eq        = 0x5b
	opF64Eq        = 0x61
	opI64Sub       = 0x7d
	opI64ShrU      = 0x88
	opF32Copysign  = 0x98
	opF64Copysign  = 0xa6
	opI64ExtendU   = 0xad
	opI32Reinter   = 0xbc
	opI64Reinter   = 0xbd
	opLastNumeric  = 0xc4
	opPrefix       = 0xfc
	emptyBlock     = 0x40

	truncLast  = 7 // behind opPrefix: 0 to 7 truncate numbers
	memoryInit = 8
	memoryCopy = 10
	memoryFill = 11
)

// growSteps is what growing memory costs, because it may copy all there is.
const growSteps = 1 << 12

// countSteps is what the counting itself costs, at every function and turn of a loop: it is that
// many instructions.
const countSteps = 8

// effects describes what calling a function may do to the module's state.
type effects struct {
	writes   bool     // memory or globals
	indirect bool     // calls functions of a table
	calls    []uint32 // those that it names
}

// meter rewrites the module: functions and loops count their steps in a new global and trap when
// there are none left, NaNs have one pattern of bits where a module could see them, and the step
// counter and all mutable globals are exported for the host. Nothing that is in the module gets
// another index.
func (m *module) meter() error {
	w := &writer{m: m, steps: uint32(len(m.mutable))}
	code := appendU32(nil, uint32(len(m.bodies)))
	locals := 0
	for i, b := range m.bodies {
		body, n, err := w.function(i, b)
		if err != nil {
			return fmt.Errorf("function %d: %w", i, err)
		}
		if locals += n; locals > MaxLocals {
			return fmt.Errorf("has more than %d local variables", MaxLocals)
		}
		code = append(appendU32(code, uint32(len(body))), body...)
	}
	if m.sections[sectionCode] != nil {
		m.sections[sectionCode] = code
	}
	r := &reader{b: m.sections[sectionGlobal]}
	if r.more() {
		r.u32()
	}
	globals := append(appendU32(nil, w.steps+1), r.b...)
	globals = append(globals, i64, 1, opI64Const)
	// what instantiation may cost; each call sets its own
	m.sections[sectionGlobal] = append(appendFixed(globals, MaxSteps), opEnd)
	m.exportGlobals(w.steps)
	return nil
}

// exportGlobals adds the host's exports.
func (m *module) exportGlobals(steps uint32) {
	n, list := uint32(len(m.exports)+1), []byte(nil)
	list = appendU32(append(appendName(list, stepsName), exportGlobal), steps)
	for i, mutable := range m.mutable {
		if mutable {
			list = appendU32(append(appendName(list, globalName(i)), exportGlobal), uint32(i))
			n++
		}
	}
	r := &reader{b: m.sections[sectionExport]}
	if r.more() {
		r.u32()
	}
	m.sections[sectionExport] = append(append(appendU32(nil, n), r.b...), list...)
}

const stepsName = reserved + "steps"

func globalName(i int) string { return fmt.Sprintf("%sglobal:%d", reserved, i) }

// writer writes metered functions.
type writer struct {
	m     *module
	steps uint32 // the global that counts down
	loops int

	// of the function at hand
	out      []byte
	scratch  uint32 // the first of three locals of its own: i32, f64 and f32
	scratchy bool   // they are used
	effects  effects
}

// span is a block, and where the cost of its loop stands in the output.
type span struct {
	loop  bool
	at    int
	since uint32
}

// function returns the metered body of a function and how many locals the original declares.
func (w *writer) function(i int, body []byte) ([]byte, int, error) {
	r := &reader{b: body}
	groups := r.count(2)
	list, locals := r.b, uint64(0)
	for range groups {
		n := r.u32()
		if locals += uint64(n); locals > MaxLocals {
			r.fail("has %d local variables, must be at most %d in all functions", locals, MaxLocals)
		}
		if t := r.byte(); r.err == nil && !number(t) {
			r.fail("has a local variable of type 0x%02x, must be a number", t)
		}
	}
	if r.err != nil {
		return nil, 0, r.err
	}
	list = list[:len(list)-len(r.b)]
	w.out, w.scratchy, w.effects = nil, false, effects{}
	w.scratch = uint32(len(w.m.signature(i).params)) + uint32(locals)
	at := w.charge()
	count := uint32(locals)
	spans := []span{{}}
	for len(spans) > 0 && r.err == nil {
		before := r.b
		op := r.byte()
		count++
		switch op {
		case opBlock, opIf, opLoop:
			s := span{loop: op == opLoop, since: count}
			if t := r.byte(); t != emptyBlock && !number(t) {
				r.fail("has a block of type 0x%02x, must be a number or nothing", t)
			}
			w.out = append(w.out, before[:len(before)-len(r.b)]...)
			if s.loop {
				if w.loops++; w.loops > MaxLoops {
					r.fail("has more than %d loops", MaxLoops)
				}
				s.at = w.charge()
			}
			spans = append(spans, s)
			continue
		case opEnd:
			if s := spans[len(spans)-1]; s.loop {
				w.patch(s.at, count-s.since+countSteps)
			}
			spans = spans[:len(spans)-1]
		default:
			w.instruction(r, op)
		}
		w.out = append(w.out, before[:len(before)-len(r.b)]...)
	}
	if r.more() {
		r.fail("has instructions behind its end")
	}
	if r.err != nil {
		return nil, 0, r.err
	}
	w.patch(at, count+countSteps)
	w.m.effects = append(w.m.effects, w.effects)
	var head []byte
	if w.scratchy {
		head = append(append(appendU32(head, uint32(groups)+3), list...), 1, i32, 1, f64, 1, f32)
	} else {
		head = append(appendU32(head, uint32(groups)), list...)
	}
	return append(head, w.out...), int(locals), nil
}

// instruction reads the rest of one that opens and closes no block, and writes what must come
// before it.
func (w *writer) instruction(r *reader, op byte) {
	switch {
	case op == opCall:
		w.effects.calls = append(w.effects.calls, r.u32())
		return
	case op == opCallIndirect:
		w.effects.indirect = true
	case op == opGlobalSet:
		w.effects.writes = true
		if g := r.u32(); g >= w.steps {
			r.fail("sets global %d of %d", g, w.steps)
		}
		return
	case op == opGlobalGet:
		if g := r.u32(); g >= w.steps {
			r.fail("reads global %d of %d", g, w.steps)
		}
		return
	case op >= opLocalGet && op <= opLocalTee:
		if l := r.u32(); l >= w.scratch {
			r.fail("has local variable %d of %d", l, w.scratch)
		}
		return
	case op == opMemoryGrow:
		w.effects.writes = true
		w.patch(w.charge(), growSteps)
	case op >= opStores && op < opMemorySize:
		w.effects.writes = true
		w.settle(op)
	case op == opPrefix:
		w.bulk(r)
		return
	default:
		w.settle(op)
	}
	skipImmediates(r, op)
}

// bulk reads an instruction with a prefix. Those that work on a length charge for it: it lies on
// top of the stack.
func (w *writer) bulk(r *reader) {
	switch sub := r.u32(); sub {
	case memoryInit, memoryCopy:
		r.u32()
		r.u32()
	case memoryFill:
		r.u32()
	default:
		if sub > truncLast {
			r.fail("has instruction 0xfc %d, which is not supported: tables and segments of data do not change", sub)
		}
		return
	}
	w.effects.writes, w.scratchy = true, true
	w.out = appendU32(append(w.out, opLocalTee), w.scratch)
	w.out = appendU32(append(w.out, opGlobalGet), w.steps)
	w.out = appendU32(append(w.out, opLocalGet), w.scratch)
	w.out = append(w.out, opI64ExtendU, opI64Const, 3, opI64ShrU) // a step for 8 bytes
	w.spend()
}

// charge writes the counting of steps, whose number is patched in at the place it returns.
func (w *writer) charge() int {
	w.out = appendU32(append(w.out, opGlobalGet), w.steps)
	w.out = append(w.out, opI64Const)
	at := len(w.out)
	w.out = appendFixed(w.out, 0)
	w.spend()
	return at
}

// spend subtracts what lies on the stack and traps when it is more than there is.
func (w *writer) spend() {
	w.out = appendU32(append(w.out, opI64Sub, opGlobalSet), w.steps)
	w.out = appendU32(append(w.out, opGlobalGet), w.steps)
	w.out = append(w.out, opI64Const, 0, opI64LtS, opIf, emptyBlock, opUnreachable, opEnd)
}

func (w *writer) patch(at int, steps uint32) { appendFixed(w.out[:at], steps) }

// settle gives the number on top of the stack the one NaN there is, before an instruction that
// shows its bits.
func (w *writer) settle(op byte) {
	switch op {
	case opF64Store, opF64Copysign, opI64Reinter:
		w.scratchy = true
		w.out = appendU32(append(w.out, opLocalTee), w.scratch+1)
		w.out = append(w.out, opF64Const, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f)
		w.same(w.scratch+1, opF64Eq)
	case opF32Store, opF32Copysign, opI32Reinter:
		w.scratchy = true
		w.out = appendU32(append(w.out, opLocalTee), w.scratch+2)
		w.out = append(w.out, opF32Const, 0, 0, 0xc0, 0x7f)
		w.same(w.scratch+2, opF32Eq)
	}
}

// same selects the number below the NaN when it equals itself.
func (w *writer) same(local uint32, equal byte) {
	w.out = appendU32(append(w.out, opLocalGet), local)
	w.out = appendU32(append(w.out, opLocalGet), local)
	w.out = append(w.out, equal, opSelect)
}

// skipImmediates reads what belongs to an instruction that has neither blocks nor a prefix.
func skipImmediates(r *reader, op byte) {
	switch {
	case op <= 0x01, op == 0x05, op == 0x0f, op == 0x1a, op == opSelect, op > opF64Const && op <= opLastNumeric:
		// unreachable, nop, else, return, drop
	case op == 0x0c, op == 0x0d: // br, br_if
		r.u32()
	case op == opBrTable:
		for range r.count(1) {
			r.u32()
		}
		r.u32()
	case op == opCallIndirect:
		r.u32()
		r.u32()
	case op >= opLoads && op < opMemorySize:
		r.u32()
		r.u32()
	case op == opMemorySize, op == opMemoryGrow:
		r.byte()
	case op == opI32Const:
		r.skipSigned(5)
	case op == opI64Const:
		r.skipSigned(10)
	case op == opF32Const:
		r.bytes(4)
	case op == opF64Const:
		r.bytes(8)
	default:
		r.fail("has instruction 0x%02x, which is not supported: neither vectors, references, tail calls nor exceptions are", op)
	}
}

// pure reports whether calling the functions changes nothing.
func (m *module) pure(functions ...int) bool {
	seen := make([]bool, len(m.effects))
	var waiting []uint32
	for _, f := range functions {
		waiting = append(waiting, uint32(f))
	}
	for len(waiting) > 0 {
		f := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		if int64(f) >= int64(len(seen)) {
			return false // who compiles the code refuses it
		}
		if seen[f] {
			continue
		}
		seen[f] = true
		e := &m.effects[f]
		if e.writes || e.indirect { // a table may hold any function
			return false
		}
		waiting = append(waiting, e.calls...)
	}
	return true
}
