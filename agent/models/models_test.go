package models

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/source"
	"skerry.dev/agent/task"
	"skerry.dev/agent/update"
	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
	"skerry.dev/sync/outbox"
	"skerry.dev/sync/spec"
)

const levelTask = `
task: level
kind: forecast
target: {series: y, horizon: 1h}
inputs: [{series: y, topic: t, path: $.y}]
time: {max_past: 36500d}
rows: {on: y, max_age: 3h}
`

// encoded is a model that predicts a rise by add.
func encoded(t *testing.T, taskName string, add float64) (digest string, b []byte) {
	t.Helper()
	in, zero := []feature.Input{{Name: "y"}}, 0.0
	m, err := linear.New(1, ensemble.Identity, []float64{add}, []float64{0})
	if err != nil {
		t.Fatal(err)
	}
	a := &artifact.Artifact{
		Manifest: artifact.Manifest{
			Task:      taskName,
			Kind:      artifact.KindForecast,
			HorizonUS: time.Hour.Microseconds(),
			Inputs:    in,
			Output:    artifact.Output{Series: "y"},
			Learner:   "linear",
			Rows:      1,
		},
		Pipeline: &feature.Pipeline{
			Inputs:    in,
			Tolerance: 1800e6,
			Rows:      4,
			Columns:   []feature.Column{{Name: "d", Op: feature.OpDiff, Lag: 3600e6, Impute: &zero}},
		},
		Models: map[artifact.Role]artifact.Predictor{artifact.Point: m},
	}
	if b, err = artifact.Encode(a); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), b
}

// rejecting is a verifier that nothing is asked of.
type rejecting struct{}

func (rejecting) Refresh(context.Context) error { return update.ErrGivenUp }
func (rejecting) Target(string) (int64, string, []byte, error) {
	return 0, "", nil, update.ErrGivenUp
}

// TestSlots takes two models through the slots of a running task, by the calls of the updater, and
// asks what runs by those of the runtime and of the inference protocol.
func TestSlots(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	tk, err := spec.ParseTask("level.yaml", strings.NewReader(levelTask))
	if err != nil {
		t.Fatal(err)
	}
	tasks := []*spec.Task{tk}
	plan, err := source.Compile(tasks)
	if err != nil {
		t.Fatal(err)
	}
	store, err := cache.Open(cache.Options{Dir: dir, Outbox: outbox.Options{Device: "dev"}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ms := New(func() []*spec.Task { return tasks }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	manager, err := update.Open(rejecting{}, ms, ms, update.Options{Dir: filepath.Join(dir, "slots"), FloorFile: filepath.Join(dir, "floors.json")})
	if err != nil {
		t.Fatal(err)
	}
	ms.Use(manager)
	run, err := task.Open(task.Options{Device: "dev", Store: store, Tasks: tasks, Plan: plan, Models: ms.Loaded})
	if err != nil {
		t.Fatal(err)
	}
	ms.In(run)
	rctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- run.Run(rctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	load := func(name string, add float64) (string, update.Model) {
		digest, b := encoded(t, name, add)
		if err := os.WriteFile(filepath.Join(manager.Slots(), digest+".skerry"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := ms.Load(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		return digest, m
	}
	hour := 0
	feed := func(rows int) {
		for range rows {
			hour++
			m := source.Message{
				Plan:     plan,
				ClockOK:  true,
				Arrival:  time.Now().UnixMicro(),
				Readings: []source.Reading{{Series: 0, Time: int64(hour) * 3600e6, HasTime: true, Value: float64(hour)}},
				Ack:      func() {},
			}
			if err := run.Message(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		run.Flush()
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	runs := func(champion, beside string) {
		t.Helper()
		if c, b, ok := ms.Running("level"); c != champion || b != beside || !ok {
			t.Errorf("champion %.6s, beside it %.6s, want %.6s and %.6s", c, b, champion, beside)
		}
	}

	one, first := load("level", 1)
	two, second := load("level", 2)
	foreign, other := load("depth", 1)
	if err := ms.Shadow(ctx, "level", other, foreign); err == nil || !strings.Contains(err.Error(), `made for task "depth"`) {
		t.Errorf("a model of another task in shadow = %v", err)
	}
	if err := ms.Shadow(ctx, "nosuch", first, one); err == nil || !strings.Contains(err.Error(), `no task "nosuch"`) {
		t.Errorf("a task that there is not = %v", err)
	}
	if err := ms.Shadow(ctx, "level", "no model", one); err == nil {
		t.Error("what the loader did not load is taken")
	}

	must(ms.Shadow(ctx, "level", first, one))
	runs("", one)
	feed(30)
	if p, ok := ms.Trial("level"); !ok || p.Rows < 30 || p.Labelled < 20 || p.SumCandidate != 0 || !(p.LatencyP99US > 0) || p.Panics != 0 {
		t.Errorf("trial %+v, %v", p, ok)
	}
	if _, ok := ms.Probation("level"); ok {
		t.Error("a shadow is on probation")
	}
	must(ms.Activate(ctx, "level", one))
	must(ms.Activate(ctx, "level", one)) // again: nothing
	must(ms.Drop(ctx, "level", ""))
	runs(one, "")

	must(ms.Shadow(ctx, "level", second, two))
	must(ms.Activate(ctx, "level", two))
	feed(30)
	if p, ok := ms.Probation("level"); !ok || p.Labelled < 20 || p.SumIncumbent != 0 || !(p.SumCandidate > 0) {
		t.Errorf("probation %+v, %v", p, ok)
	}
	must(ms.Restore(ctx, "level", first, one)) // the new one is worse
	runs(one, "")
	must(ms.Drop(ctx, "level", two))
	ms.mu.Lock()
	if len(ms.loaded) != 1 || ms.loaded[one] == nil {
		t.Errorf("%d models are held, want the champion alone", len(ms.loaded))
	}
	ms.mu.Unlock()

	deadline := time.Now().Add(10 * time.Second) // the status is half a second old at most
	for len(ms.List()) == 0 && time.Now().Before(deadline) {
		feed(1)
	}
	if got := ms.List(); len(got) != 1 || got[0] != "level" {
		t.Fatalf("List = %q", got)
	}
	if m, ok := ms.Get("level", one); !ok || m.Metadata().Name != "level" {
		t.Error("the champion is not served by its digest")
	}
	if _, ok := ms.Get("level", two); ok {
		t.Error("a model that is none is served")
	}

	// a task that begins anew, because what it learns changed, gets its model back
	must(manager.Restore(ctx, []string{"level"})) // the updater learns what is active
	anew, err := spec.ParseTask("level.yaml", strings.NewReader(levelTask+"adapt: {learners: [knn]}\n"))
	must(err)
	tasks = []*spec.Task{anew}
	plan, err = source.Compile(tasks)
	must(err)
	must(run.Replace(ctx, tasks, plan, true))
	runs("", "")
	must(errors.Join(manager.Resume(ctx, []string{"level"}), ms.Reconcile(ctx)))
	runs(one, "")
	feed(1)

	// the updater holds nothing active
	must(os.RemoveAll(filepath.Join(dir, "slots", "state.json")))
	manager, err = update.Open(rejecting{}, ms, ms, update.Options{Dir: filepath.Join(dir, "slots"), FloorFile: filepath.Join(dir, "floors.json")})
	must(err)
	ms.Use(manager)
	must(ms.Reconcile(ctx))
	runs("", "")
	must(ms.Restore(ctx, "level", first, one))
	runs(one, "")
	must(ms.Activate(ctx, "level", ""))
	runs("", "")
}
