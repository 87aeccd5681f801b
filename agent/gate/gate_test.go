package gate

import (
	"math"
	"strings"
	"testing"

	"skerry.dev/agent/source"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// TestAdmit holds which readings are repeats, and what flags the others get.
func TestAdmit(t *testing.T) {
	lim := Limits{Min: 0, Max: 10, MaxFuture: 5}
	g := New(nil, 0)
	for _, c := range []struct {
		name     string
		m        source.Message
		rd       source.Reading
		want     wire.Flags
		repeated bool
	}{
		{"first", source.Message{Arrival: 100, ClockOK: true}, source.Reading{Time: 90, HasTime: true, Value: 1}, 0, false},
		{"repeat", source.Message{Arrival: 101, ClockOK: true, Dup: true}, source.Reading{Time: 90, HasTime: true, Value: 1}, 0, true},
		{"another value", source.Message{Arrival: 102, ClockOK: true}, source.Reading{Time: 90, HasTime: true, Value: 2}, wire.FlagConflict, false},
		{"the same again", source.Message{Arrival: 103, ClockOK: true}, source.Reading{Time: 90, HasTime: true, Value: 2}, 0, true},
		{"just not of the future", source.Message{Arrival: 104, ClockOK: true}, source.Reading{Time: 109, HasTime: true, Value: 1}, 0, false},
		{"of the future", source.Message{Arrival: 104, ClockOK: true}, source.Reading{Time: 110, HasTime: true, Value: 1}, wire.FlagFuture, false},
		{"by a clock not trusted", source.Message{Arrival: 105}, source.Reading{Time: 900, HasTime: true, Value: 1}, 0, false},
		{"without a time", source.Message{Arrival: 106, ClockOK: true}, source.Reading{Time: 106, Value: 1}, wire.FlagArrival, false},
		{"without time and clock", source.Message{Arrival: 107}, source.Reading{Time: 107, Value: 1}, wire.FlagArrival | wire.FlagNoClock, false},
		{"sent again, new here", source.Message{Arrival: 108, ClockOK: true, Dup: true}, source.Reading{Time: 91, HasTime: true, Value: 10}, wire.FlagDup, false},
		{"below its range", source.Message{Arrival: 109, ClockOK: true}, source.Reading{Time: 92, HasTime: true, Value: -1}, wire.FlagRange, false},
		{"above", source.Message{Arrival: 110, ClockOK: true}, source.Reading{Time: 93, HasTime: true, Value: 11}, wire.FlagRange, false},
		{"infinite", source.Message{Arrival: 111, ClockOK: true}, source.Reading{Time: 94, HasTime: true, Value: math.Inf(1)}, wire.FlagNotFinite, false},
		{"not a number", source.Message{Arrival: 112, ClockOK: true}, source.Reading{Time: 95, HasTime: true, Value: math.NaN()}, wire.FlagNotFinite, false},
		{"again not a number", source.Message{Arrival: 113, ClockOK: true}, source.Reading{Time: 95, HasTime: true, Value: math.NaN()}, 0, true},
	} {
		f, repeated, _ := g.Admit(7, &c.m, c.rd, lim)
		if f != c.want || repeated != c.repeated {
			t.Errorf("%s: Admit = %b, %v, want %b, %v", c.name, f, repeated, c.want, c.repeated)
		}
		saved := g.Save() // what it knows stays over a restart
		g = New(nil, 0)
		if err := g.Load(saved); err != nil {
			t.Fatal(err)
		}
	}
	if f, repeated, _ := g.Admit(8, &source.Message{Arrival: 100, ClockOK: true}, source.Reading{Time: 90, HasTime: true, Value: 1}, lim); f != 0 || repeated {
		t.Errorf("another series: Admit = %b, %v", f, repeated)
	}
	if err := New(nil, 0).Load(g.Save()[:9]); err == nil {
		t.Error("a torn state is loaded")
	}
}

// TestLimitsOf takes the smallest max_future of the tasks that read a series.
func TestLimitsOf(t *testing.T) {
	var tasks []*spec.Task
	for _, text := range []string{
		"task: a\nkind: anomaly\ninputs: [{series: x, topic: t, path: $.x, range: [1, 2]}]\ntime: {path: $.ts, max_future: 3m}\nrows: {on: x}\n",
		"task: b\nkind: anomaly\ninputs: [{series: x, topic: t, path: $.x, range: [1, 2]}, {series: k, topic: t, path: $.k, categories: [p, q]}]\ntime: {path: $.ts, max_future: 1m}\nrows: {on: x}\n",
	} {
		tk, err := spec.ParseTask("t.yaml", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, tk)
	}
	plan, err := source.Compile(tasks)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Limits{
		"x": {Min: 1, Max: 2, MaxFuture: 60e6, Number: true},
		"k": {Min: math.Inf(-1), Max: math.Inf(1), MaxFuture: 60e6},
	} {
		i, _ := plan.Index(name)
		if got := LimitsOf(&plan.Series()[i], tasks); got != want {
			t.Errorf("LimitsOf(%s) = %+v, want %+v", name, got, want)
		}
	}
	if got := LimitsOf(&source.Series{Name: "nobody's"}, tasks); got.MaxFuture != 300e6 {
		t.Errorf("LimitsOf a series that no task reads = %+v, want 5 min", got)
	}
}
