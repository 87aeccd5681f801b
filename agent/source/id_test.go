package source

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const byID = `
task: part
kind: classification
target: {series: ok, topic: test/+, path: "$[*].ok", id: "$[*].part", categories: [good, bad]}
inputs:
  - {series: force, topic: press, path: $.force}
time: {path: $.t, format: unix}
rows: {on: force, id: $.part}
`

// TestIDsOfRowsAndLabels: a row's id comes as a reading of its own with the row's time, a label has
// its row's id in place of a time, and a label without one is refused.
func TestIDsOfRowsAndLabels(t *testing.T) {
	a := newAccount(t, byID)
	dec := NewDecoder(a.dec.plan, 1<<16)
	read := func(topic, payload string) (out []string) {
		d, err := dec.Decode(topic, []byte(payload))
		if err != nil {
			return []string{err.Error()}
		}
		for _, r := range d.Readings {
			s := a.dec.plan.series[r.Series]
			v := fmt.Sprint(r.Value)
			if s.IDs {
				v = "id"
				for _, id := range []string{"A-17", "1017"} {
					if math.Float64bits(r.Value) == Key(id) {
						v = id
					}
				}
			}
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %d %s", s.Name, v, r.Time/1e6, r.ID)))
		}
		for _, p := range d.Problems {
			out = append(out, fmt.Sprintf("%s: %s: %s", p.Kind, p.Value, p.Allowed))
		}
		return out
	}
	const noID = "id: %s: a label needs the id of its row, which should stand at $[*].part (target.id)"
	for _, tt := range []struct {
		topic, payload string
		want           []string
	}{
		{"press", `{"t":1790000000,"force":4.5,"part":"A-17"}`, []string{"force 4.5 1790000000", "force#$.part A-17 1790000000"}},
		{"press", `{"t":1790000000,"force":4.5,"part":1017}`, []string{"force 4.5 1790000000", "force#$.part 1017 1790000000"}},
		{"press", `{"t":1790000000,"force":4.5}`, []string{"force 4.5 1790000000"}},
		{"press", `{"t":1790000000,"force":4.5,"part":{}}`, []string{"force 4.5 1790000000", "id: {}: an id is a number, or a text of 1 to 256 bytes"}},
		{"press", `{"t":1790000000,"force":4.5,"part":"n/a"}`, []string{"force 4.5 1790000000"}},
		{"press", `{"t":1790000000,"force":4.5,"part":true}`, []string{"force 4.5 1790000000", "id: true: an id is a number, or a text of 1 to 256 bytes"}},
		{"test/1", `[{"part":"unknown","ok":"bad"},{"part":" N/A ","ok":"good"}]`, []string{fmt.Sprintf(noID, "bad"), fmt.Sprintf(noID, "good")}},
		{"test/1", `[{"part":"A-17","ok":"bad"},{"part":1017,"ok":"good"}]`, []string{"ok 1 0 A-17", "ok 0 0 1017"}},
		{"test/1", `[{"ok":"bad"},{"part":1017,"ok":"good"},{"part":null,"ok":"good"}]`, []string{"ok 0 0 1017", fmt.Sprintf(noID, "bad"), fmt.Sprintf(noID, "good")}},
		{"test/1", `[{"part":"","ok":"bad"}]`, []string{fmt.Sprintf(noID, "bad")}},
		{"test/1", `[{"part":"` + strings.Repeat("x", 257) + `","ok":"bad"}]`, []string{"id: " + strings.Repeat("x", 60) + "…: an id is a number, or a text of 1 to 256 bytes"}},
	} {
		if got := read(tt.topic, tt.payload); !slices.Equal(got, tt.want) {
			t.Errorf("%s %s = %q, want %q", tt.topic, tt.payload, got, tt.want)
		}
	}
}

// TestLabelsWithoutARow: labels whose id no row has had are named, with where the ids should stand.
func TestLabelsWithoutARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, byID)
		a.message("press", `{"t":1790000000,"force":4.5}`)
		at := func() int64 { return time.Now().UnixMicro() }
		a.ByID("ok", "A-17", true, at())
		for range 9 {
			a.ByID("ok", "A-18", false, at())
		}
		if len(a.told) > 0 {
			t.Errorf("told %q after nine labels within a moment", a.told)
		}
		a.ByID("ok", "A-19", false, at())
		want := `labels_unmatched part: 10 labels in a row of the series ok of task part could not be used, since no row is known with the id; the newest is "A-19": the id of a label (target.id) is the one at $.part of the messages of series force (rows.id), and that message comes before the label`
		if len(a.told) != 1 || a.told[0] != want {
			t.Errorf("told %q, want %q", a.told, want)
		}
		if r := a.Reasons(); len(r) != 1 || !strings.Contains(want, r[0]) {
			t.Errorf("reasons %q", r)
		}
		a.ByID("ok", "A-17", true, at())
		if r := a.Reasons(); len(r) != 0 {
			t.Errorf("reasons %q after a label that found its row", r)
		}
		for i := range 12 {
			a.message("press", fmt.Sprintf(`{"t":%d,"force":4.5,"Part":7}`, 1790000001+i))
		}
		if r := a.Reasons(); len(r) != 1 || !strings.Contains(r[0], "the id (rows.id: $.part) of the rows of series force of task part at the path $.part; they hold $.Part (number 7), ") || !strings.HasSuffix(r[0], ": correct rows.id") {
			t.Errorf("reasons %q, want that rows have no id", r)
		}
	})
}
