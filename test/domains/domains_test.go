package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/sync/spec"
)

// TestTasks: every set has a task file that the agent takes, of the kind that the set is judged as,
// and whose topics are those its sensors publish on.
func TestTasks(t *testing.T) {
	dir := os.Getenv("SKERRY_DATA")
	if _, err := os.Stat(dir); err != nil {
		dir = ""
	}
	for _, s := range sets {
		text, err := tasks.ReadFile("tasks/" + s.file)
		if err != nil {
			t.Fatal(err)
		}
		task, err := spec.ParseTask(s.file, strings.NewReader(string(text)))
		if err != nil {
			t.Errorf("%s: %v", s.file, err)
			continue
		}
		want := map[spec.Kind]kind{spec.KindForecast: number, spec.KindRegression: number, spec.KindClassification: class, spec.KindAnomaly: unusual}[task.Kind]
		if s.kind != want {
			t.Errorf("%s is judged as %d, its task is a %s", s.name, s.kind, task.Kind)
		}
		if dir == "" {
			continue
		}
		d, err := s.load(dir)
		if errors.Is(err, fs.ErrNotExist) {
			t.Skipf("needs the public data sets: set SKERRY_DATA to their folder (%v)", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		last, rows := int64(0), 0
		for _, m := range d.messages {
			if m.row == 0 {
				continue
			}
			if rows++; m.row <= last {
				t.Fatalf("%s: row %d does not come after the one before", s.name, rows)
			}
			last = m.row
		}
		if rows != d.rows || rows < 9000 || len(d.truth) == 0 {
			t.Errorf("%s: %d rows of %d, truths of %d tasks", s.name, rows, d.rows, len(d.truth))
		}
		for name := range d.truth {
			if len(task.Captures()) == 0 && name != task.Name || !strings.HasPrefix(name, task.Name) {
				t.Errorf("%s: truths of a task %q, the file's is %q", s.name, name, task.Name)
			}
		}
	}
	if dir == "" {
		t.Skip("set SKERRY_DATA to the folder of the public data sets to load them too")
	}
}

// TestJudge: what holds is passed, and each bound that does not is named.
func TestJudge(t *testing.T) {
	const rows, first = 2000, 500
	at := func(i int) time.Time { return time.Unix(int64(i)*3600, 0).UTC() }
	for _, tt := range []struct {
		name         string
		error, alone float64
		half         float64 // of the interval
		model        bool
		why          string // that there is no model
		want         []string
	}{
		{name: "no model, and the hub says why", error: 1, alone: 2, half: 0.95, why: "not better on average"},
		{name: "good", error: 1, alone: 2, half: 0.95, model: true},
		{name: "no model", error: 1, alone: 2, half: 0.95, want: []string{"1 of 1 tasks have no model", "only 0 rows"}},
		{name: "no better than alone", error: 2, alone: 2, half: 1.9, model: true, want: []string{"not below the agent alone"}},
		{name: "no better than the last value", error: 6, alone: 7, half: 5.7, model: true, want: []string{"baseline last value or mean"}},
		{name: "too wide", error: 1, alone: 2, half: 3, model: true, want: []string{"coverage 1.000", "interval score"}},
		{name: "too narrow", error: 1, alone: 2, half: 0.1, model: true, want: []string{"coverage 0.049", "interval score"}},
	} {
		of := set{name: "made", kind: number, late: 1}
		d := &data{rows: rows, truth: map[string]map[int64]float64{"made": {}}}
		heard := [2]*listener{newListener(), newListener()}
		for i := range rows {
			d.truth["made"][at(i).UnixMicro()] = 0
			size := float64(i*37%100+1) / 100 // errors evenly between 0 and the largest
			for k, largest := range []float64{tt.error, tt.alone} {
				bounds := fmt.Sprintf(`,"lo":%v,"hi":%v`, size*largest-tt.half+0.05*tt.error, size*largest)
				heard[k].take(fmt.Appendf(nil, `{"ts":%q,"for":%q,"task":"made","value":%v,"persistence":2.5,"baseline":%v%s}`,
					at(i).Format(time.RFC3339), at(i).Format(time.RFC3339), size*largest, !tt.model || i < first, bounds))
			}
		}
		r := judge(&of, d, heard, func(string) string { return tt.why })
		for _, w := range tt.want {
			if !slices.ContainsFunc(r.missed, func(m string) bool { return strings.Contains(m, w) }) {
				t.Errorf("%s: missed %q, want %q among it", tt.name, r.missed, w)
			}
		}
		if len(tt.want) == 0 && len(r.missed) > 0 {
			t.Errorf("%s: missed %q, want nothing: %+v", tt.name, r.missed, r)
		}
		if tt.model && (r.scored != rows-first || r.first != first) {
			t.Errorf("%s: %d rows scored after row %d, want %d after %d", tt.name, r.scored, r.first, rows-first, first)
		}
	}
}
