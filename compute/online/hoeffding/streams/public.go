package streams

import (
	"os"
	"path/filepath"
	"testing"

	"skerry.dev/compute/internal/race"
)

// Public reads a file of the public data sets, which a test then plays as a whole; see Read. The
// test is skipped where the files are not, and under the race detector, which would take minutes
// and find nothing.
func Public(t *testing.T, file, target string, regression bool, without ...string) *Stream {
	t.Helper()
	if race.Enabled {
		t.Skip("plays whole streams, minutes under the race detector: run without -race")
	}
	dir := os.Getenv("SKERRY_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "drift")); err != nil {
		t.Skipf("needs the public data sets: set SKERRY_DATA to their folder (%v)", err)
	}
	f, err := os.Open(filepath.Join(dir, file))
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
