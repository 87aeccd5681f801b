package source

import (
	"strings"
	"testing"

	"skerry.dev/sync/spec"
)

// TestNoTaskFeedsItself: predictions that come back by a wildcard are no readings, a task does not
// read its own, and a circle of tasks is refused; another task reads predictions whose topic it names.
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
