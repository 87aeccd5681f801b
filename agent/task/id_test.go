package task

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"skerry.dev/agent/source"
)

// payload sends a message as it comes on a topic; stray may be nil.
func (g *rig) payload(t *testing.T, topic, payload string, stray func(series, id string)) {
	t.Helper()
	out, err := source.NewDecoder(g.plan, 1<<16).Decode(topic, []byte(payload))
	if err != nil || len(out.Problems) > 0 {
		t.Fatal(payload, err, out.Problems)
	}
	m := source.Message{Plan: g.plan, Topic: topic, Arrival: time.Now().UnixMicro(), ClockOK: true, Readings: out.Readings, Stray: stray, Ack: func() {}}
	if err := g.Message(context.Background(), m); err != nil {
		t.Fatal(err)
	}
}

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
		g.payload(t, topic, payload, nil)
	}
	const at = 1_790_000_000
	g := begin()
	// rows that are refused or in the future do not lend their times
	send(g, "press", fmt.Sprintf(`{"part":"p-9","t":%d,"force":null}`, at-120))
	send(g, "press", `{"part":"p-9","t":1990000000,"force":1}`)
	send(g, "press", fmt.Sprintf(`{"part":"p-8","t":%d,"force":1}`, at-60))
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

// TestPartsOfOneSecond: a sender whose clock has whole seconds gives several parts one time. Each
// has a row of its own, in order, for every message that comes again too, and each label finds its
// part.
func TestPartsOfOneSecond(t *testing.T) {
	task := parse(t, `
task: part
kind: regression
target: {series: width, topic: test, path: $.width, id: $.part}
inputs: [{series: force, topic: press, path: "$.parts[*].force"}, {series: heat, topic: press, path: "$.parts[*].heat"}]
time: {path: "$.parts[*].t", format: unix, max_past: 36500d}
rows: {on: force, id: "$.parts[*].part"}
`)
	dir := t.TempDir()
	shared := 0
	begin := func() *rig {
		return startTask(t, dir, task, func(o *Options) {
			o.Forgive = func(series string, f source.Forgiven) {
				if series != "force" || f != source.ForgivenShared {
					t.Errorf("forgiven %v of %s", f.Names(), series)
				}
				shared++
			}
		})
	}
	g := begin()
	send := func(topic, payload string) {
		t.Helper()
		g.payload(t, topic, payload, nil)
	}
	const at = 1_790_000_000
	part := func(id string, force int) string {
		return fmt.Sprintf(`{"t":%d,"part":%q,"force":%d,"heat":%d}`, at, id, force, 10*force)
	}
	messages := []string{
		`{"parts":[` + part("a", 1) + `]}`,
		`{"parts":[` + part("b", 2) + `,` + part("c", 3) + `]}`,
		`{"parts":[` + part("d", 1) + `]}`, // what another measured too
	}
	for range 2 {
		for _, m := range messages {
			send("press", m)
		}
		g.Flush()
	}
	g.stop(t)
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	g = begin()
	for _, m := range messages {
		send("press", m)
	}
	var stray []string
	for _, label := range []string{`{"part":"c","width":3.5}`, `{"part":"e","width":3.5}`} {
		g.payload(t, "test", label, func(series, id string) { stray = append(stray, series+" "+id) })
	}
	g.Flush()
	if st := g.Status().Tasks[0].Engine; st.Rows != 4 {
		t.Errorf("%d rows after all of them came again behind a restart, want four", st.Rows)
	}
	if !slices.Equal(stray, []string{"width e"}) {
		t.Errorf("labels without a row are %q, want that of e", stray)
	}
	var sent []string
	for _, rec := range records(t, g) {
		for _, r := range rec.Readings {
			sent = append(sent, fmt.Sprint(r.Series, " ", r.Time-at*1e6, " ", r.Value))
		}
	}
	slices.Sort(sent)
	want := []string{"force 0 1", "force 1 2", "force 2 3", "force 3 1", "heat 0 10", "heat 1 20", "heat 2 30", "heat 3 10", "width 2 3.5"}
	if !slices.Equal(sent, want) {
		t.Errorf("sent %q, want %q", sent, want)
	}
	if shared < 3 {
		t.Errorf("%d rows are said to share their time, want three at least", shared)
	}
}
