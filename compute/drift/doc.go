// Package drift watches a stream of numbers, most often scaled prequential errors, and reports when its distribution changes.
//
// A [Detector] takes one value at a time, keeps little state and is not safe for concurrent use. After it reports a drift it has forgotten the old concept; the
// next value belongs to the new one. Defaults and alarm positions are those of river 0.7.0, held by a test on shared streams.
//
// [KolmogorovSmirnov] compares a sample with a reference and serves the inputs.
package drift

import "skerry.dev/compute/state"

// Detector is a change detector for one stream.
type Detector interface {
	// Update takes the next value and reports whether a drift was found at it. A NaN is ignored.
	Update(x float64) bool
	// Save and Load carry the state over a restart, bit for bit.
	Save(w *state.Writer)
	Load(r *state.Reader)
}
