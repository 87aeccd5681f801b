package source_test

import (
	"strings"
	"testing"

	"skerry.dev/agent/source"
	"skerry.dev/agent/source/decodertest"
	"skerry.dev/sync/spec"
)

// TestDecoderSuite holds the decoder of JSON and of bare values to the suite of all decoders.
func TestDecoderSuite(t *testing.T) {
	var tasks []*spec.Task
	for _, text := range []string{`
task: air
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: air/+/reading, path: $.pm25}
  - {series: wd, topic: air/+/reading, path: $.wd, categories: [N, E, S, W]}
  - {series: door, topic: home/door/state}
  - {series: mode, topic: home/mode/state, categories: [away, home]}
time: {path: $.ts}
`, `
task: burst
target: {series: vib, horizon: 1s}
inputs:
  - {series: vib, topic: m/1, path: "$.d[*].v"}
time: {path: "$.d[*].ts", format: unix_ms, max_past: 36500d}
`} {
		task, err := spec.ParseTask("task.yaml", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	plan, err := source.Compile(tasks)
	if err != nil {
		t.Fatal(err)
	}
	decodertest.Run(t, decodertest.Options{
		New:     func(limit int) decodertest.Decoder { return source.NewDecoder(plan, limit) },
		Unknown: "air/reading",
		Series:  len(plan.Series()),
		Cases: []decodertest.Case{
			{Name: "Document", Topic: "air/s1/reading", Payload: []byte(`{"ts":"2026-05-01T12:00:00Z","pm25":-35.5e-1,"wd":"S","more":[1,{"a":null}]}`)},
			{Name: "Escapes", Topic: "air/s2/reading", Payload: []byte(`{"pm\u00325":7,"wd":"\u0045"}`), Allocates: true},
			{Name: "Array", Topic: "m/1", Payload: []byte(`{"d":[{"ts":30,"v":1},{"v":2.25,"ts":10},{"ts":20,"v":-3}]}`)},
			{Name: "Number", Topic: "home/door/state", Payload: []byte(" 21.5\n")},
			{Name: "Word", Topic: "home/mode/state", Payload: []byte("home")},
		},
	})
}
