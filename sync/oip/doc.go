// Package oip serves models by the Open Inference Protocol, version 2, over plain net/http. Agent
// and hub use the same handlers.
//
// Specification: github.com/kserve/open-inference-protocol. Served are server and model metadata,
// health, readiness and inference, with typed flat or nested row-major JSON tensors of BOOL,
// UINT8 to UINT64, INT8 to INT64, FP32, FP64 and BYTES. An error is {"error": "…"} with status
// 400, 404 for a model that is not there, 413 above the size limit, 500 when the model fails.
package oip
