//go:build race

package extreme

// Slower is how many times longer what is timed may take under the race detector.
const Slower = 10
