// Package engine is the heart: one task as a deterministic state machine over event time.
//
// Readings and labels go in; rows, predictions, matured labels and events come out. Inside, in
// this order for every instant: the joiner builds rows from readings, labels that have come due
// are scored and learned from (prequential: predict, score, then learn), then the new row is
// predicted by every expert, mixed and given an interval. Local learners, the mixture, the
// conformal state and the drift detectors learn from the values stored when the prediction was
// made.
//
// The same inputs in the same order give the same outputs, bit for bit: there is no clock, no
// randomness and no goroutine in it. The agent drives it live, replay drives it from a file and
// the hub drives it over the lake to build training rows. [Engine.Save] and [Engine.Load] carry
// it over a crash.
//
// An Engine is not safe for concurrent use. In the steady state it does not allocate.
package engine
