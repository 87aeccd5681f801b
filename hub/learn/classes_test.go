package learn_test

import (
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"skerry.dev/compute/sequential"
	"skerry.dev/hub/learn"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/wire"
)

const grades = `task: grade
kind: classification
target: {series: grade, topic: lab, path: $.g, categories: [waste, second, first]}
inputs:
  - {series: size, topic: line, path: $.s}
  - {series: hue, topic: line, path: $.h}
rows: {on: size, max_age: 1m}
`

// graded yields n minutes of a line whose grades are rings in size and hue, with a label after each
// row but every fifth.
func graded(n int) learn.Source {
	return func(_ context.Context, device string) iter.Seq2[learn.Reading, error] {
		return func(yield func(learn.Reading, error) bool) {
			rng := rand.New(rand.NewPCG(uint64(len(device)), 1))
			for i := range n {
				at := time.Date(2024, 1, 1, 0, i, 0, 0, time.UTC).UnixMicro()
				size, hue := rng.NormFloat64(), rng.NormFloat64()
				grade := 0.0
				for _, limit := range []float64{0.8, 1.6} {
					if math.Hypot(size, hue)+0.1*rng.NormFloat64() > limit {
						grade++
					}
				}
				readings := []learn.Reading{
					{Series: "size", Time: at, Value: size, Arrival: at, Flags: wire.FlagFirst},
					{Series: "hue", Time: at, Value: hue, Arrival: at},
				}
				if i%5 > 0 {
					readings = append(readings, learn.Reading{Series: "grade", Time: at, Value: grade, Arrival: at + 1e6, Flags: wire.FlagFirst})
				}
				for _, r := range readings {
					if !yield(r, nil) {
						return
					}
				}
			}
		}
	}
}

// TestThreeClasses learns a model of three classes from readings: its classes are those of the task,
// and it is far better than how frequent each of them is.
func TestThreeClasses(t *testing.T) {
	for _, learner := range []string{"gbdt", "forest"} {
		out, err := learn.Run(t.Context(), learn.Input{
			Task:    task(t, grades),
			Devices: []string{"a", "bb"},
			Source:  graded(900),
			Search:  selection.Options{Trials: 1, Learners: []string{learner}, Threads: 1},
			Begun:   func(int) {},
			Found:   func(*selection.Result) {},
		})
		if err != nil {
			t.Fatalf("%s: %v", learner, err)
		}
		m := out.Challenger.Artifact.Manifest
		if out.Rows != 1800 || !slices.Equal(m.Output.Classes, []string{"waste", "second", "first"}) || out.Challenger.Artifact.SelfTest() != nil {
			t.Errorf("%s: %d rows, manifest %+v", learner, out.Rows, m)
		}
		h := out.Challenger.Holdout
		if out.Verdict.Outcome != sequential.Pass || !(h.Accuracy > 0.7) || !(h.LogLoss < 0.75*h.LogLossPrior) {
			t.Errorf("%s: verdict %+v, held out %+v", learner, out.Verdict, h)
		}
	}
}
