//go:build full

package main

import (
	_ "time/tzdata" // names of zones on systems without a zone database

	_ "skerry.dev/compute/feature/wasm" // models with WebAssembly features
	_ "skerry.dev/sync/parquet"         // tables in Parquet
)
