package hoeffding

import (
	"errors"
	"fmt"
	"math"
)

// Criterion is what a split is judged by.
type Criterion uint8

// InfoGain is the loss of entropy in bits, Gini that of Gini's impurity.
const (
	InfoGain Criterion = iota
	Gini
)

// Leaf is how a leaf predicts.
type Leaf uint8

// AdaptiveBayes uses naive Bayes where it was right at least as often as the majority class;
// Bayes and Majority use one of them always.
const (
	AdaptiveBayes Leaf = iota
	Bayes
	Majority
)

// Options tune a tree. The zero value holds the defaults, except for the members of ensembles,
// which have their own.
type Options struct {
	// Grace is the weight of rows that a leaf takes between two attempts to split. Default 200.
	Grace float64
	// Delta is the probability that a split is wrong, in (0, 1). Default 1e-7.
	Delta float64
	// Tau is the bound below which the best split is taken although another is about as good, in
	// [0, 1]. Default 0.05; a negative Tau never breaks ties.
	Tau float64
	// Points is how many thresholds are tried for a number. Default 10.
	Points    int
	Criterion Criterion
	Leaf      Leaf
	// MaxDepth bounds the depth, 1 to 200. Default 200.
	MaxDepth int
	// BinaryOnly splits categories in one against the others only; otherwise a split with a
	// branch for each category is tried as well.
	BinaryOnly bool
	// MinBranch is the share of a leaf's rows that at least two branches must get, in (0, 0.5).
	// Default 0.01.
	MinBranch float64
	// MaxShare is the share of the majority class above which a leaf is not split, in (0.5, 1].
	// Default 0.99.
	MaxShare float64
	// MaxBytes bounds the state, in bytes, for an ensemble that of all its members. Default 64 MiB.
	MaxBytes int
	// Seed of what is drawn at random: bootstrap weights and subsets of inputs. A plain tree
	// draws nothing.
	Seed uint64
}

const (
	maxDepth      = 200
	defaultBudget = 64 << 20
	// maxMagnitude is the magnitude beyond which a number is taken for a fault: its square still
	// leaves room for sums and differences.
	maxMagnitude = 1e100
)

func or[T int | float64](v, standard T) T {
	if v == 0 {
		return standard
	}
	return v
}

func (o Options) withDefaults() Options {
	o.Grace, o.Delta, o.Tau = or(o.Grace, 200), or(o.Delta, 1e-7), or(o.Tau, 0.05)
	o.Points, o.MaxDepth = or(o.Points, 10), or(o.MaxDepth, maxDepth)
	o.MinBranch, o.MaxShare, o.MaxBytes = or(o.MinBranch, 0.01), or(o.MaxShare, 0.99), or(o.MaxBytes, defaultBudget)
	return o
}

// validate reports every problem of options that have their defaults.
func (o Options) validate() error {
	var errs []error
	check := func(ok bool, name string, v any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is %v, allowed is %s", name, v, allowed))
		}
	}
	check(o.Grace >= 1 && o.Grace <= 1e9, "Grace", o.Grace, "1 to 1e9")
	check(o.Delta > 0 && o.Delta < 1, "Delta", o.Delta, "a probability between 0 and 1")
	check(o.Tau <= 1 && !math.IsInf(o.Tau, -1), "Tau", o.Tau, "at most 1, negative for never")
	check(o.Points >= 1 && o.Points <= 1000, "Points", o.Points, "1 to 1000")
	check(o.Criterion <= Gini, "Criterion", o.Criterion, "InfoGain or Gini")
	check(o.Leaf <= Majority, "Leaf", o.Leaf, "AdaptiveBayes, Bayes or Majority")
	check(o.MaxDepth >= 1 && o.MaxDepth <= maxDepth, "MaxDepth", o.MaxDepth, fmt.Sprintf("1 to %d", maxDepth))
	check(o.MinBranch > 0 && o.MinBranch < 0.5, "MinBranch", o.MinBranch, "a share between 0 and 0.5")
	check(o.MaxShare > 0.5 && o.MaxShare <= 1, "MaxShare", o.MaxShare, "a share above 0.5, at most 1")
	check(o.MaxBytes >= 0, "MaxBytes", o.MaxBytes, "a positive number")
	return errors.Join(errs...)
}
