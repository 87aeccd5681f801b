package learn_test

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	_ "skerry.dev/compute/feature/wasm" // runs the modules
	"skerry.dev/compute/feature/wasm/wasmtest"
	"skerry.dev/compute/sequential"
	"skerry.dev/hub/learn"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// hour is one in microseconds; the readings of the tests come by the hour.
const hour = int64(3600e6)

// readings yields what is given, the same for every device.
func readings(rs ...learn.Reading) learn.Source {
	return func(context.Context, string) iter.Seq2[learn.Reading, error] {
		return func(yield func(learn.Reading, error) bool) {
			for _, r := range rs {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// at is a reading of an hour that arrives a second later, alone in its message.
func at(series string, h int64, v float64, flags wire.Flags) learn.Reading {
	return learn.Reading{Series: series, Time: h * hour, Value: v, Arrival: h*hour + 1e6, Flags: flags | wire.FlagFirst}
}

func task(t *testing.T, text string) *spec.Task {
	t.Helper()
	out, err := spec.ParseTask("test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const twoSeries = `task: next
kind: forecast
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: a, path: $.p}
  - {series: temp, topic: b, path: $.t}
rows: {on: pm25, max_age: 3h}
`

// TestRows holds which readings make a row, a truth and a missing value: by their flags, their
// series and the message that they came in.
func TestRows(t *testing.T) {
	nan := math.NaN()
	with := func(r learn.Reading, more wire.Flags) learn.Reading {
		r.Flags = r.Flags&^wire.FlagFirst | more
		return r
	}
	for _, tt := range []struct {
		name     string
		readings []learn.Reading
		rows     [][]float64 // pm25, temp
		truths   []float64
	}{
		{"nothing", nil, nil, nil},
		{"a row by each reading of the target, its truth an hour later",
			[]learn.Reading{at("pm25", 1, 10, 0), at("pm25", 2, 11, 0), at("pm25", 3, 12, 0)},
			[][]float64{{10, nan}, {11, nan}, {12, nan}}, []float64{11, 12, nan}},
		{"the last value of another series, until it is too old",
			[]learn.Reading{at("temp", 1, 5, 0), at("pm25", 1, 10, 0), at("pm25", 4, 11, 0), at("pm25", 5, 12, 0)},
			[][]float64{{10, 5}, {11, 5}, {12, nan}}, []float64{nan, 12, nan}},
		{"a hole has no truth", []learn.Reading{at("pm25", 1, 10, 0), at("pm25", 5, 11, 0)}, [][]float64{{10, nan}, {11, nan}}, []float64{nan, nan}},
		{"one message is one row, in whatever order it is written",
			[]learn.Reading{at("pm25", 1, 10, 0), with(at("temp", 1, 5, 0), 0)}, [][]float64{{10, 5}}, []float64{nan}},
		{"the same in two messages: the second is too late for the row",
			[]learn.Reading{at("pm25", 1, 10, 0), at("temp", 1, 5, 0)}, [][]float64{{10, nan}}, []float64{nan}},
		{"the mark of a message stands on a series that is not used",
			[]learn.Reading{at("door", 1, 1, 0), with(at("pm25", 1, 10, 0), 0), with(at("temp", 1, 5, 0), 0), at("door", 2, 1, 0), with(at("pm25", 2, 11, 0), 0)},
			[][]float64{{10, 5}, {11, 5}}, []float64{11, nan}},
		{"a late reading misses its row and is the last value of the next",
			[]learn.Reading{at("pm25", 1, 10, 0), at("temp", 1, 7, wire.FlagLate), at("pm25", 2, 11, 0)}, [][]float64{{10, nan}, {11, 7}}, []float64{11, nan}},
		{"future and conflicting readings change nothing",
			[]learn.Reading{at("pm25", 1, 10, 0), at("pm25", 900, 1, wire.FlagFuture), at("pm25", 1, 1, wire.FlagConflict), at("pm25", 2, 11, 0)},
			[][]float64{{10, nan}, {11, nan}}, []float64{11, nan}},
		{"a value out of range is missing",
			[]learn.Reading{at("temp", 1, 5, 0), at("temp", 2, 9000, wire.FlagRange), at("pm25", 2, 10, 0)}, [][]float64{{10, nan}}, []float64{nan}},
		{"a target that is no number makes no row and is no truth",
			[]learn.Reading{at("pm25", 1, 10, 0), at("pm25", 2, math.Inf(1), wire.FlagNotFinite), at("pm25", 3, 12, 0)},
			[][]float64{{10, nan}, {12, nan}}, []float64{nan, nan}},
		{"nothing but what does not count", []learn.Reading{at("door", 1, 1, 0), at("pm25", 1, 1, wire.FlagFuture)}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := learn.Rows(t.Context(), readings(tt.readings...), task(t, twoSeries), "dev-1")
			if err != nil {
				t.Fatal(err)
			}
			equal := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
			if s.Device != "dev-1" || !slices.EqualFunc(s.Values, tt.rows, func(a, b []float64) bool { return slices.EqualFunc(a, b, equal) }) {
				t.Errorf("Rows of %q = %v, want %v", s.Device, s.Values, tt.rows)
			}
			if !slices.EqualFunc(s.Target, tt.truths, equal) {
				t.Errorf("truths = %v, want %v", s.Target, tt.truths)
			}
			for i := range s.Baseline {
				if !equal(s.Baseline[i], s.Values[i][0]) {
					t.Errorf("baseline %d = %v, want the value of the target", i, s.Baseline[i])
				}
			}
		})
	}
}

// input is what learns one challenger in no time.
func input(t *testing.T, source learn.Source, devices ...string) learn.Input {
	return learn.Input{
		Task:    parse(t),
		Devices: devices,
		Source:  source,
		Search:  selection.Options{Trials: 1, Learners: []string{"linear"}, Threads: 1},
		Begun:   func(int) {},
		Found:   func(*selection.Result) {},
	}
}

// TestVerdicts judges one challenger against champions that are worse, better and the same, and
// against none on a series whose last value cannot be beaten.
func TestVerdicts(t *testing.T) {
	trained := func(hours int) *artifact.Artifact {
		out, err := learn.Run(t.Context(), input(t, wave(hours), "a"))
		if err != nil {
			t.Fatal(err)
		}
		return out.Challenger.Artifact
	}
	good := trained(300)
	always := func(v float64) *artifact.Artifact { // what is predicted to change
		a := *good
		a.Models = map[artifact.Role]artifact.Predictor{artifact.Point: &artifact.Constant{N: a.Pipeline.Width(), Values: []float64{v}}}
		a.Vectors = artifact.Vectors{}
		return &a
	}
	jumps := func(_ context.Context, device string) iter.Seq2[learn.Reading, error] { // as good as chance
		return func(yield func(learn.Reading, error) bool) {
			x := uint64(1)
			for i := range int64(700) {
				if x = x*6364136223846793005 + 1442695040888963407; !yield(at("pm25", i, float64(x>>60)*float64(1+i%2), 0), nil) {
					return
				}
			}
		}
	}
	for _, tt := range []struct {
		name     string
		source   learn.Source
		champion *artifact.Artifact
		want     []sequential.Verdict
	}{
		{"a champion that is far off", wave(700), always(40), []sequential.Verdict{sequential.Pass}},
		{"one that has learned from all rows", wave(700), trained(700), []sequential.Verdict{sequential.Inconclusive}},
		{"too little to judge by", wave(300), nil, []sequential.Verdict{sequential.Inconclusive}},
		{"the last value of what jumps", jumps, nil, []sequential.Verdict{sequential.Pass, sequential.Inconclusive}},
	} {
		in := input(t, tt.source, "a")
		in.Champion, in.Digest = tt.champion, "champion's"
		out, err := learn.Run(t.Context(), in)
		if err != nil || !slices.Contains(tt.want, out.Verdict.Outcome) || out.Verdict.Reason == "" {
			t.Errorf("against %s: %+v, %v, want one of %v", tt.name, out.Verdict, err, tt.want)
			continue
		}
		if got := out.Challenger.Artifact.Manifest.Champion; got != "champion's" {
			t.Errorf("the challenger names the champion %q", got)
		}
	}
}

// TestModules: the code of every module that features name goes into the artifact; one that is
// missing ends the run before anything is read.
func TestModules(t *testing.T) {
	text := taskText + "features:\n  - {name: level, wasm: levels, function: mean, of: [pm25], rows: 12}\n"
	in := input(t, wave(500), "a")
	in.Task = task(t, text)
	asked := ""
	in.Module = func(_ context.Context, name string) ([]byte, error) {
		asked = name
		return wasmtest.Window(), nil
	}
	out, err := learn.Run(t.Context(), in)
	if err != nil || asked != "levels" {
		t.Fatalf("Run = %v, asked for %q", err, asked)
	}
	if m := out.Challenger.Artifact.Pipeline.Modules; len(m) != 1 || m[0].Name != "levels" || string(m[0].Code) != string(wasmtest.Window()) {
		t.Errorf("the artifact carries %d modules, want levels", len(m))
	}
	gone := errors.New("gone")
	in.Module = func(context.Context, string) ([]byte, error) { return nil, gone }
	in.Source = func(context.Context, string) iter.Seq2[learn.Reading, error] {
		t.Error("readings are read for a task whose module is missing")
		return func(func(learn.Reading, error) bool) {}
	}
	if _, err := learn.Run(t.Context(), in); !errors.Is(err, gone) || !strings.Contains(err.Error(), `features of task "next"`) {
		t.Errorf("Run = %v, want the error of the module", err)
	}
}

// TestNothingToLearnFrom: no device, or devices without readings, are too few rows, after the
// number of rows was reported.
func TestNothingToLearnFrom(t *testing.T) {
	for name, devices := range map[string][]string{"no device": nil, "silent devices": {"a", "b"}} {
		in := input(t, wave(0), devices...)
		begun := -1
		in.Begun = func(rows int) { begun = rows }
		in.Found = func(*selection.Result) { t.Errorf("%s: something was found", name) }
		if _, err := learn.Run(t.Context(), in); !errors.Is(err, selection.ErrTooFewRows) || begun != 0 {
			t.Errorf("%s: Run = %v after %d rows, want too few", name, err, begun)
		}
	}
}

// TestCancel ends a run while it searches.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in := input(t, wave(700), "a")
	in.Begun = func(int) { cancel() }
	if out, err := learn.Run(ctx, in); !errors.Is(err, context.Canceled) || out.Challenger != nil {
		t.Errorf("Run after cancel = %+v, %v", out, err)
	}
}
