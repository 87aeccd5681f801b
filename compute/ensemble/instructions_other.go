//go:build !amd64 && !arm64

package ensemble

// vectorSets is empty: only the portable kernel is written for this architecture.
func vectorSets() []vectorSet { return nil }
