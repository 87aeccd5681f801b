// Package chain puts small steps before and after a model, for models whose own form lacks them:
// a model trained elsewhere may take zero for missing, normalise its rows or square its result.
//
// A [Model] is immutable and safe for concurrent use. Its steps hold numbers, never code.
// Products are rounded before they are added and the exponential is the ensemble's own; only the
// logarithm of [Log1pExp] and square roots come from the standard library.
package chain
