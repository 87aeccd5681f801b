package source

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSessionIsKeptLater: subscriptions whose file could not be written are written once it can be,
// though they do not change again.
func TestSessionIsKeptLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, "session.json")
	kept := func() []string {
		t.Helper()
		s, err := openSession(path, "b", "c")
		if err != nil {
			t.Fatal(err)
		}
		return s.Filters
	}
	s, err := openSession(path, "b", "c")
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{session: s}
	want := []string{"a/+"}
	if s.set(want) == nil || !slices.Equal(s.Filters, want) {
		t.Errorf("set without a directory is no error, and makes the filters %v", s.Filters)
	}
	if path, err := c.KeepSession(); path == "" || err == nil {
		t.Errorf("KeepSession without a directory = %q, %v", path, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := c.KeepSession(); got != path || err != nil || !slices.Equal(kept(), want) {
		t.Errorf("KeepSession = %q, %v, and %v are kept, want %v", got, err, kept(), want)
	}
	if got, err := c.KeepSession(); got != "" || err != nil {
		t.Errorf("KeepSession with nothing to write = %q, %v", got, err)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.unsaved = true
	if err := s.set(want); err != nil || !slices.Equal(kept(), want) {
		t.Errorf("set of the same again = %v, and %v are kept", err, kept())
	}
}
