// Package wait waits in tests for what another goroutine or program does.
package wait

import (
	"testing"
	"time"
)

const (
	// limit is long beyond what anything takes: machines that build and test at the same time are
	// slow, and a test that fails is the only one that waits for all of it.
	limit = time.Minute
	every = 10 * time.Millisecond
)

// For waits until ok returns true, and fails the test when that takes more than a minute. ok runs on
// the test's goroutine.
func For(t testing.TB, what string, ok func() bool) {
	t.Helper()
	Within(t, limit, what, ok)
}

// Within is For with a time that is part of what is promised.
func Within(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for end := time.Now().Add(d); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}
