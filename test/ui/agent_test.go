package ui_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"skerry.dev/agent/serve"
	"skerry.dev/agent/source"
	"skerry.dev/sync/spec"
)

// deviceStatus is a device with something to show in every part of its page.
type deviceStatus struct{}

func (deviceStatus) Ready() (bool, string)  { return true, "" }
func (deviceStatus) Alive() (bool, string)  { return true, "" }
func (deviceStatus) Links() map[string]bool { return map[string]bool{"mqtt": true, "hub": false} }

func (deviceStatus) Reported() spec.Reported {
	return spec.Reported{
		Device: "dongsi", Site: "north", Health: "degraded", Reasons: []string{"no link to the hub"},
		Outbox: spec.ReportedOutbox{PendingRecords: 1200, PendingBytes: 3 << 20, CapBytes: 64 << 20, OfflineDays: 4.6},
		Tasks: map[string]spec.ReportedTask{
			"pm25-next-hour": {
				Kind: "forecast", Rows: 7200, Drifts: 2, Champion: strings.Repeat("a", 64), Version: "pm25-next-hour@3",
				MAE: 7.6, MAEBaseline: 9.1, Coverage: 0.91, IntervalScore: 31, IntervalPlain: 36,
				Assignment: &spec.ReportedAssignment{Phase: spec.PhaseShadow},
			},
			"valve": {Kind: "classification", Rows: 90, Classes: &spec.ReportedClasses{ErrorRate: 0.1, ErrorRateBaseline: 0.2, LogLoss: 0.4, LogLossBaseline: 0.5}},
		},
	}
}

// TestAgentPages looks at the pages that an agent serves itself.
func TestAgentPages(t *testing.T) {
	b := newBrowser(t)
	task, err := spec.ParseTask("air.yaml", strings.NewReader(`
task: pm25-next-hour
kind: forecast
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: air/dongsi/reading, path: $.pm25}
  - {series: temp, topic: air/dongsi/reading, path: $.temp}
time: {path: $.ts, format: unix_ms}
`))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := source.Compile([]*spec.Task{task})
	if err != nil {
		t.Fatal(err)
	}
	inputs, stream := source.NewInputs(nil), serve.NewStream()
	inputs.Use(plan)
	srv := httptest.NewServer(serve.New(serve.Options{Status: deviceStatus{}, Inputs: inputs, Stream: stream, Version: "v1"}).Handler())
	defer srv.Close()
	stop, done := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-done }()
	go func() {
		defer close(done)
		for value := 61.0; ; value++ {
			p, _ := json.Marshal(map[string]any{"task": "pm25-next-hour", "value": value, "lo": value - 9, "hi": value + 9})
			stream.Send("prediction", p)
			stream.Send("event", []byte(`{"kind":"drift","task":"pm25-next-hour"}`))
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	b.look(srv.URL, "",
		visit{Name: "agent", Path: "/", Expect: []string{"dongsi at north", "hub away", "pm25-next-hour@3", "10.0 % wrong", "air/dongsi/reading $.temp", "1200 records", `"kind":"drift"`}},
		visit{Name: "agent-phone", Path: "/", Width: 390, Expect: []string{"dongsi at north"}},
		visit{Name: "agent-docs", Path: "/docs", Expect: []string{"Skerry agent: HTTP API"}},
		visit{Name: "agent-docs-phone", Path: "/docs", Width: 390, Expect: []string{"Skerry agent: HTTP API"}},
	)
}
