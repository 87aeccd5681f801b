package spec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/expression"
)

// Columns returns the columns of the task's own features.
func (t *Task) Columns() ([]feature.Column, error) {
	inputs := make([]feature.Input, len(t.Inputs))
	for i, in := range t.Inputs {
		inputs[i] = feature.Input{Name: in.Series, Categories: in.Categories}
	}
	columns, errs := Columns(inputs, t.Features)
	return columns, errors.Join(errs...)
}

// Columns returns the columns of features over inputs, and for each feature what is wrong with it, or nil.
func Columns(inputs []feature.Input, features []Feature) (columns []feature.Column, errs []error) {
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = in.Name
	}
	errs = make([]error, len(features))
	var before []expression.Named
	for k, f := range features {
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
	return columns, errs
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
	inputs := make([]feature.Input, len(t.Inputs))
	for i, in := range t.Inputs {
		inputs[i] = feature.Input{Name: in.Series, Categories: in.Categories}
	}
	_, errs := Columns(inputs, t.Features)
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
			bad(at+".expr", "", errs[k].Error())
		}
	}
}
