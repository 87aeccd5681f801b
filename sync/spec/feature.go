package spec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/expression"
)

// Columns returns the columns of the task's own features, and the names of the modules that they
// call by their index.
func (t *Task) Columns() ([]feature.Column, []string, error) {
	columns, modules, errs := Columns(t.featureInputs(), t.Features)
	return columns, modules, errors.Join(errs...)
}

func (t *Task) featureInputs() []feature.Input {
	inputs := make([]feature.Input, len(t.Inputs))
	for i, in := range t.Inputs {
		inputs[i] = feature.Input{Name: in.Series, Categories: in.Categories}
	}
	return inputs
}

// Columns returns the columns of features over inputs, the names of the modules that they call,
// in the order of their indices, and for each feature what is wrong with it, or nil. Whether a
// module has the function is not known here.
func Columns(inputs []feature.Input, features []Feature) (columns []feature.Column, modules []string, errs []error) {
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = in.Name
	}
	errs = make([]error, len(features))
	var before []expression.Named
	for k, f := range features {
		if f.module() {
			c, err := f.call(names)
			if errs[k] = err; err != nil {
				continue
			}
			if c.Module = slices.Index(modules, f.Wasm); c.Module < 0 {
				c.Module, modules = len(modules), append(modules, f.Wasm)
			}
			if columns = append(columns, c); len(modules) > feature.MaxModules {
				errs[k] = fmt.Errorf("features call %d modules, must be at most %d", len(modules), feature.MaxModules)
			}
			continue
		}
		program, err := expression.Parse(f.Expr, names, before...)
		if err == nil {
			err = numbers(inputs, program)
		}
		if errs[k] = err; err != nil {
			continue
		}
		before = append(before, expression.Named{Name: f.Name, Program: program})
		columns = append(columns, feature.Column{Name: f.Name, Op: feature.OpExpr, Expr: program})
	}
	return columns, modules, errs
}

// module reports whether the feature is a function of a module, or something is meant to be.
func (f *Feature) module() bool {
	return f.Wasm != "" || f.Function != "" || len(f.Of) > 0 || f.Rows != 0
}

// call returns the column of a function of a module, but for the module's index. Categories are
// handed over as their positions.
func (f *Feature) call(names []string) (feature.Column, error) {
	c := feature.Column{Name: f.Name, Op: feature.OpModule, Func: f.Function, Rows: f.Rows}
	switch {
	case f.Expr != "":
		return c, errors.New("has an expression and a module, must have one of them")
	case f.Wasm == "":
		return c, errors.New("names no module: function, of and rows are for one; say which as wasm")
	case f.Function == "" || len(f.Function) > 256:
		return c, errors.New("needs the function that the module exports, 1 to 256 bytes")
	case len(f.Of) == 0 || len(f.Of) > feature.MaxArgs:
		return c, fmt.Errorf("is of %d series, must be 1 to %d", len(f.Of), feature.MaxArgs)
	case f.Rows < 0 || f.Rows > feature.MaxLookback:
		return c, fmt.Errorf("takes %d rows, must be 1 to %d, or 0 for a function of one row", f.Rows, feature.MaxLookback)
	}
	if err := feature.CheckModuleName(f.Wasm); err != nil {
		return c, err
	}
	for _, s := range f.Of {
		i := slices.Index(names, s)
		if i < 0 {
			return c, fmt.Errorf("%q is no series; there are %s", s, strings.Join(names, ", "))
		}
		c.Args = append(c.Args, i)
	}
	return c, nil
}

// numbers refuses arithmetic on the positions of categories.
func numbers(inputs []feature.Input, program []feature.Token) error {
	for _, t := range program {
		if t.Do == feature.TokenSeries && len(inputs[t.I].Categories) > 0 {
			return fmt.Errorf("%q has categories, arithmetic needs numbers: models see categories as they are", inputs[t.I].Name)
		}
	}
	return nil
}

// checkFeatures checks the task's own features. taken holds the names of the inputs.
func (t *Task) checkFeatures(bad func(path, value, msg string), taken map[string]int) {
	if n := len(t.Features); n > MaxFeatures {
		bad("features", strconv.Itoa(n)+" features", fmt.Sprintf("at most %d", MaxFeatures))
		return
	}
	if t.Kind == KindAnomaly && len(t.Features) > 0 {
		bad("features", "", "an anomaly task scores its inputs themselves: remove the features")
		return
	}
	_, _, errs := Columns(t.featureInputs(), t.Features)
	for k, f := range t.Features {
		at := fmt.Sprintf("features[%d]", k)
		if !seriesPattern.MatchString(f.Name) {
			bad(at+".name", f.Name, "must be 1 to 127 letters, digits or _.:- and start with a letter or digit")
		}
		if _, dup := taken[f.Name]; dup {
			bad(at+".name", f.Name, "is the name of an input: choose another")
		}
		if slices.IndexFunc(t.Features, func(o Feature) bool { return o.Name == f.Name }) != k {
			bad(at+".name", f.Name, "is defined twice")
		}
		if errs[k] != nil {
			if f.module() {
				at += ".wasm"
			} else {
				at += ".expr"
			}
			bad(at, "", errs[k].Error())
		}
	}
}
