// Package explain explains why a model predicts what it predicts.
//
// Contributions are Shapley values (Lundberg and Lee, "A Unified Approach to Interpreting Model
// Predictions", NeurIPS 2017): one number per input and output that add up to what the prediction
// is above the expected one. [Trees] computes them exactly for ensembles, [Linear] for linear
// models, both for the raw scores before the link; [Sampling] estimates them for any model, for
// its outputs, by permutations.
//
// [Permutation] measures how much a model relies on each input over a table, [PartialDependence]
// how its outputs change with one input.
//
// Everything is deterministic: the same seed and data give the same numbers, whatever the number
// of threads.
package explain

import "errors"

// ErrShape means that a slice has the wrong length.
var ErrShape = errors.New("explain: wrong number of inputs or contributions")

// Predictor is a model: ensembles, networks, linear models and what an artifact holds.
// PredictInto is safe for concurrent use.
type Predictor interface {
	Inputs() int
	Outputs() int
	PredictInto(dst, x []float64) error
}

// batcher is a model that predicts many rows faster than one after the other.
type batcher interface {
	PredictBatch(dst, x []float64, threads int) error
}
