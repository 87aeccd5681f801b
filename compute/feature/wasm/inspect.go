package wasm

import (
	"errors"
	"fmt"
	"strings"

	"skerry.dev/compute/feature"
)

// Function is what a pipeline can call of a module.
type Function struct {
	Name string `json:"name"`
	Args int    `json:"args"` // series it takes; 0 when it takes rows of any number of them
	Rows bool   `json:"rows"` // it takes rows
}

// String writes the function as the user names it.
func (f Function) String() string {
	if f.Rows {
		return f.Name + "(rows)"
	}
	return fmt.Sprintf("%s(%d series)", f.Name, f.Args)
}

// Inspect checks a module as an evaluator would, its limits included, and returns the functions
// that pipelines can call, in the order of its exports. A module without any is refused.
func Inspect(code []byte) ([]Function, error) {
	if n := len(code); n == 0 || n > feature.MaxModuleBytes {
		return nil, fmt.Errorf("has %d bytes, must be 1 to %d", n, feature.MaxModuleBytes)
	}
	r, err := open([]feature.Module{{Code: code}})
	if err != nil {
		return nil, errors.Unwrap(err) // the prefix with the module's name is dropped
	}
	p := r.programs[0]
	out := p.callable()
	if len(out) == 0 {
		return nil, errors.New("exports no function that a feature can call: must be one of 1 to 16 f64 that returns one, or one of (i32, i32) that returns one beside a memory and a function alloc")
	}
	return out, nil
}

func (p *program) callable() []Function {
	r := &runtime{programs: []*program{p}}
	var out []Function
	for _, e := range p.exports {
		if e.kind != exportFunction {
			continue
		}
		if _, err := r.Bind(0, e.name, 1, 1); err == nil {
			out = append(out, Function{Name: e.name, Rows: true})
		}
		if n := len(p.signature(int(e.index)).params); n >= 1 && n <= feature.MaxArgs {
			if _, err := r.Bind(0, e.name, n, 0); err == nil {
				out = append(out, Function{Name: e.name, Args: n})
			}
		}
	}
	return out
}

// list reports which functions there are.
func (p *program) list() string {
	names := make([]string, 0, 8)
	for _, f := range p.callable() {
		if len(names) == cap(names) {
			return "it has " + strings.Join(names, ", ") + " and more"
		}
		names = append(names, f.String())
	}
	if len(names) == 0 {
		return "it has none that a feature can call"
	}
	return "it has " + strings.Join(names, ", ")
}
