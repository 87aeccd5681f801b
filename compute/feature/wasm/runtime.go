package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"skerry.dev/compute/feature"
)

func init() {
	feature.RegisterRuntime(func(modules []feature.Module) (feature.Runtime, error) { return open(modules) })
}

// features are the parts of WebAssembly that a module may use, but for those that metering
// refuses: version 1 and what today's compilers take for granted.
const features = api.CoreFeaturesV1 | api.CoreFeatureSignExtensionOps | api.CoreFeatureNonTrappingFloatToIntConversion | api.CoreFeatureBulkMemoryOperations | api.CoreFeatureReferenceTypes

// background is the context of every call: calls end by themselves.
var background = context.Background()

// errSteps ends a call that costs more than it may.
var errSteps = fmt.Errorf("took more than %d steps", MaxSteps)

// runtime holds the instances of a pipeline's modules.
type runtime struct{ programs []*program }

func open(modules []feature.Module) (*runtime, error) {
	rt := wazero.NewRuntimeWithConfig(background, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features).WithMemoryLimitPages(MaxPages))
	out := new(runtime)
	for i := range modules {
		p, err := newProgram(rt, modules[i].Code)
		if err != nil {
			return nil, fmt.Errorf("module %q: %w", modules[i].Name, err)
		}
		out.programs = append(out.programs, p)
	}
	return out, nil
}

// program is a module, its one instance, and what the instance was when it began.
type program struct {
	*module
	rt       wazero.Runtime
	compiled wazero.CompiledModule
	instance api.Module
	steps    api.MutableGlobal
	globals  []api.MutableGlobal
	values   []uint64 // of the globals
	image    []byte   // of the memory
	dirty    bool     // the instance may no longer be what it was
}

func newProgram(rt wazero.Runtime, code []byte) (*program, error) {
	m, err := parse(code)
	if err != nil {
		return nil, err
	}
	if err := m.meter(); err != nil {
		return nil, err
	}
	p := &program{module: m, rt: rt}
	if p.compiled, err = rt.CompileModule(background, m.encode()); err != nil {
		return nil, fmt.Errorf("compile: %w", reason(err))
	}
	if err := p.instantiate(); err != nil {
		return nil, err
	}
	for _, g := range p.globals {
		p.values = append(p.values, g.Get())
	}
	if p.remembers {
		mem := p.instance.Memory()
		view, _ := mem.Read(0, mem.Size())
		p.image = append(p.image, view...)
	}
	return p, nil
}

// instantiate makes a new instance.
func (p *program) instantiate() error {
	if p.instance != nil {
		_ = p.instance.Close(background) // it has nothing open
	}
	instance, err := p.rt.InstantiateModule(background, p.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		return fmt.Errorf("instantiate: %w", reason(err))
	}
	p.instance, p.dirty, p.globals = instance, false, p.globals[:0]
	p.steps = instance.ExportedGlobal(stepsName).(api.MutableGlobal)
	for i, mutable := range p.mutable {
		if mutable {
			p.globals = append(p.globals, instance.ExportedGlobal(globalName(i)).(api.MutableGlobal))
		}
	}
	return nil
}

// restore makes the instance what it was. Memory that has grown cannot shrink: then there is a
// new one.
func (p *program) restore() error {
	if !p.dirty {
		return nil
	}
	if p.remembers {
		mem := p.instance.Memory()
		if int(mem.Size()) != len(p.image) {
			return p.instantiate()
		}
		mem.Write(0, p.image)
	}
	for i, g := range p.globals {
		g.Set(p.values[i])
	}
	p.dirty = false
	return nil
}

// Bind implements [feature.Runtime].
func (r *runtime) Bind(module int, name string, args, rows int) (feature.Call, error) {
	p := r.programs[module]
	f, ok := p.function(name)
	if !ok {
		return nil, fmt.Errorf("the module exports no function %q: %s", name, p.list())
	}
	want := signature{strings.Repeat(string([]byte{f64}), args), string([]byte{f64})}
	if rows > 0 {
		want.params = string([]byte{i32, i32})
	}
	switch got := p.signature(f); {
	case got != want && rows > 0:
		return nil, fmt.Errorf("function %q is %v, must be %v to take rows: a pointer and their number", name, got, want)
	case got != want:
		return nil, fmt.Errorf("function %q is %v, must be %v for %d series", name, got, want, args)
	}
	c := &call{program: p, name: name, pure: p.pure(f), args: args, stack: make([]uint64, max(args, 2))}
	if rows == 0 {
		return c.row, nil
	}
	alloc, ok := p.function("alloc")
	if want := (signature{string([]byte{i32}), string([]byte{i32})}); !ok || p.signature(alloc) != want || !p.sharesMemory() {
		return nil, fmt.Errorf("function %q takes rows: the module must export its memory as %q and a function %q, %v, that returns where so many bytes may be written", name, "memory", "alloc", want)
	}
	if c.pure = p.pure(f, alloc); c.pure {
		c.saved = make([]byte, rows*args*8)
	}
	return c.window, nil
}

// call is a function bound to a column.
type call struct {
	*program
	name            string
	args            int
	pure            bool // the function changes nothing
	stack           []uint64
	saved           []byte     // pure, of a window: what was where the rows are written
	of              api.Module // the instance that the two belong to
	function, alloc api.Function
}

// prepare readies the instance.
func (c *call) prepare() error {
	if err := c.restore(); err != nil {
		return err
	}
	if c.of != c.instance {
		c.of, c.function, c.alloc = c.instance, c.instance.ExportedFunction(c.name), c.instance.ExportedFunction("alloc")
	}
	c.dirty = !c.pure
	c.steps.Set(MaxSteps)
	return nil
}

// row calls a function of numbers.
func (c *call) row(values []float64) (float64, error) {
	if err := c.prepare(); err != nil {
		return 0, err
	}
	for i, v := range values {
		c.stack[i] = bits(v)
	}
	return c.run()
}

// window calls a function of rows in memory.
func (c *call) window(values []float64) (float64, error) {
	if err := c.prepare(); err != nil {
		return 0, err
	}
	size := 8 * len(values)
	c.stack[0] = uint64(size)
	if err := c.alloc.CallWithStack(background, c.stack); err != nil {
		return 0, c.ended(err)
	}
	at := uint32(c.stack[0])
	mem := c.instance.Memory()
	view, ok := mem.Read(at, uint32(size))
	if !ok {
		return 0, fmt.Errorf("alloc(%d) returned %d, which leaves too little of a memory of %d bytes", size, at, mem.Size())
	}
	if c.pure {
		copy(c.saved, view)
		defer copy(view, c.saved[:size])
	}
	for i, v := range values {
		binary.LittleEndian.PutUint64(view[8*i:], bits(v))
	}
	c.stack[0], c.stack[1] = uint64(at), uint64(len(values)/c.args)
	return c.run()
}

func (c *call) run() (float64, error) {
	if err := c.function.CallWithStack(background, c.stack); err != nil {
		return 0, c.ended(err)
	}
	return math.Float64frombits(c.stack[0]), nil
}

// ended reports why a call has no result.
func (c *call) ended(err error) error {
	if int64(c.steps.Get()) < 0 {
		return errSteps
	}
	return reason(err)
}

// bits returns those that a module sees: every missing number has the same.
func bits(v float64) uint64 {
	if math.IsNaN(v) {
		return 0x7ff8000000000000
	}
	return math.Float64bits(v)
}

// reason leaves the first line of an error: the stack behind it names functions by their numbers.
func reason(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(strings.TrimPrefix(text, "wasm error: "))
}
