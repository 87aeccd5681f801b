package feature

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// calling is a pipeline of one series with a column that calls a module.
func calling(change func(*Pipeline, *Column)) *Pipeline {
	p := &Pipeline{Inputs: []Input{{Name: "a"}}, Rows: 8, Modules: []Module{{Name: "m", Code: []byte("\x00asm")}}, Columns: []Column{{Name: "c", Op: OpModule, Func: "f", Args: []int{0}, Rows: 3}}}
	change(p, &p.Columns[0])
	return p
}

func TestCheckModules(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*Pipeline, *Column)
	}{
		{"", func(*Pipeline, *Column) {}},
		{"", func(p *Pipeline, c *Column) { c.Rows, c.Args = 8, make([]int, MaxArgs) }},
		{"module 1 of 1", func(_ *Pipeline, c *Column) { c.Module = 1 }},
		{"module -1 of 1", func(_ *Pipeline, c *Column) { c.Module = -1 }},
		{"module 0 of 0", func(p *Pipeline, _ *Column) { p.Modules = nil }},
		{"a name of 0 bytes", func(_ *Pipeline, c *Column) { c.Func = "" }},
		{"a name of 257 bytes", func(_ *Pipeline, c *Column) { c.Func = strings.Repeat("f", 257) }},
		{"has 0 arguments, must be 1 to 16", func(_ *Pipeline, c *Column) { c.Args = nil }},
		{"has 17 arguments", func(_ *Pipeline, c *Column) { c.Args = make([]int, 17) }},
		{"argument 0 is series 1 of 1", func(_ *Pipeline, c *Column) { c.Args = []int{1} }},
		{"argument 0 is series -1 of 1", func(_ *Pipeline, c *Column) { c.Args = []int{-1} }},
		{"takes 9 rows, must be 0 to 8", func(_ *Pipeline, c *Column) { c.Rows = 9 }},
		{"takes -1 rows", func(_ *Pipeline, c *Column) { c.Rows = -1 }},
		{"no lag or window by time", func(_ *Pipeline, c *Column) { c.Window = 1 }},
		{"no lag or window by time", func(_ *Pipeline, c *Column) { c.Lag = 1 }},
		{`op "module" takes no expr`, func(_ *Pipeline, c *Column) { c.Expr = []Token{} }},
		{`op "value" takes no func`, func(_ *Pipeline, c *Column) { c.Op, c.Rows = OpValue, 0 }},
		{`op "mean" takes no args`, func(_ *Pipeline, c *Column) { c.Op, c.Func = OpMean, "" }},
		{`op "value" takes no module`, func(_ *Pipeline, c *Column) { *c = Column{Op: OpValue, Module: 1} }},
		{`module 0: module name "" must be`, func(p *Pipeline, _ *Column) { p.Modules[0].Name = "" }},
		{`module name "a b" must be`, func(p *Pipeline, _ *Column) { p.Modules[0].Name = "a b" }},
		{"has 0 bytes of code", func(p *Pipeline, _ *Column) { p.Modules[0].Code = nil }},
		{"has 262145 bytes of code, must be 1 to 262144", func(p *Pipeline, _ *Column) { p.Modules[0].Code = make([]byte, MaxModuleBytes+1) }},
		{"has modules of 786432 bytes together, must be at most 524288", func(p *Pipeline, _ *Column) {
			big := Module{Name: "m", Code: make([]byte, MaxModuleBytes)}
			p.Modules = []Module{big, big, big}
		}},
		{"has 9 modules, must be at most 8", func(p *Pipeline, _ *Column) { p.Modules = make([]Module, 9) }},
	} {
		switch err := calling(c.change).Check(); {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("Check: %v, want %q", err, c.want)
		}
	}
}

// TestNoRuntime is what a lean agent says.
func TestNoRuntime(t *testing.T) {
	_, err := NewEvaluator(calling(func(*Pipeline, *Column) {}))
	if !errors.Is(err, ErrNoRuntime) || err.Error() != "this program has no WebAssembly runtime: use the full build of skerry-agent" {
		t.Errorf("NewEvaluator: %v", err)
	}
}

// TestModulesFitTheirSection holds the limit of code to the artifact's: as JSON, the largest
// modules leave room in a section of 1 MiB.
func TestModulesFitTheirSection(t *testing.T) {
	p := calling(func(p *Pipeline, _ *Column) {
		p.Modules = []Module{{Name: "a", Code: make([]byte, MaxModuleBytes)}, {Name: "b", Code: make([]byte, MaxModuleBytes)}}
	})
	js, err := json.Marshal(p)
	if err != nil || p.Check() != nil || len(js) > 700<<10 {
		t.Errorf("a pipeline with the most code has %d bytes, %v, %v", len(js), err, p.Check())
	}
}
