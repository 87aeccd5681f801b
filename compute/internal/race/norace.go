//go:build !race

// Package race reports to tests whether the race detector is on. It makes numeric code some ten
// times slower and finds nothing in what starts no goroutine: such tests take fewer rows then, and
// those that judge by many rows are skipped.
package race

// Enabled means that the race detector is on.
const Enabled = false
