package tasks

import (
	"strings"
	"testing"
)

const tank = `task: tank
kind: regression
target: {series: level, topic: lab, range: [0, 9]}
inputs:
  - {series: flow, topic: a, path: $.f, unit: l/min}
  - {series: temp, topic: a, path: $.t}
rows: {on: flow, max_age: 1h}
`

// TestMeaning: words and what is a device's own affair make no other task, what models are trained
// from and judged by does.
func TestMeaning(t *testing.T) {
	lines := strings.Split(tank, "\n")
	lines[4], lines[5] = lines[5], lines[4]
	for _, c := range []struct {
		what, text string
		same       bool
	}{
		{"a comment", "# of the north\n" + tank, true},
		{"another order of inputs", strings.Join(lines, "\n"), true},
		{"another topic", strings.Replace(tank, "topic: a, path: $.f", "topic: b, path: $.flow", 1), true},
		{"another unit", strings.Replace(tank, "l/min", "m3/h", 1), false},
		{"another range of the target", strings.Replace(tank, "[0, 9]", "[0, 8]", 1), false},
		{"another age", strings.Replace(tank, "1h", "2h", 1), false},
	} {
		if got := meaning(c.text) == meaning(tank); got != c.same {
			t.Errorf("%s: the same task %v, want %v", c.what, got, c.same)
		}
	}
}
