package meta_test

import (
	"errors"
	"testing"

	"skerry.dev/hub/meta"
)

// TestCheckText holds what a text of the database may be, by itself and within JSON.
func TestCheckText(t *testing.T) {
	for text, want := range map[string]error{
		"":          nil,
		"größe 日本":  nil,
		"a\x00b":    meta.ErrNUL,
		"\xff":      meta.ErrUTF8,
		"a\xc3":     meta.ErrUTF8,
		"\uFFFD ok": nil,
	} {
		if err := meta.CheckText(text); !errors.Is(err, want) {
			t.Errorf("CheckText(%q) = %v, want %v", text, err, want)
		}
	}
	for document, want := range map[string]error{
		`{"a":["b",{"c":1}]}`:    nil,
		`{"a":"b\u0000"}`:        meta.ErrNUL,
		`{"a\u0000":1}`:          meta.ErrNUL,
		`{"a":"\u00e9"}`:         nil,
		"{\"a\":\"\xff\"}":       meta.ErrUTF8,
		`no JSON`:                nil,
		`{"a":"b"`:               nil,
		`{"a":"` + "\x00" + `"}`: meta.ErrNUL,
	} {
		if err := meta.CheckJSON([]byte(document)); !errors.Is(err, want) {
			t.Errorf("CheckJSON(%q) = %v, want %v", document, err, want)
		}
	}
}
