//go:build full

package main

import _ "skerry.dev/compute/feature/wasm" // models with WebAssembly features
