package bench_test

import (
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/agent/bench"
	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
)

// counted is a linear model that checks what it is given and counts its calls.
type counted struct {
	*linear.Model
	calls, rows *int
	seen        map[float64]bool // values of the second input
	fail        error
}

func (c counted) PredictInto(dst, x []float64) error {
	*c.calls++
	*c.rows++
	c.seen[x[1]] = true
	return errors.Join(c.fail, c.Model.PredictInto(dst, x))
}

// many is counted with a kernel for batches.
type many struct {
	counted
	threads *int
}

func (m many) PredictBatch(dst, x []float64, threads int) error {
	*m.calls++
	*m.rows += len(dst)
	*m.threads = threads
	if len(x) != len(dst)*m.Inputs() {
		return linear.ErrShape
	}
	return m.fail
}

func (many) KernelSingle() string { return "one" }
func (many) KernelBatch() string  { return "eight" }

// model returns an artifact of two inputs whose columns are the values of the newest row.
func model(t *testing.T, wrap func(*linear.Model) artifact.Predictor) *artifact.Artifact {
	t.Helper()
	in := []feature.Input{{Name: "y"}, {Name: "kind", Categories: []string{"a", "b", "c"}}}
	zero := 0.0
	m, err := linear.New(2, ensemble.Identity, []float64{1}, []float64{2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return &artifact.Artifact{
		Manifest: artifact.Manifest{
			Task:    "level",
			Kind:    artifact.KindRegression,
			Inputs:  in,
			Learner: "linear",
		},
		Pipeline: &feature.Pipeline{Inputs: in, Tolerance: 1e6, Rows: 2, Columns: []feature.Column{
			{Name: "y", Op: feature.OpValue, Impute: &zero},
			{Name: "kind", Op: feature.OpValue, Series: 1},
		}},
		Models:      map[artifact.Role]artifact.Predictor{artifact.Point: wrap(m)},
		Calibration: artifact.Calibration{Level: 0.5, Scores: []float64{1, 2, 3}},
		Digest:      strings.Repeat("a", 64),
	}
}

// TestRun measures a model for which only PredictInto exists: every batch size in the order in
// which it was given, with no more threads than rows, and rows that look like the model's own.
func TestRun(t *testing.T) {
	var calls, rows int
	seen := map[float64]bool{}
	a := model(t, func(m *linear.Model) artifact.Predictor {
		return counted{Model: m, calls: &calls, rows: &rows, seen: seen}
	})
	var progress []string
	rep, err := bench.Run(a, bench.Options{
		Batches:  []int{1, 7},
		Threads:  1,
		Runs:     3,
		RunTime:  100 * time.Microsecond,
		Progress: func(what string) { progress = append(progress, what) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"batch 1", "batch 7", "pipeline"}; !slices.Equal(progress, want) {
		t.Errorf("Run reports progress %q, want %q", progress, want)
	}
	if rep.Model != a.Digest || rep.Learner != "linear" || rep.Features != 2 || !strings.HasSuffix(rep.Kernel, "/portable/"+runtime.GOARCH) {
		t.Errorf("Run = %+v", rep)
	}
	if len(rep.Results) != 2 || rep.Results[0].Batch != 1 || rep.Results[1].Batch != 7 || rep.Pipeline.Batch != 1 || rep.Pipeline.Threads != 1 {
		t.Fatalf("Run measures %+v and the pipeline %+v, want batches of 1 and 7", rep.Results, rep.Pipeline)
	}
	for _, r := range append(rep.Results, rep.Pipeline) {
		if !(r.NS > 0) || math.IsInf(r.NS, 0) || r.Allocs < 0 {
			t.Errorf("batch %d takes %v ns a row and %v allocations", r.Batch, r.NS, r.Allocs)
		}
	}
	if rep.Results[0].Allocs != 0 {
		t.Errorf("a call of one row allocates %v times, want 0", rep.Results[0].Allocs)
	}
	if calls == 0 || rows != calls {
		t.Errorf("%d rows in %d calls, want one a call", rows, calls)
	}
	if len(seen) != 3 || !seen[0] || !seen[1] || !seen[2] {
		t.Errorf("the input of three categories was measured with %v, want all of its codes", seen)
	}
	text, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`"model":`, `"learner":"linear"`, `"kernel":`, `"features":2`, `"ns_per_row_median":`, `"allocs_per_call":`, `"pipeline":{"batch":1,"threads":1`} {
		if !strings.Contains(string(text), key) {
			t.Errorf("the report lacks %s: %s", key, text)
		}
	}
}

// TestRunOfBatches holds that a model with a kernel for batches gets them whole, with the threads
// that were asked for, and never more threads than rows; batches larger than the set of different
// rows are filled as well.
func TestRunOfBatches(t *testing.T) {
	for _, tt := range []struct{ batch, threads, want int }{
		{8, 4, 4},
		{3, 16, 3},
		{5000, 2, 2},
	} {
		var calls, rows, threads int
		a := model(t, func(m *linear.Model) artifact.Predictor {
			return many{counted{Model: m, calls: &calls, rows: &rows, seen: map[float64]bool{}}, &threads}
		})
		rep, err := bench.Run(a, bench.Options{
			Batches: []int{tt.batch},
			Threads: tt.threads,
			Runs:    2,
			RunTime: 10 * time.Microsecond,
		})
		if err != nil {
			t.Fatalf("Run of %d rows: %v", tt.batch, err)
		}
		if rep.Results[0].Threads != tt.want || threads != tt.want {
			t.Errorf("Run of %d rows with %d threads uses %d and reports %d, want %d", tt.batch, tt.threads, threads, rep.Results[0].Threads, tt.want)
		}
		if !strings.Contains(rep.Kernel, "/one+eight/") {
			t.Errorf("kernel %q, want the names of both kernels", rep.Kernel)
		}
	}
}

// shared counts rows that several goroutines predict.
type shared struct {
	*linear.Model
	rows *atomic.Int64
}

func (s shared) PredictInto(dst, x []float64) error {
	s.rows.Add(1)
	return s.Model.PredictInto(dst, x)
}

// TestRunOnSeveralThreads shares the rows of a model without a kernel for batches: every call
// predicts each of its ten rows once.
func TestRunOnSeveralThreads(t *testing.T) {
	var rows atomic.Int64
	var batches int64
	a := model(t, func(m *linear.Model) artifact.Predictor { return shared{m, &rows} })
	rep, err := bench.Run(a, bench.Options{
		Batches: []int{10},
		Threads: 3,
		Runs:    1,
		RunTime: 10 * time.Microsecond,
		Progress: func(what string) {
			if what == "pipeline" {
				batches = rows.Load()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := rep.Results[0]; r.Batch != 10 || r.Threads != 3 || !(r.NS > 0) {
		t.Errorf("Run = %+v, want 10 rows on 3 threads", r)
	}
	if batches == 0 || batches%10 != 0 {
		t.Errorf("%d rows predicted in calls of 10", batches)
	}
}

// TestRunReportsFailures: a figure of a model that fails would be one of nothing.
func TestRunReportsFailures(t *testing.T) {
	broken := errors.New("broken kernel")
	for name, wrap := range map[string]func(*linear.Model) artifact.Predictor{
		"row by row": func(m *linear.Model) artifact.Predictor {
			return counted{Model: m, calls: new(int), rows: new(int), seen: map[float64]bool{}, fail: broken}
		},
		"by batches": func(m *linear.Model) artifact.Predictor {
			return many{counted{Model: m, calls: new(int), rows: new(int), seen: map[float64]bool{}, fail: broken}, new(int)}
		},
	} {
		_, err := bench.Run(model(t, wrap), bench.Options{Batches: []int{4}, Threads: 1, Runs: 1, RunTime: time.Microsecond})
		if !errors.Is(err, broken) || len(err.Error()) > 200 {
			t.Errorf("%s: Run = %.300v, want %v once", name, err, broken)
		}
	}
}
