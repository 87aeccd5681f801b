// Package ensemble predicts with sums of decision trees: boosted trees and forests alike.
//
// An [Ensemble] is immutable and safe for concurrent use. A prediction walks every tree, adds the leaves to the base score of each output in tree
// order, and applies the link. Nothing in it depends on the architecture: products are rounded before they are added and the exponential is
// this package's own, so the same bytes and the same input give the same bits on amd64, 386 and arm64.
//
// Trainers hand over [Tree] values; the ensemble keeps one flat array of 16-byte nodes in which the two children of a node are neighbours and stand
// after it. That order is also the proof of termination that [Decode] checks.
package ensemble
