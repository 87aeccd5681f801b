package training_test

import (
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm/wasmtest"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/training"
)

// TestJobWithModules trains a task whose features name modules: it fails with what to do while
// one is missing, then the artifact carries the code.
func TestJobWithModules(t *testing.T) {
	h := open(t, t.TempDir())
	l := h.Learn(training.Policy{Disabled: true, Trials: 1, Learners: []string{"linear"}, Threads: 1}, rollout.Spec{})
	h.run()
	d := newDevice(t, taskText)
	d.feed(400)
	h.sync("dev-1", d)
	text := taskText + "features:\n  - {name: wet, wasm: air, function: wet, of: [pm25, temp]}\n  - {name: level, wasm: levels, function: mean, of: [pm25], rows: 12}\n"
	if err := h.DB.Tx(t.Context(), func(q *meta.Queries) error {
		return q.PutTask(t.Context(), meta.Task{Name: "next", Kind: "forecast", Spec: text, Hash: "with-modules", LastSeen: meta.Now()}, "dev-1")
	}); err != nil {
		t.Fatal(err)
	}
	train := func() training.Job {
		t.Helper()
		q, err := l.Trainer.Queue(t.Context(), "user/ada", training.JobSpec{Task: "next", Trigger: "command", Force: true})
		if err != nil {
			t.Fatal(err)
		}
		return done(h, l.Trainer, q.ID)
	}
	add := func(name string, code []byte) {
		t.Helper()
		if _, err := h.Registry.PutModule(t.Context(), "user/ada", name, code); err != nil {
			t.Fatal(err)
		}
	}
	add("air", wasmtest.Arithmetic())
	if j := train(); j.State != training.Failed || !strings.Contains(j.Error, `features of task "next": the hub has no module "levels": add it with: skerry-hub module add levels FILE.wasm`) {
		t.Errorf("job without a module = %s, %q", j.State, j.Error)
	}
	add("levels", wasmtest.Arithmetic())
	if j := train(); j.State != training.Failed || !strings.Contains(j.Error, `the module exports no function "mean": it has wet(2 series), add(2 series)`) {
		t.Errorf("job with the wrong module = %s, %q", j.State, j.Error)
	}
	add("levels", wasmtest.Window())
	j := train()
	if j.State != training.Done {
		t.Fatalf("job = %s, %s", j.State, j.Error)
	}
	b, err := h.Registry.Load(t.Context(), j.Result.Digest)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.DecodeBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if c := a.Pipeline.Columns; c[0].Op != feature.OpModule || c[1].Name != "level" || len(a.Pipeline.Modules) != 2 || a.Pipeline.Modules[1].Name != "levels" {
		t.Errorf("the pipeline has columns %q and %d modules", a.Pipeline.Names(), len(a.Pipeline.Modules))
	}
	if err := a.SelfTest(); err != nil {
		t.Error(err)
	}
}
