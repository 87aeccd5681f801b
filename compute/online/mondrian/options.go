package mondrian

import (
	"errors"
	"fmt"

	"skerry.dev/compute/online"
)

// Unit defines which inputs are cut more often than others.
type Unit uint8

// Range takes the range that an input has shown so far as its unit: all are cut alike, those
// without information too. Own takes the input's own unit, so that one whose numbers are large is
// cut often: right when that is the one that matters, as time often is. RootRange takes the root of
// the range, the middle between the two: on public streams it is never far from the better one.
const (
	RootRange Unit = iota
	Range
	Own
)

// Options tune a forest. The zero value holds the defaults.
type Options struct {
	// Trees is how many trees are averaged, 1 to 1000. Default 10.
	Trees int
	// Step is the learning rate of the aggregation, above 0, at most 100. Default 1, which is
	// right for the log loss.
	Step float64
	// Dirichlet is what is added to the count of each class, above 0, at most 100. Default 0.5.
	// It does not matter to numbers.
	Dirichlet float64
	// KeepPure does not cut a node whose rows, the new one included, are all of one class. It
	// saves much memory, but such a node's box swallows the ground between its rows, and rows of
	// other classes in there are not distinguished any more.
	KeepPure bool
	// Leaves predicts by the leaves alone, without aggregation.
	Leaves bool
	// Unit is what the way of a row from a box is measured in.
	Unit Unit
	// MaxBytes bounds the state, in bytes, and with it how far back the forest remembers: a node
	// takes 56 bytes, 16 for each input and 8 for each class. Default 8 MiB.
	MaxBytes int
	Seed     uint64
}

const (
	defaultBudget = 8 << 20
	maxMagnitude  = 1e100
)

func (o Options) withDefaults() Options {
	if o.Trees == 0 {
		o.Trees = 10
	}
	if o.Step == 0 {
		o.Step = 1
	}
	if o.Dirichlet == 0 {
		o.Dirichlet = 0.5
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultBudget
	}
	return o
}

// validate reports every problem at once. least is the smallest budget in which each tree has its
// first page.
func (o Options) validate(s online.Schema, regression bool, least int) error {
	errs := []error{s.Check(!regression)}
	check := func(ok bool, name string, v any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is %v, allowed is %s", name, v, allowed))
		}
	}
	check(o.Trees >= 1 && o.Trees <= 1000, "Trees", o.Trees, "1 to 1000")
	check(o.Step > 0 && o.Step <= 100, "Step", o.Step, "above 0, at most 100")
	check(o.Dirichlet > 0 && o.Dirichlet <= 100, "Dirichlet", o.Dirichlet, "above 0, at most 100")
	check(o.Unit <= Own, "Unit", o.Unit, "RootRange, Range or Own")
	check(o.MaxBytes >= least, "MaxBytes", o.MaxBytes, fmt.Sprintf("%d or more for this schema and number of trees", least))
	return errors.Join(errs...)
}
