package api

import (
	"strings"
	"testing"

	"skerry.dev/hub/lake"
)

// TestCursor turns places of a listing to text and back; text that is none is refused, not taken
// for the beginning.
func TestCursor(t *testing.T) {
	for _, k := range []lake.Key{{Ordinal: 1, Seq: 1}, {Ordinal: 1 << 40, Seq: 1 << 62}} {
		if got, err := parseCursor(cursor(k)); err != nil || got != k {
			t.Errorf("parseCursor(cursor(%v)) = %v, %v", k, got, err)
		}
		if len(cursor(k)) > 64 {
			t.Errorf("cursor(%v) is longer than a query may have", k)
		}
	}
	if got, err := parseCursor(""); err != nil || got != (lake.Key{}) {
		t.Errorf(`parseCursor("") = %v, %v, want the beginning`, got, err)
	}
	for _, s := range []string{"x", "1.1", "bnVsbA", "MS4", "LjE", "!", strings.Repeat("A", 64)} {
		if got, err := parseCursor(s); err == nil {
			t.Errorf("parseCursor(%q) = %v, want an error", s, got)
		}
	}
}
