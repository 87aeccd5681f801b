package main

import (
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/agent/bench"
	"skerry.dev/compute/ensemble"
	"skerry.dev/configs/commands"
)

func newBenchCommand() *cobra.Command {
	var model string
	var o bench.Options
	asJSON := false
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure how long an artifact's predictions take on this machine",
		Long: "Time the point model on rows of features, in calls of --batch rows, and the whole way of a live prediction (pipeline and every model, one row). Each figure is the median of --runs runs of about --run-time; " +
			"inputs are drawn from the artifact's own reference statistics. --threads splits a batch; a batch smaller than that uses fewer. " + ensemble.KernelVariable + " chooses the instruction set: auto, portable, avx2, avx512 or neon.",
		Example: "  skerry-agent bench --model pm25.skerry\n  skerry-agent bench --model pm25.skerry --batch 1,64,4096 --threads 4 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Threads < 1 || o.Runs < 1 || o.RunTime <= 0 || len(o.Batches) == 0 || slices.Min(o.Batches) < 1 || slices.Max(o.Batches) > bench.MaxBatch {
				return fmt.Errorf("--batch %v, --threads %d, --runs %d, --run-time %s: batches of 1 to %d rows, and at least one thread and run", o.Batches, o.Threads, o.Runs, o.RunTime, bench.MaxBatch)
			}
			a, err := readModel(model)
			if err != nil {
				return err
			}
			p := newProgress(cmd.ErrOrStderr())
			defer p.clear()
			if _, reason := ensemble.Kernel(); reason != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), reason)
			}
			o.Progress = func(what string) { p.show("%s", what) }
			rep, err := bench.Run(a, o)
			if err != nil {
				return err
			}
			p.clear()
			if asJSON {
				return commands.WriteJSON(cmd.OutOrStdout(), rep)
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
	fl.IntSliceVar(&o.Batches, "batch", []int{1, 32, 1024}, "rows of one call")
	fl.IntVar(&o.Threads, "threads", 1, "goroutines that share a batch")
	fl.IntVar(&o.Runs, "runs", 11, "runs of which the median is taken")
	fl.DurationVar(&o.RunTime, "run-time", 50*time.Millisecond, "length of one run")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	_ = c.MarkFlagRequired("model") // the flag exists
	return c
}
