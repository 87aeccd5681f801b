package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"skerry.dev/agent/replay"
	"skerry.dev/compute/frame"
	"skerry.dev/configs/commands"
)

func newPredictCommand() *cobra.Command {
	var files fileFlags
	var model, task, out string
	c := &cobra.Command{
		Use:   "predict",
		Short: "Predict every row of a file with an artifact",
		Long: "Run the rows of a file through an artifact's pipeline and model: each row is predicted from itself and the rows before it in event time. Columns are found by the names of the artifact's inputs, equal names first " +
			"(\"PM2.5\" is pm25), and read by their types; an input without a column, a cell that is no number and a category that the artifact does not know count as missing, and a note says how many. " +
			"An artifact that looks at single rows needs no time: it takes a column for it only with --time, and predicts each row as it is read, however many there are. " +
			"Of one that looks back in time all rows are held until the last is read, in 1 GiB at most (256 MiB where an address has 32 bits).\n\n" +
			"The answer has one line for each row, in the order of the file, with the columns row (from 0), ts (empty without a time), prediction, lower, upper, in the target's unit; for a classification prediction is the class, lower and upper are empty, and a column per class holds its probability. " +
			"A row that has no time where one is needed has an empty prediction. " +
			"An error leaves no file; with --out - rows may stand before it, so look at the exit status. The local learning of a running agent is not part of it: for that see replay.",
		Example: "  skerry-agent predict --model pm25.skerry --data station.csv.gz --out predictions.csv\n  skerry-agent predict --model pm25.skerry --data - --time when --time-format unix_ms --out - < rows.csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := files.finish(cmd); err != nil {
				return err
			}
			if err := commands.CheckOutputs([]commands.Output{{Flag: "--out", Path: out}}, files.data, model, task); err != nil {
				return err
			}
			a, err := readModel(model)
			if err != nil {
				return err
			}
			o := replay.PredictOptions{
				Name:    files.data,
				Table:   files.opts.Table,
				Time:    files.opts.Time,
				Format:  files.opts.Format,
				Columns: files.opts.Columns,
			}
			if task != "" {
				if o.Task, err = readTask(task); err != nil {
					return err
				}
			}
			in, err := openData(cmd, files.data)
			if err != nil {
				return err
			}
			defer in.Close()
			w, done, err := createCSV(cmd, out)
			if err != nil {
				return err
			}
			p := newProgress(cmd.ErrOrStderr())
			defer p.clear()
			if note := o.Table.Note; note != nil {
				o.Table.Note = func(s string) { p.clear(); note(s) } // some come between the rows
			}
			classes := a.Manifest.Output.Classes
			head := []string{"row", "ts", "prediction", "lower", "upper"}
			for _, c := range classes {
				head = append(head, "p_"+c)
			}
			cw := csv.NewWriter(w)
			werr := cw.Write(head)
			said := 0
			n, err := replay.Predict(cmd.Context(), in, a, o, func(i, n int, q *replay.Prediction) error {
				switch {
				case i%256 != 0:
				case n > 0:
					p.show("%d of %d rows", i, n)
				default:
					p.show("%d rows", i)
				}
				if !math.IsNaN(q.Value) {
					said++
				}
				rec := append(head[:0:0], strconv.Itoa(q.Row), "", number(q.Value), number(q.Lower), number(q.Upper))
				if q.Time != frame.NoTime {
					rec[1] = stampCSV(q.Time)
				}
				if len(classes) > 0 {
					rec[2], rec[3], rec[4] = "", "", ""
				}
				for k := range classes {
					p := ""
					if !math.IsNaN(q.Value) {
						p, rec[2] = number(probability(q.Classes, k)), classes[int(q.Value)]
					}
					rec = append(rec, p)
				}
				return cw.Write(rec)
			})
			cw.Flush()
			err = errors.Join(err, werr, cw.Error())
			if err = errors.Join(err, done(err == nil)); err != nil {
				return err
			}
			p.clear()
			if out != "-" {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "predicted %s with %s\n", rowsOf(said, n), a.Digest[:12])
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

// rowsOf counts the rows that have a prediction.
func rowsOf(n, of int) string {
	if n == of {
		return fmt.Sprintf("%d rows", n)
	}
	return fmt.Sprintf("%d of %d rows, the others have none,", n, of)
}
