package selection

import (
	"strings"
	"testing"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm/wasmtest"

	_ "skerry.dev/compute/feature/wasm"
)

// TestModules learns with features of modules: they stay in the artifact, which computes again
// what it did here.
func TestModules(t *testing.T) {
	p := synthetic(2, 300)
	p.Modules = []feature.Module{{Name: "air", Code: wasmtest.Arithmetic()}, {Name: "w", Code: wasmtest.Window()}}
	p.Features = []feature.Column{{Name: "wet", Op: feature.OpModule, Func: "wet", Args: []int{0, 1}}, {Name: "level", Op: feature.OpModule, Module: 1, Func: "mean", Args: []int{0}, Rows: 30}}
	for _, learner := range []string{"gbdt", "linear"} {
		r := run(t, p, Options{Trials: 1, Threads: 2, Learners: []string{learner}})
		pipe := r.Artifact.Pipeline
		if pipe.Columns[0].Name != "wet" || pipe.Columns[1].Name != "level" || len(pipe.Modules) != 2 || pipe.Rows < 30 {
			t.Errorf("%s: columns %q, %d modules, look-back %d", learner, pipe.Names(), len(pipe.Modules), pipe.Rows)
		}
		if err := r.Artifact.SelfTest(); err != nil {
			t.Error(err)
		}
	}
}

func TestBadModules(t *testing.T) {
	p := synthetic(1, 300)
	p.Modules = []feature.Module{{Name: "bad", Code: wasmtest.Hostile()}}
	for _, c := range []struct {
		want        string
		independent bool
		column      feature.Column
	}{
		{`features have no value in any of 100 rows: column "f": module "bad": function "forever": took more than 1048576 steps`, false, feature.Column{Func: "forever"}},
		{`column 0 "f": the module exports no function "nothing": it has forever(1 series)`, false, feature.Column{Func: "nothing"}},
		{`feature "f" takes 5 rows, but every row stands for itself`, true, feature.Column{Func: "trap", Rows: 5}},
	} {
		if testing.Short() && c.column.Func == "forever" {
			continue
		}
		c.column.Name, c.column.Op, c.column.Args = "f", feature.OpModule, []int{0}
		p.Features, p.Independent = []feature.Column{c.column}, c.independent
		if err := p.checkModules(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("checkModules: %v, want %q", err, c.want)
		}
	}
	// fails for half of the rows
	p.Features, p.Independent = []feature.Column{{Name: "f", Op: feature.OpModule, Func: "trap", Args: []int{1}}}, false
	if err := p.checkModules(); err != nil {
		t.Error(err)
	}
}
