package models

import (
	"fmt"
	"slices"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/sync/spec"
)

// Fits refuses an artifact that cannot serve t: one of another kind or horizon, or with other
// inputs, in any order. A unit that the artifact or the task leaves open fits every other.
func Fits(a *artifact.Artifact, t *spec.Task) error {
	m := &a.Manifest
	if m.Kind != string(t.Kind) || m.HorizonUS != t.Target.Horizon.Micros() {
		return fmt.Errorf("the artifact is a %s %s ahead, task %q a %s %s ahead", m.Kind, time.Duration(m.HorizonUS)*time.Microsecond, t.Name, t.Kind, t.Horizon())
	}
	if len(m.Inputs) != len(t.Inputs) {
		return fmt.Errorf("the artifact has %d inputs, task %q has %d", len(m.Inputs), t.Name, len(t.Inputs))
	}
	for _, in := range m.Inputs {
		i := slices.IndexFunc(t.Inputs, func(x spec.Input) bool { return x.Series == in.Name })
		if i < 0 {
			return fmt.Errorf("the artifact has an input %q, task %q has none of this name", in.Name, t.Name)
		}
		of := &t.Inputs[i]
		if !slices.Equal(in.Categories, of.Categories) {
			return fmt.Errorf("the categories of input %q are %v in the artifact, %v in task %q", in.Name, in.Categories, of.Categories, t.Name)
		}
		if in.Unit != of.Unit && in.Unit != "" && of.Unit != "" {
			return fmt.Errorf("input %q of the artifact is in %q, of task %q it is in %q", in.Name, in.Unit, t.Name, of.Unit)
		}
	}
	return fitClasses(m.Output.Classes, t)
}

// fitClasses holds that the artifact tells the task's classes apart, in whatever order.
func fitClasses(made []string, t *spec.Task) error {
	if t.Kind != spec.KindClassification {
		return nil
	}
	a, b := slices.Sorted(slices.Values(made)), slices.Sorted(slices.Values(t.Target.Categories))
	if !slices.Equal(a, b) {
		return fmt.Errorf("the classes are %q in the artifact, %q in task %q: name them alike, skerry-hub import-model --classes does it for a model of another program", made, t.Target.Categories, t.Name)
	}
	return nil
}
