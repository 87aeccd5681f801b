package spec

import (
	"strings"
	"testing"
)

// TestEveryMistake: what cannot be read hides no other mistake, and is not also called missing; what
// is written as 0 is not taken for left out; words that are one number, and braces that stand for
// nothing, are refused.
func TestEveryMistake(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string
		not  string
	}{
		"beside a value that cannot be read": {
			"task: T est\nkind: forcast\ntarget: {series: b, horizon: 1}\ninputs: [{series: a, topic: x/y, path: $.a}]\n",
			[]string{"task (line 1)", "kind (line 2)", "target.horizon (line 3)", "not a duration"}, "needs a horizon",
		},
		"zeros": {
			"task: t\ninterval: 0\ntarget: {series: a, horizon: 1h, tolerance: 0s}\ninputs: [{series: a, topic: x/y, path: $.a}]\nrows: {max_age: 0s}\ntime: {max_future: 0s}\nbudget: {size: 0}\n",
			[]string{"interval (line 2)", "target.tolerance (line 3)", "rows.max_age (line 5)", "time.max_future (line 6)", "budget.size (line 7)"}, "",
		},
		"words of one number": {
			"task: t\ntarget: {series: a, horizon: 1h}\ninputs: [{series: a, topic: x/y, path: $.a, words: {\"1\": 5, \"1.0\": 0}}]\n",
			[]string{`inputs[0].words.1.0`, `the same number as "1"`}, "",
		},
		"a brace that stands for nothing": {
			"task: t\ntarget: {series: a, horizon: 1h}\ninputs: [{series: a, topic: x/y, path: $.a}]\npublish: {topic: \"p/{devise}/{task}\"}\n",
			[]string{"publish.topic (line 4)", "{device} and {task}"}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseTask("t.yaml", strings.NewReader(tt.text))
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not have %q:\n%v", part, err)
				}
			}
			if tt.not != "" && strings.Contains(err.Error(), tt.not) {
				t.Errorf("the error has %q:\n%v", tt.not, err)
			}
		})
	}
}
