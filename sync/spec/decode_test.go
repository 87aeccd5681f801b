package spec_test

import (
	"strings"
	"testing"

	"skerry.dev/sync/spec"
)

// TestDocument holds that a file has one YAML document: a second would be ignored.
func TestDocument(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\n":                      "",
		"---\na: 1\n":                 "",
		"a: 1\n---\n":                 "",
		"a: 1\n...\n":                 "",
		"# nothing\n":                 "",
		"":                            "",
		"a: 1\n---\nb: 2\n":           "line 3: a second document",
		"a: 1\n---\n# why\n---\nb: 2": "line 5: a second document",
		"a: [\n":                      "line",
		"a: 1\n---\nb: [\n":           "line",
	} {
		n, err := spec.Document([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Document(%q) = %v, %v, want an error with %q", text, n, err, want)
		}
	}
	if _, err := spec.ParseTask("two.yaml", strings.NewReader("task: a\n---\ntask: b\n")); err == nil || !strings.Contains(err.Error(), "second document") {
		t.Errorf("ParseTask of two documents = %v", err)
	}
}
