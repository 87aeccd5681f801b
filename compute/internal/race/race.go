//go:build race

package race

// Enabled means that the race detector is on.
const Enabled = true
