package source

import (
	"slices"
	"strings"
	"testing"

	"skerry.dev/sync/spec"
)

// TestSilent: an input is silent after five of its usual gaps, and no sooner than a minute; one that
// may rest for long when it wants to is not; one that never came is named with what does come.
func TestSilent(t *testing.T) {
	p, err := Compile([]*spec.Task{task(t, "quiet", `
task: quiet
target: {series: a, horizon: 1s}
inputs: [{series: a, topic: hall/a}, {series: door, topic: hall/door}, {series: b, topic: Hall/temperatur}]
`)})
	if err != nil {
		t.Fatal(err)
	}
	in := NewInputs(nil)
	in.Broker = true
	in.Use(p)
	var told []string
	in.Event = func(kind, _ string, d map[string]any) { told = append(told, kind+" "+d["what"].(string)) }
	at := int64(1_790_000_000_000_000)
	note := func(series string, at int64) {
		in.note(p, p.series[p.index[series]].Topic, nil, &Decoded{Readings: []Reading{{Series: p.index[series], Time: at}}}, arrived{at: at})
	}
	for i := range int64(100) {
		note("a", at+i*30*1e6)
		if i%20 == 0 {
			note("door", at+i*30*1e6)
		}
	}
	at += 99 * 30 * 1e6
	silent := func(after int64) []string {
		return in.Silent(at+after*1e6, at-40*1e6, func(string) bool { return false })
	}
	if got := silent(0); got != nil {
		t.Errorf("silent at once: %v", got)
	}
	if got := silent(149); !slices.Equal(got, []string{"b"}) {
		t.Errorf("after less than five gaps: %v", got)
	}
	if got := silent(151); !slices.Equal(got, []string{"a"}) {
		t.Errorf("after more than five gaps: %v, want a alone", got)
	}
	in.Near([]string{"a", "b"}, []string{"hall/temperature", "attic/a", "skerry/x/status", "garage"})
	if len(told) != 2 || !strings.Contains(told[0], "input_silent no reading of the series a of task quiet has come on hall/a since") || !strings.Contains(told[0], "every 30s") ||
		!strings.Contains(told[1], "nothing has come on Hall/temperatur for the series b") || !strings.Contains(told[1], "messages do come on hall/temperature, ") {
		t.Errorf("told %q", told)
	}
	if r := in.Reasons(); len(r) != 2 {
		t.Errorf("reasons %q", r)
	}
	note("a", at+200*1e6)
	if r := in.Reasons(); len(r) != 1 {
		t.Errorf("reasons %q after it has come again", r)
	}
	if got := silent(4 * 3600); !slices.Equal(got, []string{"a", "door"}) {
		t.Errorf("after hours: %v", got)
	}
}
