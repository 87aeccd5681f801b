//go:build full

package main

import (
	_ "skerry.dev/compute/feature/wasm" // models with WebAssembly features
	_ "skerry.dev/sync/parquet"         // tables in Parquet
)
