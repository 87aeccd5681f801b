// Package interchange reads the models of LightGBM (text), XGBoost (JSON and UBJSON) and ONNX,
// and writes every model of this program with its pipeline as ONNX.
//
// [Import] finds out what a file is and returns a [Model]: a feature pipeline and a predictor
// that give what the library gives, to within rounding. [Model.Artifact] makes it a complete
// artifact with self-test vectors. [ExportONNX] goes the other way.
//
// A file is never trusted: counts are checked before anything is allocated for them, nothing
// recurses deeper than a fixed limit, and memory is bounded by a small multiple of the file's
// size. What this program cannot compute exactly is refused by name. What is read, what is written
// and what is refused stands in docs/formats/interchange.md.
package interchange
