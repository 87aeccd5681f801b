package models

import (
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/sync/spec"
)

func TestFits(t *testing.T) {
	task, err := spec.ParseTask("t.yaml", strings.NewReader(`
task: level
kind: forecast
target: {series: y, horizon: 1h}
inputs:
  - {series: y, topic: s/a, path: $.y, unit: mm}
  - {series: way, topic: s/a, path: $.way, categories: [in, out]}
rows: {on: y}
`))
	if err != nil {
		t.Fatal(err)
	}
	made := func(change func(*artifact.Manifest)) *artifact.Artifact {
		a := &artifact.Artifact{Manifest: artifact.Manifest{
			Task:      "level",
			Kind:      artifact.KindForecast,
			HorizonUS: time.Hour.Microseconds(),
			Inputs:    []feature.Input{{Name: "y", Unit: "mm"}, {Name: "way", Categories: []string{"in", "out"}}},
		}}
		if change != nil {
			change(&a.Manifest)
		}
		return a
	}
	grades, err := spec.ParseTask("t.yaml", strings.NewReader(`
task: grade
kind: classification
target: {series: g, topic: lab, categories: [waste, second, first]}
inputs: [{series: y, topic: s/a}]
rows: {on: y}
`))
	if err != nil {
		t.Fatal(err)
	}
	for classes, want := range map[string]string{"waste second first": "", "first second waste": "", "first second": `["first" "second"] in the artifact`, "0 1 2": "--classes"} {
		err := Fits(&artifact.Artifact{Manifest: artifact.Manifest{
			Task:   "grade",
			Kind:   artifact.KindClassification,
			Inputs: []feature.Input{{Name: "y"}},
			Output: artifact.Output{Classes: strings.Fields(classes)},
		}}, grades)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("classes %s: Fits = %v, want %q", classes, err, want)
		}
	}
	for name, c := range map[string]struct {
		change func(*artifact.Manifest)
		want   string
	}{
		"its own":          {nil, ""},
		"unit left open":   {func(m *artifact.Manifest) { m.Inputs[0].Unit = "" }, ""},
		"another name":     {func(m *artifact.Manifest) { m.Task = "depth" }, ""},
		"another unit":     {func(m *artifact.Manifest) { m.Inputs[0].Unit = "cm" }, `is in "cm", of task "level" it is in "mm"`},
		"another kind":     {func(m *artifact.Manifest) { m.Kind = artifact.KindRegression }, "is a regression"},
		"another horizon":  {func(m *artifact.Manifest) { m.HorizonUS *= 2 }, "2h0m0s ahead"},
		"fewer inputs":     {func(m *artifact.Manifest) { m.Inputs = m.Inputs[:1] }, "has 1 inputs"},
		"another input":    {func(m *artifact.Manifest) { m.Inputs[0].Name = "x" }, `has an input "x"`},
		"other categories": {func(m *artifact.Manifest) { m.Inputs[1].Categories = []string{"out", "in"} }, "[out in]"},
	} {
		err := Fits(made(c.change), task)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Fits = %v, want %q", name, err, c.want)
		}
	}
}
