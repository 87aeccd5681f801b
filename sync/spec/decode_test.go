package spec_test

import (
	"errors"
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
		"a: [\n":                      "line 1",
		"a: 1\n---\nb: [\n":           "line 3",
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

// TestSyntaxNamesTheLine: what is no YAML is named by the line that it stands on, with what helps.
func TestSyntaxNamesTheLine(t *testing.T) {
	for _, tt := range []struct {
		text string
		line int
		want string
	}{
		{"task: a\ninputs:\n  - {series: a, topic: a}\n  - {series: b, topic: b, path: $.rows[*].b}\nrows: {on: a}\n", 4, "in quotes"},
		{"task: a\ninputs:\n  - {series: a, topic: a}\n\t- {series: b, topic: b}\nrows: {on: a}\n", 4, "no tabs"},
		{"task: a\nunit: %\ninputs: []\n", 2, "in quotes"},
		{"task: a\nrows:\n  on: a\n every: 5m\n", 4, ""},
		{"task: a\ntime:\n  path: 'a\nrows: {on: a}\n", 3, ""},
		{"{task: a", 1, ""},
	} {
		_, err := spec.Document([]byte(tt.text))
		if e, ok := errors.AsType[*spec.Error](err); !ok || e.Line != tt.line || !strings.Contains(e.Msg, tt.want) || strings.Contains(e.Error(), "yaml:") {
			t.Errorf("%q: %v, want line %d and %q", tt.text, err, tt.line, tt.want)
		}
	}
}
