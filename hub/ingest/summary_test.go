package ingest

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"skerry.dev/hub/feed"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

func TestSummary(t *testing.T) {
	var s summary
	if events, err := s.events(); err != nil || len(events) != 0 {
		t.Errorf("an empty batch gives %v, %v, want no event", events, err)
	}
	add := func(class wire.Class, r wire.Records) {
		t.Helper()
		if err := s.add(wire.Header{Device: "dev-1", Class: class}, &r); err != nil {
			t.Fatal(err)
		}
	}
	add(wire.ClassLabel, wire.Records{Labels: []wire.Label{
		{Task: "pm", At: 7, Truth: 10, Champion: 8, Persistence: 13, ChampionID: "m"},
		{Task: "pm", At: 5, Truth: 10, Champion: 11, Persistence: 10, ChampionID: "m"},
		{Task: "pm", At: 6, Truth: 10, Champion: 1, Persistence: 1}, // no model yet
		{Task: "pm", At: 6, Truth: math.NaN(), Champion: 1, ChampionID: "m"},
		{Task: "pm", At: 6, Truth: 1, Champion: math.Inf(1), ChampionID: "m"},
		{Task: "no2", At: 1},
		{Task: "not a name", At: 1},
	}})
	add(wire.ClassReading, wire.Records{Readings: []wire.Reading{{Series: "a"}, {Series: "b"}, {Series: "a"}, {Series: strings.Repeat("x", 128)}}})
	drift := wire.Event{Time: 3, Kind: "drift", Task: "pm", Detail: `{"model":"m"}`}
	add(wire.ClassEvent, wire.Records{Events: []wire.Event{
		drift,
		{Time: 5, Kind: "drift", Task: "pm", Detail: `{"model":""}`},  // of the baselines
		{Time: 4, Kind: "drift", Task: "pm", Detail: `{"input":"a"}`}, // of an input
		{Time: 4, Kind: "model", Task: "pm", Detail: `{"model":"m"}`},
		{Time: 4, Kind: "drift", Task: "pm", Detail: `not JSON`},
		{Time: 4, Kind: "drift", Detail: `{"model":"m"}`},
	}})
	add(wire.ClassAlarm, wire.Records{Events: []wire.Event{drift}})

	events, err := s.events()
	if err != nil || len(events) != 3 {
		t.Fatalf("events = %v, %v, want the sums and two drifts", events, err)
	}
	var sums feed.Applied
	if err := json.Unmarshal(events[0].Detail, &sums); err != nil {
		t.Fatal(err)
	}
	want := feed.Applied{
		Tasks: map[string]feed.LabelSum{
			"pm":  {Labels: 5, Newest: 7, Scored: 2, Model: 3, Base: 3},
			"no2": {Labels: 1, Newest: 1},
		},
		Series: map[string]int64{"a": 2, "b": 1},
	}
	if events[0].Kind != feed.KindApplied || !reflect.DeepEqual(sums, want) {
		t.Errorf("sums = %+v, want %+v", sums, want)
	}
	if e := events[1]; e.Kind != feed.KindDrift || e.Task != "pm" || e.Device != "dev-1" || string(e.Detail) != `{"time":3,"model":"m"}` {
		t.Errorf("drift = %+v", e)
	}
	if e := events[2]; e.Kind != feed.KindDrift || string(e.Detail) != `{"time":5,"model":""}` {
		t.Errorf("drift of the baselines = %+v", e)
	}
}

// TestSummaryIsBounded: a batch with more tasks and series than one event holds gives several, none
// of them beyond the feed's bound, and loses no count.
func TestSummaryIsBounded(t *testing.T) {
	var s summary
	var r wire.Records
	const n = 1000
	for i := range n {
		r.Labels = append(r.Labels, wire.Label{
			Task:        fmt.Sprintf("%063d", i),
			At:          math.MaxInt64,
			Truth:       -math.MaxFloat64 / 4,
			ChampionID:  "m",
			Persistence: 1,
		})
		series := fmt.Sprintf("%s%04d", strings.Repeat("\x01", 123), i) // six bytes each as JSON
		r.Readings = append(r.Readings, wire.Reading{Series: series}, wire.Reading{Series: series})
	}
	for range 7 { // until the sums of the losses are at the end of their range
		if err := s.add(wire.Header{}, &r); err != nil {
			t.Fatal(err)
		}
	}
	events, err := s.events()
	if err != nil {
		t.Fatal(err)
	}
	labels, readings := int64(0), int64(0)
	for _, e := range events {
		if len(e.Detail) > feed.MaxDetail {
			t.Fatalf("an event has %d bytes", len(e.Detail))
		}
		var a feed.Applied
		if err := json.Unmarshal(e.Detail, &a); err != nil {
			t.Fatal(err)
		}
		for _, l := range a.Tasks {
			labels += l.Labels
		}
		for _, c := range a.Series {
			readings += c
		}
	}
	if labels != 7*n || readings != 14*n {
		t.Errorf("%d labels and %d readings counted, want %d and %d", labels, readings, 7*n, 14*n)
	}
}

func TestStateEvent(t *testing.T) {
	r := spec.Reported{Device: "dev-1", Tasks: map[string]spec.ReportedTask{
		"pm":         {SpecHash: "h"},
		"long":       {SpecHash: strings.Repeat("h", 65)},
		"escaped":    {SpecHash: "\x01"},
		"not a name": {SpecHash: "h"},
	}}
	e, err := stateEvent(&r)
	if err != nil || e.Kind != feed.KindState || e.Device != "dev-1" || string(e.Detail) != `{"tasks":{"pm":"h"}}` {
		t.Errorf("stateEvent = %+v, %v", e, err)
	}
	for i := range 2000 {
		r.Tasks[fmt.Sprintf("%063d", i)] = spec.ReportedTask{SpecHash: strings.Repeat("f", 64)}
	}
	if e, err := stateEvent(&r); err != nil || len(e.Detail) > feed.MaxDetail || len(e.Detail) < 400*(63+64) {
		t.Errorf("a device with very many tasks gives %d bytes, %v", len(e.Detail), err)
	}
}
