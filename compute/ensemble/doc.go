// Package ensemble predicts with sums of decision trees: boosted trees and forests alike.
//
// An [Ensemble] is immutable and safe for concurrent use. A prediction walks every tree, adds the
// leaves to the base score of each output and applies the link. Nothing in it depends on the
// architecture, the kernel or the order of addition: the exponential is this package's own, and
// [Build] rounds scores to a grid on which every partial sum is exact. So the same bytes and the
// same input give the same bits on amd64, 386 and arm64, for one row and for many. Ensembles that
// older versions encoded have no such grid; their scores are added in tree order, as they always
// were.
//
// Trainers hand over [Tree] values; the ensemble keeps one flat array of 16-byte nodes in which
// the two children of a node are neighbours and stand after it. That order is also the proof of
// termination that [Decode] checks.
//
// # Kernels
//
// The first prediction compiles the ensemble: it lays the trees out for this processor and
// measures, for a fraction of a millisecond to some milliseconds, which way is fastest for single
// rows and which for batches. Every way gives the same bits.
//
//   - plain: the nodes as encoded, one tree after the other. The definition of a prediction.
//   - portable: small nodes, eight walks in flight and no branch on data (walk.go).
//   - rows and trees, by vector instructions: QuickScorer on ranks of one byte, a tree against
//     many rows or a row against many trees (scorer.go). For trees of at most 64 leaves with a
//     single score each; AVX2 and AVX-512 on amd64, NEON on arm64, words of 64 bits elsewhere.
//
// [KernelVariable] forces an instruction set, [SetCompile] switches compilation off.
// docs/performance/inference.md has measurements.
package ensemble
