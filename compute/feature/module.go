package feature

import (
	"errors"
	"fmt"
	"math"
)

// Module is user-defined WebAssembly, which columns of OpModule call.
// docs/formats/pipeline.md defines what it may contain and what its functions look like.
type Module struct {
	Name string `json:"name"` // for messages, see CheckModuleName
	Code []byte `json:"code"` // the binary format
}

// Runtime runs the modules of a pipeline for one evaluator.
type Runtime interface {
	// Bind prepares a function of the module at the index for one column. With rows = 0 it is
	// called with one row of args values, else with 1 to rows rows of them.
	Bind(module int, function string, args, rows int) (Call, error)
}

// Call computes an OpModule at a row. values holds whole rows of arguments, the oldest first,
// missing = NaN, and stays the caller's. The result depends on nothing but values: no call sees
// what an earlier one left behind, and the same values give the same result everywhere. An error
// describes why there is none.
type Call func(values []float64) (float64, error)

// ErrNoRuntime means that a pipeline has modules and the program cannot run them.
var ErrNoRuntime = errors.New("this program has no WebAssembly runtime: use the full build of skerry-agent")

// openRuntime is set while the program starts and never again.
var openRuntime func(modules []Module) (Runtime, error)

// RegisterRuntime makes evaluators run modules by what open returns. It is called from the init
// function of the package that has the runtime, once: a second call panics.
func RegisterRuntime(open func(modules []Module) (Runtime, error)) {
	if openRuntime != nil {
		panic("feature: a second WebAssembly runtime")
	}
	openRuntime = open
}

// modules is the part of an evaluator that calls modules.
type modules struct {
	calls  []Call // by column
	values []float64
	faults int
	fault  error
}

// bind opens a runtime for the pipeline's modules and binds its columns. Modules that no column
// calls are compiled too: whoever wrote the pipeline meant them to work.
func bind(p *Pipeline) (*modules, error) {
	if len(p.Modules) == 0 {
		return nil, nil
	}
	if openRuntime == nil {
		return nil, ErrNoRuntime
	}
	r, err := openRuntime(p.Modules)
	if err != nil {
		return nil, err
	}
	m := &modules{calls: make([]Call, len(p.Columns))}
	widest := 0
	for i := range p.Columns {
		c := &p.Columns[i]
		if c.Op != OpModule {
			continue
		}
		if m.calls[i], err = r.Bind(c.Module, c.Func, len(c.Args), c.Rows); err != nil {
			return nil, fmt.Errorf("column %d %q: %w", i, c.Name, err)
		}
		widest = max(widest, len(c.Args)*max(c.Rows, 1))
	}
	m.values = make([]float64, widest)
	return m, nil
}

// call computes an OpModule.
func (e *Evaluator) call(i int, c *Column, h *History, back, limit int) float64 {
	rows := min(max(c.Rows, 1), limit)
	values := e.values[:rows*len(c.Args)]
	k := 0
	for r := rows - 1; r >= 0; r-- {
		row := h.Row(back + r)
		for _, s := range c.Args {
			values[k] = clean(row[s])
			k++
		}
	}
	v, err := e.calls[i](values)
	if err != nil {
		if e.faults++; e.fault == nil {
			e.fault = fmt.Errorf("column %q: module %q: function %q: %w", c.Name, e.p.Modules[c.Module].Name, c.Func, err)
		}
		return math.NaN()
	}
	return clean(v)
}

// Faults returns how many calls of modules have ended without a result, which made their columns
// missing, and why the first did.
func (e *Evaluator) Faults() (int, error) {
	if e.modules == nil {
		return 0, nil
	}
	return e.faults, e.fault
}

func (p *Pipeline) checkModules() error {
	if len(p.Modules) > MaxModules {
		return fmt.Errorf("pipeline has %d modules, must be at most %d", len(p.Modules), MaxModules)
	}
	total := 0
	for i := range p.Modules {
		m := &p.Modules[i]
		if err := CheckModuleName(m.Name); err != nil {
			return fmt.Errorf("module %d: %w", i, err)
		}
		if n := len(m.Code); n == 0 || n > MaxModuleBytes {
			return fmt.Errorf("module %d %q has %d bytes of code, must be 1 to %d", i, m.Name, n, MaxModuleBytes)
		}
		total += len(m.Code)
	}
	if total > MaxCodeBytes {
		return fmt.Errorf("pipeline has modules of %d bytes together, must be at most %d", total, MaxCodeBytes)
	}
	return nil
}

// CheckModuleName reports why a name is none for a module.
func CheckModuleName(name string) error {
	ok := len(name) > 0 && len(name) <= 64
	for i := range len(name) {
		c := name[i]
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (word || i > 0 && (c == '-' || c == '_' || c == '.'))
	}
	if !ok {
		return fmt.Errorf("module name %q must be 1 to 64 letters, digits or _.- and start with a letter or digit", name)
	}
	return nil
}

// checkCall checks what an OpModule needs no runtime for.
func (p *Pipeline) checkCall(c *Column) error {
	switch {
	case c.Module < 0 || c.Module >= len(p.Modules):
		return fmt.Errorf("op %q calls module %d of %d", c.Op, c.Module, len(p.Modules))
	case len(c.Func) == 0 || len(c.Func) > 256:
		return fmt.Errorf("op %q calls a function with a name of %d bytes, must be 1 to 256", c.Op, len(c.Func))
	case len(c.Args) == 0 || len(c.Args) > MaxArgs:
		return fmt.Errorf("op %q has %d arguments, must be 1 to %d", c.Op, len(c.Args), MaxArgs)
	case c.Lag != 0 || c.Window != 0:
		return fmt.Errorf("op %q takes no lag or window by time, give it rows", c.Op)
	case c.Rows < 0 || c.Rows > p.Rows:
		return fmt.Errorf("op %q takes %d rows, must be 0 to %d when the pipeline looks back %d", c.Op, c.Rows, p.Rows, p.Rows)
	}
	for k, s := range c.Args {
		if s < 0 || s >= len(p.Inputs) {
			return fmt.Errorf("argument %d is series %d of %d", k, s, len(p.Inputs))
		}
	}
	return nil
}
