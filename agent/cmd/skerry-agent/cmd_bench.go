package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
)

// benchReport is what bench --json prints.
type benchReport struct {
	Model    string        `json:"model"` // digest
	Learner  string        `json:"learner"`
	Kernel   string        `json:"kernel"` // how the point model is computed here
	Features int           `json:"features"`
	Results  []benchResult `json:"results"`
	// one row through pipeline and every model, as a device predicts
	Pipeline benchResult `json:"pipeline"`
}

type benchResult struct {
	Batch   int     `json:"batch"`
	Threads int     `json:"threads"`
	NS      float64 `json:"ns_per_row_median"`
	Allocs  float64 `json:"allocs_per_call"`
}

func newBenchCommand() *cobra.Command {
	var model string
	var batches []int
	var threads, runs int
	var budget time.Duration
	asJSON := false
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure how long an artifact's predictions take on this machine",
		Long: "Time the point model on rows of features, in calls of --batch rows, and the whole way of a live prediction (pipeline and every model, one row). Each figure is the median of --runs runs of about --run-time; " +
			"inputs are drawn from the artifact's own reference statistics. --threads splits a batch; a batch smaller than that uses fewer. " + ensemble.KernelVariable + " chooses the instruction set: auto, portable, avx2, avx512 or neon.",
		Example: "  skerry-agent bench --model pm25.skerry\n  skerry-agent bench --model pm25.skerry --batch 1,64,4096 --threads 4 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if threads < 1 || runs < 1 || budget <= 0 || len(batches) == 0 || slices.Min(batches) < 1 || slices.Max(batches) > 1<<20 {
				return fmt.Errorf("--batch %v, --threads %d, --runs %d, --run-time %s: batches of 1 to %d rows, and at least one thread and run", batches, threads, runs, budget, 1<<20)
			}
			a, err := readModel(model)
			if err != nil {
				return err
			}
			b, err := newBench(a, budget, runs)
			if err != nil {
				return err
			}
			p := newProgress(cmd.ErrOrStderr())
			defer p.clear()
			m := a.Models[artifact.Point]
			if _, reason := ensemble.Kernel(); reason != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), reason)
			}
			rep := benchReport{
				Model:    a.Digest,
				Learner:  a.Manifest.Learner,
				Kernel:   kernel(m),
				Features: m.Inputs(),
			}
			for _, n := range batches {
				p.say("batch %d", n)
				r, err := b.model(m, n, min(threads, n))
				if err != nil {
					return err
				}
				rep.Results = append(rep.Results, r)
			}
			p.say("pipeline")
			if rep.Pipeline, err = b.pipeline(); err != nil {
				return err
			}
			p.clear()
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), rep)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(t, "model\t%s (%s), %d features\nkernel\t%s\n\nBATCH\tTHREADS\tNS PER ROW\tALLOCATIONS\n", rep.Model[:12], rep.Learner, rep.Features, rep.Kernel)
			for _, r := range rep.Results {
				fmt.Fprintf(t, "%d\t%d\t%.1f\t%.0f\n", r.Batch, r.Threads, r.NS, r.Allocs)
			}
			fmt.Fprintf(t, "pipeline\t1\t%.1f\t%.0f\n", rep.Pipeline.NS, rep.Pipeline.Allocs)
			return t.Flush()
		},
	}
	fl := c.Flags()
	fl.StringVarP(&model, "model", "m", "", "artifact (*.skerry)")
	fl.IntSliceVar(&batches, "batch", []int{1, 32, 1024}, "rows of one call")
	fl.IntVar(&threads, "threads", 1, "goroutines that share a batch")
	fl.IntVar(&runs, "runs", 11, "runs of which the median is taken")
	fl.DurationVar(&budget, "run-time", 50*time.Millisecond, "length of one run")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	_ = c.MarkFlagRequired("model") // the flag exists
	return c
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

// benchRows are different rows, so that branches are not learned by heart.
const benchRows = 4096

func newBench(a *artifact.Artifact, budget time.Duration, runs int) (*bench, error) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := &bench{
		a:      a,
		budget: budget,
		runs:   runs,
		rows:   benchRows,
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
func (b *bench) model(m artifact.Predictor, n, threads int) (benchResult, error) {
	width, outs := m.Inputs(), m.Outputs()
	dst := make([]float64, n*outs)
	x, rows := b.x, b.rows
	for rows < n {
		x, rows = append(x[:len(x):len(x)], x...), rows*2
	}
	var failed error
	at := 0
	call := func() {
		if at+n > rows {
			at = 0
		}
		in := x[at*width:][:n*width]
		at += n
		if many, ok := m.(batcher); ok && n > 1 {
			failed = errors.Join(failed, many.PredictBatch(dst, in, threads))
		} else if threads == 1 {
			failed = errors.Join(failed, each(m, dst, in))
		} else {
			failed = errors.Join(failed, share(m, dst, in, threads))
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
func (b *bench) pipeline() (benchResult, error) {
	runner, err := artifact.NewRunner(b.a)
	if err != nil {
		return benchResult{}, err
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
func (b *bench) measure(n, threads int, call func()) benchResult {
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
	return benchResult{Batch: n, Threads: threads, NS: median, Allocs: allocations(call)}
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
