package hoeffding

import (
	"errors"
	"fmt"
)

// NumberLeaf is how a leaf predicts a number.
type NumberLeaf uint8

// AdaptiveLinear uses the mean or the linear model, whichever erred less lately; Mean and Linear
// use one of them always.
const (
	AdaptiveLinear NumberLeaf = iota
	Mean
	Linear
)

// RegressionOptions tune a regression tree. The zero value holds the defaults, except for the
// members of a RegressionForest, which has its own.
type RegressionOptions struct {
	// Grace, Delta, Tau, MaxDepth and BinaryOnly are as in Options.
	Grace, Delta, Tau float64
	MaxDepth          int
	BinaryOnly        bool
	Leaf              NumberLeaf
	// Rate is the learning rate of the linear models, in (0, 0.5]. Default 0.01.
	Rate float64
	// Decay is how much of the squared errors that decide between mean and linear model stays
	// with each row, in [0, 1). Default 0.95.
	Decay float64
	// Least is the weight that each side of a split must have. Default 5.
	Least float64
	// MaxBytes bounds the state, in bytes, for a forest that of all its trees. Default 64 MiB.
	MaxBytes int
	Seed     uint64
}

func (o RegressionOptions) withDefaults() RegressionOptions {
	o.Rate, o.Decay, o.Least = or(o.Rate, 0.01), or(o.Decay, 0.95), or(o.Least, 5)
	return o
}

// plain returns what regression trees have in common with others, with its defaults.
func (o RegressionOptions) plain() Options {
	return Options{
		Grace:      o.Grace,
		Delta:      o.Delta,
		Tau:        o.Tau,
		MaxDepth:   o.MaxDepth,
		BinaryOnly: o.BinaryOnly,
		MaxBytes:   o.MaxBytes,
		Seed:       o.Seed,
	}.withDefaults()
}

func (o RegressionOptions) validate() error {
	errs := []error{o.plain().validate()}
	check := func(ok bool, name string, v any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is %v, allowed is %s", name, v, allowed))
		}
	}
	check(o.Leaf <= Linear, "Leaf", o.Leaf, "AdaptiveLinear, Mean or Linear")
	check(o.Rate > 0 && o.Rate <= 0.5, "Rate", o.Rate, "above 0, at most 0.5")
	check(o.Decay >= 0 && o.Decay < 1, "Decay", o.Decay, "0 or more, below 1")
	check(o.Least >= 1 && o.Least <= 1e6, "Least", o.Least, "1 to 1e6")
	return errors.Join(errs...)
}
