package task

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"skerry.dev/agent/source"
)

// TestLabelsByID: labels find their rows by id, also after a restart, in the engine and in what is
// sent to the hub; what no row has had is reported, and ids themselves are not sent.
func TestLabelsByID(t *testing.T) {
	task := parse(t, `
task: part
kind: regression
target: {series: width, topic: test, path: $.width, id: $.part}
inputs: [{series: force, topic: press, path: $.force}]
time: {path: $.t, format: unix, max_past: 36500d}
rows: {on: force, id: $.part}
`)
	dir := t.TempDir()
	var found []string
	begin := func() *rig {
		return startTask(t, dir, task, func(o *Options) {
			o.ByID = func(series, id string, ok bool, _ int64) { found = append(found, fmt.Sprint(series, " ", id, " ", ok)) }
		})
	}
	send := func(g *rig, topic, payload string) {
		t.Helper()
		out, err := source.NewDecoder(g.plan, 1<<16).Decode(topic, []byte(payload))
		if err != nil || len(out.Problems) > 0 {
			t.Fatal(payload, err, out.Problems)
		}
		m := source.Message{Plan: g.plan, Topic: topic, Arrival: time.Now().UnixMicro(), ClockOK: true, Readings: out.Readings, Ack: func() {}}
		if err := g.Message(context.Background(), m); err != nil {
			t.Fatal(err)
		}
	}
	const at = 1_790_000_000
	g := begin()
	// rows that are refused, in the future or of a time that another has do not lend theirs
	send(g, "press", fmt.Sprintf(`{"part":"p-9","t":%d,"force":null}`, at-120))
	send(g, "press", `{"part":"p-9","t":1990000000,"force":1}`)
	send(g, "press", fmt.Sprintf(`{"part":"p-8","t":%d,"force":1}`, at-60))
	send(g, "press", fmt.Sprintf(`{"part":"p-9","t":%d,"force":2}`, at-60))
	for i := range 5 {
		send(g, "press", fmt.Sprintf(`{"t":%d,"force":%d,"part":"p-%d"}`, at+60*i, i, i))
	}
	send(g, "test", `{"part":"p-1","width":1.5}`)
	g.Flush()
	g.stop(t)
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	g = begin()
	send(g, "test", `{"part":"p-3","width":3.5}`)
	send(g, "test", `{"part":"p-3","width":3.5}`) // again
	send(g, "test", `{"part":"p-9","width":9.5}`)
	g.Flush()
	// the first label's row was predicted when nothing was known of the target, and does not count
	if st := g.Status().Tasks[0].Engine; st.Labels != 1 || st.Unmatched.Labels != 0 {
		t.Errorf("%d labels and %d without a row, want one and none", st.Labels, st.Unmatched.Labels)
	}
	if want := []string{"width p-1 true", "width p-3 true", "width p-3 true", "width p-9 false"}; !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	var sent []string
	for _, rec := range records(t, g) {
		for _, r := range rec.Readings {
			if r.Series != "force" {
				sent = append(sent, fmt.Sprint(r.Series, " ", r.Time/1e6-at, " ", r.Value))
			}
		}
	}
	slices.Sort(sent)
	if want := []string{"width 180 3.5", "width 60 1.5"}; !slices.Equal(sent, want) {
		t.Errorf("labels sent are %q, want %q", sent, want)
	}
}
