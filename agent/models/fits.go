package models

import (
	"fmt"
	"slices"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/sync/spec"
)

// Fits refuses an artifact that cannot serve t: one of another kind or horizon, or with other
// inputs. A unit that the artifact or the task leaves open fits every other.
func Fits(a *artifact.Artifact, t *spec.Task) error {
	m := &a.Manifest
	if m.Kind != string(t.Kind) || m.HorizonUS != t.Target.Horizon.Micros() {
		return fmt.Errorf("the artifact is a %s %s ahead, task %q a %s %s ahead", m.Kind, time.Duration(m.HorizonUS)*time.Microsecond, t.Name, t.Kind, t.Horizon())
	}
	if len(m.Inputs) != len(t.Inputs) {
		return fmt.Errorf("the artifact has %d inputs, task %q has %d", len(m.Inputs), t.Name, len(t.Inputs))
	}
	for i, in := range m.Inputs {
		of := &t.Inputs[i]
		if in.Name != of.Series || !slices.Equal(in.Categories, of.Categories) {
			return fmt.Errorf("input %d of the artifact is %q %v, of task %q it is %q %v", i, in.Name, in.Categories, t.Name, of.Series, of.Categories)
		}
		if in.Unit != of.Unit && in.Unit != "" && of.Unit != "" {
			return fmt.Errorf("input %q of the artifact is in %q, of task %q it is in %q", in.Name, in.Unit, t.Name, of.Unit)
		}
	}
	return nil
}
