package spec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/engine"
)

const sample = `
task: pm25-next-hour
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: air/+/reading, path: $.pm25, range: [0, 1500]}
  - {series: wd, topic: air/+/reading, path: "$['wind dir']", categories: [N, E, S, W]}
time: {path: $.ts}
sync: {predictions: 10%}
budget: {size: 512KiB}
`

func TestParseTask(t *testing.T) {
	task, err := ParseTask("air.yaml", strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	if task.Kind != KindForecast || task.Horizon() != time.Hour || task.Rows.On != "pm25" || task.Interval != 0.9 || task.Target.Tolerance.Std() != 30*time.Minute {
		t.Errorf("defaults: %+v", task)
	}
	if task.PredictionShare() != 0.1 || task.Budget.Size != 512<<10 || !task.Retains() || !task.Adapts() || task.TargetIndex() != 0 {
		t.Errorf("values: %+v", task)
	}
	if got := task.PublishTopic("dev1"); got != "skerry/dev1/pm25-next-hour/prediction" {
		t.Errorf("PublishTopic = %q", got)
	}
	if len(task.Hash) != 64 || task.Source != sample {
		t.Error("the task keeps its text and hash")
	}
}

func TestParseTaskReportsEveryProblem(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"unknown, duplicate and mistyped keys", "task: a\ntaks: b\ntarget: {series: x, horizon: soon}\ninputs: x\ntask: c\n",
			[]string{`taks (line 2): unknown key: did you mean "task"`, "target.horizon (line 3)", "inputs (line 4)", "must be a list", "line 5", "duplicate key, first on line 1"}},
		{"values out of range", "task: A b\ntarget: {series: y, horizon: 1h}\ninputs:\n  - {series: x, topic: a/#/b, path: x, range: [2, 1]}\n  - {series: x, topic: a+/b}\ninterval: 2\nrows: {on: z}\n",
			[]string{"task (line 1)", "must be one of the inputs", "inputs[0].topic", "# stands alone", "inputs[0].path", "inputs[0].range (line 4)", "already defined by inputs[0]", "+ stands alone", "interval", "rows.on"}},
		{"a classification needs classes and labels", "task: c\nkind: classification\ntarget: {series: y}\ninputs: [{series: x, topic: a}]\nrows: {on: x}\n",
			[]string{"target.topic", "target.categories"}},
		{"a class without a name, one twice", "task: c\nkind: classification\ntarget: {series: y, topic: t, categories: [a, \"\", b, a]}\ninputs: [{series: x, topic: a}]\nrows: {on: x}\n",
			[]string{"target.categories[1] (line 3)", "1 to 256 bytes", "target.categories[3] (line 3): \"a\": is the class target.categories[0] already"}},
		{"more classes than can be learned", "task: c\nkind: classification\ntarget: {series: y, topic: t, categories: [" + strings.Join(numbered(257), ", ") + "]}\ninputs: [{series: x, topic: a}]\nrows: {on: x}\n",
			[]string{`target.categories (line 3): "257 classes"`, "2 to 256"}},
		{"an anomaly task", "task: a\nkind: anomaly\ntarget: {series: y, topic: t}\ninputs: [{series: x, topic: a}]\nanomaly: {detector: oracle, rate: 0.5}\n",
			[]string{"has no target", "anomaly.detector", "oracle", "anomaly.rate", "must be 0 to 0.1"}},
		{"anomaly of another kind", "task: f\ntarget: {series: x, horizon: 1h}\ninputs: [{series: x, topic: a}]\nanomaly: {rate: 0.01}\n", []string{"is for tasks of kind anomaly"}},
		{"local learning", "task: r\nkind: regression\ntarget: {series: y, topic: t}\ninputs: [{series: x, topic: a}]\nrows: {on: x}\nadapt: {learners: [linear, oracle, linear, naive-bayes], detectors: [adwin, tea-leaves], max_bytes: 1KB, share: 0.5}\n",
			[]string{"adapt.learners[1]", "must be one of adaptive-forest", "adapt.learners[2]", "listed twice", "adapt.learners[3]", "does not learn numbers", "adapt.detectors[1]", "adapt.max_bytes", "must be 64KB to 256MB", "adapt.share"}},
		{"no rows", "task: r\nkind: regression\ntarget: {series: y, topic: t}\ninputs: [{series: x, topic: a}]\n", []string{"say when a row fires"}},
		{"not a mapping", "- a\n", []string{"must be a YAML mapping"}},
		{"empty", "", []string{"must be a YAML mapping"}},
		{"too large", strings.Repeat("#", MaxTaskBytes+1), []string{"larger than"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseTask("f.yaml", strings.NewReader(tt.text))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range append(tt.want, "f.yaml") {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error lacks %q:\n%v", w, err)
				}
			}
		})
	}
	_, err := ParseTask("f.yaml", strings.NewReader("task: A\ntarget: {series: x, horizon: 1h}\ninputs: [{series: x, topic: a}]\n"))
	if e, ok := errors.AsType[*Error](err); !ok || e.Path != "task" || e.Line != 1 || e.Value != "A" {
		t.Errorf("error is not an *Error with path, line and value: %#v", err)
	}
}

