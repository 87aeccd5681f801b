// Package bench measures how long an artifact's predictions take on this machine.
//
// Inputs are drawn from the artifact's own reference statistics, always the same ones. Figures are
// medians over runs; what else runs on the machine is part of them.
package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
)

// Report is what was measured.
type Report struct {
	Model    string   `json:"model"` // digest
	Learner  string   `json:"learner"`
	Kernel   string   `json:"kernel"` // how the point model is computed here
	Features int      `json:"features"`
	Results  []Result `json:"results"`
	// one row through pipeline and every model, as a device predicts
	Pipeline Result `json:"pipeline"`
}

// Result is the median time of a call.
type Result struct {
	Batch   int     `json:"batch"`
	Threads int     `json:"threads"`
	NS      float64 `json:"ns_per_row_median"`
	Allocs  float64 `json:"allocs_per_call"`
}

// Options of measuring.
type Options struct {
	Batches  []int // rows of a call, each from 1 to MaxBatch
	Threads  int   // goroutines that share a batch, from 1
	Runs     int   // of which the median is taken, from 1
	RunTime  time.Duration
	Progress func(what string) // may be nil
}

// MaxBatch is the largest number of rows of a call.
const MaxBatch = 1 << 20

// Run times an artifact's point model on rows of features, in calls of every batch size, and the
// whole way of a live prediction. It takes about RunTime times Runs for each of these.
func Run(a *artifact.Artifact, o Options) (*Report, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	b, err := newBench(a, o.RunTime, o.Runs)
	if err != nil {
		return nil, err
	}
	m := a.Models[artifact.Point]
	rep := &Report{
		Model:    a.Digest,
		Learner:  a.Manifest.Learner,
		Kernel:   kernel(m),
		Features: m.Inputs(),
	}
	for _, n := range o.Batches {
		o.Progress(fmt.Sprintf("batch %d", n))
		r, err := b.model(m, n, min(o.Threads, n))
		if err != nil {
			return nil, err
		}
		rep.Results = append(rep.Results, r)
	}
	o.Progress("pipeline")
	rep.Pipeline, err = b.pipeline()
	return rep, err
}

// kernel names how a model is computed on this machine: its kind, the kernels for single rows and
// for batches, and the architecture.
func kernel(m artifact.Predictor) string {
	how := "portable"
	if k, ok := m.(interface {
		KernelSingle() string
		KernelBatch() string
	}); ok {
		how = k.KernelSingle() + "+" + k.KernelBatch()
	}
	return fmt.Sprintf("%s/%s/%s", artifact.ModelKind(m), how, runtime.GOARCH)
}

// bench holds rows of inputs and features that look like the model's own.
type bench struct {
	a      *artifact.Artifact
	budget time.Duration
	runs   int
	h      *feature.History
	x      []float64 // features, one row after the other
	rows   int
}

// differentRows are different rows, so that branches are not learned by heart.
const differentRows = 4096

func newBench(a *artifact.Artifact, budget time.Duration, runs int) (*bench, error) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := &bench{
		a:      a,
		budget: budget,
		runs:   runs,
		rows:   differentRows,
		h:      feature.NewHistory(len(a.Manifest.Inputs), max(a.Pipeline.Rows, 2)),
	}
	eval, err := feature.NewEvaluator(a.Pipeline)
	if err != nil {
		return nil, err
	}
	width := a.Pipeline.Width()
	b.x = make([]float64, b.rows*width)
	step := max(a.Pipeline.Tolerance, 1)
	in := make([]float64, len(a.Manifest.Inputs))
	for i := range b.rows + a.Pipeline.Rows {
		for j := range in {
			in[j] = rng.Float64()
			if c := len(a.Manifest.Inputs[j].Categories); c > 0 {
				in[j] = float64(rng.IntN(c))
			} else if j < len(a.Reference) && len(a.Reference[j].Quantiles) > 0 {
				q := a.Reference[j].Quantiles
				in[j] = q[rng.IntN(len(q))]
			}
		}
		b.h.Push(int64(i)*step, in)
		if k := i - a.Pipeline.Rows; k >= 0 {
			if err := eval.Into(b.x[k*width:(k+1)*width], b.h); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// batcher is a model that predicts many rows in one call.
type batcher interface {
	PredictBatch(dst, x []float64, threads int) error
}

// model times calls of n rows: one PredictBatch where the model has it, else PredictInto for
// every row, shared between threads. A call of one row is PredictInto, which is what devices do.
func (b *bench) model(m artifact.Predictor, n, threads int) (Result, error) {
	width, outs := m.Inputs(), m.Outputs()
	dst := make([]float64, n*outs)
	x, rows := b.x, b.rows
	for rows < n {
		x, rows = append(x[:len(x):len(x)], x...), rows*2
	}
	var failed error
	at := 0
	call := func() {
		if failed != nil { // one is enough: there would be one for each of millions of calls
			return
		}
		if at+n > rows {
			at = 0
		}
		in := x[at*width:][:n*width]
		at += n
		if many, ok := m.(batcher); ok && n > 1 {
			failed = many.PredictBatch(dst, in, threads)
		} else if threads == 1 {
			failed = each(m, dst, in)
		} else {
			failed = share(m, dst, in, threads)
		}
	}
	r := b.measure(n, threads, call)
	return r, failed
}

// each predicts one row after the other.
func each(m artifact.Predictor, dst, x []float64) error {
	for len(dst) > 0 {
		if err := m.PredictInto(dst[:m.Outputs()], x[:m.Inputs()]); err != nil {
			return err
		}
		dst, x = dst[m.Outputs():], x[m.Inputs():]
	}
	return nil
}

// share has each goroutine predict a part of the rows.
func share(m artifact.Predictor, dst, x []float64, threads int) error {
	rows := len(dst) / m.Outputs()
	errs := make([]error, threads)
	var wg sync.WaitGroup
	for w := range threads {
		from, to := w*rows/threads, (w+1)*rows/threads
		wg.Go(func() { errs[w] = each(m, dst[from*m.Outputs():to*m.Outputs()], x[from*m.Inputs():to*m.Inputs()]) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// pipeline times what a device does for one row.
func (b *bench) pipeline() (Result, error) {
	runner, err := artifact.NewRunner(b.a)
	if err != nil {
		return Result{}, err
	}
	var failed error
	r := b.measure(1, 1, func() {
		if _, _, _, err := runner.Predict(b.h, 0); err != nil {
			failed = err
		}
	})
	return r, failed
}

// measure takes the median over runs of the mean time of a call.
func (b *bench) measure(n, threads int, call func()) Result {
	call()
	calls := 1
	for { // as many calls as fill a run
		began := time.Now()
		for range calls {
			call()
		}
		if d := time.Since(began); d >= b.budget/4 || calls > 1<<28 {
			calls = max(1, int(float64(calls)*float64(b.budget)/float64(max(d, 1))))
			break
		}
		calls *= 2
	}
	times := make([]float64, b.runs)
	for i := range times {
		began := time.Now()
		for range calls {
			call()
		}
		times[i] = float64(time.Since(began)) / float64(calls) / float64(n)
	}
	slices.Sort(times)
	median := times[len(times)/2]
	if len(times)%2 == 0 {
		median = (times[len(times)/2-1] + median) / 2
	}
	return Result{Batch: n, Threads: threads, NS: median, Allocs: allocations(call)}
}

// allocations counts the heap allocations of a call.
func allocations(call func()) float64 {
	const calls = 100
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range calls {
		call()
	}
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / calls)
}
