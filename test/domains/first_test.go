package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/sequential"
	"skerry.dev/hub/learn"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// readings are what a device would have stored of a set's messages, one slice a message.
func readings(t *testing.T, task *spec.Task, d *data) (out [][]learn.Reading) {
	t.Helper()
	value := func(doc map[string]any, path string, categories []string) (float64, bool) {
		name := strings.TrimPrefix(path, "$.")
		if quoted, ok := strings.CutPrefix(path, "$['"); ok {
			name = strings.TrimSuffix(quoted, "']")
		}
		switch v := doc[name].(type) {
		case float64:
			if len(categories) == 0 {
				return v, true
			}
			k := slices.Index(categories, fmt.Sprint(v))
			return float64(k), k >= 0
		case string:
			k := slices.Index(categories, v)
			return float64(k), k >= 0
		}
		return 0, false
	}
	for _, m := range d.messages {
		var doc map[string]any
		if err := json.Unmarshal(m.payload, &doc); err != nil {
			t.Fatal(err)
		}
		at, _ := doc["ts"].(float64)
		us := int64(at) * 1e6
		if text, ok := doc["ts"].(string); ok {
			when, err := time.Parse(time.RFC3339, text)
			if err != nil {
				if when, err = time.Parse(time.DateTime, text); err != nil {
					t.Fatal(err)
				}
			}
			us = when.UnixMicro()
		}
		var batch []learn.Reading
		add := func(series, topic, path string, categories []string) {
			if topic != m.topic {
				return
			}
			if v, ok := value(doc, path, categories); ok {
				batch = append(batch, learn.Reading{Series: series, Time: us, Value: v, Arrival: us})
			}
		}
		for _, in := range task.Inputs {
			add(in.Series, in.Topic, in.Path, in.Categories)
		}
		if task.Target.Topic != "" {
			add(task.Target.Series, task.Target.Topic, task.Target.Path, task.Target.Categories)
		}
		if len(batch) > 0 {
			batch[0].Flags = wire.FlagFirst
			out = append(out, batch)
		}
	}
	return out
}

// TestFirstModels trains every set as the hub does while it has no model, at 2,000 labels and then a
// quarter more each time: a model passes, or the verdict says what is missing, and none that is
// better over the whole is vetoed for good.
func TestFirstModels(t *testing.T) {
	if os.Getenv("SKERRY_FULL") == "" {
		t.Skip("trains on six data sets, minutes: set SKERRY_FULL=1, or make retraining")
	}
	dir := cmp.Or(os.Getenv("SKERRY_DATA"), "../../../shared/data")
	table := &strings.Builder{}
	fmt.Fprintf(table, "%-10s %8s %8s  %s\n", "set", "rows", "model at", "verdict")
	for _, s := range sets {
		if s.kind == unusual {
			continue
		}
		text, err := tasks.ReadFile("tasks/" + s.file)
		if err != nil {
			t.Fatal(err)
		}
		task, err := spec.ParseTask(s.file, strings.NewReader(strings.ReplaceAll(string(text), "{bench}", "1"))) // of five alike the first
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.load(dir)
		if errors.Is(err, fs.ErrNotExist) {
			t.Skipf("needs the public data sets: set SKERRY_DATA to their folder (%v)", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		all := readings(t, task, d)
		rows := 0
		for _, batch := range all {
			if batch[0].Series != task.Target.Series || task.Target.Topic == "" {
				rows++
			}
		}
		passed, last, better := 0, "", false
		for n := 2000; n <= rows && passed == 0; n = (n*5 + 3) / 4 {
			out, err := learn.Run(t.Context(), learn.Input{
				Task:    task,
				Devices: []string{"box"},
				Source: func(context.Context, string) iter.Seq2[learn.Reading, error] {
					return func(yield func(learn.Reading, error) bool) {
						seen := 0
						for _, batch := range all {
							if batch[0].Series != task.Target.Series || task.Target.Topic == "" {
								if seen++; seen > n {
									return
								}
							}
							for _, r := range batch {
								if !yield(r, nil) {
									return
								}
							}
						}
					}
				},
				Search: selection.Options{Trials: 4, Learners: []string{"gbdt", "linear"}, Threads: 2},
				Begun:  func(int) {},
				Found:  func(*selection.Result) {},
			})
			if err != nil {
				t.Fatalf("%s at %d rows: %v", s.name, n, err)
			}
			v := out.Verdict
			better = v.Challenger < 0.95*v.Champion
			last = fmt.Sprintf("%s against %s: %s; loss %.3f against %.3f", v.Outcome, v.Against, v.Reason, v.Challenger, v.Champion)
			t.Logf("%s at %d rows: %s", s.name, n, last)
			if v.Outcome == sequential.Pass {
				passed = n
			}
			if v.Reason == "" {
				t.Errorf("%s at %d rows: the verdict gives no reason", s.name, n)
			}
		}
		fmt.Fprintf(table, "%-10s %8d %8d  %s\n", s.name, rows, passed, last)
		if passed == 0 && better {
			t.Errorf("%s: no model over all %d rows, although it is better: %s", s.name, rows, last)
		}
	}
	t.Logf("\n%s", table)
}
