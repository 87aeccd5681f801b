package spec

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestEncodeReported holds that a report of any number of tasks fits a message, loses the task
// files first and says what it lost.
func TestEncodeReported(t *testing.T) {
	const limit = 100_000
	for _, c := range []struct {
		tasks, file int // number and bytes
		left        int // tasks with a file; -1: some
	}{{10, 1000, 10}, {2, 200_000, 0}, {500, 1000, 0}, {90, 1000, -1}, {5000, 2, -1}} {
		r := Reported{Device: "a", Tasks: map[string]ReportedTask{}}
		for n := range c.tasks {
			r.Tasks[fmt.Sprintf("task-%04d", n)] = ReportedTask{Kind: "forecast", Spec: strings.Repeat("\n", c.file/2), SpecHash: "h"}
		}
		b, err := r.Encode(limit)
		if err != nil || len(b) > limit {
			t.Errorf("Encode of %d tasks of %d bytes = %d bytes, %v", c.tasks, c.file, len(b), err)
			continue
		}
		var got Reported
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		files := 0
		for _, task := range got.Tasks {
			if task.Spec != "" {
				files++
			}
		}
		whole := files == c.tasks
		if c.left >= 0 && files != c.left || whole != (got.LeftOut == "") || len(got.Tasks) == 0 {
			t.Errorf("of %d tasks of %d bytes %d came, %d with a file, left out %q", c.tasks, c.file, len(got.Tasks), files, got.LeftOut)
		}
		if len(r.Tasks) != c.tasks || r.Tasks["task-0001"].Spec == "" {
			t.Error("Encode changed its receiver")
		}
	}
	if _, err := (Reported{Reasons: []string{strings.Repeat("x", limit)}}).Encode(limit); err == nil {
		t.Error("Encode of what cannot be shortened = nil, want an error")
	}
}
