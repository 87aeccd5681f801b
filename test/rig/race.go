//go:build race

package server_test

// slower is how many times longer what is timed may take under the race detector.
const slower = 10
