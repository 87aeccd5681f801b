package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"skerry.dev/agent/replay"
	"skerry.dev/compute/feature"
	"skerry.dev/sync/spec"
)

func newPredictCommand() *cobra.Command {
	var files fileFlags
	var model, task, out string
	c := &cobra.Command{
		Use:   "predict",
		Short: "Predict every row of a file with an artifact",
		Long: "Run the rows of a file, in event-time order, through an artifact's pipeline and model: each row is predicted from itself and the rows before it. Columns are found by the names of the artifact's inputs " +
			"(\"PM2.5\" is pm25); an input without a column is missing everywhere. An artifact that looks at single rows only needs no time column.\n\n" +
			"The answer has the columns ts, prediction, lower, upper, in the target's unit; for a classification prediction is the class, lower and upper are empty, and a column per class holds its probability. " +
			"The local learning of a running agent is not part of it: for that see replay.",
		Example: "  skerry-agent predict --model pm25.skerry --data station.csv.gz --out predictions.csv\n  skerry-agent predict --model pm25.skerry --data - --time when --format unix_ms --out - < rows.csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := files.finish(); err != nil {
				return err
			}
			a, err := readModel(model)
			if err != nil {
				return err
			}
			var t *spec.Task
			if task != "" {
				if t, err = readTask(task); err != nil {
					return err
				}
			}
			plan, err := replay.Table(a, t)
			if err != nil {
				return err
			}
			in, err := openData(cmd, files.data)
			if err != nil {
				return err
			}
			defer in.Close()
			files.opts.Numbered = timeless(a.Pipeline)
			w, done, err := createCSV(cmd, out)
			if err != nil {
				return err
			}
			p := newProgress(cmd.ErrOrStderr())
			defer p.clear()
			classes := a.Manifest.Output.Classes
			head := []string{"ts", "prediction", "lower", "upper"}
			for _, c := range classes {
				head = append(head, "p_"+c)
			}
			cw := csv.NewWriter(w)
			werr := cw.Write(head)
			n, err := replay.Predict(cmd.Context(), files.data, in, a, plan, files.opts, func(i, n int, q *replay.Prediction) error {
				if i%256 == 0 {
					p.show("%d of %d rows", i, n)
				}
				rec := append(head[:0:0], stampCSV(q.Row), number(q.Value), number(q.Lower), number(q.Upper))
				if len(classes) > 0 && !math.IsNaN(q.Value) {
					rec[1], rec[2], rec[3] = classes[int(q.Value)], "", ""
					for k := range classes {
						rec = append(rec, number(probability(q.Classes, k)))
					}
				}
				return cw.Write(rec)
			})
			cw.Flush()
			if err := errors.Join(err, werr, cw.Error(), done()); err != nil {
				return err
			}
			p.clear()
			if out != "-" {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "predicted %d rows with %s\n", n, a.Digest[:12])
			}
			return err
		},
	}
	files.bind(c)
	fl := c.Flags()
	fl.StringVarP(&model, "model", "m", "", "artifact (*.skerry)")
	fl.StringVarP(&task, "task", "t", "", "task file, for the ranges it declares")
	fl.StringVarP(&out, "out", "o", "", "CSV file to write, - for standard output")
	_ = c.MarkFlagRequired("model") // the flags exist
	_ = c.MarkFlagRequired("out")
	return c
}

// probability returns a class's probability; one number is that of class 1 of two.
func probability(p []float64, class int) float64 {
	switch {
	case len(p) > 1:
		return p[class]
	case class == 1:
		return p[0]
	}
	return 1 - p[0]
}

// openData opens a data file, "-" for standard input.
func openData(cmd *cobra.Command, path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open --data: %w", err)
	}
	return f, nil
}

// rowOps look at the row alone, or at earlier columns, which are checked themselves.
var rowOps = []feature.Op{feature.OpValue, feature.OpMissing, feature.OpOneHot, feature.OpTable, feature.OpRatio, feature.OpDifference, feature.OpProduct, feature.OpOutOfRange,
	feature.OpCross, feature.OpPlace, feature.OpExpr}

// timeless reports whether a pipeline looks at nothing but the row itself: its result depends
// neither on other rows nor on the time.
func timeless(p *feature.Pipeline) bool {
	return !slices.ContainsFunc(p.Columns, func(c feature.Column) bool {
		if c.Op == feature.OpModule {
			return c.Rows > 1
		}
		return !slices.Contains(rowOps, c.Op)
	})
}
