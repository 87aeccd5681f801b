// Package artifact is the one file in which a trained model travels: *.skerry.
//
// An [Artifact] holds everything that a device needs to predict as the hub did: the input schema,
// the fitted feature pipeline, the models by role, the calibration of the interval, reference
// statistics for input drift, and vectors that prove the prediction right on this very machine.
// It holds data, never code. An artifact is immutable; its name is the SHA-256 of its bytes.
//
// [Decode] takes nothing for granted: it checks lengths before it allocates, checksums before it
// parses, and every index before a prediction could follow it, so that no bytes make it panic or
// make a prediction loop. The format is described in docs/formats/artifact.md.
//
// A [Runner] binds an artifact to scratch space and predicts without allocating.
package artifact
