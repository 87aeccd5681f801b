package spec

import (
	"encoding/json"
	"fmt"
	"math"
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
	if _, err := (Reported{Device: strings.Repeat("x", limit)}).Encode(limit); err == nil {
		t.Error("Encode of what cannot be shortened = nil, want an error")
	}
}

// TestEncodeInputs: of very many inputs with very long texts the first come, in half of a message at
// most and as texts that every database takes; what a report holds otherwise is not crowded out.
func TestEncodeInputs(t *testing.T) {
	const limit = 100_000
	long := strings.Repeat("ä", 70_000)
	for _, c := range []struct{ inputs, reasons, text int }{{3, 2, 10}, {2000, 2, 10}, {MaxReportedInputs, 4000, 400}} {
		r := Reported{Device: "a", Tasks: map[string]ReportedTask{"t": {Kind: "forecast", Spec: "task: t"}}}
		for n := range c.inputs {
			r.Inputs = append(r.Inputs, ReportedInput{Series: fmt.Sprint("s", n), Topic: long[:2*c.text], Path: "$.\x00\n\xff", Readings: 3, LastValue: math.NaN(), LastRefused: long[:c.text], Wrong: []string{long[:c.text]}})
		}
		for n := range c.reasons {
			r.Reasons = append(r.Reasons, fmt.Sprint(n, " bad\x00", long[:c.text]))
		}
		b, err := r.Encode(limit)
		if err != nil || len(b) > limit {
			t.Fatalf("Encode of %+v = %d bytes, %v", c, len(b), err)
		}
		var got Reported
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Reasons) != min(c.reasons, MaxReportedReasons) || len(got.Inputs) == 0 || got.Tasks["t"].Spec == "" {
			t.Errorf("of %+v %d inputs and %d reasons came", c, len(got.Inputs), len(got.Reasons))
		}
		if whole := len(got.Inputs) == c.inputs; whole != (got.LeftOut == "") {
			t.Errorf("%d of %d inputs came, left out %q", len(got.Inputs), c.inputs, got.LeftOut)
		}
		if in := got.Inputs[0]; in.Series != "s0" || in.Path != "$.  " || in.LastValue != 0 || strings.Contains(got.Reasons[0], "\x00") {
			t.Errorf("the first input came as %+v because of %.20q", in, got.Reasons[0])
		}
		if r.Inputs[0].Path != "$.\x00\n\xff" {
			t.Error("Encode changed its receiver")
		}
	}
}

func TestIntervalText(t *testing.T) {
	if got := (&ReportedTask{}).IntervalText(); got != "-" {
		t.Errorf("without a score: %q", got)
	}
	if got := (&ReportedTask{IntervalScore: 1.23456, IntervalPlain: 2}).IntervalText(); got != "1.235, constant 2" {
		t.Errorf("with a score: %q", got)
	}
}

func TestLabelsText(t *testing.T) {
	for want, r := range map[string]ReportedTask{"7": {Labels: 7}, "7, 3 without a row": {Labels: 7, Unmatched: 3}} {
		if got := r.LabelsText(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