func numbered(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint("c", i))
	}
	return out
}

// TestClasses: a classification has from two to MaxClasses classes, whose names may be numbers.
func TestClasses(t *testing.T) {
	for _, names := range [][]string{{"off", "idle", "load"}, {"0", "1", "2", "3"}, numbered(MaxClasses)} {
		task, err := ParseTask("f.yaml", strings.NewReader("task: c\nkind: classification\ntarget: {series: y, topic: t, categories: ["+strings.Join(names, ", ")+"]}\ninputs: [{series: x, topic: a}]\nrows: {on: x}\n"))
		if err != nil {
			t.Errorf("%d classes: %v", len(names), err)
			continue
		}
		if got := task.Engine(); got.Kind != engine.Classification || !slices.Equal(got.Classes, names) {
			t.Errorf("the engine's classes are %q, want %q", got.Classes, names)
		}
	}
}

func TestParseAnomalyTask(t *testing.T) {
	task, err := ParseTask("pump.yaml", strings.NewReader("task: pump\nkind: anomaly\ninputs: [{series: p, topic: a}, {series: q, topic: b}]\nanomaly: {detector: isolation-forest, set: {trees: \"50\"}, rate: 0.01}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c := task.Engine(); task.Rows.On != "p" || c.Scorer != "isolation-forest" || c.ScorerSet["trees"] != "50" || c.AlarmRate != 0.01 || c.Target != -1 {
		t.Errorf("task %+v, engine %+v", task, c)
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{"90s": 90 * time.Second, "3d": 72 * time.Hour, "0.5d": 12 * time.Hour, "0s": 0} {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "5", "-1s", "-1d", "soon", "1e9d"} {
		if _, err := ParseDuration(s); err == nil {
			t.Errorf("ParseDuration(%q) was accepted", s)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{"512": 512, "64MiB": 64 << 20, "4MB": 4e6, "1.5 KiB": 1536, "7B": 7} {
		if got, err := ParseBytes(s); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-1", "4 apples", "1e30", "MB"} {
		if _, err := ParseBytes(s); err == nil {
			t.Errorf("ParseBytes(%q) was accepted", s)
		}
	}
}

func TestCheckPath(t *testing.T) {
	for _, p := range []string{"", "$", "$.a", "$.a.b_c[0]", "$['odd name'][*].v", "$[*]"} {
		if err := CheckPath(p); err != nil {
			t.Errorf("CheckPath(%q) = %v", p, err)
		}
	}
	for _, p := range []string{"a", ".a", "$.", "$[", "$[a]", "$['a]", "$..a", "$.a b"} {
		if CheckPath(p) == nil {
			t.Errorf("CheckPath(%q) was accepted", p)
		}
	}
}

func FuzzParseTask(f *testing.F) {
	f.Add(sample)
	f.Add("task: a\nkind: regression\ntarget: {series: y, topic: t}\ninputs: [{series: x, topic: a}]\nrows: {every: 10s}\n")
	f.Fuzz(func(t *testing.T, text string) {
		task, err := ParseTask("f", strings.NewReader(text))
		if err == nil && (!ValidName(task.Name) || len(task.Inputs) == 0 || task.PublishTopic("d") == "") {
			t.Fatalf("accepted %q as %+v", text, task)
		}
	})
}

// TestIDs: what ids of rows and labels need, each mistake at its key.
func TestIDs(t *testing.T) {
	const good = "task: part\nkind: regression\ntarget: {series: ok, topic: test, path: $.ok, id: $.part}\ninputs: [{series: f, topic: press, path: $.f}, {series: g, topic: press}]\nrows: {on: f, id: $.part}\n"
	if _, err := parse(good); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ from, to, want string }{
		{", id: $.part}\ninputs", "}\ninputs", "target.id (line 3): where the id stands in the messages of labels"},
		{"on: f, id: $.part", "on: f", "rows.id (line 5): where the id stands in the messages of the series of rows.on"},
		{"id: $.part}\ninputs", "id: part}\ninputs", `target.id (line 3): "part": must be a path`},
		{"on: f, id: $.part", "on: f, id: $..", `rows.id (line 5): "$..": must be a path`},
		{"on: f, id", "every: 1m, id", `rows.id (line 5): "$.part": rows at every multiple of a time have no id`},
		{"id: $.part}\ninputs", "id: $.part, time: {path: $.t}}\ninputs", `target.time (line 3): "$.t": a label has an id or a time`},
		{"path: $.ok, ", "", "target.path (line 3): a message that is the bare label has no id"},
		{"on: f", "on: g", "inputs[1].path (line 4): a message that is the bare value has no id"},
		{"kind: regression\ntarget: {series: ok, topic: test, path: $.ok, id: $.part}", "target: {series: f, horizon: 1h}", `rows.id (line 4): "$.part": is for tasks whose labels arrive by message`},
	} {
		text := strings.Replace(good, tt.from, tt.to, 1)
		if _, err := parse(text); err == nil || text == good || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s → %s: %v, want %s", tt.from, tt.to, err, tt.want)
		}
	}
}
