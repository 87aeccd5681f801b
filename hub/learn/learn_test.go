package learn_test

import (
	"context"
	"errors"
	"iter"
	"math"
	"os/exec"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/sequential"
	"skerry.dev/hub/learn"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

const taskText = `task: next
kind: forecast
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: a, path: $.p}
rows: {on: pm25, max_age: 3h}
`

func parse(t *testing.T) *spec.Task {
	t.Helper()
	task, err := spec.ParseTask("test", strings.NewReader(taskText))
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// wave yields n hours of a wave with noise of its own for each device.
func wave(n int) learn.Source {
	return func(_ context.Context, device string) iter.Seq2[learn.Reading, error] {
		return func(yield func(learn.Reading, error) bool) {
			for i := range n {
				at := time.Date(2024, 1, 1, i, 0, 0, 0, time.UTC).UnixMicro()
				v := 50 + 20*math.Sin(float64(i)/4) + 3*math.Sin(float64(i*len(device))*1.7)
				if !yield(learn.Reading{Series: "pm25", Time: at, Value: v, Arrival: at, Flags: wire.FlagFirst}, nil) {
					return
				}
			}
		}
	}
}

// TestRun learns a first challenger, which beats the last value, and a second of the same data,
// which does not beat the first.
func TestRun(t *testing.T) {
	in := learn.Input{
		Task:    parse(t),
		Devices: []string{"a", "bb", "silent"},
		Source: func(ctx context.Context, device string) iter.Seq2[learn.Reading, error] {
			if device == "silent" {
				return wave(0)(ctx, device)
			}
			return wave(700)(ctx, device)
		},
		Lineage: []string{"l-1", "j-1"},
		Search:  selection.Options{Trials: 1, Learners: []string{"linear"}, Threads: 1},
	}
	begun, found := 0, 0
	in.Begun = func(rows int) { begun = rows }
	in.Found = func(*selection.Result) { found++ }
	out, err := learn.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	m := out.Challenger.Artifact.Manifest
	if out.Rows != 1400 || begun != out.Rows || found != 1 {
		t.Errorf("%d rows, %d reported, found %d times, want 1400 rows of the two devices that speak", out.Rows, begun, found)
	}
	if out.Verdict.Outcome != sequential.Pass || m.Task != "next" || strings.Join(m.CreatedFrom, " ") != "l-1 j-1" {
		t.Errorf("verdict %+v, manifest %+v", out.Verdict, m)
	}
	in.Champion, in.Digest = out.Challenger.Artifact, "d"
	again, err := learn.Run(t.Context(), in)
	if err != nil || again.Verdict.Outcome == sequential.Pass {
		t.Errorf("the same model against itself = %+v, %v", again.Verdict, err)
	}
}

func TestSourceFails(t *testing.T) {
	boom := errors.New("boom")
	_, err := learn.Run(t.Context(), learn.Input{
		Task:    parse(t),
		Devices: []string{"a"},
		Source: func(context.Context, string) iter.Seq2[learn.Reading, error] {
			return func(yield func(learn.Reading, error) bool) { yield(learn.Reading{}, boom) }
		},
	})
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), `device "a"`) {
		t.Errorf("Run = %v, want the source's error", err)
	}
}

// TestPure holds that the package knows no store, no bus and nothing that has one.
func TestPure(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		if strings.HasPrefix(dep, "skerry.dev/hub/") && dep != "skerry.dev/hub/learn" && dep != "skerry.dev/hub/selection" || dep == "database/sql" || strings.HasPrefix(dep, "github.com/nats-io/") {
			t.Errorf("learn depends on %s", dep)
		}
	}
}

// TestDriftingLevel: where the level that a series goes back to drifts away from the one that a model
// has learned, a model that sees changes alone is the first of the task.
func TestDriftingLevel(t *testing.T) {
	in := learn.Input{
		Task:    parse(t),
		Devices: []string{"a"},
		Source: func(context.Context, string) iter.Seq2[learn.Reading, error] {
			return func(yield func(learn.Reading, error) bool) {
				x, near := uint64(7), 0.0
				for i := range int64(1900) {
					x = x*6364136223846793005 + 1442695040888963407
					near = 0.7*near + float64(x>>60) - 7.5 // goes back to the level
					v := 100 + near + 20*math.Sin(float64(i)*2*math.Pi/24) + 0.1*max(0, float64(i-1000))
					if !yield(learn.Reading{Series: "pm25", Time: i * hour, Value: v, Arrival: i * hour, Flags: wire.FlagFirst}, nil) {
						return
					}
				}
			}
		},
		Search: selection.Options{Trials: 1, Learners: []string{"linear"}, Threads: 1},
		Begun:  func(int) {},
	}
	found := 0
	in.Found = func(*selection.Result) { found++ }
	out, err := learn.Run(t.Context(), in)
	if err != nil || found != 1 || out.Verdict.Outcome != sequential.Pass || out.Verdict.Against != "the last value" {
		t.Fatalf("Run = %+v, %v after %d challengers, want it passed against the last value", out.Verdict, err, found)
	}
	for _, name := range out.Challenger.Features {
		if name == "pm25" || strings.Contains(name, "_lag_") || strings.Contains(name, "_mean_") {
			t.Errorf("the model looks at the level by %q", name)
		}
	}
}
