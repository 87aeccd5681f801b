package streams

import (
	"os"
	"testing"

	"skerry.dev/compute/internal/race"
)

// Public reads a file of the public data sets (see realdata.Path), which a test then plays as a
// whole; see Read. It skips the test under the race detector, which would take minutes and find
// nothing.
func Public(t *testing.T, path, target string, regression bool, without ...string) *Stream {
	t.Helper()
	if race.Enabled {
		t.Skip("plays whole streams, minutes under the race detector: run without -race")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := Read(f, target, regression, without...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
