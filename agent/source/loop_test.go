package source

import (
	"strings"
	"testing"

	"skerry.dev/sync/spec"
)

// TestNoTaskFeedsItself: predictions that come back by a wildcard are no readings, a task does not
// read its own, and a circle of tasks is refused; another task reads predictions whose topic it
// names.
func TestNoTaskFeedsItself(t *testing.T) {
	task := func(name, topic, publish string) *spec.Task {
		text := "task: " + name + "\ntarget: {series: s_" + name + ", horizon: 1h}\ninputs: [{series: s_" + name + ", topic: \"" + topic + "\", path: $.value}]\n"
		if publish != "" {
			text += "publish: {topic: \"" + publish + "\"}\n"
		}
		one, err := spec.ParseTask(name+".yaml", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return one
	}
	for what, tasks := range map[string][]*spec.Task{
		"itself":         {task("a", "loop/x", "loop/x")},
		"a circle":       {task("a", "p/b", "p/a"), task("b", "p/c", "p/b"), task("c", "p/a", "p/c")},
		"beside another": {task("z", "x/y", ""), task("a", "p/b", "p/a"), task("b", "p/a", "p/b")},
	} {
		if _, err := Compile(tasks); err == nil || !strings.Contains(err.Error(), "without end") || !strings.Contains(err.Error(), "a → ") {
			t.Errorf("%s: %v, want a word of predictions without end", what, err)
		}
	}
	tasks := []*spec.Task{task("all", "#", ""), task("next", "skerry/dev/all/prediction", ""), task("own", "skerry/dev/own/prediction", "")}
	plan, err := Compile(tasks)
	if err != nil {
		t.Fatal(err)
	}
	plan = plan.Publishing("dev", tasks)
	for topic, want := range map[string]string{
		"room/a":                       "s_all",
		"skerry/dev/all/prediction":    "s_next",
		"skerry/dev/own/prediction":    "",
		"skerry/dev/next/prediction":   "",
		"skerry/other/all/prediction":  "s_all", // of another device
		"skerry/other/next/prediction": "s_all",
	} {
		tp := plan.topic(topic)
		if tp == nil {
			t.Errorf("%s is unknown", topic)
			continue
		}
		var got []string
		for _, s := range tp.slots {
			if s.series >= 0 {
				got = append(got, plan.series[s.series].Name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s is read as %q, want %q", topic, got, want)
		}
	}
}

// TestWordsOfOneCase: words that differ in case alone mean what they say, and others of the same
// letters nothing, whatever the order in which they are looked at.
func TestWordsOfOneCase(t *testing.T) {
	for range 50 {
		f := newForm(spec.NumberForm{}, map[string]float64{"Up": 5, "UP": 7, "Rest": 3})
		for word, want := range map[string]float64{"Up": 5, "UP": 7, "rest": 3, "REST": 3} {
			if v, err := f.read([]byte(word)); err != nil || v.value != want {
				t.Fatalf("%s is %v, %v; want %v", word, v.value, err, want)
			}
		}
		if v, err := f.read([]byte("up")); err == nil {
			t.Fatalf("up is %v, want an error", v.value)
		}
	}
}

// TestWordBeforeUnits: a word behind the first number, as a sensor sends when it starts, is no unit
// that others have to have; a unit is.
func TestWordBeforeUnits(t *testing.T) {
	task, err := spec.ParseTask("t.yaml", strings.NewReader("task: t\ntarget: {series: a, horizon: 1h}\ninputs: [{series: a, topic: x}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := Compile([]*spec.Task{task})
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder(plan, 4096)
	for _, step := range []struct {
		payload string
		ok      bool
	}{{"0 init", true}, {"21.5 °C", true}, {"21.6 °C", true}, {"70 °F", false}, {"0 init", false}, {"21.7 °C", true}} {
		out, err := d.Decode("x", []byte(step.payload))
		if (err == nil && len(out.Readings) == 1) != step.ok {
			t.Errorf("%q: %+v, %v; want it taken: %v", step.payload, out.Readings, err, step.ok)
		}
	}
}
